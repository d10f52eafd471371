//! Tokens of integrations: made, listed, changed, rotated, revoked.

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::User,
    clock,
    http::{self, Created, Given, Idempotency, Json, Path, Query, Reply, Result, Routes, State},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Message, Workspace, WorkspaceQuery, message};
use crate::credential::{
    Credentials,
    error::code,
    guard::Token,
    model::{Credential, Kind, is_network, networks},
    service::{self, Issued, NewToken, TokenChange},
    tenancy,
};

/// A token to make.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct TokenCreate {
    /// What you call it.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"nightly export")]
    name: String,
    /// When it ends. Left out: in a year. Null: never, which the workspace must allow.
    #[garde(skip)]
    #[serde(default)]
    expires_at: Given<DateTime<Utc>>,
    /// What it may do; left out or empty, the default scopes.
    #[garde(length(max = 100), inner(length(chars, max = 100)))]
    #[serde(default)]
    #[schemars(example = ["read:tasks"])]
    scopes: Vec<String>,
    /// Addresses and networks it may be used from; empty: anywhere.
    #[garde(length(max = 100), inner(custom(is_network)))]
    #[serde(default)]
    #[schemars(example = ["192.0.2.0/24"])]
    allowed_cidrs: Vec<String>,
}

/// A token that was made.
#[derive(Debug, Serialize, JsonSchema)]
struct TokenCreated {
    /// Its id.
    id: String,
    /// What it is called.
    name: String,
    /// The token itself. It is shown this once.
    token: String,
    /// What it may do.
    scopes: Vec<String>,
    /// When it ends; null: never.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    expires_at: Option<DateTime<Utc>>,
    /// When it was made.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
    /// Whose place it takes.
    rotated_from_id: Option<String>,
}

impl From<Issued> for TokenCreated {
    fn from(issued: Issued) -> Self {
        let Credential {
            id,
            name,
            scopes,
            expires_at,
            created_at,
            rotated_from_id,
            ..
        } = issued.credential;
        Self {
            id,
            name,
            token: issued.text.expose().to_owned(),
            scopes: scopes.0,
            expires_at,
            created_at,
            rotated_from_id,
        }
    }
}

/// A token, without its text.
#[derive(Debug, Serialize, JsonSchema)]
struct TokenOut {
    /// Its id.
    id: String,
    /// The workspace it is for.
    workspace_id: String,
    /// The person it acts for.
    user_id: Option<String>,
    /// What it is called.
    name: String,
    /// What its text begins with.
    prefix: &'static str,
    /// The last characters of its text.
    last_four: String,
    /// What it may do, as far as its person's role carries it.
    scopes: Vec<String>,
    /// Whether it may be used now.
    is_active: bool,
    /// active, disabled, expired or revoked; the last two are final.
    status: &'static str,
    /// Addresses and networks it may be used from.
    allowed_cidrs: Vec<String>,
    /// When it was last used, to the minute.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    last_used_at: Option<DateTime<Utc>>,
    /// From where.
    last_used_ip: Option<String>,
    /// When it ends; null: never.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    expires_at: Option<DateTime<Utc>>,
    /// Since when it is revoked.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    revoked_at: Option<DateTime<Utc>>,
    /// Whose place it took.
    rotated_from_id: Option<String>,
    /// When it was made.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
    /// When it was last changed.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    updated_at: DateTime<Utc>,
}

impl TokenOut {
    fn new(token: Credential, now: DateTime<Utc>) -> Self {
        let retired = token.retires_at.filter(|at| now >= *at);
        let status = if token.revoked_at.is_some() || retired.is_some() {
            "revoked"
        } else if token.has_expired(now) {
            "expired"
        } else if token.is_enabled {
            "active"
        } else {
            "disabled"
        };
        let last = token.preview.len().saturating_sub(4);
        Self {
            id: token.id,
            workspace_id: token.organization_id,
            user_id: token.subject_id,
            name: token.name,
            prefix: "pol_token_",
            last_four: token.preview.get(last..).unwrap_or_default().to_owned(),
            scopes: token.scopes.0,
            is_active: status == "active",
            status,
            allowed_cidrs: token.ip_allowlist.0.iter().map(ToString::to_string).collect(),
            last_used_at: token.last_used_at,
            last_used_ip: token.last_used_ip.filter(|ip| !ip.is_empty()),
            expires_at: token.expires_at,
            revoked_at: token.revoked_at.or(retired),
            rotated_from_id: token.rotated_from_id,
            created_at: token.created_at,
            updated_at: token.updated_at,
        }
    }
}

