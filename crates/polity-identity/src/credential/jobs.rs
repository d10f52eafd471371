//! What credentials do by the clock.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::job::{Cron, JobCtx, JobError, JobHandler, JobKind, NewJob};
use serde::{Deserialize, Serialize};

use super::{Credentials, service};

/// Revokes what was replaced, deletes old uses.
const CLEAN_UP: &str = "credential.clean_up";
/// Says which tokens end soon.
const TELL_EXPIRING: &str = "credential.tell_expiring";

/// Leaves nothing of a person in what is kept for the audit.
const FORGET: &str = "credential.forget";

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

/// Whom to forget.
#[derive(Serialize, Deserialize)]
struct Person {
    user_id: String,
}

struct Forget(Credentials);

#[async_trait]
impl JobHandler for Forget {
    async fn run(&self, job: &JobCtx) -> Result<(), JobError> {
        let person: Person =
            serde_json::from_value(job.job.payload.clone()).map_err(|error| JobError::Fatal(error.to_string()))?;
        let done = service::forget_person(&self.0, &person.user_id).await;
        done.map_err(|error| JobError::Retry(error.to_string()))
    }
}

/// The job that forgets a person.
pub(super) fn forget(user_id: String) -> NewJob {
    NewJob::new(FORGET, serde_json::to_value(Person { user_id }).unwrap_or_default())
}

/// The jobs of this service.
pub(super) fn kinds(credentials: &Credentials) -> Vec<JobKind> {
    vec![
        JobKind::new(CLEAN_UP, Arc::new(CleanUp(credentials.clone()))),
        JobKind::new(TELL_EXPIRING, Arc::new(TellExpiring(credentials.clone()))),
        JobKind::new(FORGET, Arc::new(Forget(credentials.clone()))),
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
