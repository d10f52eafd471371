//! The catalogue, and what organizations have.

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::{AdminOrService, Caller},
    clock,
    db::{Place, cut},
    http::{FieldError, Json, Path, Problem, Query, Result, Routes, State, codes},
    operation,
};
use polity_ports::authorization::{AccessLevel, OrganizationPlan, ResourceType, Tier};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Message, code, name, resource_place};
use crate::authorization::{
    Authorization,
    guard::Auditor,
    model::{CatalogueEntry, OrganizationPermission},
    service::{self, Actor, NewCatalogueEntry, NewOrganizationPermission},
};

/// Which part of the list.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct PageQuery {
    /// Only those of this type; of the catalogue alone.
    #[garde(skip)]
    resource_type: Option<ResourceType>,
    /// How many at most.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "super::hundred")]
    limit: i64,
    /// Where to go on: `next_cursor` of the part before.
    #[garde(length(chars, max = 4_096))]
    cursor: Option<String>,
}

/// Where a list goes on that was asked for with one more than it may have.
fn next<T>(found: &mut Vec<T>, limit: i64, key: impl Fn(&T) -> (ResourceType, String)) -> Option<String> {
    let (of, name) = key(cut(found, limit)?);
    Some(Place(vec![of.as_str().to_owned(), name]).encode())
}

/// The name of a resource in a path, checked as in a body.
fn checked(resource_name: &str) -> Result<()> {
    name(resource_name, &()).map_err(|error| {
        let place = ["resource_name"];
        Problem::validation(vec![FieldError::new("path", &place, error.message(), "value_error")])
    })
}

/// A resource that people may use who pay for it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct EntryOut {
    /// What kind of thing.
    resource_type: ResourceType,
    /// Which.
    resource_name: String,
    /// What it is for.
    resource_category: String,
    /// What it is.
    description: Option<String>,
    /// What has to be paid for.
    subscription_tier_required: Tier,
    /// What may be done with it.
    access_level: AccessLevel,
    /// Whether the entry counts.
    is_enabled: bool,
}

impl From<CatalogueEntry> for EntryOut {
    fn from(entry: CatalogueEntry) -> Self {
        Self {
            resource_type: entry.resource_type,
            resource_name: entry.resource_name,
            resource_category: entry.resource_category,
            description: entry.description,
            subscription_tier_required: entry.subscription_tier_required,
            access_level: entry.access_level,
            is_enabled: entry.is_enabled,
        }
    }
}

/// The catalogue.
#[derive(Debug, Serialize, JsonSchema)]
struct Catalogue {
    /// The entries, in the order of types and names.
    items: Vec<EntryOut>,
    /// Where the next part begins; null at the end.
    next_cursor: Option<String>,
}

/// Lists what people may use who pay for it. For administrators, services and auditors.
#[operation("authorization.list_catalogue", errors(codes::FORBIDDEN))]
async fn list_catalogue(
    _: Auditor,
    State(authorization): State<Authorization>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Catalogue>> {
    let after = resource_place(query.cursor.as_deref())?;
    let mut found = service::catalogue(&authorization, query.resource_type, after.as_ref(), query.limit).await?;
    let next_cursor = next(&mut found, query.limit, |entry| {
        (entry.resource_type, entry.resource_name.clone())
    });
    Ok(Json(Catalogue {
        items: found.into_iter().map(EntryOut::from).collect(),
        next_cursor,
    }))
}

/// How people may use a resource who pay for it.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct EntryIn {
    /// What it is for, in at most 100 characters.
    #[garde(length(chars, min = 1, max = 100))]
    resource_category: String,
    /// What it is, in at most 1,000 characters.
    #[garde(length(chars, max = 1_000))]
    description: Option<String>,
    /// What has to be paid for.
    #[garde(skip)]
    subscription_tier_required: Tier,
    /// What may be done with it.
    #[garde(skip)]
    access_level: AccessLevel,
    /// Whether the entry counts.
    #[garde(skip)]
    #[serde(default = "yes")]
    is_enabled: bool,
}

fn yes() -> bool {
    true
}

/// Adds a resource to the catalogue, or changes its entry. For a super_admin and services: what everybody has, who gives it
/// has too.
#[operation("authorization.put_catalogue_entry", errors(codes::FORBIDDEN, codes::NOT_FOUND))]
async fn put_entry(
    admin: AdminOrService,
    State(authorization): State<Authorization>,
    Path((resource_type, resource_name)): Path<(ResourceType, String)>,
    Json(body): Json<EntryIn>,
) -> Result<Json<EntryOut>> {
    checked(&resource_name)?;
    let new = NewCatalogueEntry {
        resource_category: body.resource_category,
        description: body.description,
        subscription_tier_required: body.subscription_tier_required,
        access_level: body.access_level,
        is_enabled: body.is_enabled,
    };
    let actor = Actor::of(&admin, None)?;
    let mut tx = authorization.ctx.db.begin().await?;
    let entry = service::put_entry(&mut tx, &authorization, &actor, (resource_type, &resource_name), new).await?;
    tx.commit().await?;
    Ok(Json(entry.into()))
}

/// Takes a resource from the catalogue. For administrators and services.
#[operation(
    "authorization.delete_catalogue_entry",
    errors(code::PERMISSION_NOT_FOUND, codes::FORBIDDEN)
)]
async fn delete_entry(
    admin: AdminOrService,
    State(authorization): State<Authorization>,
    Path((resource_type, resource_name)): Path<(ResourceType, String)>,
) -> Result<Json<Message>> {
    let actor = Actor::of(&admin, None)?;
    let mut tx = authorization.ctx.db.begin().await?;
    service::delete_entry(&mut tx, &authorization, &actor, (resource_type, &resource_name)).await?;
    tx.commit().await?;
    Ok(Json(Message::new("Catalogue entry deleted successfully")))
}

