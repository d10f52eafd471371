//! Platform administration.

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    clock,
    http::{self, ClientIp, Created, Idempotency, Json, Path, Query, Reply, Result, Routes, State, UserAgent, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::directory::{ListQuery, Listing};
use crate::account::{
    Accounts, RoleActor,
    error::code,
    guard::PlatformAdmin,
    model::{Account, AccountId, AdminRole, Note, Status},
    service::{self, Actor},
};

/// An account as administrators see it in a list.
#[derive(Debug, Serialize, JsonSchema)]
struct AdminAccount {
    /// The id of the person.
    user_id: AccountId,
    /// Their address.
    email: String,
    /// Their name.
    name: String,
    /// Whether the account may be used.
    is_active: bool,
    /// Their platform roles.
    admin_roles: Vec<AdminRole>,
    /// When it was created.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
    /// When it was last changed.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    updated_at: DateTime<Utc>,
}

impl From<Account> for AdminAccount {
    fn from(account: Account) -> Self {
        let Account {
            user_id,
            email,
            name,
            is_active,
            admin_roles,
            created_at,
            updated_at,
            ..
        } = account;
        Self {
            user_id,
            email,
            name,
            is_active,
            admin_roles: admin_roles.0,
            created_at,
            updated_at,
        }
    }
}

/// A note of support.
#[derive(Debug, Serialize, JsonSchema)]
struct AdminNote {
    /// The id of the note.
    note_id: String,
    /// Whom it is about.
    user_id: AccountId,
    /// Who wrote it.
    author_id: String,
    /// The text, as it was written.
    note: String,
    /// When.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
}

impl From<Note> for AdminNote {
    fn from(note: Note) -> Self {
        let Note {
            note_id,
            user_id,
            author_id,
            note,
            created_at,
        } = note;
        Self {
            note_id,
            user_id,
            author_id,
            note,
            created_at,
        }
    }
}

/// Everything administrators see of an account.
#[derive(Debug, Serialize, JsonSchema)]
struct AdminAccountDetail {
    /// What the list shows.
    #[serde(flatten)]
    account: AdminAccount,
    /// What moderation says.
    account_status: Status,
    /// Why.
    status_reason: Option<String>,
    /// What they prefer.
    preferences: Map<String, serde_json::Value>,
    /// The notes of support, newest first.
    notes: Vec<AdminNote>,
    /// When they were last seen.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    last_seen_at: Option<DateTime<Utc>>,
}

/// Lists accounts, newest first.
#[operation("account.admin_list", errors(codes::FORBIDDEN, codes::BAD_REQUEST))]
async fn list(
    _: PlatformAdmin,
    State(state): State<Accounts>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listing<AdminAccount>>> {
    let listed = query.run(&state).await?;
    Ok(Json(Listing::new(&query, listed)))
}

/// Everything about an account, inactive ones included.
#[operation("account.admin_detail", errors(code::ACCOUNT_NOT_FOUND, codes::FORBIDDEN))]
async fn detail(
    _: PlatformAdmin,
    State(state): State<Accounts>,
    Path(user_id): Path<AccountId>,
) -> Result<Json<AdminAccountDetail>> {
    let mut read = state.ctx.db.read().await?;
    let (account, notes) = service::detail(&mut read, &user_id).await?;
    Ok(Json(AdminAccountDetail {
        account_status: account.status,
        status_reason: account.status_reason.clone(),
        preferences: account.preferences.0.clone(),
        notes: notes.into_iter().map(AdminNote::from).collect(),
        last_seen_at: account.last_seen_at,
        account: account.into(),
    }))
}

/// Platform roles to give.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct RolesIn {
    /// The roles; an empty list takes all.
    #[garde(length(max = 50), inner(length(chars, max = 100)))]
    #[schemars(example = ["support_admin"])]
    admin_roles: Vec<String>,
}

/// Sets the platform roles of a person; for super_admins.
#[operation(
    "account.admin_roles",
    errors(
        code::ACCOUNT_NOT_FOUND,
        code::INVALID_ADMIN_ROLES,
        code::LAST_SUPER_ADMIN,
        codes::FORBIDDEN
    )
)]
async fn set_roles(
    admin: PlatformAdmin,
    State(state): State<Accounts>,
    ip: ClientIp,
    agent: UserAgent,
    Path(user_id): Path<AccountId>,
    Json(body): Json<RolesIn>,
) -> Result<Json<AdminAccount>> {
    let actor = RoleActor::Admin(admin.caller(), ip.0.to_string(), agent.0);
    let mut tx = state.ctx.db.begin().await?;
    let account = service::assign_roles(&mut tx, &state.ctx, actor, &user_id, &body.admin_roles).await?;
    tx.commit().await?;
    Ok(Json(account.into()))
}

