//! What organizations do by the clock.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::job::{Cron, JobCtx, JobError, JobHandler, JobKind};

use super::{Organizations, archive, service};

/// Deletes what is older than it is kept.
const CLEAN_UP: &str = "organization.clean_up";
/// Writes what members are searched by who were there before they were searched by anything.
const FILL_SEARCH: &str = "organization.fill_search";
/// Marks sharings whose time is over.
const EXPIRE_SHARINGS: &str = "organization.expire_sharings";

struct CleanUp(Organizations);

#[async_trait]
impl JobHandler for CleanUp {
    async fn run(&self, _: &JobCtx) -> Result<(), JobError> {
        let done = async {
            if let Err(error) = archive::clean_up(&self.0).await {
                tracing::warn!(error = %error, "what an import left behind could not be removed");
            }
            service::clean_up(&self.0).await?;
            service::sharing::clean_up(&self.0).await
        };
        done.await.map(drop).map_err(|error| JobError::Retry(error.to_string()))
    }
}

struct FillSearch(Organizations);

#[async_trait]
impl JobHandler for FillSearch {
    async fn run(&self, _: &JobCtx) -> Result<(), JobError> {
        let done = service::fill_search(&self.0).await;
        done.map(drop).map_err(|error| JobError::Retry(error.to_string()))
    }
}

struct ExpireSharings(Organizations);

#[async_trait]
impl JobHandler for ExpireSharings {
    async fn run(&self, _: &JobCtx) -> Result<(), JobError> {
        let done = service::sharing::expire(&self.0).await;
        done.map(drop).map_err(|error| JobError::Retry(error.to_string()))
    }
}

/// The jobs of this service.
pub(super) fn kinds(organizations: &Organizations) -> Vec<JobKind> {
    vec![
        JobKind::new(CLEAN_UP, Arc::new(CleanUp(organizations.clone()))),
        JobKind::new(FILL_SEARCH, Arc::new(FillSearch(organizations.clone()))),
        JobKind::new(EXPIRE_SHARINGS, Arc::new(ExpireSharings(organizations.clone()))),
    ]
}

/// The schedules of this service.
pub(super) fn crons() -> Vec<Cron> {
    vec![
        Cron {
            name: "organization.clean_up",
            schedule: "20 4 * * *",
            kind: CLEAN_UP,
            payload: serde_json::Value::Null,
        },
        Cron {
            name: "organization.fill_search",
            schedule: "*/10 * * * *",
            kind: FILL_SEARCH,
            payload: serde_json::Value::Null,
        },
        Cron {
            name: "organization.expire_sharings",
            schedule: "* * * * *",
            kind: EXPIRE_SHARINGS,
            payload: serde_json::Value::Null,
        },
    ]
}
