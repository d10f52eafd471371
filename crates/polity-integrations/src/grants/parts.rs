//! The kernel's clock and tasks, as the library asks for them.

use futures::future::BoxFuture;
use polity_grants::{
    clock::{Clock, Millis},
    manager::Spawn,
};
use polity_kernel::Ctx;

/// The kernel's time, which processes on one database share.
pub(super) struct KernelClock(pub(super) polity_kernel::clock::Clock);

impl Clock for KernelClock {
    fn now(&self) -> Millis {
        self.0.now().timestamp_millis()
    }
}

/// Tasks that shutdown waits for.
pub(super) struct KernelTasks(pub(super) Ctx);

impl Spawn for KernelTasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }
}