async fn workspace(credentials: &Credentials, user: &User, query: &WorkspaceQuery) -> Result<Workspace> {
    let mut read = credentials.ctx.db.read().await?;
    Ok(service::workspace(&mut read, user, query.workspace_id.as_deref()).await?)
}

/// Makes a token for a workspace; its text is in this answer and nowhere else.
///
/// Nobody gives a scope that their role does not carry: members read and write, viewers read.
#[operation(
    "integration.create_token",
    status = 201,
    errors(code::WORKSPACE_NOT_FOUND, code::TOO_MANY_CREDENTIALS)
)]
async fn create(
    user: User,
    State(credentials): State<Credentials>,
    Query(query): Query<WorkspaceQuery>,
    body: Idempotency<TokenCreate>,
) -> Result<Created<Reply<TokenCreated>>> {
    let (body, key) = body.into_parts();
    let ctx = &credentials.ctx;
    let mut tx = ctx.db.begin().await?;
    if let Some(answer) = http::replay(ctx, &mut tx, key.as_ref()).await? {
        return Ok(Created(answer.into()));
    }
    let workspace = service::kept_workspace(&mut tx, &user, query.workspace_id.as_deref()).await?;
    let new = NewToken {
        name: body.name,
        scopes: body.scopes,
        ip_allowlist: networks(&body.allowed_cidrs),
        expires_at: body.expires_at,
    };
    let out = TokenCreated::from(service::create_token(&mut tx, &credentials, &workspace, new).await?);
    http::keep(ctx, &mut tx, key.as_ref(), 201, &out).await?;
    tx.commit().await?;
    Ok(Created(Json(out).into()))
}

/// Which page of which workspace.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ListQuery {
    /// The workspace; left out, the one the credential is bound to, else one's personal one.
    #[garde(length(chars, min = 1, max = 255))]
    workspace_id: Option<String>,
    /// Which page, from 1.
    #[garde(range(min = 1, max = 1_000_000))]
    #[serde(default = "first_page")]
    page: i64,
    /// How many on a page.
    #[garde(range(min = 1, max = 100))]
    #[serde(default = "twenty")]
    page_size: i64,
}

fn first_page() -> i64 {
    1
}

fn twenty() -> i64 {
    20
}

/// A page of tokens.
#[derive(Debug, Serialize, JsonSchema)]
struct TokenList {
    /// The tokens, newest first.
    items: Vec<TokenOut>,
    /// How many there are in all.
    total: i64,
    /// The page.
    page: i64,
    /// Its size.
    page_size: i64,
}

/// Lists one's own tokens in a workspace, newest first, revoked ones included.
#[operation("integration.list_tokens", errors(code::WORKSPACE_NOT_FOUND))]
async fn list(
    user: User,
    State(credentials): State<Credentials>,
    Query(query): Query<ListQuery>,
) -> Result<Json<TokenList>> {
    let mut read = credentials.ctx.db.read().await?;
    let workspace = service::workspace(&mut read, &user, query.workspace_id.as_deref()).await?;
    let (found, total) = service::tokens(&mut read, &workspace, (query.page, query.page_size)).await?;
    let now = credentials.ctx.clock.now();
    Ok(Json(TokenList {
        items: found.into_iter().map(|token| TokenOut::new(token, now)).collect(),
        total,
        page: query.page,
        page_size: query.page_size,
    }))
}

/// What is to change; what is left out stays.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct TokenPatch {
    /// What you call it.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"nightly export")]
    name: Option<String>,
    /// Whether it may be used.
    #[garde(skip)]
    is_active: Option<bool>,
    /// Addresses and networks it may be used from; empty: anywhere.
    #[garde(inner(length(max = 100), inner(custom(is_network))))]
    allowed_cidrs: Option<Vec<String>>,
}

/// Renames, disables or enables a token, or says from where it may be used.
///
/// What was revoked or has expired cannot be changed, nor made active again.
#[operation(
    "integration.update_token",
    errors(code::TOKEN_NOT_FOUND, code::WORKSPACE_NOT_FOUND, code::CREDENTIAL_OVER)
)]
async fn update(
    user: User,
    State(credentials): State<Credentials>,
    Path(id): Path<String>,
    Query(query): Query<WorkspaceQuery>,
    Json(body): Json<TokenPatch>,
) -> Result<Json<TokenOut>> {
    let workspace = workspace(&credentials, &user, &query).await?;
    let change = TokenChange {
        name: body.name,
        is_active: body.is_active,
        ip_allowlist: body.allowed_cidrs.as_deref().map(networks),
    };
    let mut tx = credentials.ctx.db.begin().await?;
    let changed = service::change_token(&mut tx, &credentials, &workspace, &id, change).await?;
    tx.commit().await?;
    Ok(Json(TokenOut::new(changed, credentials.ctx.clock.now())))
}

