//! Tokens: verified for others, explained, and issued on the word of an administrator or a service.

use chrono::DateTime;
use garde::Validate;
use polity_kernel::{
    caller::Public,
    clock,
    http::{self, ClientIp, Idempotency, Json, Reply, Result, Routes, State, UserAgent, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client;
use crate::{
    account::{self, AccountId},
    auth::{
        Auth, Error,
        error::code,
        guard::AuthAdmin,
        model::{Claims, Metadata, Scope, TokenType},
        service::{self, Opening},
        tokens::Refused,
    },
    organization,
};

/// A token to verify.
#[derive(Deserialize, Validate, JsonSchema)]
struct VerifyTokenIn {
    /// The token.
    #[garde(length(chars, max = 65_536))]
    token: String,
    /// Who issued it: auth0, isa_user, local or polity; left out, the token says.
    #[garde(length(chars, max = 64))]
    provider: Option<String>,
}

/// What a token proves.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct TokenVerification {
    /// Whether it proves anything.
    valid: bool,
    /// Who issued it.
    provider: Option<String>,
    /// Whose it is.
    user_id: Option<String>,
    /// Their address.
    email: Option<String>,
    /// `admin`, or nothing.
    role: Option<&'static str>,
    /// Permissions, opaque here.
    permissions: Vec<String>,
    /// Read, write and admin for administrators; else nothing.
    scopes: Option<Vec<&'static str>>,
    /// Their plan.
    subscription_level: Option<String>,
    /// The organization it is bound to.
    organization_id: Option<String>,
    /// When it ends, RFC 3339.
    expires_at: Option<String>,
    /// Why it proves nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl TokenVerification {
    fn refused(error: impl Into<String>) -> Self {
        Self {
            error: Some(error.into()),
            ..Self::default()
        }
    }

    fn of(claims: Claims) -> Self {
        let admin = claims.scope == Scope::Admin;
        Self {
            valid: true,
            provider: Some("polity".to_owned()),
            role: admin.then_some("admin"),
            scopes: admin.then(|| vec!["read", "write", "admin"]),
            subscription_level: claims.text("subscription_level").map(str::to_owned),
            expires_at: DateTime::from_timestamp(claims.exp, 0).map(clock::rfc3339),
            user_id: Some(claims.sub),
            email: claims.email,
            permissions: claims.permissions,
            organization_id: claims.organization_id,
            error: None,
        }
    }
}

/// Verifies an access token.
///
/// Always 200: `valid` says whether the token proves anything, `error` why not. Refresh and device tokens prove nothing here,
/// and neither does a token while nobody can tell whether it was revoked.
#[operation("auth.verify_token")]
async fn verify_token(_: Public, State(auth): State<Auth>, Json(body): Json<VerifyTokenIn>) -> Json<TokenVerification> {
    if let Some(provider) = &body.provider
        && !["polity", "isa_user", "local"].contains(&provider.as_str())
    {
        return Json(TokenVerification::refused(format!("Unsupported provider: {provider}")));
    }
    let verification = match auth.verify(&body.token).await {
        Ok(Ok(claims)) if claims.kind != TokenType::Access => TokenVerification::refused(Refused::Type.text()),
        Ok(Ok(claims)) => TokenVerification::of(claims),
        Ok(Err(refused)) => TokenVerification::refused(refused.text()),
        Err(error) => {
            tracing::error!(error = %error, "a token could not be verified");
            TokenVerification::refused("The token cannot be verified now; try again")
        }
    };
    Json(verification)
}

/// A token to explain.
#[derive(Deserialize, Validate, JsonSchema)]
struct UserInfoIn {
    /// The token.
    #[garde(length(chars, max = 65_536))]
    token: String,
}

/// Whom a token belongs to.
#[derive(Debug, Serialize, JsonSchema)]
struct UserInfo {
    /// The person.
    sub: String,
    /// The person.
    user_id: String,
    /// Their address.
    email: Option<String>,
    /// What they like to be called by.
    preferred_username: String,
    /// Their name.
    name: Option<String>,
    /// Whether their account may be used; null if nobody knows.
    account_active: Option<bool>,
    /// Whether they have no account.
    account_missing: bool,
    /// The organization.
    organization_id: Option<String>,
    /// The same.
    tenant_id: Option<String>,
    /// Their role in it.
    org_role: Option<String>,
    /// All their roles.
    roles: Vec<String>,
    /// Their platform roles.
    admin_roles: Vec<String>,
    /// Their permissions in the organization.
    organization_permissions: Vec<String>,
    /// All their permissions.
    permissions: Vec<String>,
    /// Who issued the token.
    provider: String,
    /// When it ends, RFC 3339.
    expires_at: Option<String>,
}

/// Whom a token belongs to. The token in the body is the credential.
#[operation("auth.user_info", errors(code::INVALID_TOKEN))]
async fn user_info(_: Public, State(auth): State<Auth>, Json(body): Json<UserInfoIn>) -> Result<Json<UserInfo>> {
    let claims = auth
        .verify(&body.token)
        .await?
        .map_err(|refused| Error::InvalidToken(refused.text()))?;
    if claims.kind != TokenType::Access {
        return Err(Error::InvalidToken(Refused::Type.text()).into());
    }
    // An account that cannot be read now leaves `account_active` open; that is an answer too.
    let account = match auth.ctx.db.read().await {
        Ok(mut read) => account::claims(&mut read, &AccountId(claims.sub.clone())).await,
        Err(error) => Err(error.into()),
    };
    let mut info = compose(claims, account);
    if let Some(id) = &info.organization_id
        && let Some(member) = member(&auth, id, &info.user_id).await
    {
        info.roles.push(member.role.as_str().to_owned());
        info.org_role = Some(member.role.as_str().to_owned());
        let new = member
            .permissions
            .0
            .iter()
            .filter(|one| !info.permissions.contains(one));
        let new: Vec<String> = new.cloned().collect();
        info.permissions.extend(new);
        info.organization_permissions = member.permissions.0;
    }
    Ok(Json(info))
}

/// What somebody is in the organization of their token. That nobody can tell now is an answer too: nothing.
async fn member(auth: &Auth, organization_id: &str, user_id: &str) -> Option<organization::Membership> {
    let mut read = auth.ctx.db.read().await.ok()?;
    organization::membership(&mut read, organization_id, user_id)
        .await
        .ok()?
}

fn compose(claims: Claims, account: Result<Option<account::Account>, account::Error>) -> UserInfo {
    let (active, missing, name) = match account {
        Ok(Some(account)) => (Some(account.is_active), false, Some(account.name)),
        Ok(None) => (None, true, None),
        Err(_) => (None, false, None),
    };
    let admin_roles = claims.texts("admin_roles");
    let mut roles = claims.texts("roles");
    let is_admin =
        claims.scope == Scope::Admin || !admin_roles.is_empty() || claims.permissions.iter().any(|p| p == "auth.admin");
    if is_admin && !roles.iter().any(|role| role == "admin") {
        roles.push("admin".to_owned());
    }
    let local_part = claims.email.as_deref().and_then(|email| email.split('@').next());
    let preferred = claims
        .text("preferred_username")
        .or(claims.text("username"))
        .or(local_part)
        .unwrap_or(&claims.sub);
    let organization_id = claims
        .organization_id
        .as_deref()
        .or(claims.text("org_id"))
        .or(claims.text("tenant_id"));
    let organization_id = organization_id.map(str::to_owned);
    UserInfo {
        preferred_username: preferred.to_owned(),
        name: name.or_else(|| claims.text("name").map(str::to_owned)),
        account_active: active,
        account_missing: missing,
        tenant_id: organization_id.clone(),
        organization_id,
        org_role: None,
        roles,
        admin_roles,
        organization_permissions: Vec::new(),
        provider: "polity".to_owned(),
        expires_at: DateTime::from_timestamp(claims.exp, 0).map(clock::rfc3339),
        sub: claims.sub.clone(),
        user_id: claims.sub,
        email: claims.email,
        permissions: claims.permissions,
    }
}

/// For whom a pair of tokens is wanted.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct TokenPairIn {
    /// The person.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"usr_01a1fb4e7b4b73df93c4746cc8a8b943")]
    user_id: String,
    /// Their address.
    #[garde(custom(http::email))]
    #[schemars(example = &"ada@example.com", extend("format" = "email", "maxLength" = 254))]
    email: String,
    /// The organization to bind the tokens to.
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

/// A pair of tokens.
#[derive(Debug, Serialize, JsonSchema)]
struct TokenPairOut {
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
    /// Their address.
    email: String,
    /// Who issued it.
    provider: String,
}

/// Issues a pair of tokens for a person.
///
/// For services and administrators. It opens a session like signing in does. Nobody gets one for a person whose account is
/// disabled, and only services and super_admins for an administrator.
#[operation("auth.token_pair", errors(codes::FORBIDDEN))]
async fn token_pair(
    caller: AuthAdmin,
    State(auth): State<Auth>,
    ip: ClientIp,
    agent: UserAgent,
    body: Idempotency<TokenPairIn>,
) -> Result<Reply<TokenPairOut>> {
    let (body, key) = body.into_parts();
    let mut metadata: Metadata = body.metadata.into_iter().collect();
    // What makes an administrator is decided by account, not by whoever asks for a token.
    metadata.remove("admin_roles");
    metadata.insert("issued_by".to_owned(), caller.label().into());
    let opening = Opening {
        user_id: &body.user_id,
        email: &account::fold_email(&body.email),
        scope: Scope::User,
        organization_id: body.organization_id,
        permissions: body.permissions,
        metadata,
        client: client(ip, agent),
    };
    let mut tx = auth.ctx.db.begin().await?;
    if let Some(answer) = http::replay(&auth.ctx, &mut tx, key.as_ref()).await? {
        return Ok(answer.into());
    }
    let opened = service::mint(&mut tx, &auth, &caller, opening).await?;
    let out = TokenPairOut {
        success: true,
        access_token: opened.access_token,
        refresh_token: opened.refresh_token,
        token_type: "Bearer",
        expires_in: opened.expires_in,
        user_id: opened.claims.sub,
        email: opened.claims.email.unwrap_or_default(),
        provider: opened.provider,
    };
    http::keep(&auth.ctx, &mut tx, key.as_ref(), 200, &out).await?;
    tx.commit().await?;
    Ok(Json(out).into())
}

pub(super) fn add(routes: Routes<Auth>) -> Routes<Auth> {
    routes
        .post("/api/v1/auth/verify-token", verify_token())
        .post("/api/v1/auth/user-info", user_info())
        .post("/api/v1/auth/token-pair", token_pair())
}
