//! Sharing: what members share, and with whom.

mod access;
mod usage;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::Caller,
    clock,
    http::{self, Given, Idempotency, Json, Path, Query, Reply, Result, Routes, State, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Message, actor};
use crate::organization::{
    Organizations,
    error::code,
    model::sharing::{Object, Permission, ResourceType, Sharing, SharingStatus},
    service::sharing::{self, NewSharing, People, SharingChange},
    store::sharing::Wanted,
};

use access::MemberPermission;
use usage::UsageStats;

/// A thing to share.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct CreateSharing {
    /// What kind of thing.
    #[garde(skip)]
    resource_type: ResourceType,
    /// Which.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"alb_01a1fb4e7b4b73df93c4746cc8a8b943")]
    resource_id: String,
    /// Its name.
    #[garde(length(chars, max = 255))]
    resource_name: Option<String>,
    /// Active members who get the default permission.
    #[garde(length(max = 1_000), inner(length(chars, min = 1, max = 255)))]
    #[serde(default)]
    shared_with_members: Vec<String>,
    /// Whether everybody who is an active member now gets the default permission. With `auto_include: true` in `metadata`
    /// whoever becomes one later gets it too.
    #[garde(skip)]
    #[serde(default)]
    share_with_all_members: bool,
    /// What those may who have no permission of their own.
    #[garde(skip)]
    #[serde(default = "read_write")]
    default_permission: Permission,
    /// Active members and permissions of their own.
    #[garde(length(max = 1_000))]
    #[serde(default)]
    custom_permissions: BTreeMap<String, Permission>,
    /// An open object, at most 16 KB. Three members count: `quota_type` (unlimited, daily, weekly, monthly or total, the
    /// default), `total_quota` (what all may use together) and `per_member_quota` (what each may), whole numbers.
    #[garde(skip)]
    #[serde(default)]
    quota_settings: Object,
    /// An open object for whoever serves the thing, at most 16 KB.
    #[garde(skip)]
    #[serde(default)]
    restrictions: Object,
    /// When it ends; null: never.
    #[garde(skip)]
    expires_at: Option<DateTime<Utc>>,
    /// An open object, at most 64 KB.
    #[garde(skip)]
    #[serde(default)]
    metadata: Object,
}

fn read_write() -> Permission {
    Permission::ReadWrite
}

impl From<CreateSharing> for NewSharing {
    fn from(body: CreateSharing) -> Self {
        Self {
            resource_type: body.resource_type,
            resource_id: body.resource_id,
            resource_name: body.resource_name,
            default_permission: body.default_permission,
            expires_at: body.expires_at,
            share_with_all_members: body.share_with_all_members,
            quota_settings: body.quota_settings,
            restrictions: body.restrictions,
            metadata: body.metadata,
            people: People {
                default: body.shared_with_members,
                custom: body.custom_permissions.into_iter().collect(),
            },
        }
    }
}

/// What is to change; what is left out stays.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct UpdateSharing {
    /// Active members who get the default permission, besides those who have one.
    #[garde(length(max = 1_000), inner(length(chars, min = 1, max = 255)))]
    #[serde(default)]
    shared_with_members: Vec<String>,
    /// Whether everybody who is an active member now gets the default permission. False takes nothing from anybody.
    #[garde(skip)]
    share_with_all_members: Option<bool>,
    /// What those may who get access from now on without a permission of their own.
    #[garde(skip)]
    default_permission: Option<Permission>,
    /// Active members and permissions of their own, in place of those they have.
    #[garde(length(max = 1_000))]
    #[serde(default)]
    custom_permissions: BTreeMap<String, Permission>,
    /// Replaces what is there; as at creation.
    #[garde(skip)]
    quota_settings: Option<Object>,
    /// Replaces what is there; as at creation.
    #[garde(skip)]
    restrictions: Option<Object>,
    /// When it ends; null: never.
    #[garde(skip)]
    #[serde(default)]
    expires_at: Given<DateTime<Utc>>,
    /// Replaces what is there; as at creation.
    #[garde(skip)]
    metadata: Option<Object>,
    /// active, paused or revoked, which is for good.
    #[garde(skip)]
    status: Option<SharingStatus>,
}

