//! A whole Polity for tests: its own database, a fake clock, captured mail, and a client that speaks HTTP to it.
//!
//! ```no_run
//! # use polity_testing::App;
//! # async fn test() {
//! App::each(async |app| {
//!     let ada = app.register("ada@example.com").await;
//!     let answer = app.get(&format!("/api/v1/accounts/profile/{}", ada.user_id)).bearer(&ada.access_token).send().await;
//!     assert_eq!(answer.status, 200);
//! })
//! .await;
//! # }
//! ```
//!
//! [`App::each`] runs a test on SQLite and, where `POLITY_TEST_POSTGRES` names a server, on PostgreSQL; with
//! `POLITY_TEST_REPLICAS=3` on PostgreSQL alone, in three processes' worth of programs that are asked in turn. Requests go over a
//! real socket; background work runs as in the program, and [`App::settle`] waits until there is none left.
//! No secret may reach a log: an app that ends fails its test if one did.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this crate is only used by tests, where a panic is how a failure is reported"
)]

mod client;
mod logs;
mod others;
mod people;
pub mod postgres;
pub mod provider;
pub mod server;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use polity_kernel::{Ctx, clock::Clock, config::Config, http};
use polity_server::{Options, Program, sections};
use serde_json::{Value, json};

pub use client::{Answer, Request};
pub use others::{BROKEN_PROJECT, Doubles};
pub use people::Person;

/// The secret of internal services in tests. A fixed key of the tests' own; it protects nothing.
pub const SERVICE_SECRET: &str = "test-only-service-secret-0123456789abcdef";
/// The secret of the bootstrap in tests. A fixed key of the tests' own; it protects nothing.
pub const BOOTSTRAP_SECRET: &str = "test-only-bootstrap-secret-0123456789abcdef";

/// A running Polity. Dropping it stops it and removes what it kept.
pub struct App {
    /// The kernel's parts, to look behind the API.
    pub ctx: Ctx,
    /// Its clock, which stands still until it is moved.
    pub clock: Clock,
    /// Where it listens.
    pub address: SocketAddr,
    /// What domains answer that are not built yet.
    pub doubles: Arc<Doubles>,
    client: reqwest::Client,
    /// Others on the same database, which are asked in turn with this one.
    siblings: Vec<Self>,
    turn: AtomicUsize,
    _place: Arc<Place>,
}

/// What the replicas of one test share.
struct Place {
    folder: tempfile::TempDir,
    database: Option<postgres::FreshDatabase>,
    clock: Clock,
    doubles: Arc<Doubles>,
}

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file on tmpfs.
    Sqlite,
    /// A fresh database on the server that `POLITY_TEST_POSTGRES` names.
    Postgres,
}

/// The moment at which the clock of every test starts.
#[must_use]
pub fn start_of_time() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

impl App {
    /// Runs a test on every database there is.
    pub async fn each(test: impl AsyncFn(Self)) {
        Self::each_with(json!({}), test).await;
    }

    /// The same, with settings of its own, in the shape of the settings file.
    pub async fn each_with(settings: Value, test: impl AsyncFn(Self)) {
        for backend in [Backend::Sqlite, Backend::Postgres] {
            if backend == Backend::Sqlite && replicas() > 1 {
                continue;
            }
            if let Some(app) = Self::start_on(backend, settings.clone()).await {
                test(app).await;
            }
        }
    }

    /// Starts on SQLite.
    pub async fn start() -> Self {
        Self::start_with(json!({})).await
    }

    /// Starts on SQLite with settings of its own.
    pub async fn start_with(settings: Value) -> Self {
        Self::start_on(Backend::Sqlite, settings).await.unwrap()
    }

    /// What a program says that does not start with these settings.
    pub async fn failing(settings: Value) -> String {
        let place = Place::new(Backend::Sqlite).await.unwrap();
        let options = Options {
            clock: Some(place.clock.clone()),
            capture_mail: true,
            others: place.doubles.others(),
            enforced: place.doubles.enforced(),
        };
        let opened = Program::open(place.config("data", settings), options).await;
        opened.err().expect("the program does not open").to_string()
    }

    /// Starts on one database; `None` if there is no PostgreSQL.
    pub async fn start_on(backend: Backend, settings: Value) -> Option<Self> {
        let place = Arc::new(Place::new(backend).await?);
        let mut app = Self::start_in(&place, "data", settings.clone()).await;
        let others = if backend == Backend::Postgres { replicas() } else { 1 };
        for n in 1..others {
            // The first does the background work: what it mails is captured there.
            let mut settings = settings.clone();
            merge(&mut settings, json!({ "roles": ["api"] }));
            app.siblings
                .push(Self::start_in(&place, &format!("data{n}"), settings).await);
        }
        Some(app)
    }

