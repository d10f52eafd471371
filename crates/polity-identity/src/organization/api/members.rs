//! Members: added, listed, changed, removed; the ownership transferred.

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::Caller,
    clock,
    db::{Cursor, Part, cut},
    http::{Json, Path, Query, Result, Routes, State, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Message, actor, hundred};
use crate::organization::{
    Organizations,
    error::code,
    model::{MemberStatus, Membership, Role},
    service::{self, MemberChange, NewMember},
};

/// Somebody to add.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct MemberAdd {
    /// Who.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"usr_01a1fb4e7b4b73df93c4746cc8a8b943")]
    user_id: String,
    /// As what: admin, member, viewer or guest.
    #[garde(length(chars, max = 50))]
    #[serde(default = "member")]
    #[schemars(example = &"member")]
    role: String,
    /// What else they may do.
    #[garde(length(max = 200), inner(length(chars, min = 1, max = 200)))]
    #[serde(default)]
    permissions: Vec<String>,
    /// Where they work.
    #[garde(length(chars, max = 100))]
    department: Option<String>,
    /// What they are called there.
    #[garde(length(chars, max = 100))]
    title: Option<String>,
}

fn member() -> String {
    "member".to_owned()
}

/// A member.
#[derive(Debug, Serialize, JsonSchema)]
struct MemberResponse {
    /// Who.
    user_id: String,
    /// In which organization.
    organization_id: String,
    /// As what.
    role: Role,
    /// How the membership is.
    status: MemberStatus,
    /// What else they may do.
    permissions: Vec<String>,
    /// Where they work.
    department: Option<String>,
    /// What they are called there.
    title: Option<String>,
    /// Whether they were there first.
    is_founder: bool,
    /// Since when.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    joined_at: DateTime<Utc>,
}

impl From<Membership> for MemberResponse {
    fn from(member: Membership) -> Self {
        Self {
            user_id: member.user_id,
            organization_id: member.organization_id,
            role: member.role,
            status: member.status,
            permissions: member.permissions.0,
            department: member.department,
            title: member.title,
            is_founder: member.is_founder,
            joined_at: member.joined_at,
        }
    }
}

/// Adds somebody who has an account; who is a member already is answered as they are. For administrators and services.
#[operation(
    "organization.add_member",
    errors(
        code::ORGANIZATION_NOT_FOUND,
        code::INVALID_ROLE,
        code::LIMIT_REACHED,
        codes::BAD_REQUEST,
        codes::FORBIDDEN
    )
)]
async fn add_member(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path(organization_id): Path<String>,
    Json(body): Json<MemberAdd>,
) -> Result<Json<MemberResponse>> {
    let new = NewMember {
        user_id: body.user_id,
        role: body.role,
        permissions: body.permissions,
        department: body.department,
        title: body.title,
    };
    let actor = actor(&caller)?;
    let mut tx = organizations.ctx.db.begin().await?;
    let added = service::add(&mut tx, &organizations, &actor, &organization_id, new).await?;
    tx.commit().await?;
    Ok(Json(added.into()))
}

/// Which members.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct MembersQuery {
    /// How many at most.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "hundred")]
    limit: i64,
    /// How many to leave out.
    #[garde(range(min = 0, max = 1_000_000_000))]
    #[serde(default)]
    offset: i64,
    /// Only those in this role.
    #[garde(skip)]
    role: Option<Role>,
    /// A part of id, department or title.
    #[garde(length(chars, min = 1, max = 100))]
    search: Option<String>,
    /// Where to go on: `next_cursor` of the part before, or nothing at the beginning. Then `offset` does not count, and the
    /// answer has no `total`.
    #[garde(length(chars, max = 512))]
    cursor: Option<String>,
}

/// Members.
#[derive(Debug, Serialize, JsonSchema)]
struct MemberList {
    /// The active members, longest first.
    members: Vec<MemberResponse>,
    /// How many there are in all; not with a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<i64>,
    /// How many were asked for.
    limit: i64,
    /// How many were left out.
    offset: i64,
    /// Where the next part begins; null at the end.
    next_cursor: Option<String>,
}

/// Lists the active members of an organization, longest first. For its members and services.
#[operation(
    "organization.list_members",
    errors(code::ORGANIZATION_NOT_FOUND, codes::FORBIDDEN, codes::BAD_REQUEST)
)]
async fn list_members(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path(organization_id): Path<String>,
    Query(query): Query<MembersQuery>,
) -> Result<Json<MemberList>> {
    let part = Part::asked(query.cursor.as_deref(), query.offset)?;
    let mut read = organizations.ctx.db.read().await?;
    let wanted = (query.role, query.search);
    let part = (part, query.limit + 1);
    let mut page = service::members(&mut read, &actor(&caller)?, &organization_id, wanted, part).await?;
    let next_cursor = cut(&mut page.items, query.limit).map(|last| {
        let (at, id) = (last.joined_at, last.user_id.clone());
        Cursor { at, id }.encode()
    });
    Ok(Json(MemberList {
        members: page.items.into_iter().map(MemberResponse::from).collect(),
        total: page.total,
        limit: query.limit,
        offset: query.offset,
        next_cursor,
    }))
}

