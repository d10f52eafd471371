//! Claims, status, deletion, export and erasure.

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::{AdminOrService, Caller},
    clock,
    http::{ClientIp, Json, Path, Query, Result, Routes, State, UserAgent, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Message, message};
use crate::account::{
    Accounts, Error,
    error::code,
    model::{AccountId, AdminRole, Status, StatusChange},
    service::{self, Actor},
};

/// What other services ask of an account.
#[derive(Debug, Serialize, JsonSchema)]
struct AccountClaims {
    /// The id of the person.
    user_id: AccountId,
    /// Their name.
    name: String,
    /// Whether the account may be used.
    is_active: bool,
    /// What moderation says.
    account_status: Status,
    /// Their platform roles.
    admin_roles: Vec<AdminRole>,
}

/// What other services ask of an account, inactive ones included.
#[operation("account.claims", errors(code::ACCOUNT_NOT_FOUND, codes::FORBIDDEN))]
async fn claims(
    caller: Caller,
    State(state): State<Accounts>,
    Path(user_id): Path<AccountId>,
) -> Result<Json<AccountClaims>> {
    service::check_self(&caller, &user_id)?;
    let mut read = state.ctx.db.read().await?;
    let account = service::claims(&mut read, &user_id)
        .await?
        .ok_or_else(|| Error::NotFound(user_id.0.clone()))?;
    Ok(Json(AccountClaims {
        user_id: account.user_id,
        name: account.name,
        is_active: account.is_active,
        account_status: account.status,
        admin_roles: account.admin_roles.0,
    }))
}

/// Why.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ReasonQuery {
    /// A sentence for the record.
    #[garde(length(chars, max = 255))]
    #[schemars(example = &"asked by mail")]
    reason: Option<String>,
}

/// Deletes an account.
///
/// Softly: the data and the address are kept until they are erased. Deleting what is not there succeeds.
#[operation("account.delete_profile", errors(code::LAST_SUPER_ADMIN, codes::FORBIDDEN))]
async fn delete_profile(
    caller: Caller,
    State(state): State<Accounts>,
    Path(user_id): Path<AccountId>,
    Query(query): Query<ReasonQuery>,
) -> Result<Json<Message>> {
    let mut tx = state.ctx.db.begin().await?;
    service::delete(&mut tx, &state.ctx, &caller, &user_id, query.reason).await?;
    tx.commit().await?;
    Ok(message("Account deleted successfully"))
}

/// Whether an account may be used.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct StatusIn {
    /// Whether.
    #[garde(skip)]
    is_active: bool,
    /// Why.
    #[garde(length(chars, max = 255))]
    #[schemars(example = &"asked by mail")]
    reason: Option<String>,
}

/// Activates or deactivates an account.
///
/// Repeating the current state succeeds. Deactivating ends the person's sessions.
#[operation(
    "account.set_status",
    errors(code::ACCOUNT_NOT_FOUND, code::LAST_SUPER_ADMIN, codes::FORBIDDEN)
)]
async fn set_status(
    caller: AdminOrService,
    State(state): State<Accounts>,
    ip: ClientIp,
    agent: UserAgent,
    Path(user_id): Path<AccountId>,
    Json(body): Json<StatusIn>,
) -> Result<Json<Message>> {
    let actor = Actor {
        caller: caller.caller().clone(),
        ip: ip.0.to_string(),
        user_agent: agent.0,
    };
    let mut tx = state.ctx.db.begin().await?;
    service::set_active(&mut tx, &state.ctx, &actor, &user_id, body.is_active, body.reason).await?;
    tx.commit().await?;
    Ok(message(if body.is_active {
        "Account activated successfully"
    } else {
        "Account deactivated successfully"
    }))
}

/// A change of status.
#[derive(Debug, Serialize, JsonSchema)]
struct StatusChangeOut {
    /// Whether the account could be used from then on.
    is_active: bool,
    /// What moderation said.
    status: Status,
    /// Why.
    reason: Option<String>,
    /// Who changed it.
    changed_by: String,
    /// When.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    changed_at: DateTime<Utc>,
}

impl From<StatusChange> for StatusChangeOut {
    fn from(change: StatusChange) -> Self {
        let StatusChange {
            is_active,
            status,
            reason,
            changed_by,
            changed_at,
            ..
        } = change;
        Self {
            is_active,
            status,
            reason,
            changed_by,
            changed_at,
        }
    }
}

/// The changes of an account's status, newest first, at most 200.
#[operation("account.status_history", errors(code::ACCOUNT_NOT_FOUND, codes::FORBIDDEN))]
async fn status_history(
    _: AdminOrService,
    State(state): State<Accounts>,
    Path(user_id): Path<AccountId>,
) -> Result<Json<Vec<StatusChangeOut>>> {
    let mut read = state.ctx.db.read().await?;
    let changes = service::history(&mut read, &user_id).await?;
    Ok(Json(changes.into_iter().map(StatusChangeOut::from).collect()))
}

/// Everything this service holds about a person.
#[operation("account.export", errors(code::ACCOUNT_NOT_FOUND, codes::FORBIDDEN))]
async fn export(
    caller: Caller,
    State(state): State<Accounts>,
    Path(user_id): Path<AccountId>,
) -> Result<Json<serde_json::Value>> {
    let mut read = state.ctx.db.read().await?;
    Ok(Json(service::export(&mut read, &caller, &user_id).await?))
}

/// When personal data will be erased.
#[derive(Debug, Serialize, JsonSchema)]
struct Erasure {
    /// What was done.
    message: &'static str,
    /// When; until then an administrator can restore the account.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    erase_at: DateTime<Utc>,
}

/// Deletes an account now, and erases its personal data after the grace period.
#[operation(
    "account.erase",
    errors(code::ACCOUNT_NOT_FOUND, code::LAST_SUPER_ADMIN, codes::FORBIDDEN)
)]
async fn erase(caller: Caller, State(state): State<Accounts>, Path(user_id): Path<AccountId>) -> Result<Json<Erasure>> {
    let mut tx = state.ctx.db.begin().await?;
    let erase_at = service::schedule_erasure(&mut tx, &state.ctx, &state.settings, &caller, &user_id).await?;
    tx.commit().await?;
    Ok(Json(Erasure {
        message: "Account deleted; its data will be erased",
        erase_at,
    }))
}

pub(super) fn add(routes: Routes<Accounts>) -> Routes<Accounts> {
    routes
        .get("/api/v1/accounts/claims/{user_id}", claims())
        .delete("/api/v1/accounts/profile/{user_id}", delete_profile())
        .put("/api/v1/accounts/status/{user_id}", set_status())
        .get("/api/v1/accounts/status-history/{user_id}", status_history())
        .get("/api/v1/accounts/export/{user_id}", export())
        .post("/api/v1/accounts/erase/{user_id}", erase())
}
