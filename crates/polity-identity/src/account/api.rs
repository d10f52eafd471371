//! What the service answers, from top to bottom: bodies, conversions, handlers, routes.

mod admin;
mod directory;
mod lifecycle;

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::{Caller, User},
    clock,
    http::{self, IfMatch, Json, Path, Problem, Result, Routes, State, Tagged, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::{
    Accounts, Error, NewAccount,
    error::code,
    model::{self, AccountId, Preferences},
    service::{self, Change},
};

/// What is needed to make sure that somebody has an account.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct AccountEnsure {
    /// The id that auth assigned.
    #[garde(length(chars, max = 255))]
    #[schemars(example = &"usr_01a1fb4e7b4b73df93c4746cc8a8b943")]
    user_id: String,
    /// Their address.
    #[garde(custom(http::email))]
    #[schemars(example = &"ada@example.com", extend("format" = "email", "maxLength" = 254))]
    email: String,
    /// Their name.
    #[garde(length(chars, max = 100))]
    #[schemars(example = &"Ada Lovelace")]
    name: String,
}

/// What is to change in a profile; what is left out, or null, stays.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct AccountUpdate {
    /// The name they go by.
    #[garde(length(chars, max = 100))]
    #[schemars(example = &"Ada Lovelace")]
    name: Option<String>,
    /// Their address.
    #[garde(inner(custom(http::email)))]
    #[schemars(example = &"ada@example.com", extend("format" = "email", "maxLength" = 254))]
    email: Option<String>,
    /// Preferences to merge; other keys stay.
    #[garde(skip)]
    preferences: Option<Map<String, serde_json::Value>>,
}

/// Preferences to change; what is left out stays.
#[derive(Debug, Serialize, Deserialize, Validate, JsonSchema)]
struct PreferencesIn {
    /// The name of a time zone in the IANA database, such as `Europe/Rome`.
    #[garde(inner(custom(time_zone)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"Europe/Rome")]
    timezone: Option<String>,
    /// A language tag of at most five characters.
    #[garde(length(chars, max = 5))]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"it")]
    language: Option<String>,
    /// Whether to be notified by e-mail.
    #[garde(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    notification_email: Option<bool>,
    /// Whether to be notified by push.
    #[garde(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    notification_push: Option<bool>,
    /// light, dark or auto.
    #[garde(pattern("^(light|dark|auto)$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"dark")]
    theme: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the validator hands its context over by reference"
)]
fn time_zone(name: &str, (): &()) -> garde::Result {
    name.parse::<chrono_tz::Tz>()
        .map(drop)
        .map_err(|_| garde::Error::new("Input should be an IANA time zone name"))
}

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
        let model::Account {
            user_id,
            email,
            name,
            is_active,
            preferences,
            created_at,
            updated_at,
            ..
        } = account;
        Self {
            user_id,
            email,
            name,
            is_active,
            preferences: preferences.0,
            created_at,
            updated_at,
        }
    }
}

fn tagged(account: model::Account) -> Tagged<AccountProfile> {
    Tagged {
        tag: service::version(&account),
        body: account.into(),
    }
}

/// A sentence that says what was done.
#[derive(Debug, Serialize, JsonSchema)]
struct Message {
    /// The sentence.
    message: String,
}

fn message(text: impl Into<String>) -> Json<Message> {
    Json(Message { message: text.into() })
}

/// Makes sure that a person has an account.
///
/// For services, and for the person themselves. An account that is there is answered as it is, untouched.
#[operation("account.ensure", errors(code::EMAIL_TAKEN, codes::BAD_REQUEST, codes::FORBIDDEN))]
async fn ensure(
    caller: Caller,
    State(state): State<Accounts>,
    Json(body): Json<AccountEnsure>,
) -> Result<Json<AccountProfile>> {
    if !caller.is_service() && caller.user_id() != Some(&body.user_id) {
        return Err(Problem::new(
            codes::FORBIDDEN,
            "Only a service, or the person themselves, can do this",
        ));
    }
    let mut tx = state.ctx.db.begin().await?;
    let new = NewAccount {
        user_id: AccountId(body.user_id),
        email: body.email,
        name: body.name,
    };
    let ensured = service::ensure(&mut tx, &state.ctx, new).await?;
    tx.commit().await?;
    Ok(Json(ensured.account.into()))
}

/// The profile of an account.
///
/// For the person themselves, administrators and services. An inactive account is not found. `ETag` is its version.
#[operation("account.get_profile", errors(code::ACCOUNT_NOT_FOUND, codes::FORBIDDEN))]
async fn get_profile(
    caller: Caller,
    State(state): State<Accounts>,
    Path(user_id): Path<AccountId>,
) -> Result<Tagged<AccountProfile>> {
    let mut read = state.ctx.db.read().await?;
    Ok(tagged(service::profile(&mut read, &caller, &user_id).await?))
}