/// What is to change of a membership; what is left out stays.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct MemberUpdate {
    /// As what: owner, admin, member, viewer or guest.
    #[garde(length(chars, max = 50))]
    #[schemars(example = &"viewer")]
    role: Option<String>,
    /// active, suspended or inactive; the last ends it.
    #[garde(skip)]
    status: Option<MemberStatus>,
    /// What else they may do; replaces what is there.
    #[garde(inner(length(max = 200), inner(length(chars, min = 1, max = 200))))]
    permissions: Option<Vec<String>>,
    /// Where they work.
    #[garde(length(chars, max = 100))]
    department: Option<String>,
    /// What they are called there.
    #[garde(length(chars, max = 100))]
    title: Option<String>,
}

/// Changes a membership. For administrators; admins change neither owners nor other admins.
#[operation(
    "organization.update_member",
    errors(
        code::ORGANIZATION_NOT_FOUND,
        code::INVALID_ROLE,
        code::LAST_OWNER,
        codes::BAD_REQUEST,
        codes::FORBIDDEN
    )
)]
async fn update_member(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path((organization_id, user_id)): Path<(String, String)>,
    Json(body): Json<MemberUpdate>,
) -> Result<Json<MemberResponse>> {
    let change = MemberChange {
        role: body.role,
        status: body.status,
        permissions: body.permissions,
        department: body.department,
        title: body.title,
    };
    let actor = actor(&caller)?;
    let place = (organization_id.as_str(), user_id.as_str());
    let mut tx = organizations.ctx.db.begin().await?;
    let changed = service::change(&mut tx, &organizations, &actor, place, change).await?;
    tx.commit().await?;
    Ok(Json(changed.into()))
}

/// Why somebody is removed.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct RemoveQuery {
    /// Why.
    #[garde(length(chars, max = 500))]
    reason: Option<String>,
}

/// Removes a member. For administrators, and for the member, who leaves.
#[operation(
    "organization.remove_member",
    errors(code::ORGANIZATION_NOT_FOUND, code::LAST_OWNER, codes::FORBIDDEN)
)]
async fn remove_member(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path((organization_id, user_id)): Path<(String, String)>,
    Query(query): Query<RemoveQuery>,
) -> Result<Json<Message>> {
    let actor = actor(&caller)?;
    let place = (organization_id.as_str(), user_id.as_str());
    let mut tx = organizations.ctx.db.begin().await?;
    service::remove(&mut tx, &organizations, &actor, place, query.reason.as_deref()).await?;
    tx.commit().await?;
    Ok(Json(Message {
        message: "Member removed successfully",
    }))
}

/// Whose the organization is to be.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct TransferIn {
    /// An active member.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"usr_01a1fb4e7b4b73df93c4746cc8a8b943")]
    user_id: String,
}

/// Makes another active member the owner; the owner who asks becomes an admin.
#[operation("organization.transfer", errors(code::ORGANIZATION_NOT_FOUND, codes::FORBIDDEN))]
async fn transfer(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path(organization_id): Path<String>,
    Json(body): Json<TransferIn>,
) -> Result<Json<MemberResponse>> {
    let actor = actor(&caller)?;
    let place = (organization_id.as_str(), body.user_id.as_str());
    let mut tx = organizations.ctx.db.begin().await?;
    let owner = service::transfer(&mut tx, &organizations, &actor, place).await?;
    tx.commit().await?;
    Ok(Json(owner.into()))
}

pub(super) fn add(routes: polity_kernel::http::Routes<Organizations>) -> Routes<Organizations> {
    routes
        .post(
            "/api/v1/organization/organizations/{organization_id}/members",
            add_member(),
        )
        .get(
            "/api/v1/organization/organizations/{organization_id}/members",
            list_members(),
        )
        .put(
            "/api/v1/organization/organizations/{organization_id}/members/{user_id}",
            update_member(),
        )
        .delete(
            "/api/v1/organization/organizations/{organization_id}/members/{user_id}",
            remove_member(),
        )
        .post(
            "/api/v1/organization/organizations/{organization_id}/transfer",
            transfer(),
        )
}
