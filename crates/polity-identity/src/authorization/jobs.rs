//! What authorization does behind.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::job::{Cron, JobCtx, JobError, JobHandler, JobKind, NewJob};

use super::{Authorization, service, service::Gone};

/// Removes what has ended, and what is older than it is kept.
const CLEAN_UP: &str = "authorization.clean_up";
/// Removes the permissions of who or what is gone.
const FORGET: &str = "authorization.forget";

struct CleanUp(Authorization);

#[async_trait]
impl JobHandler for CleanUp {
    async fn run(&self, _: &JobCtx) -> Result<(), JobError> {
        let done = service::clean_up(&self.0).await;
        done.map(drop).map_err(|error| JobError::Retry(error.to_string()))
    }
}

struct Forget(Authorization);

#[async_trait]
impl JobHandler for Forget {
    async fn run(&self, job: &JobCtx) -> Result<(), JobError> {
        let gone: Gone =
            serde_json::from_value(job.job.payload.clone()).map_err(|error| JobError::Fatal(error.to_string()))?;
        let done = service::forget(&self.0, &gone).await;
        done.map_err(|error| JobError::Retry(error.to_string()))
    }
}

/// The job that removes the permissions of who or what is gone.
pub(super) fn forget(gone: &Gone) -> NewJob {
    NewJob::new(FORGET, serde_json::to_value(gone).unwrap_or_default())
}

/// The jobs of this service.
pub(super) fn kinds(authorization: &Authorization) -> Vec<JobKind> {
    vec![
        JobKind::new(CLEAN_UP, Arc::new(CleanUp(authorization.clone()))),
        JobKind::new(FORGET, Arc::new(Forget(authorization.clone()))),
    ]
}

/// The schedules of this service.
pub(super) fn crons() -> Vec<Cron> {
    vec![Cron {
        name: "authorization.clean_up",
        schedule: "35 * * * *",
        kind: CLEAN_UP,
        payload: serde_json::Value::Null,
    }]
}