    /// Who is asked next.
    pub(crate) fn next(&self) -> &Self {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % (self.siblings.len() + 1);
        turn.checked_sub(1).map_or(self, |at| &self.siblings[at])
    }

    /// Starts replicas on one PostgreSQL database, with one clock, each with settings of its own; `None` if there is no
    /// PostgreSQL. Roles are as in the program.
    pub async fn replicas(settings: impl IntoIterator<Item = Value>) -> Option<Vec<Self>> {
        let place = Arc::new(Place::new(Backend::Postgres).await?);
        let mut replicas = Vec::new();
        for (n, settings) in settings.into_iter().enumerate() {
            replicas.push(Self::start_in(&place, &format!("data{n}"), settings).await);
        }
        Some(replicas)
    }

    async fn start_in(place: &Arc<Place>, data: &str, settings: Value) -> Self {
        logs::watch();
        let options = Options {
            clock: Some(place.clock.clone()),
            capture_mail: true,
            others: place.doubles.others(),
            enforced: place.doubles.enforced(),
        };
        let mut program = Program::open(place.config(data, settings), options)
            .await
            .expect("the program opens");
        program.join().await;
        if program.has_role("worker") {
            program.start_workers().expect("the workers start");
        }
        let ctx = program.ctx.clone();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = program.router.clone();
        let (settings, stop) = (ctx.http().clone(), ctx.stop.clone());
        let tasks = ctx.tasks.clone();
        ctx.spawn(async move {
            // The program keeps the lock on the folder for as long as it serves.
            let _program = program;
            http::serve(listener, router, &settings, stop).await;
            // As the program does: now that nobody is answered any more, background work ends.
            tasks.close();
        });
        Self {
            ctx,
            clock: place.clock.clone(),
            address,
            doubles: Arc::clone(&place.doubles),
            client: client::build(),
            siblings: Vec::new(),
            turn: AtomicUsize::new(0),
            _place: Arc::clone(place),
        }
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Waits until every event is heard and every job that is due is done. Fails if that does not happen in time.
    pub async fn settle(&self) {
        for _ in 0..2_000 {
            if self.is_settled().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("events or jobs were still waiting after ten seconds");
    }

    async fn is_settled(&self) -> bool {
        let now = self.ctx.clock.now();
        let mut read = self.ctx.db.read().await.unwrap();
        // One statement sees one moment: asked one after the other, work could pass from what is still to be asked to what
        // has been.
        let (waiting,) = read
            .sql(
                "select (select count(*) from event where position is null)
                      + (select count(*) from event_consumer where position < (select last from event_counter))
                      + (select count(*) from job
                         where state = 'running' or (state = 'queued' and run_at <= cast($1 as timestamptz)))",
            )
            .bind(&now)
            .one::<(i64,)>()
            .await
            .unwrap();
        waiting == 0
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.ctx.stop.cancel();
        if !std::thread::panicking() {
            logs::check();
        }
    }
}

/// How many processes' worth of programs each test on PostgreSQL has.
#[expect(clippy::disallowed_methods, reason = "this is how the test command tells its tests")]
fn replicas() -> usize {
    let wanted = std::env::var("POLITY_TEST_REPLICAS").ok();
    wanted.and_then(|wanted| wanted.parse().ok()).unwrap_or(1)
}

/// A folder of the test's own, in memory where there is room.
#[must_use]
pub fn temporary_folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = tempfile::Builder::new().prefix("polity-test-").tempdir_in(memory);
    made.or_else(|_| tempfile::tempdir()).unwrap()
}

impl Place {
    async fn new(backend: Backend) -> Option<Self> {
        Some(Self {
            database: match backend {
                Backend::Sqlite => None,
                Backend::Postgres => Some(postgres::fresh_database().await?),
            },
            folder: temporary_folder(),
            clock: Clock::fake(start_of_time()),
            doubles: Arc::default(),
        })
    }

    fn config(&self, data: &str, settings: Value) -> Config {
        let mut all = json!({
            "environment": "test",
            "data_dir": self.folder.path().join(data),
            "keys": { "keyring": self.folder.path().join("keyring") },
            "http": { "port": 0 },
            "database": { "url": self.database.as_ref().map(postgres::FreshDatabase::url), "connections": 6 },
            "callers": { "internal_service_secret": SERVICE_SECRET },
            // As cheap as Argon2 goes: what the tests show does not depend on the cost.
            "password": { "memory_kib": 8, "iterations": 1, "parallelism": 1 },
            "events": { "poll_ms": 20 },
            "auth": { "admin_bootstrap_secret": BOOTSTRAP_SECRET, "rate_limits": { "enabled": false } },
        });
        merge(&mut all, settings);
        Config::load(&sections(), None, [], all).expect("the settings of the test are valid")
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