fn actor(admin: &PlatformAdmin, ip: ClientIp, agent: UserAgent) -> Actor {
    Actor {
        caller: admin.caller().clone(),
        ip: ip.0.to_string(),
        user_agent: agent.0,
    }
}

/// What moderation says.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ModerationIn {
    /// The status.
    #[garde(skip)]
    status: Status,
    /// Why.
    #[garde(length(chars, max = 500))]
    #[schemars(example = &"asked by mail")]
    reason: Option<String>,
}

/// What was done.
#[derive(Debug, Serialize, JsonSchema)]
struct ModerationOut {
    /// In words.
    message: String,
    /// To whom.
    user_id: AccountId,
    /// The status now.
    status: Status,
}

/// Suspends, bans, or reinstates an account.
///
/// For super_admins, support_admins and compliance_admins; only a super_admin lifts a ban.
#[operation(
    "account.admin_status",
    errors(code::ACCOUNT_NOT_FOUND, code::LAST_SUPER_ADMIN, codes::FORBIDDEN)
)]
async fn set_status(
    admin: PlatformAdmin,
    State(state): State<Accounts>,
    ip: ClientIp,
    agent: UserAgent,
    Path(user_id): Path<AccountId>,
    Json(body): Json<ModerationIn>,
) -> Result<Json<ModerationOut>> {
    let actor = actor(&admin, ip, agent);
    let mut tx = state.ctx.db.begin().await?;
    service::set_moderation(&mut tx, &state.ctx, &actor, &user_id, body.status, body.reason).await?;
    tx.commit().await?;
    let message = format!("Account status updated to '{}'", body.status.as_str());
    Ok(Json(ModerationOut {
        message,
        user_id,
        status: body.status,
    }))
}

/// A note to add.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct NoteIn {
    /// The text.
    #[garde(length(chars, min = 1, max = 2000))]
    #[schemars(example = &"Called about an invoice.")]
    note: String,
}

/// Adds a note of support; notes are only ever added.
#[operation(
    "account.admin_note",
    status = 201,
    errors(code::ACCOUNT_NOT_FOUND, codes::FORBIDDEN)
)]
async fn add_note(
    admin: PlatformAdmin,
    State(state): State<Accounts>,
    ip: ClientIp,
    agent: UserAgent,
    Path(user_id): Path<AccountId>,
    body: Idempotency<NoteIn>,
) -> Result<Created<Reply<AdminNote>>> {
    let actor = actor(&admin, ip, agent);
    let (body, key) = body.into_parts();
    let ctx = &state.ctx;
    let mut tx = ctx.db.begin().await?;
    if let Some(answer) = http::replay(ctx, &mut tx, key.as_ref()).await? {
        return Ok(Created(answer.into()));
    }
    let note = AdminNote::from(service::add_note(&mut tx, ctx, &actor, &user_id, body.note).await?);
    http::keep(ctx, &mut tx, key.as_ref(), 201, &note).await?;
    tx.commit().await?;
    Ok(Created(Json(note).into()))
}

/// Takes a deletion back, as long as nothing was erased.
#[operation("account.admin_restore", errors(code::ACCOUNT_NOT_FOUND, codes::FORBIDDEN))]
async fn restore(
    admin: PlatformAdmin,
    State(state): State<Accounts>,
    ip: ClientIp,
    agent: UserAgent,
    Path(user_id): Path<AccountId>,
) -> Result<Json<AdminAccount>> {
    let actor = actor(&admin, ip, agent);
    let mut tx = state.ctx.db.begin().await?;
    let account = service::cancel_erasure(&mut tx, &state.ctx, &actor, &user_id).await?;
    tx.commit().await?;
    Ok(Json(account.into()))
}

pub(super) fn add(routes: Routes<Accounts>) -> Routes<Accounts> {
    routes
        .get("/api/v1/account/admin/accounts", list())
        .get("/api/v1/account/admin/accounts/{user_id}", detail())
        .put("/api/v1/account/admin/accounts/{user_id}/roles", set_roles())
        .put("/api/v1/account/admin/accounts/{user_id}/status", set_status())
        .post("/api/v1/account/admin/accounts/{user_id}/note", add_note())
        .post("/api/v1/account/admin/accounts/{user_id}/restore", restore())
}
