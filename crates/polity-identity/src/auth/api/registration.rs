//! Registration.

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    Secret,
    caller::Public,
    clock,
    http::{self, ClientIp, Json, Result, Routes, State, UserAgent},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client;
use crate::auth::{
    Auth, Error,
    error::code,
    service::{self, Registered, Verified},
};

/// Who wants to register.
#[derive(Deserialize, Validate, JsonSchema)]
struct RegisterIn {
    /// Their address.
    #[garde(custom(http::email))]
    #[schemars(example = &"ada@example.com", extend("format" = "email", "maxLength" = 254))]
    email: String,
    /// A password of 8 to 1024 characters.
    #[garde(length(chars, min = 8, max = 1024))]
    #[schemars(example = &"correct horse battery")]
    password: String,
    /// Their name.
    #[garde(length(chars, max = 100))]
    #[schemars(example = &"Ada Lovelace")]
    name: Option<String>,
}

/// A registration that waits for its code.
#[derive(Debug, Serialize, JsonSchema)]
struct RegisterOut {
    /// What the code has to be sent with.
    pending_registration_id: String,
    /// Always true.
    verification_required: bool,
    /// Until when the code works.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    expires_at: DateTime<Utc>,
}

impl From<Registered> for RegisterOut {
    fn from(registered: Registered) -> Self {
        let Registered { id, expires_at } = registered;
        Self {
            pending_registration_id: id,
            verification_required: true,
            expires_at,
        }
    }
}

/// Begins a registration: a code is mailed to the address.
///
/// The answer is the same whether or not the address is known; its owner is told.
#[operation("auth.register")]
async fn register(_: Public, State(auth): State<Auth>, Json(body): Json<RegisterIn>) -> Result<Json<RegisterOut>> {
    let password = Secret::from(body.password);
    let registered = service::register(&auth, &body.email, &password, body.name.as_deref()).await?;
    Ok(Json(registered.into()))
}

/// Which registration needs a new code.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ResendIn {
    /// The registration.
    #[garde(length(chars, max = 64))]
    #[schemars(example = &"01a1fb4e79fa711a8bef3ec1c3d40c2b")]
    pending_registration_id: String,
}

/// Mails a new code; the old one stops working. At most three times.
#[operation("auth.register_resend", errors(code::REGISTRATION_ENDED))]
async fn resend(_: Public, State(auth): State<Auth>, Json(body): Json<ResendIn>) -> Result<Json<RegisterOut>> {
    Ok(Json(
        service::resend(&auth, &body.pending_registration_id).await?.into(),
    ))
}

/// The code of a registration.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct VerifyIn {
    /// The registration.
    #[garde(length(chars, max = 64))]
    #[schemars(example = &"01a1fb4e79fa711a8bef3ec1c3d40c2b")]
    pending_registration_id: String,
    /// The six digits.
    #[garde(length(chars, max = 32))]
    #[schemars(example = &"479946")]
    code: String,
}

/// What came of it. Failures are answered with 200 too, and say which in `error`.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct VerifyOut {
    /// Whether the person is registered, and signed in.
    success: bool,
    /// Their id.
    user_id: Option<String>,
    /// Their address.
    email: Option<String>,
    /// An access token.
    access_token: Option<String>,
    /// A refresh token.
    refresh_token: Option<String>,
    /// `Bearer`.
    token_type: Option<&'static str>,
    /// How long the access token lives, in seconds.
    expires_in: Option<i64>,
    /// Why not.
    error: Option<&'static str>,
}

/// Ends a registration with its code, and signs in.
///
/// Five wrong codes end it. Failures are answered with 200 and `success: false`.
#[operation("auth.verify")]
async fn verify(
    _: Public,
    State(auth): State<Auth>,
    ip: ClientIp,
    agent: UserAgent,
    Json(body): Json<VerifyIn>,
) -> Result<Json<VerifyOut>> {
    let verified = service::verify(&auth, &body.pending_registration_id, &body.code, client(ip, agent)).await;
    let opened = match verified {
        Ok(Verified::Yes(opened)) => opened,
        Ok(Verified::No(error)) => {
            return Ok(Json(VerifyOut {
                error: Some(error),
                ..VerifyOut::default()
            }));
        }
        // EC-015: account is away; nothing was kept, and the code still works.
        Err(Error::Account(error)) => {
            tracing::error!(error = %error, "an account could not be made for a registration");
            return Ok(Json(VerifyOut {
                error: Some("Account creation failed"),
                ..VerifyOut::default()
            }));
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Json(VerifyOut {
        success: true,
        user_id: Some(opened.claims.sub),
        email: opened.claims.email,
        access_token: Some(opened.access_token),
        refresh_token: Some(opened.refresh_token),
        token_type: Some("Bearer"),
        expires_in: Some(opened.expires_in),
        error: None,
    }))
}

pub(super) fn add(routes: Routes<Auth>) -> Routes<Auth> {
    routes
        .post("/api/v1/auth/register", register())
        .post("/api/v1/auth/register/resend", resend())
        .post("/api/v1/auth/verify", verify())
}
