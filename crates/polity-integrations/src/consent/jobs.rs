//! What consents do behind, and by the clock.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::job::{Cron, JobCtx, JobError, JobHandler, JobKind, NewJob};
use serde_json::json;

use super::{Consents, Ending, Error, service};

/// Ends what is over, and marks what is for an older policy.
const FOLLOW_CLOCK: &str = "consent.follow_clock";
/// Looks over the chains.
const VERIFY: &str = "consent.verify";
/// Deletes what has been kept long enough.
const CLEAN_UP: &str = "consent.clean_up";
/// Ends what somebody gave.
const END_PERSON: &str = "consent.end_person";
/// Ends what was given in an organization that is gone.
const END_WORKSPACE: &str = "consent.end_workspace";
/// Forgets somebody.
const FORGET: &str = "consent.forget";

struct Work(Consents);

#[async_trait]
impl JobHandler for Work {
    async fn run(&self, job: &JobCtx) -> Result<(), JobError> {
        let (consents, payload) = (&self.0, &job.job.payload);
        let whose = payload["id"].as_str().unwrap_or_default();
        let done: Result<(), Error> = match job.job.kind.as_str() {
            FOLLOW_CLOCK => service::follow_clock(consents).await.map(drop),
            VERIFY => service::verify_all(consents).await.map(drop),
            CLEAN_UP => service::clean_up(consents).await,
            END_PERSON => match payload["workspace_id"].as_str() {
                Some(left) => service::end_within(consents, whose, Some(left), Ending::MemberRemoved).await,
                None => service::end_within(consents, whose, None, Ending::UserDeleted).await,
            },
            END_WORKSPACE => service::end_of_workspace(consents, whose).await,
            _ => service::forget(consents, whose).await,
        };
        done.map_err(|error| JobError::Retry(error.to_string()))
    }
}

/// The job that ends what somebody gave who is gone, or in an organization that they left.
pub(super) fn end_person(id: &str, workspace_id: Option<&str>) -> NewJob {
    NewJob::new(END_PERSON, json!({ "id": id, "workspace_id": workspace_id }))
}

/// The job that ends what was given in an organization that is gone.
pub(super) fn end_workspace(id: &str) -> NewJob {
    NewJob::new(END_WORKSPACE, json!({ "id": id }))
}

/// The job that forgets somebody.
pub(super) fn forget(id: &str) -> NewJob {
    NewJob::new(FORGET, json!({ "id": id }))
}

/// The jobs of this service.
pub(super) fn kinds(consents: &Consents) -> Vec<JobKind> {
    [FOLLOW_CLOCK, VERIFY, CLEAN_UP, END_PERSON, END_WORKSPACE, FORGET]
        .map(|kind| JobKind::new(kind, Arc::new(Work(consents.clone()))))
        .into()
}

/// The schedules of this service.
pub(super) fn crons() -> Vec<Cron> {
    [
        (FOLLOW_CLOCK, "* * * * *"),
        (VERIFY, "25 * * * *"),
        (CLEAN_UP, "35 3 * * *"),
    ]
    .map(|(kind, schedule)| Cron {
        name: kind,
        schedule,
        kind,
        payload: serde_json::Value::Null,
    })
    .into()
}