/// Revokes a token for good; a second later it opens nothing anywhere.
#[operation("integration.revoke_token", errors(code::TOKEN_NOT_FOUND, code::WORKSPACE_NOT_FOUND))]
async fn revoke(
    user: User,
    State(credentials): State<Credentials>,
    Path(id): Path<String>,
    Query(query): Query<WorkspaceQuery>,
) -> Result<Json<Message>> {
    let workspace = workspace(&credentials, &user, &query).await?;
    let mut tx = credentials.ctx.db.begin().await?;
    service::revoke_token(&mut tx, &credentials, &workspace, &id).await?;
    tx.commit().await?;
    Ok(message("Token revoked successfully"))
}

/// How a token is to be replaced.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct RotateIn {
    /// How long the old one goes on, in seconds: at most seven days; left out, a day.
    #[garde(range(min = 0, max = 604_800))]
    #[schemars(example = &3600)]
    overlap_seconds: Option<u32>,
}

/// Replaces a token; the old one goes on for a while.
#[operation(
    "integration.rotate_token",
    status = 201,
    errors(
        code::TOKEN_NOT_FOUND,
        code::WORKSPACE_NOT_FOUND,
        code::CREDENTIAL_OVER,
        code::TOO_MANY_CREDENTIALS
    )
)]
async fn rotate(
    user: User,
    State(credentials): State<Credentials>,
    Path(id): Path<String>,
    Query(query): Query<WorkspaceQuery>,
    body: Idempotency<RotateIn>,
) -> Result<Created<Reply<TokenCreated>>> {
    let (body, key) = body.into_parts();
    let ctx = &credentials.ctx;
    let mut tx = ctx.db.begin().await?;
    if let Some(answer) = http::replay(ctx, &mut tx, key.as_ref()).await? {
        return Ok(Created(answer.into()));
    }
    let workspace = service::kept_workspace(&mut tx, &user, query.workspace_id.as_deref()).await?;
    let overlap = body.overlap_seconds.unwrap_or(credentials.settings.rotation_overlap);
    let overlap = chrono::Duration::seconds(i64::from(overlap));
    let out = TokenCreated::from(service::rotate_token(&mut tx, &credentials, &workspace, &id, overlap).await?);
    http::keep(ctx, &mut tx, key.as_ref(), 201, &out).await?;
    tx.commit().await?;
    Ok(Created(Json(out).into()))
}

/// The scopes of a token.
#[derive(Debug, Serialize, JsonSchema)]
struct TokenScopes {
    /// The token.
    token_id: String,
    /// What it may do.
    scopes: Vec<String>,
}

/// The scopes of one of one's own tokens.
#[operation("integration.token_scopes", errors(code::TOKEN_NOT_FOUND, code::WORKSPACE_NOT_FOUND))]
async fn scopes(
    user: User,
    State(credentials): State<Credentials>,
    Path(id): Path<String>,
    Query(query): Query<WorkspaceQuery>,
) -> Result<Json<TokenScopes>> {
    let mut read = credentials.ctx.db.read().await?;
    let workspace = service::workspace(&mut read, &user, query.workspace_id.as_deref()).await?;
    let found = service::token(&mut read, &workspace, &id).await?;
    Ok(Json(TokenScopes {
        token_id: found.id,
        scopes: found.scopes.0,
    }))
}

/// The token that asks.
#[operation("integration.token_self", errors(code::TOKEN_NOT_FOUND, code::WORKSPACE_NOT_FOUND))]
async fn own(token: Token, State(credentials): State<Credentials>) -> Result<Json<TokenOut>> {
    let mut read = credentials.ctx.db.read().await?;
    let workspace = service::workspace(&mut read, &token, None).await?;
    let mut found = service::token(&mut read, &workspace, &token.id).await?;
    if found.kind == Kind::Token {
        found.scopes.0.retain(|scope| tenancy::carries(workspace.role, scope));
    }
    Ok(Json(TokenOut::new(found, credentials.ctx.clock.now())))
}

pub(super) fn add(routes: Routes<Credentials>) -> Routes<Credentials> {
    routes
        .post("/api/v1/integration/tokens", create())
        .get("/api/v1/integration/tokens", list())
        .get("/api/v1/integration/tokens/self", own())
        .patch("/api/v1/integration/tokens/{id}", update())
        .delete("/api/v1/integration/tokens/{id}", revoke())
        .post("/api/v1/integration/tokens/{id}/rotate", rotate())
        .get("/api/v1/integration/tokens/{id}/scopes", scopes())
}
