//! What account does by the clock.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::{
    Ctx,
    job::{Cron, JobCtx, JobError, JobHandler, JobKind},
};

use super::service;

/// Erases the accounts whose grace period is over.
const ERASE_DUE: &str = "account.erase_due";

struct EraseDue(Ctx);

#[async_trait]
impl JobHandler for EraseDue {
    async fn run(&self, job: &JobCtx) -> Result<(), JobError> {
        while !job.cancelled().is_cancelled() {
            let erased = service::erase_due(&self.0.db, &self.0)
                .await
                .map_err(|error| JobError::Retry(error.to_string()))?;
            if erased == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// The jobs of this service.
pub(super) fn kinds(ctx: &Ctx) -> Vec<JobKind> {
    vec![JobKind::new(ERASE_DUE, Arc::new(EraseDue(ctx.clone())))]
}

/// The schedules of this service.
pub(super) fn crons() -> Vec<Cron> {
    let payload = serde_json::Value::Null;
    vec![Cron {
        name: "account.erase_due",
        schedule: "17 * * * *",
        kind: ERASE_DUE,
        payload,
    }]
}
