//! What happens once a transaction is on disk, and only then: caches change, sleepers wake.

/// The hooks of one transaction, in the order they were given.
#[derive(Default)]
pub(super) struct Hooks(Vec<Box<dyn FnOnce() + Send>>);

impl Hooks {
    pub(super) fn add(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.0.push(Box::new(hook));
    }

    pub(super) fn run(self) {
        for hook in self.0 {
            hook();
        }
    }
}
