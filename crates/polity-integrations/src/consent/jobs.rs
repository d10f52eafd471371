//! What it does behind.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::{
    Ctx,
    job::{JobCtx, JobError, JobHandler, JobKind, NewJob},
};
use serde_json::json;

use super::service;

/// Removes what belongs to somebody who is gone.
const FORGET: &str = "consent.forget";

struct Forget(Ctx);

#[async_trait]
impl JobHandler for Forget {
    async fn run(&self, job: &JobCtx) -> Result<(), JobError> {
        let owner_id = job.job.payload["owner_id"].as_str().unwrap_or_default();
        let done = service::forget(&self.0, owner_id).await;
        done.map(drop).map_err(|error| JobError::Retry(error.to_string()))
    }
}

/// The job that removes what belongs to somebody who is gone.
pub(super) fn forget(owner_id: &str) -> NewJob {
    NewJob::new(FORGET, json!({ "owner_id": owner_id }))
}

/// The jobs of this service.
pub(super) fn kinds(ctx: &Ctx) -> Vec<JobKind> {
    vec![JobKind::new(FORGET, Arc::new(Forget(ctx.clone())))]
}