impl From<UpdateSharing> for SharingChange {
    fn from(body: UpdateSharing) -> Self {
        Self {
            default_permission: body.default_permission,
            expires_at: body.expires_at,
            share_with_all_members: body.share_with_all_members,
            quota_settings: body.quota_settings,
            restrictions: body.restrictions,
            metadata: body.metadata,
            status: body.status,
            people: People {
                default: body.shared_with_members,
                custom: body.custom_permissions.into_iter().collect(),
            },
        }
    }
}

/// A sharing.
#[derive(Debug, Serialize, JsonSchema)]
struct SharingResponse {
    /// Its id.
    sharing_id: String,
    /// In which organization.
    organization_id: String,
    /// What kind of thing.
    resource_type: ResourceType,
    /// Which.
    resource_id: String,
    /// Its name.
    resource_name: Option<String>,
    /// By whom.
    created_by: String,
    /// Whether everybody who was a member got it.
    share_with_all_members: bool,
    /// What those may who have no permission of their own.
    default_permission: Permission,
    /// How it is now.
    status: SharingStatus,
    /// How many have access, besides its creator.
    total_members_shared: i64,
    /// An open object; see the creation.
    quota_settings: Object,
    /// An open object for whoever serves the thing.
    restrictions: Object,
    /// When it ends; null: never.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    expires_at: Option<DateTime<Utc>>,
    /// When it was made.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
    /// When it was last changed.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    updated_at: DateTime<Utc>,
    /// An open object.
    metadata: Object,
}

impl SharingResponse {
    fn new(sharing: Sharing, now: DateTime<Utc>) -> Self {
        let status = sharing.status_at(now);
        Self {
            sharing_id: sharing.sharing_id,
            organization_id: sharing.organization_id,
            resource_type: sharing.resource_type,
            resource_id: sharing.resource_id,
            resource_name: sharing.resource_name,
            created_by: sharing.created_by,
            share_with_all_members: sharing.share_with_all_members,
            default_permission: sharing.default_permission,
            status,
            total_members_shared: sharing.total_members_shared,
            quota_settings: sharing.quota_settings.0,
            restrictions: sharing.restrictions.0,
            expires_at: sharing.expires_at,
            created_at: sharing.created_at,
            updated_at: sharing.updated_at,
            metadata: sharing.metadata.0,
        }
    }
}

/// Shares a thing among members. For administrators.
#[operation(
    "organization.create_sharing",
    errors(
        code::ORGANIZATION_NOT_FOUND,
        code::ALREADY_SHARED,
        code::LIMIT_REACHED,
        codes::BAD_REQUEST,
        codes::FORBIDDEN,
        codes::CONFLICT
    )
)]
async fn create(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path(organization_id): Path<String>,
    body: Idempotency<CreateSharing>,
) -> Result<Reply<SharingResponse>> {
    let (body, key) = body.into_parts();
    let actor = actor(&caller)?;
    let ctx = &organizations.ctx;
    let mut tx = ctx.db.begin().await?;
    if let Some(answer) = http::replay(ctx, &mut tx, key.as_ref()).await? {
        return Ok(answer.into());
    }
    let made = sharing::create(&mut tx, &organizations, &actor, &organization_id, body.into()).await?;
    let out = SharingResponse::new(made, ctx.clock.now());
    http::keep(ctx, &mut tx, key.as_ref(), 200, &out).await?;
    tx.commit().await?;
    Ok(Json(out).into())
}

/// Which sharings.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct SharingsQuery {
    /// Only of such things.
    #[garde(skip)]
    resource_type: Option<ResourceType>,
    /// Only those that are so now.
    #[garde(skip)]
    status: Option<SharingStatus>,
    /// How many at most.
    #[garde(range(min = 1, max = 100))]
    #[serde(default = "fifty")]
    limit: i64,
    /// How many to leave out.
    #[garde(range(min = 0, max = 1_000_000_000))]
    #[serde(default)]
    offset: i64,
}

fn fifty() -> i64 {
    50
}

impl SharingsQuery {
    fn wanted(&self, now: DateTime<Utc>) -> Wanted {
        Wanted {
            resource_type: self.resource_type,
            status: self.status,
            now,
        }
    }
}

/// Lists what is shared, newest first: to administrators all of it, to others what they share or may open now.
#[operation("organization.list_sharings", errors(code::ORGANIZATION_NOT_FOUND, codes::FORBIDDEN))]
async fn list(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path(organization_id): Path<String>,
    Query(query): Query<SharingsQuery>,
) -> Result<Json<Vec<SharingResponse>>> {
    let now = organizations.ctx.clock.now();
    let (wanted, page) = (query.wanted(now), (query.limit, query.offset));
    let mut read = organizations.ctx.db.read().await?;
    let found = sharing::list(&mut read, &actor(&caller)?, &organization_id, &wanted, page).await?;
    Ok(Json(
        found.into_iter().map(|one| SharingResponse::new(one, now)).collect(),
    ))
}

