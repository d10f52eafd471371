//! What somebody may use, who may use something, and what was done.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::{AdminOrService, Caller},
    clock,
    db::{Cursor, cut},
    http::{FieldError, Json, Path, Problem, Query, Result, Routes, State, codes},
    operation,
};
use polity_ports::authorization::{AccessLevel, Authorizer, ResourceType, Tier};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    catalogue::{EntryOut, OrganizationPermissionOut},
    check_asker, code, name, place, resource_place,
};
use crate::authorization::{
    Authorization,
    guard::Auditor,
    model::{Action, Permission, Source},
    service::{self, Through},
    store::audit::{Entry, Wanted},
};

/// What somebody has, in figures.
#[derive(Debug, Serialize, JsonSchema)]
struct PermissionSummary {
    /// Who.
    user_id: String,
    /// What they pay for.
    subscription_tier: Tier,
    /// The organization they act in.
    organization_id: Option<String>,
    /// What that one pays for.
    organization_plan: Option<&'static str>,
    /// How many permissions they have: what they were given, and what their organizations have for them.
    total_permissions: i64,
    /// How many of each type.
    permissions_by_type: BTreeMap<String, i64>,
    /// How many rest on what.
    permissions_by_source: BTreeMap<String, i64>,
    /// How many of each level.
    permissions_by_level: BTreeMap<String, i64>,
    /// How many end within a week.
    expires_soon_count: i64,
    /// When their access was last checked, to the minute.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    last_access_check: Option<DateTime<Utc>>,
    /// When this was counted.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    summary_generated_at: DateTime<Utc>,
    /// What should be known about these figures.
    warnings: Vec<&'static str>,
}

/// What somebody has, in figures. For oneself, administrators and services.
#[operation("authorization.user_permissions", errors(code::USER_NOT_FOUND, codes::FORBIDDEN))]
async fn user_permissions(
    caller: Caller,
    State(authorization): State<Authorization>,
    Path(user_id): Path<String>,
) -> Result<Json<PermissionSummary>> {
    check_asker(&caller, &user_id)?;
    let summary = service::summary(&authorization, &user_id).await?;
    let (organization_id, plan) = summary.organization.unzip();
    let is_known = authorization.others.subscriptions.is_some();
    Ok(Json(PermissionSummary {
        user_id,
        subscription_tier: summary.tier,
        organization_id,
        organization_plan: plan.map(polity_ports::authorization::OrganizationPlan::as_str),
        total_permissions: summary.total,
        permissions_by_type: summary.by_type,
        permissions_by_source: summary.by_source,
        permissions_by_level: summary.by_level,
        expires_soon_count: summary.expires_soon,
        last_access_check: summary.last_check,
        summary_generated_at: authorization.ctx.clock.now(),
        warnings: (!is_known)
            .then_some("There is no service of subscriptions: everybody is of the tier free")
            .into_iter()
            .collect(),
    }))
}

/// Which part of the list.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ResourcesQuery {
    /// Only those of this type.
    #[garde(skip)]
    resource_type: Option<ResourceType>,
    /// How many at most.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "thousand")]
    limit: usize,
    /// Where to go on: `next_cursor` of the part before.
    #[garde(length(chars, max = 4_096))]
    cursor: Option<String>,
}

fn thousand() -> usize {
    1_000
}

/// Something somebody may use, at its highest level.
#[derive(Debug, Serialize, JsonSchema)]
struct AccessibleResource {
    /// What kind of thing.
    resource_type: ResourceType,
    /// Which.
    resource_name: String,
    /// What may be done with it.
    access_level: AccessLevel,
    /// On what it rests.
    permission_source: Source,
    /// When it ends.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    expires_at: Option<DateTime<Utc>>,
    /// The organization in which it counts, or that has it.
    organization_id: Option<String>,
    /// What it has to be paid for, if it rests on that.
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_required: Option<Tier>,
    /// What it is for, if it rests on being paid for.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_category: Option<String>,
}

