//! Administrators: is this token one's, and the first of them.

use garde::Validate;
use polity_kernel::{
    Secret,
    caller::{Caller, Guard, Kind, Public, Require},
    clock,
    http::{ClientIp, Json, Problem, Result, Routes, State, UserAgent},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client;
use crate::auth::{Auth, Error, error::code, service};

/// An administrator's access token.
pub(super) struct IsAdminToken;

impl Require for IsAdminToken {
    const NAME: &'static str = "admin token";
    const MISSING: &'static str = "Missing bearer token";

    fn admit(caller: &Caller) -> Result<(), Problem> {
        if caller.kind != Kind::Admin {
            return Err(Error::InvalidToken("Not an admin token").into());
        }
        if caller.admin_roles.is_empty() {
            return Err(Error::InvalidToken("No admin roles found in token").into());
        }
        Ok(())
    }
}

/// What an administrator's token says.
#[derive(Debug, Serialize, JsonSchema)]
struct AdminVerification {
    /// Always true.
    valid: bool,
    /// Whose.
    user_id: String,
    /// Their address.
    email: Option<String>,
    /// Their name.
    name: Option<String>,
    /// Their platform roles.
    admin_roles: Vec<String>,
    /// `admin`.
    scope: &'static str,
    /// When it ends, RFC 3339.
    expires_at: Option<String>,
}

/// What the administrator's token of the request says.
#[operation("auth.admin_verify", errors(code::INVALID_TOKEN))]
async fn verify(admin: Guard<IsAdminToken>, State(auth): State<Auth>) -> Result<Json<AdminVerification>> {
    let user_id = crate::account::AccountId(admin.id.clone());
    let mut read = auth.ctx.db.read().await?;
    let name = crate::account::claims(&mut read, &user_id)
        .await
        .map_err(Error::from)?
        .map(|account| account.name);
    Ok(Json(AdminVerification {
        valid: true,
        user_id: user_id.0,
        email: admin.email.clone(),
        name,
        admin_roles: admin.admin_roles.clone(),
        scope: "admin",
        expires_at: admin.expires_at.map(clock::rfc3339),
    }))
}

/// Who is to be the first administrator.
#[derive(Deserialize, Validate, JsonSchema)]
struct BootstrapIn {
    /// A person who has registered.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"usr_01a1fb4e7b4b73df93c4746cc8a8b943")]
    user_id: String,
    /// The configured secret.
    #[garde(length(chars, min = 1, max = 1024))]
    bootstrap_secret: String,
}

/// A session of the first administrator.
#[derive(Debug, Serialize, JsonSchema)]
struct BootstrapOut {
    /// Always true.
    success: bool,
    /// The access token.
    access_token: String,
    /// The refresh token.
    refresh_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// How long the access token lives, in seconds.
    expires_in: i64,
    /// Whose.
    user_id: String,
    /// `admin`.
    scope: &'static str,
    /// What it opens.
    permissions: Vec<String>,
}

/// Makes a person the first administrator, with the configured secret.
///
/// Works once, and only while there is no super_admin.
#[operation("auth.admin_bootstrap", errors(code::BOOTSTRAP_CLOSED))]
async fn bootstrap(
    _: Public,
    State(auth): State<Auth>,
    ip: ClientIp,
    agent: UserAgent,
    Json(body): Json<BootstrapIn>,
) -> Result<Json<BootstrapOut>> {
    let secret = Secret::from(body.bootstrap_secret);
    let opened = service::bootstrap(&auth, &body.user_id, &secret, client(ip, agent)).await?;
    Ok(Json(BootstrapOut {
        success: true,
        access_token: opened.access_token,
        refresh_token: opened.refresh_token,
        token_type: "Bearer",
        expires_in: opened.expires_in,
        user_id: opened.claims.sub,
        scope: "admin",
        permissions: opened.claims.permissions,
    }))
}

pub(super) fn add(routes: Routes<Auth>) -> Routes<Auth> {
    routes
        .get("/api/v1/auth/admin/verify", verify())
        .post("/api/v1/auth/admin/bootstrap", bootstrap())
}
