//! The catalogue of scopes.

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::{AdminOrService, Caller},
    clock,
    http::{Created, Json, Path, Result, Routes, State, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Message, message};
use crate::credential::{
    Credentials,
    error::code,
    service::{self, NewScope, ScopeChange},
    store::scopes::Scope,
};

/// A scope.
#[derive(Debug, Serialize, JsonSchema)]
struct ScopeOut {
    /// Its name, `verb:resource`.
    scope_name: String,
    /// What it is for.
    description: Option<String>,
    /// On what.
    resource_type: String,
    /// read, write, delete or admin.
    permission_type: String,
    /// Whether a token gets it whose maker says nothing.
    is_default: bool,
    /// Whether it is given to nobody any more.
    is_deprecated: bool,
    /// When it was added; null if it was there from the beginning.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    created_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    updated_at: Option<DateTime<Utc>>,
}

impl From<Scope> for ScopeOut {
    fn from(scope: Scope) -> Self {
        let Scope {
            name,
            description,
            resource_type,
            permission_type,
            is_default,
            is_deprecated,
            created_at,
            updated_at,
        } = scope;
        Self {
            scope_name: name,
            description,
            resource_type,
            permission_type,
            is_default,
            is_deprecated,
            created_at,
            updated_at,
        }
    }
}

/// Scopes.
#[derive(Debug, Serialize, JsonSchema)]
struct ScopeList {
    /// The scopes, by name.
    items: Vec<ScopeOut>,
    /// How many.
    total: usize,
}

async fn answer(credentials: &Credentials, deprecated: bool) -> Result<Json<ScopeList>> {
    let mut read = credentials.ctx.db.read().await?;
    let found = service::scopes(&mut read, deprecated).await?;
    Ok(Json(ScopeList {
        total: found.len(),
        items: found.into_iter().map(ScopeOut::from).collect(),
    }))
}

/// The scopes that can be given to a token.
#[operation("integration.list_scopes")]
async fn list(_: Caller, State(credentials): State<Credentials>) -> Result<Json<ScopeList>> {
    answer(&credentials, false).await
}

/// All scopes, deprecated ones included.
#[operation("integration.admin_list_scopes", errors(codes::FORBIDDEN))]
async fn admin_list(_: AdminOrService, State(credentials): State<Credentials>) -> Result<Json<ScopeList>> {
    answer(&credentials, true).await
}

/// One scope.
#[operation("integration.admin_get_scope", errors(code::SCOPE_NOT_FOUND, codes::FORBIDDEN))]
async fn get(
    _: AdminOrService,
    State(credentials): State<Credentials>,
    Path(name): Path<String>,
) -> Result<Json<ScopeOut>> {
    let mut read = credentials.ctx.db.read().await?;
    Ok(Json(service::scope(&mut read, &name).await?.into()))
}

/// A scope to add.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ScopeIn {
    /// read, write, delete or admin, a colon, and what it is about, in the plural.
    #[garde(pattern("^(read|write|delete|admin):[a-z][a-z0-9_]{0,48}$"))]
    #[schemars(example = &"read:invoices", extend("pattern" = "^(read|write|delete|admin):[a-z][a-z0-9_]{0,48}$"))]
    scope_name: String,
    /// What it is for.
    #[garde(length(chars, max = 500))]
    #[schemars(example = &"See invoices")]
    description: Option<String>,
    /// Whether a token gets it whose maker says nothing.
    #[garde(skip)]
    #[serde(default)]
    is_default: bool,
}

/// Adds a scope.
#[operation(
    "integration.admin_add_scope",
    status = 201,
    errors(code::SCOPE_EXISTS, codes::FORBIDDEN)
)]
async fn add_scope(
    _: AdminOrService,
    State(credentials): State<Credentials>,
    Json(body): Json<ScopeIn>,
) -> Result<Created<Json<ScopeOut>>> {
    let new = NewScope {
        scope_name: body.scope_name,
        description: body.description,
        is_default: body.is_default,
    };
    let mut tx = credentials.ctx.db.begin().await?;
    let added = service::add_scope(&mut tx, &credentials, new).await?;
    tx.commit().await?;
    Ok(Created(Json(added.into())))
}

/// What is to change; what is left out stays.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ScopePatch {
    /// What it is for.
    #[garde(length(chars, max = 500))]
    #[schemars(example = &"See invoices")]
    description: Option<String>,
    /// Whether a token gets it whose maker says nothing.
    #[garde(skip)]
    is_default: Option<bool>,
    /// Whether it is given to nobody any more.
    #[garde(skip)]
    is_deprecated: Option<bool>,
}

async fn change(credentials: &Credentials, name: &str, change: ScopeChange) -> Result<ScopeOut> {
    let mut tx = credentials.ctx.db.begin().await?;
    let changed = service::change_scope(&mut tx, credentials, name, change).await?;
    tx.commit().await?;
    Ok(changed.into())
}

/// Changes a scope.
#[operation("integration.admin_update_scope", errors(code::SCOPE_NOT_FOUND, codes::FORBIDDEN))]
async fn update(
    _: AdminOrService,
    State(credentials): State<Credentials>,
    Path(name): Path<String>,
    Json(body): Json<ScopePatch>,
) -> Result<Json<ScopeOut>> {
    let wanted = ScopeChange {
        description: body.description,
        is_default: body.is_default,
        is_deprecated: body.is_deprecated,
    };
    Ok(Json(change(&credentials, &name, wanted).await?))
}

/// Gives a scope to nobody any more; tokens that have it keep it.
#[operation("integration.admin_deprecate_scope", errors(code::SCOPE_NOT_FOUND, codes::FORBIDDEN))]
async fn deprecate(
    _: AdminOrService,
    State(credentials): State<Credentials>,
    Path(name): Path<String>,
) -> Result<Json<Message>> {
    let wanted = ScopeChange {
        description: None,
        is_default: None,
        is_deprecated: Some(true),
    };
    change(&credentials, &name, wanted).await?;
    Ok(message("Scope deprecated"))
}

pub(super) fn add(routes: Routes<Credentials>) -> Routes<Credentials> {
    routes
        .get("/api/v1/integration/tokens/scopes", list())
        .get("/api/v1/integration/admin/scopes", admin_list())
        .post("/api/v1/integration/admin/scopes", add_scope())
        .get("/api/v1/integration/admin/scopes/{name}", get())
        .patch("/api/v1/integration/admin/scopes/{name}", update())
        .delete("/api/v1/integration/admin/scopes/{name}", deprecate())
}