impl AccessibleResource {
    fn new(
        (resource_type, resource_name, access_level, through): (ResourceType, String, AccessLevel, Through),
    ) -> Self {
        let mut item = Self {
            resource_type,
            resource_name,
            access_level,
            permission_source: Source::Organization,
            expires_at: None,
            organization_id: None,
            subscription_required: None,
            resource_category: None,
        };
        match through {
            Through::Given(given) => {
                item.permission_source = given.permission_source;
                item.expires_at = given.expires_at;
                item.organization_id = given.organization().map(str::to_owned);
            }
            Through::Organization(id) => item.organization_id = Some(id),
            Through::Subscription(entry) => {
                item.permission_source = Source::Subscription;
                item.subscription_required = Some(entry.subscription_tier_required);
                item.resource_category = Some(entry.resource_category);
            }
        }
        item
    }
}

/// What somebody may use.
#[derive(Debug, Serialize, JsonSchema)]
struct UserResources {
    /// Who.
    user_id: String,
    /// The type that was asked for.
    resource_type_filter: Option<ResourceType>,
    /// Each resource once, in the order of types and names.
    accessible_resources: Vec<AccessibleResource>,
    /// How many there are in all; null with a cursor, when nobody counts.
    total_count: Option<i64>,
    /// Where the next part begins; null at the end.
    next_cursor: Option<String>,
}

/// Lists what somebody may use, each resource once at its highest level. For oneself, administrators and services.
#[operation("authorization.user_resources", errors(code::USER_NOT_FOUND, codes::FORBIDDEN))]
async fn user_resources(
    caller: Caller,
    State(authorization): State<Authorization>,
    Path(user_id): Path<String>,
    Query(query): Query<ResourcesQuery>,
) -> Result<Json<UserResources>> {
    check_asker(&caller, &user_id)?;
    let after = resource_place(query.cursor.as_deref())?;
    let found = service::accessible(&authorization, &user_id, query.resource_type, after, query.limit).await?;
    Ok(Json(UserResources {
        user_id,
        resource_type_filter: query.resource_type,
        accessible_resources: found.items.into_iter().map(AccessibleResource::new).collect(),
        total_count: found.total,
        next_cursor: found.next.map(|next| next.encode()),
    }))
}

/// Which resources.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct VisibleQuery {
    /// Of which type.
    #[garde(skip)]
    resource_type: ResourceType,
    /// What for; at least read_only.
    #[garde(skip)]
    #[serde(default = "super::read_only")]
    #[schemars(extend("not" = serde_json::json!({ "const": "none" })))]
    required_access_level: AccessLevel,
    /// How many at most.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "hundred")]
    limit: usize,
    /// Where to go on: `next_cursor` of the part before.
    #[garde(length(chars, max = 4_096))]
    cursor: Option<String>,
}

fn hundred() -> usize {
    100
}

/// Names of resources somebody may use.
#[derive(Debug, Serialize, JsonSchema)]
struct VisibleResources {
    /// Who.
    user_id: String,
    /// Of which type.
    resource_type: ResourceType,
    /// What for.
    required_access_level: AccessLevel,
    /// The names, in order: exactly those of which a check says that they may.
    resource_names: Vec<String>,
    /// Where the next part begins; null at the end.
    next_cursor: Option<String>,
}

/// Lists the names of the resources of a type that somebody may use at a level: exactly those of which a check says so, however
/// many there are. For oneself, administrators and services.
#[operation("authorization.visible_resources", errors(codes::FORBIDDEN, codes::BAD_REQUEST))]
async fn visible_resources(
    caller: Caller,
    State(authorization): State<Authorization>,
    Path(user_id): Path<String>,
    Query(query): Query<VisibleQuery>,
) -> Result<Json<VisibleResources>> {
    check_asker(&caller, &user_id)?;
    if query.required_access_level == AccessLevel::None {
        let text = "must be at least read_only: everybody may do nothing with anything";
        let error = FieldError::new("query", &["required_access_level"], text, "value_error");
        return Err(Problem::validation(vec![error]));
    }
    let cursor = query.cursor.as_deref().filter(|text| !text.is_empty());
    let after = cursor
        .map(|text| polity_kernel::db::Place::decode(text, 1))
        .transpose()?;
    let after = after.as_ref().and_then(|place| place.0.first()).map(String::as_str);
    let (of, level) = (query.resource_type, query.required_access_level);
    let found = authorization.visible(&user_id, of, level, after, query.limit).await?;
    let last = found.names.last().filter(|_| found.has_more);
    Ok(Json(VisibleResources {
        user_id,
        resource_type: of,
        required_access_level: level,
        next_cursor: last.map(|last| polity_kernel::db::Place(vec![last.clone()]).encode()),
        resource_names: found.names,
    }))
}

