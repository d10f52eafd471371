//! What organizations hear.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::{
    db::Tx,
    event::{Consumer, Event, HandleError, Handler},
};
use polity_ports::{Said, account::UserDeleted};

use super::{Organizations, service};
use crate::read;

/// Ends memberships with accounts.
struct FollowAccounts(Organizations);

#[async_trait]
impl Handler for FollowAccounts {
    async fn handle(&self, tx: &mut Tx, event: &Event) -> Result<(), HandleError> {
        let said: UserDeleted = read(event)?;
        let done = service::forget_person(tx, &self.0, &said.user_id).await;
        done.map_err(|error| HandleError::Retry(error.to_string()))
    }
}

/// The consumers of this service.
pub(super) fn consumers(organizations: &Organizations) -> Vec<Consumer> {
    vec![Consumer {
        name: "organization.follow_accounts",
        types: &[UserDeleted::TYPE],
        handler: Arc::new(FollowAccounts(organizations.clone())),
    }]
}
