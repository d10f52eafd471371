//! What invitations do by the clock.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::job::{Cron, JobCtx, JobError, JobHandler, JobKind};

use super::{Invitations, service};

/// Marks what has ended.
const EXPIRE: &str = "invitation.expire";

struct Expire(Invitations);

#[async_trait]
impl JobHandler for Expire {
    async fn run(&self, job: &JobCtx) -> Result<(), JobError> {
        let mut tx = self.0.ctx.db.begin().await?;
        let done = service::expire(&mut tx, &self.0).await;
        done.map_err(|error| JobError::Retry(error.to_string()))?;
        job.finish_in(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// The jobs of this service.
pub(super) fn kinds(invitations: &Invitations) -> Vec<JobKind> {
    vec![JobKind::new(EXPIRE, Arc::new(Expire(invitations.clone())))]
}

/// The schedules of this service.
pub(super) fn crons() -> Vec<Cron> {
    vec![Cron {
        name: "invitation.expire",
        schedule: "5 * * * *",
        kind: EXPIRE,
        payload: serde_json::Value::Null,
    }]
}
