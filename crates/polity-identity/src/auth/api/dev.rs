//! What exists in development alone: these routes are not mounted anywhere else.

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::Public,
    clock,
    http::{self, Json, Path, Problem, Result, Routes, State, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    account,
    auth::{
        Auth,
        guard::AuthAdmin,
        model::{Claims, Metadata, Scope, TokenType},
        service,
        settings::LONGEST_DEV_TOKEN,
    },
};

/// For whom a token is wanted.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct DevTokenIn {
    /// The person.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"usr_01a1fb4e7b4b73df93c4746cc8a8b943")]
    user_id: String,
    /// Their address.
    #[garde(custom(http::email))]
    #[schemars(example = &"ada@example.com", extend("format" = "email", "maxLength" = 254))]
    email: String,
    /// How long it is to live, in seconds.
    #[garde(range(min = 1, max = i64::from(LONGEST_DEV_TOKEN)))]
    #[serde(default = "an_hour")]
    expires_in: i64,
    /// Their plan.
    #[garde(pattern("^(free|basic|pro|enterprise)$"))]
    #[serde(default = "free")]
    subscription_level: String,
    /// The organization to bind it to.
    #[garde(length(chars, max = 255))]
    #[schemars(example = &"org_01a1fb4e7b4b73df93c4746cc8a8b943")]
    organization_id: Option<String>,
    /// Permissions to carry.
    #[garde(length(max = 200), inner(length(chars, max = 200)))]
    #[serde(default)]
    permissions: Vec<String>,
    /// More to carry.
    #[garde(length(max = 50))]
    #[serde(default)]
    metadata: std::collections::BTreeMap<String, serde_json::Value>,
}

fn an_hour() -> i64 {
    3_600
}

fn free() -> String {
    "free".to_owned()
}

/// A token.
#[derive(Debug, Serialize, JsonSchema)]
struct DevTokenOut {
    /// Always true.
    success: bool,
    /// The access token.
    token: String,
    /// How long it lives, in seconds.
    expires_in: i64,
    /// `Bearer`.
    token_type: &'static str,
    /// Whose.
    user_id: String,
    /// Their address.
    email: String,
    /// Who issued it.
    provider: &'static str,
}

/// Issues an access token for anybody, without a session.
#[operation("auth.dev_token", errors(codes::FORBIDDEN))]
async fn dev_token(_: AuthAdmin, State(auth): State<Auth>, Json(body): Json<DevTokenIn>) -> Result<Json<DevTokenOut>> {
    let now = auth.ctx.clock.now().timestamp();
    let mut metadata: Metadata = body.metadata.into_iter().collect();
    metadata.remove("admin_roles");
    metadata.insert("subscription_level".to_owned(), body.subscription_level.into());
    let email = account::fold_email(&body.email);
    let claims = Claims {
        iss: auth.issuer(),
        sub: body.user_id.clone(),
        iat: now,
        exp: now + body.expires_in,
        jti: auth.ctx.ids.jti(),
        kind: TokenType::Access,
        scope: Scope::User,
        sid: None,
        email: Some(email.clone()),
        organization_id: body.organization_id,
        permissions: body.permissions,
        metadata,
        device_id: None,
        device_type: None,
    };
    Ok(Json(DevTokenOut {
        success: true,
        token: auth.sign(&claims)?,
        expires_in: body.expires_in,
        token_type: "Bearer",
        user_id: body.user_id,
        email,
        provider: "polity",
    }))
}

/// A registration that waits.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct PendingOut {
    /// Whether there is one.
    found: bool,
    /// Whether it has ended.
    expired: bool,
    /// The address.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// The code.
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_code: Option<String>,
    /// Until when the code works, RFC 3339.
    expires_at: Option<String>,
    /// Whether it was verified; then there is none any more.
    verified: bool,
}

/// A registration with its code.
#[operation("auth.dev_pending_registration")]
async fn dev_pending(_: Public, State(auth): State<Auth>, Path(id): Path<String>) -> Result<Json<PendingOut>> {
    let Some((pending, code)) = service::dev_look(&auth, &id).await? else {
        return Err(Problem::new(codes::NOT_FOUND, "There is no such registration"));
    };
    let expired = auth.ctx.clock.now() >= pending.expires_at;
    Ok(Json(PendingOut {
        found: true,
        expired,
        email: (!expired).then_some(pending.email),
        verification_code: code.filter(|_| !expired),
        expires_at: Some(clock::rfc3339(pending.expires_at)),
        verified: false,
    }))
}

/// A mail in the development mailbox.
#[derive(Debug, Serialize, JsonSchema)]
struct MailOut {
    /// Its id.
    id: String,
    /// To whom.
    to: String,
    /// About what.
    subject: String,
    /// The text.
    text: String,
    /// When it was sent.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    sent_at: DateTime<Utc>,
}

/// The development mailbox.
#[derive(Debug, Serialize, JsonSchema)]
struct Mailbox {
    /// The newest mails, newest first, at most 50.
    mails: Vec<MailOut>,
}

/// The newest mails of the development mailbox.
#[operation("auth.dev_mailbox")]
async fn dev_mailbox(_: Public, State(auth): State<Auth>) -> Result<Json<Mailbox>> {
    let stored = auth
        .ctx
        .mail
        .list(50)
        .await
        .map_err(|error| Problem::internal(&error))?;
    let mut mails: Vec<MailOut> = stored
        .into_iter()
        .map(|stored| MailOut {
            id: stored.id,
            to: stored.mail.to,
            subject: stored.mail.subject,
            text: stored.mail.text,
            sent_at: stored.sent_at,
        })
        .collect();
    mails.sort_by(|one, other| other.id.cmp(&one.id));
    Ok(Json(Mailbox { mails }))
}

pub(super) fn add(routes: Routes<Auth>) -> Routes<Auth> {
    routes
        .post("/api/v1/auth/dev-token", dev_token())
        .get("/api/v1/auth/dev/pending-registration/{pending_id}", dev_pending())
        .get("/api/v1/auth/dev/mailbox", dev_mailbox())
}
