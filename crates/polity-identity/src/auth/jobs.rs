//! What auth does by the clock.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::job::{Cron, JobCtx, JobError, JobHandler, JobKind};

use super::{Auth, service};

/// Deletes what has ended.
const CLEAN_UP: &str = "auth.clean_up";
/// Makes a new signing key.
const ROTATE_KEY: &str = "auth.rotate_signing_key";

struct CleanUp(Auth);

#[async_trait]
impl JobHandler for CleanUp {
    async fn run(&self, _: &JobCtx) -> Result<(), JobError> {
        service::clean_up(&self.0)
            .await
            .map(drop)
            .map_err(|error| JobError::Retry(error.to_string()))
    }
}

struct RotateKey(Auth);

#[async_trait]
impl JobHandler for RotateKey {
    async fn run(&self, _: &JobCtx) -> Result<(), JobError> {
        self.0
            .keys
            .rotate()
            .await
            .map_err(|error| JobError::Retry(error.to_string()))
    }
}

struct RequestReset(Auth);

#[async_trait]
impl JobHandler for RequestReset {
    async fn run(&self, job: &JobCtx) -> Result<(), JobError> {
        let email = job.job.payload["email"].as_str().unwrap_or_default();
        service::request_reset(&self.0, job, email)
            .await
            .map_err(|error| JobError::Retry(error.to_string()))
    }
}

/// The jobs of this service.
pub(super) fn kinds(auth: &Auth) -> Vec<JobKind> {
    vec![
        JobKind::new(CLEAN_UP, Arc::new(CleanUp(auth.clone()))),
        JobKind::new(ROTATE_KEY, Arc::new(RotateKey(auth.clone()))),
        JobKind::new(service::REQUEST_RESET, Arc::new(RequestReset(auth.clone()))),
        crate::post::kind(&auth.ctx),
    ]
}

/// The schedules of this service.
pub(super) fn crons() -> Vec<Cron> {
    let cron = |name, schedule, kind| Cron {
        name,
        schedule,
        kind,
        payload: serde_json::Value::Null,
    };
    vec![
        cron("auth.clean_up", "*/10 * * * *", CLEAN_UP),
        cron("auth.rotate_signing_key", "0 3 1 * *", ROTATE_KEY),
    ]
}
