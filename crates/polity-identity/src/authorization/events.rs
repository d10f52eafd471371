//! What authorization hears: people and organizations go.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::{
    Ctx,
    db::Tx,
    event::{Consumer, Event, HandleError, Handler},
};
use polity_ports::{
    Said,
    account::{UserDeleted, UserErased},
    organization::{MemberRemoved, OrganizationDeleted},
};

use super::{Authorization, jobs, service::Gone};
use crate::read;

/// Has the permissions removed of who or what is gone.
struct FollowOwners(Ctx);

#[async_trait]
impl Handler for FollowOwners {
    async fn handle(&self, tx: &mut Tx, event: &Event) -> Result<(), HandleError> {
        let gone = match event.r#type.as_str() {
            UserDeleted::TYPE => {
                let said: UserDeleted = read(event)?;
                Gone::Person {
                    user_id: said.user_id,
                    deleted_at: Some(said.deleted_at),
                }
            }
            UserErased::TYPE => Gone::Person {
                user_id: read::<UserErased>(event)?.user_id,
                deleted_at: None,
            },
            OrganizationDeleted::TYPE => Gone::Organization {
                organization_id: read::<OrganizationDeleted>(event)?.organization_id,
            },
            MemberRemoved::TYPE => {
                let said: MemberRemoved = read(event)?;
                Gone::Member {
                    organization_id: said.organization_id,
                    user_id: said.user_id,
                    left_at: said.timestamp,
                }
            }
            _ => return Ok(()),
        };
        let asked = self.0.jobs.enqueue(tx, jobs::forget(&gone)).await;
        asked.map(drop).map_err(|error| HandleError::Retry(error.to_string()))
    }
}

/// The consumers of this service.
pub(super) fn consumers(authorization: &Authorization) -> Vec<Consumer> {
    vec![Consumer {
        name: "authorization.follow_owners",
        types: &[
            UserDeleted::TYPE,
            UserErased::TYPE,
            OrganizationDeleted::TYPE,
            MemberRemoved::TYPE,
        ],
        handler: Arc::new(FollowOwners(authorization.ctx.clone())),
    }]
}
