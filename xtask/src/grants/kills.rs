//! The kills, and what was under way when they came.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use polity_kernel::db::Db;
use polity_testing::provider::Provider;

use super::Options;
use crate::crash::{
    Failure,
    fleet::{Fleet, until},
};

/// What was killed.
#[derive(Debug, Default)]
pub(super) struct Kills {
    pub(super) count: u32,
    /// Kills of a server that held refreshes.
    pub(super) hits: u32,
    /// Refreshes that were under way at a server when it was killed: the grant, and the fence.
    pub(super) met: BTreeSet<(String, i64)>,
    /// How long the rounds took, from when the first grant came due.
    pub(super) took: Duration,
}

impl Kills {
    /// The grants that were met.
    pub(super) fn grants(&self) -> BTreeSet<&str> {
        self.met.iter().map(|(id, _)| id.as_str()).collect()
    }
}

/// Kills one server after the other while all grants are refreshed as often as there are rounds.
pub(super) async fn kill(
    options: &Options,
    fleet: &mut Fleet,
    provider: &Provider,
    random: &mut fastrand::Rng,
) -> Result<Kills, Failure> {
    let begun = Instant::now();
    let db = fleet.database()?;
    let mut names = Names::default();
    for server in 0..fleet.addresses().len() {
        names.0.push(format!("server {server}"));
    }
    names.learn(&db, None).await?;
    let mut kills = Kills::default();
    let pause = options.rounds_take() / options.kills.max(1);
    for number in 0..options.kills {
        let at = pause * number + pause.mul_f64(random.f64() / 2.0);
        tokio::time::sleep(at.saturating_sub(begun.elapsed())).await;
        let server = victim(&db, &names, random, pause / 2).await?;
        fleet.kill_server(server).await?;
        // What it had sent to the database may still arrive there.
        tokio::time::sleep(Duration::from_millis(random.u64(200..700))).await;
        let met = held_by(&db, names.of(server)).await?;
        kills.count += 1;
        println!(
            "grants: {:>3} s: server {server} killed, {} refreshes under way; {} done",
            begun.elapsed().as_secs(),
            met.len(),
            provider.refreshed(),
        );
        let before = kills.met.len();
        kills.met.extend(met);
        kills.hits += u32::from(kills.met.len() > before);
        fleet.start_server(server).await?;
        names.learn(&db, Some(server)).await?;
    }
    rounds_are_over(options, &db).await?;
    kills.took = begun.elapsed();
    Ok(kills)
}

/// By which name the database knows each server.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    /// A server that was started has a name that nobody had before; at first all have, in the order of their starts.
    async fn learn(&mut self, db: &Db, started: Option<usize>) -> Result<(), Failure> {
        let mut read = db.read().await?;
        let rows: Vec<(String,)> = read.sql("select id from process order by id").all().await?;
        let mut fresh = rows
            .into_iter()
            .map(|(id,)| id)
            .filter(|id| !self.0.contains(id))
            .collect::<Vec<_>>();
        match started {
            Some(server) => self.0[server] = fresh.pop().unwrap_or_default(),
            None if fresh.len() == self.0.len() => self.0 = fresh,
            // On SQLite nobody else can be there, and nobody has a name.
            None => self.0.fill(String::new()),
        }
        Ok(())
    }

    fn of(&self, server: usize) -> &str {
        &self.0[server]
    }
}

/// Mostly the server with the most refreshes under way, for which it waits a while; otherwise any.
async fn victim(db: &Db, names: &Names, random: &mut fastrand::Rng, patience: Duration) -> Result<usize, Failure> {
    let begun = Instant::now();
    let any = random.usize(0..names.0.len());
    if random.u8(0..5) == 0 {
        return Ok(any);
    }
    while begun.elapsed() < patience {
        let held = intents(db).await?;
        let of = |name: &str| held.iter().filter(|intent| intent.2.contains(name)).count();
        let busiest = (0..names.0.len()).max_by_key(|server| of(names.of(*server)));
        if let Some(server) = busiest.filter(|server| of(names.of(*server)) > 0) {
            return Ok(server);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(any)
}

/// Refreshes that are under way in a process of that name; of an empty one: all.
async fn held_by(db: &Db, name: &str) -> Result<Vec<(String, i64)>, Failure> {
    let held = intents(db).await?.into_iter();
    let held = held.filter(|(.., intent)| intent.contains(name));
    Ok(held.map(|(id, fence, _)| (id, fence)).collect())
}

/// Refreshes that are under way: the grant, the fence, and the intent as it is written.
async fn intents(db: &Db) -> Result<Vec<(String, i64, String)>, Failure> {
    let mut read = db.read().await?;
    let query = read.sql("select id, fence, cast(intent as text) from integration_grant where intent is not null");
    Ok(query.all().await?)
}

/// Every grant was refreshed as often as there are rounds, or ended; and no refresh is under way.
async fn rounds_are_over(options: &Options, db: &Db) -> Result<(), Failure> {
    let rounds = i64::from(options.rounds);
    let open = async || -> Result<i64, Failure> {
        let mut read = db.read().await?;
        let query = "select count(*) from integration_grant
                     where intent is not null or (status = 'active' and version <= $1)";
        let (open,) = read.sql(query).bind(&rounds).one::<(i64,)>().await?;
        Ok(open)
    };
    until("every round is over", options.life(), async || {
        open().await.is_ok_and(|open| open == 0)
    })
    .await
}
