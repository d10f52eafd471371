//! What everybody may use who pays for it, and what organizations have: given by a super_admin and services, taken by any
//! administrator of the platform too.

use polity_kernel::db::{Place, Tx};
use polity_ports::authorization::{AccessLevel, OrganizationPlan, ResourceType, Tier};

use super::Actor;
use crate::{
    authorization::{
        Authorization, Error,
        model::{Action, CatalogueEntry, OrganizationPermission, normal},
        store::{self, Named, audit},
    },
    changes, organization,
};

/// An entry of the catalogue.
pub(in crate::authorization) struct NewCatalogueEntry {
    pub resource_category: String,
    pub description: Option<String>,
    pub subscription_tier_required: Tier,
    pub access_level: AccessLevel,
    pub is_enabled: bool,
}

/// What an organization has.
pub(in crate::authorization) struct NewOrganizationPermission {
    pub access_level: AccessLevel,
    pub org_plan_required: OrganizationPlan,
    pub is_enabled: bool,
}

/// In whose name the audit has what the catalogue gives and takes.
const EVERYBODY: &str = "*";

/// Refuses who would give what they may not have themselves: to everybody, or to an organization, which they may be in.
fn check_giver(actor: &Actor) -> Result<(), Error> {
    match actor {
        Actor::Service(_) | Actor::SuperAdmin(_) => Ok(()),
        Actor::Admin(_) | Actor::Person(_) => Err(Error::Forbidden(
            "What everybody or an organization has is given by a super_admin or a service".to_owned(),
        )),
    }
}

/// Writes into the audit what was given to everybody or to an organization, or taken; what does not count is no level.
async fn note(
    tx: &mut Tx,
    authorization: &Authorization,
    actor: &Actor,
    (whose, resource): (&str, Named<'_>),
    (old, new): (Option<AccessLevel>, Option<AccessLevel>),
) -> Result<(), Error> {
    let ctx = &authorization.ctx;
    let level = |level: AccessLevel| level.as_str().to_owned();
    let entry = audit::Entry {
        id: ctx.ids.new_id("pad_"),
        user_id: whose.to_owned(),
        resource_type: resource.resource_type.as_str().to_owned(),
        resource_name: resource.resource_name.to_owned(),
        action: if new.is_some() { Action::Grant } else { Action::Revoke },
        old_access_level: old.map(level),
        new_access_level: new.map(level),
        performed_by_user_id: actor.id().to_owned(),
        reason: None,
        success: true,
        error_message: None,
        created_at: ctx.clock.now(),
    };
    Ok(audit::insert(tx, &[entry], ctx.clock.now()).await?)
}

fn after(place: Option<&Place>) -> Option<Named<'_>> {
    let [of, name] = place?.0.as_slice() else { return None };
    Some(Named {
        resource_type: of.parse().ok()?,
        resource_name: name,
    })
}

/// A page of the catalogue, in the order of types and names; one more than asked for, if there are more.
pub(in crate::authorization) async fn catalogue(
    authorization: &Authorization,
    of_type: Option<ResourceType>,
    place: Option<&Place>,
    limit: i64,
) -> Result<Vec<CatalogueEntry>, Error> {
    let mut read = authorization.ctx.db.read().await?;
    Ok(store::list_catalogue(&mut read, of_type, after(place), limit + 1).await?)
}

/// Adds an entry to the catalogue, or changes the one that is there.
pub(in crate::authorization) async fn put_entry(
    tx: &mut Tx,
    authorization: &Authorization,
    actor: &Actor,
    (resource_type, resource_name): (ResourceType, &str),
    new: NewCatalogueEntry,
) -> Result<CatalogueEntry, Error> {
    check_giver(actor)?;
    let entry = CatalogueEntry {
        resource_type,
        resource_name: normal(resource_name),
        resource_category: new.resource_category,
        description: new.description,
        subscription_tier_required: new.subscription_tier_required,
        access_level: new.access_level,
        is_enabled: new.is_enabled,
    };
    tx.lock("permission.catalogue", &entry.resource_name).await?;
    let resource = Named {
        resource_type,
        resource_name: &entry.resource_name,
    };
    let before = store::catalogue_entry(tx, resource).await?;
    store::put_catalogue_entry(tx, &entry).await?;
    let old = before
        .filter(|before| before.is_enabled)
        .map(|before| before.access_level);
    let new = entry.is_enabled.then_some(entry.access_level);
    note(tx, authorization, actor, (EVERYBODY, resource), (old, new)).await?;
    authorization.tell_catalogue(tx).await?;
    Ok(entry)
}

