//! What credentials do by the clock.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::job::{Cron, JobCtx, JobError, JobHandler, JobKind};

use super::{Credentials, service};

/// Revokes what was replaced, deletes old uses.
const CLEAN_UP: &str = "credential.clean_up";
/// Says which tokens end soon.
const TELL_EXPIRING: &str = "credential.tell_expiring";

struct CleanUp(Credentials);

#[async_trait]
impl JobHandler for CleanUp {
    async fn run(&self, _: &JobCtx) -> Result<(), JobError> {
        let done = service::clean_up(&self.0).await;
        done.map(drop).map_err(|error| JobError::Retry(error.to_string()))
    }
}

struct TellExpiring(Credentials);

#[async_trait]
impl JobHandler for TellExpiring {
    async fn run(&self, _: &JobCtx) -> Result<(), JobError> {
        let done = service::tell_expiring(&self.0).await;
        done.map(drop).map_err(|error| JobError::Retry(error.to_string()))
    }
}

/// The jobs of this service.
pub(super) fn kinds(credentials: &Credentials) -> Vec<JobKind> {
    vec![
        JobKind::new(CLEAN_UP, Arc::new(CleanUp(credentials.clone()))),
        JobKind::new(TELL_EXPIRING, Arc::new(TellExpiring(credentials.clone()))),
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
        cron("credential.clean_up", "*/10 * * * *", CLEAN_UP),
        cron("credential.tell_expiring", "0 6 * * *", TELL_EXPIRING),
    ]
}
