//! Kills servers while many grants come due in the same minute, then looks whether each was kept.
//!
//! One server on SQLite, three on PostgreSQL, private and on the loopback address; the provider is the double of the tests,
//! in this process, and counts every use of every refresh token. All first access tokens end at one moment, so that all
//! grants come due together; the life of the next ones is such that the rounds do not meet. A refresh that a kill met is of
//! unknown outcome: the provider's rule is applied, the log names the grant, and nothing else may happen to any grant.

mod clients;
mod kills;
mod logs;
mod net;
mod setup;
mod verify;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Args;
use polity_testing::provider::{Course, Provider, Rotation, Settings};

use crate::{
    Findings,
    crash::{
        Backend, Failure,
        fleet::{Fleet, Plan},
        task_of,
    },
};
use clients::Said;
use kills::Kills;

/// How many grants, and how often is killed.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many grants.
    #[arg(long, default_value_t = 10_000)]
    grants: usize,
    /// How many kills, over all rounds.
    #[arg(long, default_value_t = 40)]
    kills: u32,
    /// How often each grant comes due.
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// One server on SQLite instead of three on PostgreSQL.
    #[arg(long)]
    sqlite: bool,
    /// The provider answers a refresh token that it replaced with the successor for so many seconds. Without: whoever uses
    /// an old one loses the grant.
    #[arg(long)]
    window: Option<u32>,
    /// `grants.margin_seconds`.
    #[arg(long, default_value_t = 60)]
    margin: u32,
    /// `grants.jitter_seconds`: so long it takes until all have come due.
    #[arg(long, default_value_t = 20)]
    jitter: u32,
    /// How many connections are made in a second, at least: all are there before the first comes due.
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// How many milliseconds the provider takes to answer a call for tokens that is done.
    #[arg(long, default_value_t = 150)]
    latency: u32,
    /// How many runs, one after the other.
    #[arg(long, default_value_t = 1)]
    runs: u32,
    /// Repeats the choices of an earlier run.
    #[arg(long)]
    seed: Option<u64>,
    /// The program; the one beside this one by default.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Keeps the folder, with logs and data, also if all is well.
    #[arg(long)]
    keep: bool,
}

/// Who asks for tokens all the time.
const CLIENTS: usize = 4;

impl Options {
    /// How long an access token lasts: each round is over when the next begins, even if it takes the whole margin.
    fn life(&self) -> Duration {
        seconds(2 * self.margin + 3 * self.jitter)
    }

    /// How long before the end of the first tokens the first grant comes due.
    fn early(&self) -> Duration {
        seconds(self.margin + self.jitter)
    }

    /// How long the making of all connections may take.
    fn setup(&self) -> Duration {
        Duration::from_secs(5 + self.grants.div_ceil(self.rate.max(1) as usize) as u64)
    }

    /// From when the first comes due until the last round is over.
    fn rounds_take(&self) -> Duration {
        self.life().saturating_sub(self.early()) * (self.rounds.max(1) - 1) + seconds(2 * self.jitter + self.margin / 2)
    }

    /// So short that a refresh that was killed is recovered well before its token ends.
    fn timeout_ms(&self) -> u32 {
        (self.margin * 1_000 / 6).clamp(1_000, 10_000)
    }

    fn backend(&self) -> Backend {
        if self.sqlite {
            Backend::Sqlite
        } else {
            Backend::Postgres
        }
    }
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(u64::from(count))
}

/// Runs it.
pub(crate) fn run(options: &Options) -> Result<String, Findings> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| vec![error.to_string()])?;
    let mut seeds = fastrand::Rng::new();
    for _ in 0..options.runs.max(1) {
        let seed = options.seed.unwrap_or_else(|| seeds.u64(..));
        runtime
            .block_on(Box::pin(once(options, seed)))
            .map_err(Findings::from)?;
    }
    Ok(format!("grants: clean, {} times", options.runs.max(1)))
}

/// What is known after a run.
struct Outcome {
    connections: Vec<setup::Connection>,
    courses: Vec<Course>,
    kills: Kills,
    said: Said,
}