/// Takes an entry from the catalogue.
pub(in crate::authorization) async fn delete_entry(
    tx: &mut Tx,
    authorization: &Authorization,
    actor: &Actor,
    (resource_type, resource_name): (ResourceType, &str),
) -> Result<(), Error> {
    let resource_name = normal(resource_name);
    let resource = Named {
        resource_type,
        resource_name: &resource_name,
    };
    tx.lock("permission.catalogue", &resource_name).await?;
    let before = store::catalogue_entry(tx, resource).await?;
    let before = before.ok_or(Error::NotFound)?;
    store::delete_catalogue_entry(tx, resource).await?;
    let old = before.is_enabled.then_some(before.access_level);
    note(tx, authorization, actor, (EVERYBODY, resource), (old, None)).await?;
    authorization.tell_catalogue(tx).await
}

/// A page of what an organization has, for its administrators, those of the platform and services; one more than asked for,
/// if there are more.
pub(in crate::authorization) async fn organization_permissions(
    authorization: &Authorization,
    actor: &Actor,
    organization_id: &str,
    place: Option<&Place>,
    limit: i64,
) -> Result<Vec<OrganizationPermission>, Error> {
    let mut read = authorization.ctx.db.read().await?;
    if let Actor::Person(user_id) = actor {
        let role = organization::role(&mut read, organization_id, user_id).await?;
        let role = role.ok_or(Error::OrganizationNotFound)?;
        if !role.is_admin() {
            return Err(Error::Forbidden("Admin access required".to_owned()));
        }
    } else if organization::existing(&mut read, &[organization_id]).await?.is_empty() {
        return Err(Error::OrganizationNotFound);
    }
    Ok(store::list_organization_permissions(&mut read, organization_id, after(place), limit + 1).await?)
}

/// Gives something to an organization, or changes how it has it.
pub(in crate::authorization) async fn put_organization_permission(
    tx: &mut Tx,
    authorization: &Authorization,
    actor: &Actor,
    (organization_id, resource_type, resource_name): (&str, ResourceType, &str),
    new: NewOrganizationPermission,
) -> Result<OrganizationPermission, Error> {
    check_giver(actor)?;
    tx.lock("organization", organization_id).await?;
    if organization::existing(tx, &[organization_id]).await?.is_empty() {
        return Err(Error::OrganizationNotFound);
    }
    let now = authorization.ctx.clock.now();
    let resource_name = normal(resource_name);
    let resource = Named {
        resource_type,
        resource_name: &resource_name,
    };
    let before = store::find_organization_permission(tx, organization_id, resource).await?;
    let after = OrganizationPermission {
        organization_id: organization_id.to_owned(),
        resource_type,
        access_level: new.access_level,
        org_plan_required: new.org_plan_required,
        is_enabled: new.is_enabled,
        created_by_user_id: before
            .as_ref()
            .map_or_else(|| actor.id().to_owned(), |before| before.created_by_user_id.clone()),
        created_at: before.as_ref().map_or(now, |before| before.created_at),
        updated_at: now,
        resource_name,
    };
    store::put_organization_permission(tx, &after).await?;
    let old = before
        .filter(|before| before.is_enabled)
        .map(|before| before.access_level);
    let new = after.is_enabled.then_some(after.access_level);
    let resource = Named {
        resource_type,
        resource_name: &after.resource_name,
    };
    note(tx, authorization, actor, (organization_id, resource), (old, new)).await?;
    changes::of_organization(tx, &authorization.ctx, organization_id).await?;
    Ok(after)
}

/// Takes something from an organization.
pub(in crate::authorization) async fn delete_organization_permission(
    tx: &mut Tx,
    authorization: &Authorization,
    actor: &Actor,
    (organization_id, resource_type, resource_name): (&str, ResourceType, &str),
) -> Result<(), Error> {
    let resource_name = normal(resource_name);
    let resource = Named {
        resource_type,
        resource_name: &resource_name,
    };
    tx.lock("organization", organization_id).await?;
    let before = store::find_organization_permission(tx, organization_id, resource).await?;
    let before = before.ok_or(Error::NotFound)?;
    store::delete_organization_permission(tx, organization_id, resource).await?;
    let old = before.is_enabled.then_some(before.access_level);
    note(tx, authorization, actor, (organization_id, resource), (old, None)).await?;
    Ok(changes::of_organization(tx, &authorization.ctx, organization_id).await?)
}