/// Which resource.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct HoldersQuery {
    /// What kind of thing.
    #[garde(skip)]
    resource_type: ResourceType,
    /// Which.
    #[garde(custom(name))]
    #[schemars(length(min = 1, max = 255), extend("pattern" = r"\S"))]
    resource_name: String,
    /// How many at most.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "hundred")]
    limit: usize,
    /// Where to go on: `next_cursor` of the part before.
    #[garde(length(chars, max = 4_096))]
    cursor: Option<String>,
}

/// A permission that somebody was given.
#[derive(Debug, Serialize, JsonSchema)]
struct UserPermission {
    /// Its id.
    id: String,
    /// Whose.
    user_id: String,
    /// What kind of thing.
    resource_type: ResourceType,
    /// Which.
    resource_name: String,
    /// What for.
    access_level: AccessLevel,
    /// On what it rests.
    permission_source: Source,
    /// By whom.
    granted_by_user_id: String,
    /// In which organization it counts; null: everywhere.
    organization_id: Option<String>,
    /// When it ends.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    expires_at: Option<DateTime<Utc>>,
    /// Why.
    reason: Option<String>,
    /// When.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
    /// When it was last changed.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    updated_at: DateTime<Utc>,
}

impl From<Permission> for UserPermission {
    fn from(found: Permission) -> Self {
        Self {
            organization_id: found.organization().map(str::to_owned),
            id: found.id,
            user_id: found.user_id,
            resource_type: found.resource_type,
            resource_name: found.resource_name,
            access_level: found.access_level,
            permission_source: found.permission_source,
            granted_by_user_id: found.granted_by_user_id,
            expires_at: found.expires_at,
            reason: found.reason,
            created_at: found.created_at,
            updated_at: found.updated_at,
        }
    }
}

/// Who may use a resource.
#[derive(Debug, Serialize, JsonSchema)]
struct HoldersOut {
    /// What people were given, in the order of their ids.
    permissions: Vec<UserPermission>,
    /// Which organizations have it, a thousand at most; on the first part alone.
    organizations: Vec<OrganizationPermissionOut>,
    /// How people have it who pay for it; on the first part alone.
    catalogue: Option<EntryOut>,
    /// Where the next part begins; null at the end.
    next_cursor: Option<String>,
}

/// Who may use a resource: who was given it, which organizations have it, and who pays for it. For administrators, services and
/// auditors.
#[operation("authorization.who_has_access", errors(codes::FORBIDDEN, codes::BAD_REQUEST))]
async fn who_has_access(
    _: Auditor,
    State(authorization): State<Authorization>,
    Query(query): Query<HoldersQuery>,
) -> Result<Json<HoldersOut>> {
    let after = place(query.cursor.as_deref())?;
    let resource = (query.resource_type, query.resource_name.as_str());
    let found = service::holders(&authorization, resource, after, query.limit).await?;
    Ok(Json(HoldersOut {
        permissions: found.permissions.into_iter().map(UserPermission::from).collect(),
        organizations: found
            .organizations
            .into_iter()
            .map(OrganizationPermissionOut::from)
            .collect(),
        catalogue: found.catalogue.map(EntryOut::from),
        next_cursor: found.next.map(|next| next.encode()),
    }))
}

/// Which entries.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct AuditQuery {
    /// Only those about this person.
    #[garde(length(chars, max = 255))]
    user_id: Option<String>,
    /// Only those about this type of resources.
    #[garde(skip)]
    resource_type: Option<ResourceType>,
    /// Only those about this resource.
    #[garde(length(chars, max = 255))]
    resource_name: Option<String>,
    /// Only those of this kind.
    #[garde(skip)]
    action: Option<Action>,
    /// From when on.
    #[garde(skip)]
    #[serde(default, deserialize_with = "super::moment")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    from: Option<DateTime<Utc>>,
    /// Until before when.
    #[garde(skip)]
    #[serde(default, deserialize_with = "super::moment")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    until: Option<DateTime<Utc>>,
    /// How many at most.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "super::hundred")]
    limit: i64,
    /// Where to go on: `next_cursor` of the part before.
    #[garde(length(chars, max = 512))]
    cursor: Option<String>,
}

