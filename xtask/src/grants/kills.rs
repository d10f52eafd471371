//! The kills, and what was under way when they came.

use std::{
    collections::{BTreeMap, BTreeSet},
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
    /// Grants whose refresh was under way at a server when it was killed, and with which fence.
    pub(super) met: BTreeSet<(String, i64)>,
    /// How long the rounds took, from when the first grant came due.
    pub(super) took: Duration,
}

impl Kills {
    /// How many grants were met.
    pub(super) fn grants(&self) -> BTreeSet<&str> {
        self.met.iter().map(|(id, _)| id.as_str()).collect()
    }
}

/// Refreshes that are under way: by grant, its fence and its holder.
type Intents = BTreeMap<String, (i64, String)>;

/// Kills one server after the other while all grants are refreshed as often as there are rounds.
pub(super) async fn kill(
    options: &Options,
    fleet: &mut Fleet,
    provider: &Provider,
    random: &mut fastrand::Rng,
) -> Result<Kills, Failure> {
    let begun = Instant::now();
    let db = fleet.database()?;
    let mut kills = Kills::default();
    let pause = options.rounds_take() / options.kills.max(1);
    for number in 0..options.kills {
        let at = pause * number + pause.mul_f64(random.f64());
        tokio::time::sleep(at.saturating_sub(begun.elapsed())).await;
        let server = random.usize(0..fleet.addresses().len());
        let before = intents(&db).await?;
        fleet.kill_server(server).await?;
        let after = intents(&db).await?;
        // Whose holder is dead stays as it is: it is neither recorded nor claimed before its lease ends.
        tokio::time::sleep(Duration::from_millis(random.u64(300..1_000))).await;
        let later = intents(&db).await?;
        let is_dead = |id: &String, held: &(i64, String)| later.get(id) == Some(held);
        let met: Vec<_> = after.iter().filter(|(id, held)| is_dead(id, held)).collect();
        kills.count += 1;
        kills.hits += u32::from(
            met.iter()
                .any(|(id, (fence, _))| !kills.met.contains(&((*id).clone(), *fence))),
        );
        kills
            .met
            .extend(met.iter().map(|(id, (fence, _))| ((*id).clone(), *fence)));
        println!(
            "grants: {:>3} s: server {server} killed; under way {} before, {} after; {} refreshes done",
            begun.elapsed().as_secs(),
            before.len(),
            met.len(),
            provider.refreshed(),
        );
        fleet.start_server(server).await?;
    }
    rounds_are_over(options, &db).await?;
    kills.took = begun.elapsed();
    Ok(kills)
}

async fn intents(db: &Db) -> Result<Intents, Failure> {
    let mut read = db.read().await?;
    let rows: Vec<(String, i64, String)> = read
        .sql("select id, fence, cast(intent as text) from integration_grant where intent is not null")
        .all()
        .await?;
    Ok(rows
        .into_iter()
        .map(|(id, fence, intent)| (id, (fence, intent)))
        .collect())
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
