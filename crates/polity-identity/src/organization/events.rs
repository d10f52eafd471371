//! What organizations hear.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::{
    db::Tx,
    event::{Consumer, Event, HandleError, Handler},
};
use polity_ports::{Said, account::UserDeleted};

use super::{Organizations, model::sharing::ResourceType, service};
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

/// Things that can be shared and say when they are gone: in which event, as what, and which member of it is their id.
const ALBUM_DELETED: &str = "album_service.album.deleted";
const DEVICE_DELETED: &str = "device_service.device.deleted";
const FILE_DELETED: &str = "storage_service.file.deleted";

/// Revokes the sharings of things that are gone.
struct FollowResources(Organizations);

#[async_trait]
impl Handler for FollowResources {
    async fn handle(&self, tx: &mut Tx, event: &Event) -> Result<(), HandleError> {
        let (member, types): (_, &[ResourceType]) = match event.r#type.as_str() {
            ALBUM_DELETED => ("album_id", &[ResourceType::Album]),
            DEVICE_DELETED => ("device_id", &[ResourceType::Device, ResourceType::SmartFrame]),
            FILE_DELETED => ("file_id", &[ResourceType::Storage]),
            _ => return Ok(()),
        };
        let Some(id) = event.data.get(member).and_then(serde_json::Value::as_str) else {
            return Err(HandleError::Dead(format!("{} without {member}", event.r#type)));
        };
        let done = service::sharing::forget_resource(tx, &self.0, types, id).await;
        done.map_err(|error| HandleError::Retry(error.to_string()))
    }
}

/// The consumers of this service.
pub(super) fn consumers(organizations: &Organizations) -> Vec<Consumer> {
    vec![
        Consumer {
            name: "organization.follow_accounts",
            types: &[UserDeleted::TYPE],
            handler: Arc::new(FollowAccounts(organizations.clone())),
        },
        Consumer {
            name: "organization.follow_resources",
            types: &[ALBUM_DELETED, DEVICE_DELETED, FILE_DELETED],
            handler: Arc::new(FollowResources(organizations.clone())),
        },
    ]
}
