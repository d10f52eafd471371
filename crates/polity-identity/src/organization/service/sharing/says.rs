//! What is said and noted of sharings, in the transaction of what happened to them.

use polity_kernel::db::Tx;
use polity_ports::{
    Said,
    organization::{ResourceShared, SharingCreated, SharingDeleted, SharingUpdated},
};
use serde_json::json;

use super::{Actor, Error, Organizations, Sharing, audit};

async fn note(
    tx: &mut Tx,
    organizations: &Organizations,
    (sharing, by): (&Sharing, &str),
    action: &str,
    data: serde_json::Value,
) -> Result<(), Error> {
    let place = (sharing.organization_id.as_str(), by);
    audit::note(tx, &organizations.ctx, place, action, Some(&sharing.sharing_id), data).await
}

pub(super) async fn say_created(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    sharing: &Sharing,
) -> Result<(), Error> {
    let resource_type = sharing.resource_type.as_str().to_owned();
    let shared = ResourceShared {
        sharing_id: sharing.sharing_id.clone(),
        organization_id: sharing.organization_id.clone(),
        resource_type: resource_type.clone(),
        resource_id: sharing.resource_id.clone(),
        resource_name: sharing.resource_name.clone(),
        created_by: sharing.created_by.clone(),
        share_with_all_members: sharing.share_with_all_members,
        default_permission: sharing.default_permission.as_str().to_owned(),
        shared_with_count: sharing.total_members_shared,
        timestamp: sharing.created_at,
    };
    let created = SharingCreated {
        organization_id: sharing.organization_id.clone(),
        sharing_id: sharing.sharing_id.clone(),
        resource_type,
        resource_id: sharing.resource_id.clone(),
        actor: actor.id().to_owned(),
        timestamp: sharing.created_at,
    };
    let data = json!({ "resource_type": shared.resource_type, "resource_id": shared.resource_id });
    for event in [shared.event(), created.event()] {
        organizations.ctx.events.publish(tx, event).await?;
    }
    note(tx, organizations, (sharing, actor.id()), "sharing.created", data).await
}

pub(super) async fn say_updated(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    sharing: &Sharing,
    data: serde_json::Value,
) -> Result<(), Error> {
    let event = SharingUpdated {
        organization_id: sharing.organization_id.clone(),
        sharing_id: sharing.sharing_id.clone(),
        resource_type: sharing.resource_type.as_str().to_owned(),
        resource_id: sharing.resource_id.clone(),
        actor: actor.id().to_owned(),
        timestamp: organizations.ctx.clock.now(),
    };
    organizations.ctx.events.publish(tx, event.event()).await?;
    note(tx, organizations, (sharing, actor.id()), "sharing.updated", data).await
}

pub(super) async fn say_deleted(
    tx: &mut Tx,
    organizations: &Organizations,
    by: &str,
    sharing: &Sharing,
) -> Result<(), Error> {
    let event = SharingDeleted {
        organization_id: sharing.organization_id.clone(),
        sharing_id: sharing.sharing_id.clone(),
        resource_type: sharing.resource_type.as_str().to_owned(),
        resource_id: sharing.resource_id.clone(),
        actor: by.to_owned(),
        timestamp: organizations.ctx.clock.now(),
    };
    organizations.ctx.events.publish(tx, event.event()).await?;
    note(tx, organizations, (sharing, by), "sharing.deleted", json!({})).await
}
