//! What everybody may use who pays for it, and what organizations have: changed by administrators of the platform and
//! services.

use polity_kernel::db::{Place, Tx};
use polity_ports::authorization::{AccessLevel, OrganizationPlan, ResourceType, Tier};

use super::Actor;
use crate::{
    authorization::{
        Authorization, Error,
        model::{CatalogueEntry, OrganizationPermission, normal},
        store::{self, Named},
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
    (resource_type, resource_name): (ResourceType, &str),
    new: NewCatalogueEntry,
) -> Result<CatalogueEntry, Error> {
    let entry = CatalogueEntry {
        resource_type,
        resource_name: normal(resource_name),
        resource_category: new.resource_category,
        description: new.description,
        subscription_tier_required: new.subscription_tier_required,
        access_level: new.access_level,
        is_enabled: new.is_enabled,
    };
    store::put_catalogue_entry(tx, &entry).await?;
    authorization.tell_catalogue(tx).await?;
    Ok(entry)
}

/// Takes an entry from the catalogue.
pub(in crate::authorization) async fn delete_entry(
    tx: &mut Tx,
    authorization: &Authorization,
    (resource_type, resource_name): (ResourceType, &str),
) -> Result<(), Error> {
    let resource_name = normal(resource_name);
    let resource = Named {
        resource_type,
        resource_name: &resource_name,
    };
    if !store::delete_catalogue_entry(tx, resource).await? {
        return Err(Error::NotFound);
    }
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
    changes::of_organization(tx, &authorization.ctx, organization_id).await?;
    Ok(after)
}

/// Takes something from an organization.
pub(in crate::authorization) async fn delete_organization_permission(
    tx: &mut Tx,
    authorization: &Authorization,
    (organization_id, resource_type, resource_name): (&str, ResourceType, &str),
) -> Result<(), Error> {
    let resource_name = normal(resource_name);
    let resource = Named {
        resource_type,
        resource_name: &resource_name,
    };
    if !store::delete_organization_permission(tx, organization_id, resource).await? {
        return Err(Error::NotFound);
    }
    Ok(changes::of_organization(tx, &authorization.ctx, organization_id).await?)
}
