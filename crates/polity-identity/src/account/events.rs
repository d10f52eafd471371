//! What account hears.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::{
    db::Tx,
    event::{Consumer, Event, HandleError, Handler},
};
use polity_ports::{Said, auth::UserLoggedIn};

use super::{model::AccountId, service};

/// Marks when people were last seen.
struct LastSeen;

#[async_trait]
impl Handler for LastSeen {
    async fn handle(&self, tx: &mut Tx, event: &Event) -> Result<(), HandleError> {
        let said: UserLoggedIn =
            serde_json::from_value(event.data.clone()).map_err(|error| HandleError::Dead(error.to_string()))?;
        let seen = service::seen(tx, &AccountId(said.user_id), said.timestamp).await;
        seen.map_err(|error| HandleError::Retry(error.to_string()))
    }
}

/// The consumers of this service.
pub(super) fn consumers() -> Vec<Consumer> {
    vec![Consumer {
        name: "account.last_seen",
        types: &[UserLoggedIn::TYPE],
        handler: Arc::new(LastSeen),
    }]
}
