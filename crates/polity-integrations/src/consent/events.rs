//! What consents hear: people and organizations go.

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

use super::{Consents, Error, jobs, service};
use crate::read;

/// Ends consents with those who gave them, or whom they were given in.
struct FollowOwners(Consents);

#[async_trait]
impl Handler for FollowOwners {
    async fn handle(&self, tx: &mut Tx, event: &Event) -> Result<(), HandleError> {
        let consents = &self.0;
        let jobs = &consents.ctx.jobs;
        let done = match event.r#type.as_str() {
            UserDeleted::TYPE => service::end_of_person(tx, consents, &read::<UserDeleted>(event)?.user_id).await,
            MemberRemoved::TYPE => {
                let said: MemberRemoved = read(event)?;
                service::end_of_member(tx, consents, &said.organization_id, &said.user_id).await
            }
            // However much it is, it is done beside the events, some in each transaction.
            UserErased::TYPE => {
                let job = jobs::forget(&read::<UserErased>(event)?.user_id);
                jobs.enqueue(tx, job).await.map(drop).map_err(Error::from)
            }
            OrganizationDeleted::TYPE => {
                let job = jobs::end_workspace(&read::<OrganizationDeleted>(event)?.organization_id);
                jobs.enqueue(tx, job).await.map(drop).map_err(Error::from)
            }
            _ => Ok(()),
        };
        done.map_err(|error| HandleError::Retry(error.to_string()))
    }
}

/// The consumers of this service.
pub(super) fn consumers(consents: &Consents) -> Vec<Consumer> {
    vec![Consumer {
        name: "consent.follow_owners",
        types: &[
            UserDeleted::TYPE,
            UserErased::TYPE,
            OrganizationDeleted::TYPE,
            MemberRemoved::TYPE,
        ],
        handler: Arc::new(FollowOwners(consents.clone())),
    }]
}
