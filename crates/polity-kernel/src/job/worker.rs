//! Workers: claim, run, write the result under the fence.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{Claimed, JobError, JobKind, State, store};
use crate::{
    backoff,
    clock::Clock,
    db::{Db, Error, List, Result, Tx},
    observe,
};

/// The first pause after a failure; each doubles the one before.
const PAUSE: Duration = Duration::from_secs(2);

/// What a job that runs can ask and say.
pub struct JobCtx {
    /// The job.
    pub job: Claimed,
    db: Db,
    clock: Clock,
    cancelled: CancellationToken,
    finished: AtomicBool,
}

impl JobCtx {
    /// Cancelled when the job was called off, or taken over by somebody else.
    #[must_use]
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Says how far the job has come.
    ///
    /// # Errors
    /// What the database says.
    pub async fn progress(&self, progress: &serde_json::Value) -> Result<()> {
        let mut tx = self.db.begin().await?;
        if !store::set_progress(&mut tx, &self.job.id, self.job.fence, progress).await? {
            self.cancelled.cancel();
        }
        tx.commit().await
    }

    /// Completes the job in the transaction of its effect, so that both happen or neither.
    ///
    /// # Errors
    /// [`Error::Conflict`] if somebody else has taken the job over: the effect must not happen here.
    pub async fn finish_in(&self, tx: &mut Tx) -> Result<()> {
        if !store::finish(
            tx,
            &self.job.id,
            self.job.fence,
            State::Succeeded,
            None,
            self.clock.now(),
        )
        .await?
        {
            return Err(Error::Conflict("the job was taken over".into()));
        }
        self.finished.store(true, Ordering::SeqCst);
        Ok(())
    }
}

/// A worker of one process.
#[derive(Clone)]
pub struct Worker {
    kinds: Arc<HashMap<&'static str, JobKind>>,
    names: List,
    db: Db,
    clock: Clock,
    longest: Duration,
}

impl Worker {
    /// A worker for these kinds.
    #[must_use]
    pub fn new(kinds: Vec<JobKind>, db: Db, clock: Clock) -> Self {
        let names = List::of(kinds.iter().map(|kind| kind.kind));
        let longest = kinds
            .iter()
            .map(|kind| kind.lease)
            .max()
            .unwrap_or(Duration::from_mins(1));
        let kinds = Arc::new(kinds.into_iter().map(|kind| (kind.kind, kind)).collect());
        Self {
            kinds,
            names,
            db,
            clock,
            longest,
        }
    }

    /// Claims at most `limit` jobs that are due.
    ///
    /// # Errors
    /// What the database says.
    pub async fn claim(&self, limit: u32) -> Result<Vec<Claimed>> {
        let now = self.clock.now();
        if limit == 0 || !store::any_due(&mut *self.db.read().await?, &self.names, now).await? {
            return Ok(Vec::new());
        }
        let mut tx = self.db.begin().await?;
        let lost = store::give_up_lost(&mut tx, &self.names, now).await?;
        if lost > 0 {
            tracing::error!(job.count = lost, "jobs were given up: their workers were lost");
        }
        let claimed = store::claim(&mut tx, &self.names, now, now + self.longest, i64::from(limit)).await?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// Claims and runs what is due, one after the other; says how many jobs that were. For tests and for draining.
    ///
    /// # Errors
    /// What the database says.
    pub async fn step(&self) -> Result<usize> {
        let claimed = self.claim(64).await?;
        let count = claimed.len();
        for job in claimed {
            self.run(job).await?;
        }
        Ok(count)
    }

    /// Runs a claimed job, renewing its lease meanwhile, and writes its result.
    ///
    /// # Errors
    /// What the database says; the lease then runs out, and the job is claimed again.
    pub async fn run(&self, job: Claimed) -> Result<()> {
        let Some(kind) = self.kinds.get(job.kind.as_str()).cloned() else {
            return Ok(());
        };
        let cancelled = CancellationToken::new();
        let ctx = JobCtx {
            job,
            db: self.db.clone(),
            clock: self.clock.clone(),
            cancelled: cancelled.clone(),
            finished: AtomicBool::new(false),
        };
        let ran = {
            let span = observe::job_span(kind.kind, &ctx.job.id);
            let run = AssertUnwindSafe(kind.handler.run(&ctx)).catch_unwind().instrument(span);
            tokio::pin!(run);
            loop {
                tokio::select! {
                    ran = &mut run => break ran.unwrap_or_else(|_| Err(JobError::Retry("the handler panicked".to_owned()))),
                    () = tokio::time::sleep(kind.lease / 3) => self.renew(&ctx).await,
                }
            }
        };
        metrics::counter!("polity_jobs_total", "kind" => kind.kind, "ok" => if ran.is_ok() { "true" } else { "false" })
            .increment(1);
        self.conclude(&ctx, ran).await
    }

    async fn renew(&self, ctx: &JobCtx) {
        let renew = async {
            let mut tx = self.db.begin().await?;
            let until = self.clock.now() + self.longest;
            let renewed = store::renew(&mut tx, &ctx.job.id, ctx.job.fence, until).await?;
            tx.commit().await?;
            Ok::<_, Error>(renewed)
        };
        match renew.await {
            Ok(Some(false)) => {}
            Ok(_) => ctx.cancelled.cancel(),
            Err(error) => tracing::warn!(job.id = ctx.job.id, error = %error, "a lease could not be renewed"),
        }
    }

    async fn conclude(&self, ctx: &JobCtx, ran: std::result::Result<(), JobError>) -> Result<()> {
        if ran.is_ok() && ctx.finished.load(Ordering::SeqCst) {
            return Ok(());
        }
        let Claimed {
            id,
            fence,
            attempts,
            max_attempts,
            kind,
            ..
        } = &ctx.job;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let ours = match ran {
            Ok(()) => store::finish(&mut tx, id, *fence, State::Succeeded, None, now).await?,
            Err(_) if ctx.cancelled.is_cancelled() => {
                store::finish(&mut tx, id, *fence, State::Cancelled, Some("called off"), now).await?
            }
            Err(JobError::Retry(error)) if attempts < max_attempts => {
                tracing::warn!(job.id = id, job.kind = kind, error, "a job will be tried again");
                store::put_back(
                    &mut tx,
                    id,
                    *fence,
                    &error,
                    now,
                    now + backoff::pause(PAUSE, *attempts, id),
                )
                .await?
            }
            Err(error) => {
                tracing::error!(job.id = id, job.kind = kind, error = %error, "a job was given up");
                store::finish(&mut tx, id, *fence, State::Failed, Some(&error.to_string()), now).await?
            }
        };
        tx.commit().await?;
        if !ours {
            tracing::warn!(
                job.id = id,
                job.kind = kind,
                "a job was taken over; the late result was refused"
            );
        }
        Ok(())
    }
}
