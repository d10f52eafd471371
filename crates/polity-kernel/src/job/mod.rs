//! Jobs: what has to happen outside a transaction, or later, or by the clock.
//!
//! [`Jobs::enqueue`] writes the row in the transaction that causes it. Workers claim due jobs with a lease and a fence: a
//! worker that dies loses its lease and the job is taken over; one that comes back late finds its result refused. A job runs
//! at least once; one that ends in [`JobCtx::finish_in`] completes in the same transaction as its effect.
//!
//! Invariants: a job with a key is queued or running once; a result is written under the fence it was claimed with; a tick
//! of a schedule is enqueued once in the cluster, and never again when a clock is moved back.
//!
//! Deliberately absent: priorities, and workflows of several jobs (a job enqueues the next in its own transaction).

mod cron;
mod queue;
mod run;
mod store;
#[cfg(test)]
mod tests;
mod worker;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cron::{Cron, Schedules};
pub use queue::{Jobs, NewJob};
pub use run::run;
pub use worker::{JobCtx, Worker};

use crate::{Value, clock::Timestamp, db};

/// The tables, for the kernel's migrations.
pub const TABLES: &str = include_str!("tables.sql");

/// Jobs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JobSettings {
    /// How often workers look for jobs when nothing wakes them, in milliseconds.
    pub poll_ms: u64,
    /// How many jobs one process runs at once.
    pub workers: u32,
    /// How long finished jobs are kept, in days.
    pub retention_days: u32,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            poll_ms: 500,
            workers: 8,
            retention_days: 7,
        }
    }
}

/// How a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value)]
pub enum State {
    /// Waits for its time, or for a worker.
    Queued,
    /// A worker is at it.
    Running,
    /// Done.
    Succeeded,
    /// Given up.
    Failed,
    /// Called off.
    Cancelled,
}

/// Why a job did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Trying again may help.
    #[error("{0}")]
    Retry(String),
    /// Trying again is of no use.
    #[error("{0}")]
    Fatal(String),
}

impl From<db::Error> for JobError {
    fn from(error: db::Error) -> Self {
        Self::Retry(error.to_string())
    }
}

/// What is done for one kind of job.
#[async_trait]
pub trait JobHandler: Send + Sync {
    /// Does it. It may run more than once, and should look at [`JobCtx::cancelled`] if it takes long.
    ///
    /// # Errors
    /// [`JobError::Retry`] to be run again later, [`JobError::Fatal`] if that would be of no use.
    async fn run(&self, job: &JobCtx) -> Result<(), JobError>;
}

/// A kind of job and who does it.
#[derive(Clone)]
pub struct JobKind {
    /// `service.verb`.
    pub kind: &'static str,
    /// What is done.
    pub handler: Arc<dyn JobHandler>,
    /// How long a worker has it before another may take it over; renewed while it runs.
    pub lease: Duration,
}

impl JobKind {
    /// A kind with a lease of a minute.
    #[must_use]
    pub fn new(kind: &'static str, handler: Arc<dyn JobHandler>) -> Self {
        Self {
            kind,
            handler,
            lease: Duration::from_mins(1),
        }
    }
}

/// A job as it was claimed.
#[derive(Debug, Clone, PartialEq, crate::Record)]
pub struct Claimed {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// What it is to do.
    pub payload: serde_json::Value,
    /// Which attempt this is, from 1.
    pub attempts: i64,
    /// After so many it is given up.
    pub max_attempts: i64,
    /// What the result is written under.
    pub fence: i64,
    /// When it was due.
    pub run_at: Timestamp,
}
