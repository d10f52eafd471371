//! Kills servers while clients use them, then looks whether everything that was acknowledged is there, and nothing half done.
//!
//! One server on SQLite, three on PostgreSQL; the databases, NATS and the servers are private, on the loopback address. A
//! cycle is one fault: mostly a server killed with SIGKILL and started again; sometimes PostgreSQL or NATS killed, a full
//! disk, or a clock that jumps. The seed makes the faults repeatable, though not what they hit.

mod clients;
mod faults;
pub(crate) mod fleet;
mod process;
mod tenants;
mod verify;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};

use crate::Findings;
use clients::Person;
use faults::Fault;
use fleet::{Fleet, Plan};

/// What to kill, and how often.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many faults.
    #[arg(long, default_value_t = 5)]
    cycles: u32,
    /// The database.
    #[arg(long, value_enum, default_value_t = Backend::Sqlite)]
    backend: Backend,
    /// Repeats the faults of an earlier run.
    #[arg(long)]
    seed: Option<u64>,
    /// The program; the one beside this one by default.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Keeps the folder, with logs and data, also if all is well.
    #[arg(long)]
    keep: bool,
}

/// The database of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// One server.
    Sqlite,
    /// Three servers.
    Postgres,
}

/// How many clients act at once.
const CLIENTS: usize = 12;

/// Runs it.
pub(crate) fn run(options: Options) -> Result<String, Findings> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| vec![error.to_string()])?;
    let done = runtime.block_on(Box::pin(crash(options)));
    done.map_err(Findings::from)
}

/// Why a run failed.
pub(crate) enum Failure {
    /// The run itself could not go on.
    Broken(String),
    /// What was promised and did not hold.
    Violations(Findings),
}

impl From<Failure> for Findings {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Broken(text) => vec![text],
            Failure::Violations(all) => all,
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Broken(error.to_string())
    }
}

async fn crash(options: Options) -> Result<String, Failure> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("crash: {:?}, {} cycles, seed {seed}", options.backend, options.cycles);
    let begun = Instant::now();
    let mut random = fastrand::Rng::with_seed(seed);
    let plan = Plan {
        backend: options.backend,
        binary: options.binary,
        keep: options.keep,
        is_plain: false,
        settings: Vec::new(),
    };
    let mut fleet = Fleet::start(plan).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let client = clients::Client::new(n, fleet.addresses(), fleet.clock_jumped(), random.fork());
            let task = client.act(Arc::clone(&stop));
            task_of(task)
        })
        .collect();
    let mut counts = std::collections::BTreeMap::<&str, u32>::new();
    for cycle in 0..options.cycles {
        tokio::time::sleep(Duration::from_millis(random.u64(100..700))).await;
        // Clocks jump towards the end only: a session may be lost to a clock, but never to a crash.
        let late = cycle >= options.cycles - options.cycles / 5;
        let fault = Fault::choose(&mut random, &fleet, late);
        *counts.entry(fault.name()).or_default() += 1;
        faults::inflict(fault, &mut fleet, &mut random).await?;
        if (cycle + 1).is_multiple_of(25) {
            println!("crash: {} cycles, {} s", cycle + 1, begun.elapsed().as_secs());
        }
    }
    fleet.set_clocks("+0").await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::SeqCst);
    let mut people: Vec<Person> = Vec::new();
    let (mut ended, mut gone) = (Vec::new(), Vec::new());
    let mut violations = Findings::new();
    for client in clients {
        match tokio::time::timeout(Duration::from_mins(1), client).await {
            Ok(Ok(report)) => {
                people.extend(report.people);
                ended.extend(report.ended);
                gone.extend(report.gone);
                violations.extend(report.violations);
            }
            Ok(Err(error)) => violations.push(format!("a client ended early: {error}")),
            Err(_) => violations.push("a client is still waiting after a minute".to_owned()),
        }
    }
    let summary = verify::look(&mut fleet, &people, (&ended, &gone), &mut violations).await?;
    fleet.stop().await;
    let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    if violations.is_empty() {
        return Ok(format!("crash: clean. {}; {summary}", counts.join(", ")));
    }
    violations.truncate(40);
    violations.push(format!(
        "seed {seed}; {}; logs and data are in {}",
        counts.join(", "),
        fleet.keep().display()
    ));
    Err(Failure::Violations(violations))
}

#[expect(clippy::disallowed_methods, reason = "the run waits for its clients itself")]
pub(crate) fn task_of<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::spawn(work)
}
