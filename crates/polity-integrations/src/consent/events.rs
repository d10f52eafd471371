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

use super::{Consents, jobs};
use crate::read;

/// Ends consents with those who gave them, or whom they were given in.
struct FollowOwners(Consents);

#[async_trait]
impl Handler for FollowOwners {
    async fn handle(&self, tx: &mut Tx, event: &Event) -> Result<(), HandleError> {
        // However much it is, it is done beside the events, some in each transaction.
        let job = match event.r#type.as_str() {
            UserDeleted::TYPE => jobs::end_person(&read::<UserDeleted>(event)?.user_id, None),
            MemberRemoved::TYPE => {
                let said: MemberRemoved = read(event)?;
                jobs::end_person(&said.user_id, Some(&said.organization_id))
            }
            UserErased::TYPE => jobs::forget(&read::<UserErased>(event)?.user_id),
            OrganizationDeleted::TYPE => jobs::end_workspace(&read::<OrganizationDeleted>(event)?.organization_id),
            _ => return Ok(()),
        };
        self.0.ctx.jobs.enqueue(tx, job).await?;
        Ok(())
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
