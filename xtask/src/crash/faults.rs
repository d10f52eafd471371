//! What goes wrong.

use std::time::Duration;

use super::{Backend, Failure, fleet::Fleet};

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A server is killed.
    Server,
    /// PostgreSQL is killed.
    Postgres,
    /// NATS is killed.
    Nats,
    /// The disk is full.
    Disk,
    /// The clock of a server jumps.
    Clock,
}

impl Fault {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Server => "kills of servers",
            Self::Postgres => "kills of PostgreSQL",
            Self::Nats => "kills of NATS",
            Self::Disk => "full disks",
            Self::Clock => "clock jumps",
        }
    }

    /// Three in four kill a server; the rest is what else there is.
    pub(super) fn choose(random: &mut fastrand::Rng, fleet: &Fleet, clocks: bool) -> Self {
        let mut others = Vec::new();
        if fleet.backend == Backend::Postgres {
            others.push(Self::Postgres);
        }
        if fleet.has_nats() {
            others.push(Self::Nats);
        }
        if fleet.small_disk {
            others.push(Self::Disk);
        }
        if clocks && fleet.has_clocks() {
            others.extend([Self::Clock, Self::Clock]);
        }
        if random.u8(0..4) > 0 || others.is_empty() {
            return Self::Server;
        }
        others[random.usize(0..others.len())]
    }
}

/// Lets it go wrong, and mends what a supervisor would mend.
pub(super) async fn inflict(fault: Fault, fleet: &mut Fleet, random: &mut fastrand::Rng) -> Result<(), Failure> {
    let pause = Duration::from_millis(random.u64(0..400));
    let number = fleet.servers[random.usize(0..fleet.servers.len())].number();
    match fault {
        Fault::Server => fleet.restart_server(number, pause).await,
        Fault::Postgres => fleet.restart_postgres(pause).await,
        Fault::Nats => fleet.restart_nats(pause).await,
        Fault::Disk => fleet.fill_disk(pause).await,
        Fault::Clock => {
            let offsets = ["+90s", "-90s", "+2h", "-20m", "+0"];
            fleet.set_clock(number, offsets[random.usize(0..offsets.len())]).await
        }
    }
}
