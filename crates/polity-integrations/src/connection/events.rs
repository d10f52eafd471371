//! What connections hear.

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

use super::{Connections, jobs};
use crate::read;

/// Ends connections of who is gone.
struct Follow(Connections);

#[async_trait]
impl Handler for Follow {
    async fn handle(&self, tx: &mut Tx, event: &Event) -> Result<(), HandleError> {
        let job = match event.r#type.as_str() {
            UserDeleted::TYPE => jobs::end(Some(&read::<UserDeleted>(event)?.user_id), None, "user_deleted"),
            UserErased::TYPE => jobs::end(Some(&read::<UserErased>(event)?.user_id), None, "user_deleted"),
            OrganizationDeleted::TYPE => {
                let said: OrganizationDeleted = read(event)?;
                jobs::end(None, Some(&said.organization_id), "organization_deleted")
            }
            MemberRemoved::TYPE => {
                let said: MemberRemoved = read(event)?;
                jobs::end(Some(&said.user_id), Some(&said.organization_id), "member_removed")
            }
            _ => return Ok(()),
        };
        let done = self.0.ctx.jobs.enqueue(tx, job).await;
        done.map(|_| ()).map_err(|error| HandleError::Retry(error.to_string()))
    }
}

/// The consumers of this service.
pub(super) fn consumers(connections: &Connections) -> Vec<Consumer> {
    vec![Consumer {
        name: "connection.follow",
        types: &[
            UserDeleted::TYPE,
            UserErased::TYPE,
            OrganizationDeleted::TYPE,
            MemberRemoved::TYPE,
        ],
        handler: Arc::new(Follow(connections.clone())),
    }]
}
