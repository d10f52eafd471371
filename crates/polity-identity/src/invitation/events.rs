//! What invitations hear.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::{
    db::Tx,
    event::{Consumer, Event, HandleError, Handler},
};
use polity_ports::{
    Said,
    account::{UserDeleted, UserErased},
    organization::{MemberAdded, OrganizationDeleted},
};

use super::{Invitations, service};
use crate::read;

/// Closes invitations whose reason is gone.
struct Follow(Invitations);

#[async_trait]
impl Handler for Follow {
    async fn handle(&self, tx: &mut Tx, event: &Event) -> Result<(), HandleError> {
        let invitations = &self.0;
        let done = match event.r#type.as_str() {
            OrganizationDeleted::TYPE => {
                let said: OrganizationDeleted = read(event)?;
                service::forget_organization(tx, invitations, &said.organization_id).await
            }
            UserDeleted::TYPE => service::forget_inviter(tx, invitations, &read::<UserDeleted>(event)?.user_id).await,
            UserErased::TYPE => service::forget_person(tx, &read::<UserErased>(event)?.user_id).await,
            MemberAdded::TYPE => {
                let said: MemberAdded = read(event)?;
                service::joined(tx, invitations, &said.organization_id, &said.user_id).await
            }
            _ => Ok(()),
        };
        done.map_err(|error| HandleError::Retry(error.to_string()))
    }
}

/// The consumers of this service.
pub(super) fn consumers(invitations: &Invitations) -> Vec<Consumer> {
    vec![Consumer {
        name: "invitation.follow",
        types: &[
            OrganizationDeleted::TYPE,
            UserDeleted::TYPE,
            UserErased::TYPE,
            MemberAdded::TYPE,
        ],
        handler: Arc::new(Follow(invitations.clone())),
    }]
}