/// Which of those who have access.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct AccessQuery {
    /// How many at most.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "super::hundred")]
    limit: i64,
    /// How many to leave out.
    #[garde(range(min = 0, max = 1_000_000_000))]
    #[serde(default)]
    offset: i64,
}

/// A sharing, and who may do what with it.
#[derive(Debug, Serialize, JsonSchema)]
struct SharingDetails {
    /// The sharing.
    sharing: SharingResponse,
    /// Who may do what, in the order of their ids; to whoever does not run the sharing, their own only.
    member_permissions: Vec<MemberPermission>,
    /// What was used of it.
    usage_stats: UsageStats,
}

/// A sharing, who may do what with it, and what was used of it. For its creator, administrators, and members with access
/// while it is active.
#[operation(
    "organization.get_sharing",
    errors(code::ORGANIZATION_NOT_FOUND, code::SHARING_NOT_FOUND, codes::FORBIDDEN)
)]
async fn get(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path((organization_id, sharing_id)): Path<(String, String)>,
    Query(query): Query<AccessQuery>,
) -> Result<Json<SharingDetails>> {
    let now = organizations.ctx.clock.now();
    let (place, page) = (
        (organization_id.as_str(), sharing_id.as_str()),
        (query.limit, query.offset),
    );
    let mut read = organizations.ctx.db.read().await?;
    let found = sharing::get(&mut read, &actor(&caller)?, place, page, now).await?;
    let access = found.access.into_iter();
    Ok(Json(SharingDetails {
        sharing: SharingResponse::new(found.sharing, now),
        member_permissions: access.map(|one| MemberPermission::new(one, now)).collect(),
        usage_stats: found.figures.into(),
    }))
}

/// Changes a sharing: pauses it, lets it go on, revokes it, gives more people access. For its creator and administrators.
#[operation(
    "organization.update_sharing",
    errors(
        code::ORGANIZATION_NOT_FOUND,
        code::SHARING_NOT_FOUND,
        codes::BAD_REQUEST,
        codes::FORBIDDEN,
        codes::CONFLICT
    )
)]
async fn update(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path((organization_id, sharing_id)): Path<(String, String)>,
    Json(body): Json<UpdateSharing>,
) -> Result<Json<SharingResponse>> {
    let actor = actor(&caller)?;
    let place = (organization_id.as_str(), sharing_id.as_str());
    let mut tx = organizations.ctx.db.begin().await?;
    let changed = sharing::update(&mut tx, &organizations, &actor, place, body.into()).await?;
    tx.commit().await?;
    Ok(Json(SharingResponse::new(changed, organizations.ctx.clock.now())))
}

/// Revokes a sharing and deletes it: nobody finds it any more. For its creator and administrators.
#[operation(
    "organization.delete_sharing",
    errors(code::ORGANIZATION_NOT_FOUND, code::SHARING_NOT_FOUND, codes::FORBIDDEN)
)]
async fn delete(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path((organization_id, sharing_id)): Path<(String, String)>,
) -> Result<Json<Message>> {
    let actor = actor(&caller)?;
    let place = (organization_id.as_str(), sharing_id.as_str());
    let mut tx = organizations.ctx.db.begin().await?;
    sharing::delete(&mut tx, &organizations, &actor, place).await?;
    tx.commit().await?;
    Ok(Json(Message {
        message: "Sharing deleted successfully",
    }))
}

pub(super) fn add(routes: Routes<Organizations>) -> Routes<Organizations> {
    let routes = routes
        .post("/api/v1/organization/organizations/{organization_id}/sharing", create())
        .get("/api/v1/organization/organizations/{organization_id}/sharing", list())
        .get(
            "/api/v1/organization/organizations/{organization_id}/sharing/{sharing_id}",
            get(),
        )
        .put(
            "/api/v1/organization/organizations/{organization_id}/sharing/{sharing_id}",
            update(),
        )
        .delete(
            "/api/v1/organization/organizations/{organization_id}/sharing/{sharing_id}",
            delete(),
        );
    usage::add(access::add(routes))
}
