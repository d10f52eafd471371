//! What connections do outside transactions, and by the clock.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::Duration;
use polity_kernel::job::{Cron, JobCtx, JobError, JobHandler, JobKind, NewJob};
use serde::{Deserialize, Serialize};

use super::{
    Connections, Error,
    service::{self, TAKE_BACK_FOR},
    store,
};

/// Tells a provider that tokens are not used any more.
pub(super) const TAKE_BACK: &str = "connection.take_back";
/// Ends what somebody, or a workspace, leaves behind.
const END: &str = "connection.end";
/// Ends the waiting for browsers that did not come.
const GIVE_UP: &str = "connection.give_up";
/// Deletes what has been kept long enough.
const CLEAN_UP: &str = "connection.clean_up";

/// How many rows are deleted in one transaction.
const AT_ONCE: i64 = 500;

/// Whose connections end, and why.
#[derive(Debug, Serialize, Deserialize)]
struct Ended {
    user_id: Option<String>,
    workspace_id: Option<String>,
    reason: String,
}

/// The job that ends connections of somebody, in a workspace, or of somebody in a workspace.
pub(super) fn end(user_id: Option<&str>, workspace_id: Option<&str>, reason: &str) -> NewJob {
    let ended = Ended {
        user_id: user_id.map(str::to_owned),
        workspace_id: workspace_id.map(str::to_owned),
        reason: reason.to_owned(),
    };
    NewJob {
        max_attempts: 100,
        ..NewJob::new(END, serde_json::to_value(ended).unwrap_or_default())
    }
}

fn retry(error: &Error) -> JobError {
    JobError::Retry(error.to_string())
}

struct TakeBack(Connections);

#[async_trait]
impl JobHandler for TakeBack {
    async fn run(&self, job: &JobCtx) -> Result<(), JobError> {
        let ids = Vec::<String>::deserialize(&job.job.payload["ids"]);
        let ids = ids.map_err(|error| JobError::Fatal(error.to_string()))?;
        service::take_back(&self.0, &ids).await.map_err(|error| retry(&error))
    }
}

struct End(Connections);

#[async_trait]
impl JobHandler for End {
    async fn run(&self, job: &JobCtx) -> Result<(), JobError> {
        let ended: Ended =
            serde_json::from_value(job.job.payload.clone()).map_err(|error| JobError::Fatal(error.to_string()))?;
        let (user_id, workspace_id) = (ended.user_id.as_deref(), ended.workspace_id.as_deref());
        let done = service::end_all(&self.0, user_id, workspace_id, &ended.reason).await;
        done.map_err(|error| retry(&error))
    }
}

struct GiveUp(Connections);

#[async_trait]
impl JobHandler for GiveUp {
    async fn run(&self, job: &JobCtx) -> Result<(), JobError> {
        while !job.cancelled().is_cancelled() && service::give_up(&self.0).await.map_err(|error| retry(&error))? {}
        Ok(())
    }
}

struct CleanUp(Connections);

#[async_trait]
impl JobHandler for CleanUp {
    async fn run(&self, _: &JobCtx) -> Result<(), JobError> {
        let (ctx, settings) = (&self.0.ctx, &self.0.settings);
        let now = ctx.clock.now();
        let days = |days: u32| now - Duration::days(i64::from(days));
        let (ended, used) = (days(settings.ended_retention_days), days(settings.use_retention_days));
        ctx.db
            .in_batches(move |tx| Box::pin(async move { store::delete_ended(tx, ended, AT_ONCE).await }))
            .await?;
        ctx.db
            .in_batches(move |tx| Box::pin(async move { store::rest::delete_old_uses(tx, used, AT_ONCE).await }))
            .await?;
        let old = now - TAKE_BACK_FOR;
        let given_up = ctx
            .db
            .in_batches(move |tx| Box::pin(async move { store::rest::delete_old_take_backs(tx, old, AT_ONCE).await }))
            .await?;
        if given_up > 0 {
            tracing::error!(
                connections = given_up,
                "providers could not be told that tokens are used no more; they work there until they end"
            );
        }
        Ok(())
    }
}

/// The jobs of this service.
pub(super) fn kinds(connections: &Connections) -> Vec<JobKind> {
    vec![
        JobKind::new(TAKE_BACK, Arc::new(TakeBack(connections.clone()))),
        JobKind::new(END, Arc::new(End(connections.clone()))),
        JobKind::new(GIVE_UP, Arc::new(GiveUp(connections.clone()))),
        JobKind::new(CLEAN_UP, Arc::new(CleanUp(connections.clone()))),
    ]
}

/// The schedules of this service.
pub(super) fn crons() -> Vec<Cron> {
    vec![
        Cron {
            name: "connection.give_up",
            schedule: "* * * * *",
            kind: GIVE_UP,
            payload: serde_json::Value::Null,
        },
        Cron {
            name: "connection.clean_up",
            schedule: "35 3 * * *",
            kind: CLEAN_UP,
            payload: serde_json::Value::Null,
        },
    ]
}
