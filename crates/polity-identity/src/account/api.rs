//! What the service answers, from top to bottom: bodies, conversions, handlers, routes.

use chrono::{DateTime, Utc};
use polity_kernel::{
    caller::Caller,
    clock,
    http::{Json, Path, Result, Routes, State, codes},
    operation,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Map;

use super::{
    Account,
    error::code,
    model::{self, AccountId},
    service,
};

/// What a person says about themselves.
#[derive(Debug, Serialize, JsonSchema)]
struct AccountProfile {
    /// The id of the person.
    user_id: AccountId,
    /// The address, in lower case.
    email: String,
    /// The name they go by.
    name: String,
    /// Whether the account may be used.
    is_active: bool,
    /// What they prefer; an open object.
    preferences: Map<String, serde_json::Value>,
    /// When it was created.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
    /// When it was last changed.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    updated_at: DateTime<Utc>,
}

impl From<model::Account> for AccountProfile {
    fn from(account: model::Account) -> Self {
        let model::Account { user_id, email, name, is_active, preferences, created_at, updated_at } = account;
        Self { user_id, email, name, is_active, preferences: preferences.0, created_at, updated_at }
    }
}

/// The profile of an account.
///
/// For the person themselves, administrators and services. An inactive account is not found.
#[operation("account.get_profile", errors(code::ACCOUNT_NOT_FOUND, codes::FORBIDDEN))]
async fn get_profile(
    caller: Caller,
    State(account): State<Account>,
    Path(user_id): Path<AccountId>,
) -> Result<Json<AccountProfile>> {
    let mut read = account.ctx.db.read().await?;
    let found = service::profile(&mut read, &caller, &user_id).await?;
    Ok(Json(found.into()))
}

/// The operations.
pub(super) fn routes() -> Routes<Account> {
    Routes::new("account").get("/api/v1/accounts/profile/{user_id}", get_profile())
}
