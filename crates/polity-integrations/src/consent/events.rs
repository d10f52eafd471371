//! What it hears: people go.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::{
    Ctx,
    db::Tx,
    event::{Consumer, Event, HandleError, Handler},
};
use polity_ports::{Said, account::UserDeleted};

use super::jobs;

/// Has removed what belongs to people whose account is deleted.
struct FollowAccounts(Ctx);

#[async_trait]
impl Handler for FollowAccounts {
    async fn handle(&self, tx: &mut Tx, event: &Event) -> Result<(), HandleError> {
        let said: UserDeleted =
            serde_json::from_value(event.data.clone()).map_err(|error| HandleError::Dead(error.to_string()))?;
        // However much it is, it is removed beside the events, some in each transaction.
        let asked = self.0.jobs.enqueue(tx, jobs::forget(&said.user_id)).await;
        asked.map(drop).map_err(|error| HandleError::Retry(error.to_string()))
    }
}

/// The consumers of this service.
pub(super) fn consumers(ctx: &Ctx) -> Vec<Consumer> {
    vec![Consumer {
        name: "consent.follow_accounts",
        types: &[UserDeleted::TYPE],
        handler: Arc::new(FollowAccounts(ctx.clone())),
    }]
}
