//! One of several: who else is alive on this database, and telling them that something happened.
//!
//! Every process beats: it counts its row up every two seconds, and looks at the rows of the others. Whose row stands still
//! for ten seconds is taken for dead; no clock of one machine is compared with another's. Rate limits without Redis are
//! divided by the processes that serve the same API.
//!
//! They also go by one time, the database server's, which each takes over with every beat.
//!
//! Wake-ups ([`crate::wake`]) travel over NATS where that is configured, else by `notify` on PostgreSQL, several per message
//! and at most 200 messages a second. SQLite has one process, which beats for nobody.
//!
//! Deliberately absent: election of a leader (whoever needs to be alone takes a lease), and any work that is only right
//! while membership is.

mod members;
mod relay;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::{Ctx, cache, id::Ids, lease};
use members::Members;

/// The tables, for the kernel's migrations.
pub const TABLES: &str = include_str!("cluster/tables.sql");

/// How often a process says that it is alive.
const BEAT: Duration = Duration::from_secs(2);

/// This process among the others. Cheap to clone.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    process: String,
    processes: AtomicU32,
}

impl Cluster {
    /// A process that knows of no other yet.
    #[must_use]
    pub fn new(ids: &Ids) -> Self {
        Self(Arc::new(Inner {
            process: ids.new_id("prc_"),
            processes: AtomicU32::new(1),
        }))
    }

    /// The id of this process.
    #[must_use]
    pub fn process(&self) -> &str {
        &self.0.process
    }

    /// How many processes are alive, this one included.
    #[must_use]
    pub fn processes(&self) -> u32 {
        self.0.processes.load(Ordering::Relaxed)
    }
}

/// Joins the others: beats once, so that it counts before it serves, and goes on until the program stops. Where there can
/// be no others, what an earlier process held when it died is free at once.
pub async fn join(ctx: &Ctx) {
    if ctx.db.is_shared() {
        let mut members = Members::default();
        beat(ctx, &mut members).await;
        ctx.spawn(keep_beating(ctx.clone(), members));
    } else if let Err(error) = lease::free_all(&ctx.db, ctx.clock.now()).await {
        tracing::warn!(error = %error, "what an earlier process held becomes free by itself in a while");
    }
    relay::start(ctx);
    ctx.spawn(cache::follow(ctx.clone()));
}

async fn keep_beating(ctx: Ctx, mut members: Members) {
    while ctx.stop.run_until_cancelled(tokio::time::sleep(BEAT)).await.is_some() {
        beat(&ctx, &mut members).await;
    }
    if let Err(error) = members::leave(&ctx).await {
        tracing::debug!(error = %error, "the others will notice by themselves that this process has left");
    }
}

async fn beat(ctx: &Ctx, members: &mut Members) {
    if let Ok(Some(time)) = ctx.db.time().await {
        ctx.clock.follow(time);
    }
    match members.beat(ctx).await {
        Ok(found) => {
            let before = ctx.cluster.0.processes.swap(found.processes, Ordering::Relaxed);
            if before < found.processes {
                // Nothing is told while there is nobody to tell: the newcomer has missed what happened since it looked.
                ctx.wakes.wake_all();
            }
            ctx.limiter.set_replicas(found.same_api);
            metrics::gauge!("polity_cluster_processes").set(f64::from(found.processes));
        }
        Err(error) => tracing::warn!(error = %error, "this process could not say that it is alive"),
    }
}