/// Changes a profile.
///
/// Only name, email and preferences can be written; preferences are merged. With `If-Match` the change is refused if
/// somebody else was faster.
#[operation(
    "account.update_profile",
    errors(
        code::ACCOUNT_NOT_FOUND,
        code::EMAIL_TAKEN,
        codes::BAD_REQUEST,
        codes::FORBIDDEN,
        codes::PRECONDITION_FAILED
    )
)]
async fn update_profile(
    caller: Caller,
    State(state): State<Accounts>,
    Path(user_id): Path<AccountId>,
    if_match: IfMatch,
    Json(body): Json<AccountUpdate>,
) -> Result<Tagged<AccountProfile>> {
    let change = Change {
        name: body.name,
        email: body.email,
        preferences: body.preferences,
        if_match: if_match.0,
    };
    let mut tx = state.ctx.db.begin().await?;
    let account = service::update(&mut tx, &state.ctx, &state.settings, &caller, &user_id, change).await?;
    tx.commit().await?;
    Ok(tagged(account))
}

/// What confirms a new address.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct EmailConfirm {
    /// The code that was mailed to the new address.
    #[garde(length(chars, min = 1, max = 16))]
    #[schemars(example = &"479946")]
    code: String,
}

/// Confirms a new address with the code that was mailed to it.
///
/// Needed when `account.confirm_email_changes` is set; until then the old address stays in force.
#[operation(
    "account.confirm_email",
    errors(
        code::ACCOUNT_NOT_FOUND,
        code::EMAIL_TAKEN,
        code::INVALID_CONFIRMATION,
        codes::FORBIDDEN
    )
)]
async fn confirm_email(
    caller: Caller,
    State(state): State<Accounts>,
    Path(user_id): Path<AccountId>,
    Json(body): Json<EmailConfirm>,
) -> Result<Json<AccountProfile>> {
    let mut tx = state.ctx.db.begin().await?;
    let confirmed = service::confirm_email(&mut tx, &state.ctx, &caller, &user_id, &body.code).await?;
    tx.commit().await?;
    match confirmed {
        service::Confirmed::Yes(account) => Ok(Json((*account).into())),
        service::Confirmed::No => Err(Error::InvalidConfirmation.into()),
    }
}

/// Changes preferences.
///
/// Merged with what is there: two changes of different keys at once both survive.
#[operation("account.update_preferences", errors(code::ACCOUNT_NOT_FOUND, codes::FORBIDDEN))]
async fn update_preferences(
    caller: Caller,
    State(state): State<Accounts>,
    Path(user_id): Path<AccountId>,
    Json(body): Json<PreferencesIn>,
) -> Result<Json<Message>> {
    let preferences: Preferences = match serde_json::to_value(&body) {
        Ok(serde_json::Value::Object(preferences)) => preferences,
        _ => Preferences::new(),
    };
    let mut tx = state.ctx.db.begin().await?;
    service::set_preferences(&mut tx, &state.ctx, &state.settings, &caller, &user_id, preferences).await?;
    tx.commit().await?;
    Ok(message("Preferences updated successfully"))
}

/// What assistants should know about a person.
#[derive(Debug, Serialize, JsonSchema)]
struct Instructions {
    /// The text; empty when it was never set.
    instructions: String,
}

/// What assistants should know about a person, to be kept.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct InstructionsIn {
    /// The text, at most 4000 characters.
    #[garde(skip)]
    #[schemars(example = &"Answer briefly.")]
    instructions: String,
}

/// What was kept.
#[derive(Debug, Serialize, JsonSchema)]
struct InstructionsOut {
    /// What was done.
    message: &'static str,
    /// The text.
    instructions: String,
}

/// One's own custom instructions.
#[operation("account.get_instructions", errors(code::ACCOUNT_NOT_FOUND))]
async fn get_instructions(user: User, State(state): State<Accounts>) -> Result<Json<Instructions>> {
    let user_id = AccountId(user.id().to_owned());
    let mut read = state.ctx.db.read().await?;
    let account = service::profile(&mut read, &user, &user_id).await?;
    Ok(Json(Instructions {
        instructions: account.custom_instructions,
    }))
}

/// Keeps one's own custom instructions.
#[operation("account.set_instructions", errors(code::ACCOUNT_NOT_FOUND, codes::BAD_REQUEST))]
async fn set_instructions(
    user: User,
    State(state): State<Accounts>,
    Json(body): Json<InstructionsIn>,
) -> Result<Json<InstructionsOut>> {
    let user_id = AccountId(user.id().to_owned());
    let mut tx = state.ctx.db.begin().await?;
    let account = service::set_instructions(&mut tx, &state.ctx, &user_id, body.instructions).await?;
    tx.commit().await?;
    Ok(Json(InstructionsOut {
        message: "Custom instructions updated",
        instructions: account.custom_instructions,
    }))
}

/// The operations.
pub(super) fn routes() -> Routes<Accounts> {
    let routes = Routes::new("account")
        .post("/api/v1/accounts/ensure", ensure())
        .get("/api/v1/accounts/profile/{user_id}", get_profile())
        .put("/api/v1/accounts/profile/{user_id}", update_profile())
        .post("/api/v1/accounts/profile/{user_id}/email/confirm", confirm_email())
        .put("/api/v1/accounts/preferences/{user_id}", update_preferences())
        .get("/api/v1/users/me/instructions", get_instructions())
        .put("/api/v1/users/me/instructions", set_instructions());
    admin::add(directory::add(lifecycle::add(routes)))
}