/// Something that was done to a permission or a role.
#[derive(Debug, Serialize, JsonSchema)]
struct AuditEntry {
    /// The id of the entry.
    id: String,
    /// About whom: a person; an organization, of what its members have; `*`, of the catalogue.
    user_id: String,
    /// What kind of thing; `role` for a role.
    resource_type: String,
    /// Which; for a role the organization, or `platform`.
    resource_name: String,
    /// What was done.
    action: Action,
    /// The level, or the role, before.
    old_access_level: Option<String>,
    /// The level, or the role, after; of a refusal the one that was asked for.
    new_access_level: Option<String>,
    /// By whom.
    performed_by_user_id: String,
    /// Why.
    reason: Option<String>,
    /// Whether it was done.
    success: bool,
    /// Why not.
    error_message: Option<String>,
    /// When.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    timestamp: DateTime<Utc>,
}

impl From<Entry> for AuditEntry {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id,
            user_id: entry.user_id,
            resource_type: entry.resource_type,
            resource_name: entry.resource_name,
            action: entry.action,
            old_access_level: entry.old_access_level,
            new_access_level: entry.new_access_level,
            performed_by_user_id: entry.performed_by_user_id,
            reason: entry.reason,
            success: entry.success,
            error_message: entry.error_message,
            timestamp: entry.created_at,
        }
    }
}

/// What was done to permissions.
#[derive(Debug, Serialize, JsonSchema)]
struct AuditList {
    /// The entries, newest first.
    items: Vec<AuditEntry>,
    /// Where the next part begins; null at the end.
    next_cursor: Option<String>,
}

/// What was done to permissions and roles, and what was refused, newest first. For administrators, services and auditors.
#[operation("authorization.audit", errors(codes::FORBIDDEN, codes::BAD_REQUEST))]
async fn audit(
    _: Auditor,
    State(authorization): State<Authorization>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<AuditList>> {
    let after = query.cursor.as_deref().filter(|text| !text.is_empty());
    let wanted = Wanted {
        after: after.map(Cursor::decode).transpose()?,
        user_id: query.user_id,
        resource_type: query.resource_type,
        resource_name: query.resource_name,
        action: query.action,
        from: query.from,
        until: query.until,
    };
    let mut found = service::trail(&authorization, &wanted, query.limit).await?;
    let next_cursor = cut(&mut found, query.limit).map(|last| {
        let (at, id) = (last.created_at, last.id.clone());
        Cursor { at, id }.encode()
    });
    Ok(Json(AuditList {
        items: found.into_iter().map(AuditEntry::from).collect(),
        next_cursor,
    }))
}

/// What was removed.
#[derive(Debug, Serialize, JsonSchema)]
struct Cleaned {
    /// What was done.
    message: &'static str,
    /// How many permissions.
    cleaned_count: u64,
}

/// Removes permissions that have ended; they count nowhere before that either. For administrators and services.
#[operation("authorization.cleanup_expired", errors(codes::FORBIDDEN))]
async fn cleanup_expired(_: AdminOrService, State(authorization): State<Authorization>) -> Result<Json<Cleaned>> {
    let cleaned_count = service::remove_ended(&authorization).await?;
    Ok(Json(Cleaned {
        message: "Expired permissions cleaned up successfully",
        cleaned_count,
    }))
}

pub(super) fn add(routes: Routes<Authorization>) -> Routes<Authorization> {
    routes
        .get("/api/v1/authorization/user-permissions/{user_id}", user_permissions())
        .get(
            "/api/v1/users/{user_id}/permissions",
            user_permissions().named("authorization.user_permissions_alias"),
        )
        .get(
            "/api/v1/users/{user_id}/permissions/summary",
            user_permissions().named("authorization.user_permissions_summary_alias"),
        )
        .get("/api/v1/authorization/user-resources/{user_id}", user_resources())
        .get(
            "/api/v1/users/{user_id}/accessible-resources",
            user_resources().named("authorization.user_resources_alias"),
        )
        .get("/api/v1/authorization/visible-resources/{user_id}", visible_resources())
        .get("/api/v1/authorization/who-has-access", who_has_access())
        .get("/api/v1/authorization/audit", audit())
        .post("/api/v1/authorization/cleanup-expired", cleanup_expired())
}
