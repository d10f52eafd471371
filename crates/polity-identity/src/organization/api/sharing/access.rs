//! Who may do what with what is shared.

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::Caller,
    clock,
    http::{Json, Path, Query, Result, Routes, State, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Message, SharingsQuery, actor};
use crate::organization::{
    Organizations,
    error::code,
    model::sharing::{Access, Object, Permission, ResourceType},
    service::sharing::{self, NewAccess},
};

/// What a member is to have.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[schemars(rename = "MemberPermissionIn")]
struct PermissionIn {
    /// An active member.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"usr_01a1fb4e7b4b73df93c4746cc8a8b943")]
    user_id: String,
    /// What they may do.
    #[garde(skip)]
    permission_level: Permission,
    /// How much they may use, in place of `per_member_quota`; null: what that says.
    #[garde(range(min = 0_i64, max = 9_007_199_254_740_991_i64))]
    quota_override: Option<i64>,
    /// What holds for them in place of the sharing's restrictions, at most 16 KB; null: those.
    #[garde(skip)]
    restrictions_override: Option<Object>,
}

/// What a member may do with something shared.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct MemberPermission {
    /// Who.
    user_id: String,
    /// With which sharing.
    sharing_id: String,
    /// What kind of thing.
    resource_type: ResourceType,
    /// Which.
    resource_id: String,
    /// Its name.
    resource_name: Option<String>,
    /// What they may do.
    permission_level: Permission,
    /// How much they may use in a window of the quota; null: any amount.
    quota_allocated: Option<i64>,
    /// How much they have used in the current one.
    quota_used: i64,
    /// What holds for them, for whoever serves the thing.
    restrictions: Object,
    /// Whether it opens the thing now: not while the sharing is paused or has ended.
    is_active: bool,
    /// Since when.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    granted_at: DateTime<Utc>,
    /// When they used it last.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    last_accessed_at: Option<DateTime<Utc>>,
}

impl MemberPermission {
    pub(super) fn new(access: Access, now: DateTime<Utc>) -> Self {
        Self {
            quota_allocated: access.quota_allocated(),
            is_active: access.holds_at(now),
            user_id: access.user_id,
            sharing_id: access.sharing_id,
            resource_type: access.resource_type,
            resource_id: access.resource_id,
            resource_name: access.resource_name,
            permission_level: access.permission_level,
            quota_used: access.quota_used,
            restrictions: access.restrictions.0,
            granted_at: access.granted_at,
            last_accessed_at: access.last_accessed_at,
        }
    }
}

/// Gives a member access, or changes it. For the creator of the sharing and administrators.
#[operation(
    "organization.grant_sharing",
    errors(
        code::ORGANIZATION_NOT_FOUND,
        code::SHARING_NOT_FOUND,
        codes::BAD_REQUEST,
        codes::FORBIDDEN
    )
)]
async fn grant(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path((organization_id, sharing_id)): Path<(String, String)>,
    Json(body): Json<PermissionIn>,
) -> Result<Json<MemberPermission>> {
    let new = NewAccess {
        user_id: body.user_id,
        level: body.permission_level,
        quota: body.quota_override,
        restrictions: body.restrictions_override,
    };
    let actor = actor(&caller)?;
    let place = (organization_id.as_str(), sharing_id.as_str());
    let mut tx = organizations.ctx.db.begin().await?;
    let made = sharing::grant(&mut tx, &organizations, &actor, place, new).await?;
    tx.commit().await?;
    Ok(Json(MemberPermission::new(made, organizations.ctx.clock.now())))
}

/// Takes a member's access. For the creator of the sharing, administrators, and the member.
#[operation(
    "organization.revoke_sharing",
    errors(
        code::ORGANIZATION_NOT_FOUND,
        code::SHARING_NOT_FOUND,
        code::MEMBER_NOT_FOUND,
        codes::FORBIDDEN
    )
)]
async fn revoke(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path((organization_id, sharing_id, user_id)): Path<(String, String, String)>,
) -> Result<Json<Message>> {
    let actor = actor(&caller)?;
    let place = (organization_id.as_str(), sharing_id.as_str(), user_id.as_str());
    let mut tx = organizations.ctx.db.begin().await?;
    sharing::revoke(&mut tx, &organizations, &actor, place).await?;
    tx.commit().await?;
    Ok(Json(Message {
        message: "Member access revoked successfully",
    }))
}

/// What is shared with a member.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the contract calls the list so")]
struct SharedResources {
    /// The member.
    user_id: String,
    /// The organization.
    organization_id: String,
    /// What they may do with what, last granted first.
    shared_resources: Vec<MemberPermission>,
    /// How much there is in all.
    total: i64,
    /// How much was asked for.
    limit: i64,
    /// How much was left out.
    offset: i64,
}

/// Lists what is shared with a member, last granted first. For the member and administrators.
#[operation(
    "organization.shared_resources",
    errors(code::ORGANIZATION_NOT_FOUND, codes::FORBIDDEN)
)]
async fn shared_resources(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path((organization_id, user_id)): Path<(String, String)>,
    Query(query): Query<SharingsQuery>,
) -> Result<Json<SharedResources>> {
    let now = organizations.ctx.clock.now();
    let place = (organization_id.as_str(), user_id.as_str());
    let (wanted, part) = (query.wanted(now), (query.limit, query.offset));
    let mut read = organizations.ctx.db.read().await?;
    let page = sharing::shared_with(&mut read, &actor(&caller)?, place, &wanted, part).await?;
    let items = page.items.into_iter();
    Ok(Json(SharedResources {
        user_id,
        organization_id,
        shared_resources: items.map(|one| MemberPermission::new(one, now)).collect(),
        total: page.total.unwrap_or_default(),
        limit: query.limit,
        offset: query.offset,
    }))
}

pub(super) fn add(routes: Routes<Organizations>) -> Routes<Organizations> {
    routes
        .put(
            "/api/v1/organization/organizations/{organization_id}/sharing/{sharing_id}/members",
            grant(),
        )
        .delete(
            "/api/v1/organization/organizations/{organization_id}/sharing/{sharing_id}/members/{user_id}",
            revoke(),
        )
        .get(
            "/api/v1/organization/organizations/{organization_id}/members/{user_id}/shared-resources",
            shared_resources(),
        )
}