async fn once(options: &Options, seed: u64) -> Result<(), Failure> {
    let (backend, many) = (options.backend(), options.grants);
    println!(
        "grants: {backend:?}, {many} grants, {} kills, seed {seed}",
        options.kills
    );
    let mut random = fastrand::Rng::with_seed(seed);
    let provider = Provider::start(Settings {
        rotation: options
            .window
            .map_or(Rotation::Rotating, |time| Rotation::Window(seconds(time))),
        access_life: options.life(),
        answers_after: Duration::from_millis(u64::from(options.latency)),
        ..Settings::default()
    })
    .await;
    let catalogue = tempfile::NamedTempFile::new()?;
    std::fs::write(catalogue.path(), provider.catalogue_entry("double", ""))?;
    let mut fleet = Fleet::start(plan(options, catalogue.path())).await?;
    let done = Box::pin(watched(options, &provider, &mut fleet, &mut random)).await;
    fleet.stop().await;
    let (table, mut wrong) = match done {
        Ok(done) => done,
        Err(Failure::Broken(text)) => (String::new(), vec![text]),
        Err(Failure::Violations(wrong)) => (String::new(), wrong),
    };
    print!("{table}");
    if wrong.is_empty() {
        return Ok(());
    }
    wrong.truncate(40);
    wrong.push(format!("seed {seed}; logs and data are in {}", fleet.keep().display()));
    Err(Failure::Violations(wrong))
}

/// The servers, with a catalogue of their own and the times of this run.
fn plan(options: &Options, catalogue: &std::path::Path) -> Plan {
    let settings = [
        ("POLITY_OUTBOUND__ALLOW", "127.0.0.1".to_owned()),
        ("POLITY_CONNECTION__CATALOGUE", catalogue.display().to_string()),
        ("POLITY_CONNECTION__SIGN_INS_PER_HOUR", "1000000".to_owned()),
        ("POLITY_GRANTS__MARGIN_SECONDS", options.margin.to_string()),
        ("POLITY_GRANTS__JITTER_SECONDS", options.jitter.to_string()),
        ("POLITY_GRANTS__REQUEST_TIMEOUT_MS", options.timeout_ms().to_string()),
        ("POLITY_LOG__FORMAT", "json".to_owned()),
    ];
    Plan {
        backend: options.backend(),
        binary: options.binary.clone(),
        keep: options.keep,
        is_plain: true,
        settings: settings.into(),
    }
}

/// Everything between the start of the servers and their end: the table, and what is wrong.
async fn watched(
    options: &Options,
    provider: &Provider,
    fleet: &mut Fleet,
    random: &mut fastrand::Rng,
) -> Result<(String, Findings), Failure> {
    let begun = Instant::now();
    let due_in = options.setup() + Duration::from_secs(2);
    provider.first_tokens_end_in(due_in + options.early());
    let connections = setup::connect(options.grants, fleet.addresses(), provider).await?;
    let took = begun.elapsed();
    println!("grants: {} connections in {} s", connections.len(), took.as_secs());
    if took > due_in {
        let text = format!("making the connections took {} s; take a lower --rate", took.as_secs());
        return Err(Failure::Broken(text));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let shared = Arc::new(connections);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let client = clients::Client::new(fleet.addresses(), provider.url(), Arc::clone(&shared), random.fork());
            task_of(client.act(Arc::clone(&stop)))
        })
        .collect();
    tokio::time::sleep(due_in.saturating_sub(begun.elapsed())).await;
    let kills = kills::kill(options, fleet, provider, random).await?;
    let courses = provider.courses();
    stop.store(true, Ordering::SeqCst);
    let mut said = Said::default();
    for client in clients {
        said.add(client.await?);
    }
    let connections = Arc::into_inner(shared).ok_or_else(|| Failure::Broken("a client goes on".to_owned()))?;
    let outcome = Outcome {
        connections,
        courses,
        kills,
        said,
    };
    verify::look(options, fleet, provider, &outcome).await
}
