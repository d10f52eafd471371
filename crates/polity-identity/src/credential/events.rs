//! What credentials hear: whoever owns them may go.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::{
    db::Tx,
    event::{Consumer, Event, HandleError, Handler},
};
use polity_ports::{
    Said,
    account::{UserDeleted, UserErased},
    organization::{MemberRemoved, OrganizationDeleted},
};

use super::{Credentials, Error, jobs, service};
use crate::read;

/// Ends credentials with their owners.
struct FollowOwners(Credentials);

#[async_trait]
impl Handler for FollowOwners {
    async fn handle(&self, tx: &mut Tx, event: &Event) -> Result<(), HandleError> {
        let credentials = &self.0;
        let done = match event.r#type.as_str() {
            UserDeleted::TYPE => service::revoke_of_person(tx, credentials, &read::<UserDeleted>(event)?.user_id).await,
            UserErased::TYPE => {
                let job = jobs::forget(read::<UserErased>(event)?.user_id);
                credentials
                    .ctx
                    .jobs
                    .enqueue(tx, job)
                    .await
                    .map(drop)
                    .map_err(Error::from)
            }
            OrganizationDeleted::TYPE => {
                let said: OrganizationDeleted = read(event)?;
                service::revoke_of_organization(tx, credentials, &said.organization_id, None).await
            }
            MemberRemoved::TYPE => {
                let said: MemberRemoved = read(event)?;
                service::revoke_of_member(tx, credentials, &said.organization_id, &said.user_id).await
            }
            _ => Ok(()),
        };
        done.map_err(|error| HandleError::Retry(error.to_string()))
    }
}

/// The consumers of this service.
pub(super) fn consumers(credentials: &Credentials) -> Vec<Consumer> {
    vec![Consumer {
        name: "credential.follow_owners",
        types: &[
            UserDeleted::TYPE,
            UserErased::TYPE,
            OrganizationDeleted::TYPE,
            MemberRemoved::TYPE,
        ],
        handler: Arc::new(FollowOwners(credentials.clone())),
    }]
}