/// What the members of an organization may use.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct OrganizationPermissionOut {
    /// The organization.
    organization_id: String,
    /// What kind of thing.
    resource_type: ResourceType,
    /// Which.
    resource_name: String,
    /// What may be done with it.
    access_level: AccessLevel,
    /// What the organization has to pay for.
    org_plan_required: OrganizationPlan,
    /// Whether it counts.
    is_enabled: bool,
    /// Who gave it.
    created_by_user_id: String,
    /// When.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
    /// When it was last changed.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    updated_at: DateTime<Utc>,
}

impl From<OrganizationPermission> for OrganizationPermissionOut {
    fn from(found: OrganizationPermission) -> Self {
        Self {
            organization_id: found.organization_id,
            resource_type: found.resource_type,
            resource_name: found.resource_name,
            access_level: found.access_level,
            org_plan_required: found.org_plan_required,
            is_enabled: found.is_enabled,
            created_by_user_id: found.created_by_user_id,
            created_at: found.created_at,
            updated_at: found.updated_at,
        }
    }
}

/// What an organization has.
#[derive(Debug, Serialize, JsonSchema)]
struct OrganizationPermissions {
    /// In the order of types and names.
    items: Vec<OrganizationPermissionOut>,
    /// Where the next part begins; null at the end.
    next_cursor: Option<String>,
}

/// Lists what the members of an organization may use. For its administrators, those of the platform and services.
#[operation(
    "authorization.list_organization_permissions",
    errors(code::ORGANIZATION_NOT_FOUND, codes::FORBIDDEN)
)]
async fn list_of_organization(
    caller: Caller,
    State(authorization): State<Authorization>,
    Path(organization_id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<OrganizationPermissions>> {
    let actor = Actor::of(&caller, None)?;
    let after = resource_place(query.cursor.as_deref())?;
    let (limit, after) = (query.limit, after.as_ref());
    let mut found = service::organization_permissions(&authorization, &actor, &organization_id, after, limit).await?;
    let next_cursor = next(&mut found, limit, |one| (one.resource_type, one.resource_name.clone()));
    Ok(Json(OrganizationPermissions {
        items: found.into_iter().map(OrganizationPermissionOut::from).collect(),
        next_cursor,
    }))
}

/// How the members of an organization may use a resource.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct OrganizationPermissionIn {
    /// What may be done with it.
    #[garde(skip)]
    access_level: AccessLevel,
    /// What the organization has to pay for.
    #[garde(skip)]
    #[serde(default = "startup")]
    org_plan_required: OrganizationPlan,
    /// Whether it counts.
    #[garde(skip)]
    #[serde(default = "yes")]
    is_enabled: bool,
}

fn startup() -> OrganizationPlan {
    OrganizationPlan::Startup
}

/// Lets the members of an organization use a resource, or changes how they may. For a super_admin and services: an
/// organization cannot give itself what is not its own, nor an administrator to one they are in.
#[operation(
    "authorization.put_organization_permission",
    errors(code::ORGANIZATION_NOT_FOUND, codes::FORBIDDEN)
)]
async fn put_of_organization(
    admin: AdminOrService,
    State(authorization): State<Authorization>,
    Path((organization_id, resource_type, resource_name)): Path<(String, ResourceType, String)>,
    Json(body): Json<OrganizationPermissionIn>,
) -> Result<Json<OrganizationPermissionOut>> {
    checked(&resource_name)?;
    let actor = Actor::of(&admin, None)?;
    let new = NewOrganizationPermission {
        access_level: body.access_level,
        org_plan_required: body.org_plan_required,
        is_enabled: body.is_enabled,
    };
    let place = (organization_id.as_str(), resource_type, resource_name.as_str());
    let mut tx = authorization.ctx.db.begin().await?;
    let found = service::put_organization_permission(&mut tx, &authorization, &actor, place, new).await?;
    tx.commit().await?;
    Ok(Json(found.into()))
}

/// Takes a resource from the members of an organization. For administrators of the platform and services.
#[operation(
    "authorization.delete_organization_permission",
    errors(code::PERMISSION_NOT_FOUND, codes::FORBIDDEN)
)]
async fn delete_of_organization(
    admin: AdminOrService,
    State(authorization): State<Authorization>,
    Path((organization_id, resource_type, resource_name)): Path<(String, ResourceType, String)>,
) -> Result<Json<Message>> {
    let place = (organization_id.as_str(), resource_type, resource_name.as_str());
    let actor = Actor::of(&admin, None)?;
    let mut tx = authorization.ctx.db.begin().await?;
    service::delete_organization_permission(&mut tx, &authorization, &actor, place).await?;
    tx.commit().await?;
    Ok(Json(Message::new("Organization permission deleted successfully")))
}

pub(super) fn add(routes: Routes<Authorization>) -> Routes<Authorization> {
    let entry = "/api/v1/authorization/resources/{resource_type}/{resource_name}";
    let of_organization = "/api/v1/authorization/organizations/{organization_id}/permissions";
    let one_of_organization =
        "/api/v1/authorization/organizations/{organization_id}/permissions/{resource_type}/{resource_name}";
    routes
        .get("/api/v1/authorization/resources", list_catalogue())
        .put(entry, put_entry())
        .delete(entry, delete_entry())
        .get(of_organization, list_of_organization())
        .put(one_of_organization, put_of_organization())
        .delete(one_of_organization, delete_of_organization())
}
