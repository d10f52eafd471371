//! Refreshing in time, in the background: in every process that runs jobs.
//!
//! Each refresh is claimed, and what another process holds is left to it. Whose turn it is, is not asked: the turn of a
//! process that was killed would have to end first, while tokens run out. Only the deleting is done by one at a time.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use polity_grants::{
    manager::{DueReport, Error},
    store::Store as _,
};
use polity_kernel::{db, lease::Lease};

use super::{Grants, store};

/// How often it is looked whether something is due.
const EVERY: Duration = Duration::from_secs(1);
/// How often what ended is deleted.
const PRUNE_EVERY: Duration = Duration::from_mins(1);
/// How many batches are under way at most: a new one begins each second in which the ones before are not done.
const BATCHES: usize = 4;

type Batches = FuturesUnordered<BoxFuture<'static, Result<DueReport, Error>>>;

/// Refreshes what is due and deletes what ended, until the program stops; in processes that run jobs.
pub async fn keep_fresh(grants: Grants) {
    let ctx = grants.ctx().clone();
    if !ctx.core.roles.iter().any(|role| role == "worker") {
        return;
    }
    let owner = ctx.cluster.process().to_owned();
    let mut lease = Lease::new("grants.prune".to_owned(), owner, ctx.clock.clone());
    let mut batches = Batches::new();
    let mut pruned: Option<Instant> = None;
    while !ctx.stop.is_cancelled() {
        if let Err(error) = look(&grants, &mut lease, &mut batches, &mut pruned).await {
            tracing::warn!(error = %error, "grants that are due could not be read; trying again in a moment");
        }
        let mut pause = std::pin::pin!(tokio::time::sleep(EVERY));
        loop {
            tokio::select! {
                () = &mut pause => break,
                () = ctx.stop.cancelled() => break,
                Some(done) = batches.next() => if report(&done) && batches.is_empty() { break },
            }
        }
    }
    // Refreshes that run are tasks of their own, for which the end of the program waits.
    lease.release(&ctx.db).await;
}

async fn look(
    grants: &Grants,
    lease: &mut Lease,
    batches: &mut Batches,
    pruned: &mut Option<Instant>,
) -> Result<(), db::Error> {
    let db = &grants.ctx().db;
    let may_begin = batches.len() < BATCHES && grants.settings().refresh_batch > 0;
    let is_due = may_begin && grants.store().due(0, 1).await.is_ok_and(|due| !due.is_empty());
    if is_due {
        let (manager, settings) = (grants.manager().clone(), grants.settings().clone());
        let (limit, at_once) = (settings.refresh_batch, settings.refresh_at_once);
        batches.push(Box::pin(async move {
            let number = |number: u32| usize::try_from(number).unwrap_or(1);
            manager
                .refresh_due(number(limit), number(at_once), Duration::ZERO)
                .await
        }));
    }
    if pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
        *pruned = Some(Instant::now());
        if lease.hold(db).await? {
            prune(grants).await?;
        }
    }
    Ok(())
}

/// Says what a batch did; whether it did something, so that it is worth looking again at once.
fn report(done: &Result<DueReport, Error>) -> bool {
    match done {
        Ok(report) => {
            tracing::debug!(
                refreshed = report.refreshed,
                ended = report.ended,
                later = report.later,
                "grants were refreshed in time"
            );
            report.refreshed + report.ended > 0
        }
        Err(error) => {
            tracing::warn!(error = %error, "grants that are due could not be refreshed; trying again in a moment");
            false
        }
    }
}

/// Deletes pending authorizations that ended, and grants that were revoked long ago.
///
/// # Errors
/// What the database says.
pub async fn prune(grants: &Grants) -> Result<(), db::Error> {
    let ctx = grants.ctx();
    let now = ctx.clock.now();
    let kept = Duration::from_secs(u64::from(grants.settings().erased_days) * 24 * 60 * 60);
    let ended = ctx
        .db
        .in_batches(move |tx| Box::pin(store::delete_ended(tx, now)))
        .await?;
    let erased = ctx
        .db
        .in_batches(move |tx| Box::pin(store::delete_erased(tx, now - kept)))
        .await?;
    if ended + erased > 0 {
        tracing::debug!(pending = ended, grants = erased, "what ended was deleted");
    }
    Ok(())
}
