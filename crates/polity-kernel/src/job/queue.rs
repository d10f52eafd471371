//! Enqueueing, calling off, and looking.

use std::time::Duration;

use super::{State, store};
use crate::{
    clock::{Clock, Timestamp},
    db::{Db, Result, Tx},
    id::Ids,
    wake::{Topic, Wakes},
};

/// The queue. Cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    clock: Clock,
    ids: Ids,
    wakes: Wakes,
}

/// A job to enqueue.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// `service.verb`.
    pub kind: &'static str,
    /// What it is to do. No secret stands here in clear: seal it.
    pub payload: serde_json::Value,
    /// When; `None` for at once.
    pub run_at: Option<Timestamp>,
    /// While a job of this kind with this key is queued or running, no other is enqueued.
    pub key: Option<String>,
    /// After so many attempts it is given up.
    pub max_attempts: u32,
}

impl NewJob {
    /// A job to run at once, tried up to eight times.
    #[must_use]
    pub fn new(kind: &'static str, payload: serde_json::Value) -> Self {
        Self {
            kind,
            payload,
            run_at: None,
            key: None,
            max_attempts: 8,
        }
    }
}

/// No pause before another attempt is as long.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// How many finished jobs are deleted in one transaction.
const PRUNED_AT_ONCE: i64 = 500;

impl Jobs {
    /// The queue as a process sees it.
    #[must_use]
    pub fn new(clock: Clock, ids: Ids, wakes: Wakes) -> Self {
        Self { clock, ids, wakes }
    }

    /// Enqueues a job in the transaction that causes it; `None` if one with its key is there already.
    ///
    /// # Errors
    /// What the database says.
    pub async fn enqueue(&self, tx: &mut Tx, job: NewJob) -> Result<Option<String>> {
        let id = self.ids.new_id("job_");
        let now = self.clock.now();
        let row = store::Row {
            id: &id,
            kind: job.kind,
            key: job.key.as_deref(),
            payload: &job.payload,
            run_at: job.run_at.unwrap_or(now),
            max_attempts: i64::from(job.max_attempts.max(1)),
            now,
        };
        let is_new = store::insert(tx, &row).await?;
        let wakes = self.wakes.clone();
        tx.on_commit(move || wakes.wake(Topic::Enqueued));
        Ok(is_new.then_some(id))
    }

    /// Calls a job off: at once if it waits; if it runs, its [`super::JobCtx::cancelled`] says so. False if there is none.
    ///
    /// # Errors
    /// What the database says.
    pub async fn cancel(&self, tx: &mut Tx, id: &str) -> Result<bool> {
        store::cancel(tx, id, self.clock.now()).await
    }

    /// How a job is, how far it has come, and what went wrong last.
    ///
    /// # Errors
    /// What the database says.
    pub async fn look(&self, db: &Db, id: &str) -> Result<Option<(State, Option<serde_json::Value>, Option<String>)>> {
        store::state(&mut *db.read().await?, id).await
    }

    /// Brings back what a clock that was ahead for a while has put off; says how many jobs were made in what is the future.
    ///
    /// # Errors
    /// What the database says.
    pub async fn bring_back(&self, db: &Db) -> Result<u64> {
        let now = self.clock.now();
        let mut tx = db.begin().await?;
        let moved = store::bring_back(&mut tx, now, now + LONGEST_PAUSE).await?;
        tx.commit().await?;
        Ok(moved)
    }

    /// Deletes jobs that ended longer ago than `retention`; says how many.
    ///
    /// # Errors
    /// What the database says.
    pub async fn prune(&self, db: &Db, retention: Duration) -> Result<u64> {
        let before = self.clock.now() - retention;
        db.in_batches(move |tx| Box::pin(store::prune(tx, before, PRUNED_AT_ONCE)))
            .await
    }
}
