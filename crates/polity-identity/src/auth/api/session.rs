//! Signing in, going on, signing out.

use axum::body::HttpBody;
use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    Secret,
    caller::{Public, User},
    clock,
    http::{ClientIp, Json, Path, Result, Routes, State, UserAgent, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Done, WithCookie, client, done};
use crate::auth::{
    Auth, Error,
    cookies::Browser,
    error::code,
    model::{Identity, Scope, Session},
    service::{self, Door, Opened},
};

/// Address and password.
#[derive(Deserialize, Validate, JsonSchema)]
struct LoginIn {
    /// The address.
    #[garde(length(chars, min = 1, max = 254))]
    #[schemars(example = &"ada@example.com")]
    email: String,
    /// The password.
    #[garde(length(chars, min = 1, max = 1024))]
    #[schemars(example = &"correct horse battery")]
    password: String,
    /// The organization to sign in to.
    #[garde(length(chars, max = 255))]
    #[schemars(example = &"org_01a1fb4e7b4b73df93c4746cc8a8b943")]
    organization_id: Option<String>,
}

/// A session that was opened.
#[derive(Debug, Serialize, JsonSchema)]
struct LoginOut {
    /// Always true.
    success: bool,
    /// Whose.
    user_id: String,
    /// Their address.
    email: String,
    /// Their name.
    name: String,
    /// An access token.
    access_token: String,
    /// The refresh token, if the settings say so; the cookie has it.
    refresh_token: Option<String>,
    /// `Bearer`.
    token_type: &'static str,
    /// How long the access token lives, in seconds.
    expires_in: i64,
}

/// The answer of a door, with the refresh cookie beside.
fn signed_in(
    auth: &Auth,
    browser: &Browser,
    opened: Opened,
    identity: Identity,
) -> Result<(LoginOut, http::HeaderValue)> {
    let cookie = auth.cookie(browser, &opened.refresh_token, opened.refresh_expires_in)?;
    let out = LoginOut {
        success: true,
        user_id: identity.user_id,
        email: identity.email,
        name: identity.name,
        refresh_token: body_token(auth, &opened),
        access_token: opened.access_token,
        token_type: "Bearer",
        expires_in: opened.expires_in,
    };
    Ok((out, cookie))
}

fn body_token(auth: &Auth, opened: &Opened) -> Option<String> {
    auth.settings
        .return_refresh_token_in_body
        .then(|| opened.refresh_token.clone())
}

/// Signs in with a password.
///
/// The refresh token travels in a cookie. An unknown address and a wrong password answer the same.
#[operation(
    "auth.login",
    errors(
        code::INVALID_CREDENTIALS,
        code::ACCOUNT_DISABLED,
        code::PASSWORD_NOT_SET,
        codes::FORBIDDEN,
        codes::RATE_LIMITED
    )
)]
async fn login(
    _: Public,
    State(auth): State<Auth>,
    ip: ClientIp,
    agent: UserAgent,
    browser: Browser,
    Json(body): Json<LoginIn>,
) -> Result<WithCookie<LoginOut>> {
    let password = Secret::from(body.password);
    let organization = body.organization_id.as_deref().filter(|id| !id.trim().is_empty());
    let (opened, identity) = service::login(
        &auth,
        Door::User,
        &body.email,
        &password,
        organization,
        client(ip, agent),
    )
    .await?;
    let (body, cookie) = signed_in(&auth, &browser, opened, identity)?;
    Ok(WithCookie { body, cookie })
}

/// A session of an administrator.
#[derive(Debug, Serialize, JsonSchema)]
struct AdminLoginOut {
    /// What login answers.
    #[serde(flatten)]
    login: LoginOut,
    /// The platform roles.
    admin_roles: Vec<String>,
}

/// Signs a platform administrator in.
///
/// For people with at least one platform role. The session is shorter, and its token opens the administration.
#[operation(
    "auth.admin_login",
    errors(
        code::INVALID_CREDENTIALS,
        code::ACCOUNT_DISABLED,
        code::NOT_AN_ADMIN,
        codes::RATE_LIMITED
    )
)]
async fn admin_login(
    _: Public,
    State(auth): State<Auth>,
    ip: ClientIp,
    agent: UserAgent,
    browser: Browser,
    Json(body): Json<LoginIn>,
) -> Result<WithCookie<AdminLoginOut>> {
    let password = Secret::from(body.password);
    let (opened, identity) =
        service::login(&auth, Door::Admin, &body.email, &password, None, client(ip, agent)).await?;
    let admin_roles = opened.claims.texts("admin_roles");
    let (login, cookie) = signed_in(&auth, &browser, opened, identity)?;
    Ok(WithCookie {
        body: AdminLoginOut { login, admin_roles },
        cookie,
    })
}

/// A refresh token, if it does not come in the cookie.
#[derive(Default, Deserialize, Validate, JsonSchema)]
struct RefreshIn {
    /// The token.
    #[garde(length(chars, max = 4096))]
    refresh_token: Option<String>,
}

/// A new access token.
#[derive(Debug, Serialize, JsonSchema)]
struct RefreshOut {
    /// Always true.
    success: bool,
    /// The access token.
    access_token: String,
    /// The refresh token, if the settings say so; the cookie has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// `Bearer`.
    token_type: &'static str,
    /// How long it lives, in seconds.
    expires_in: i64,
    /// Who issued it.
    provider: String,
}

/// Exchanges the refresh token, from the cookie or the body, for a new pair.
///
/// A refresh token works once; one that comes back later than a few seconds ends its session. The new one travels in the
/// cookie.
#[operation("auth.refresh", errors(code::INVALID_TOKEN, codes::FORBIDDEN))]
async fn refresh(
    _: Public,
    State(auth): State<Auth>,
    browser: Browser,
    Optional(body): Optional<RefreshIn>,
) -> Result<WithCookie<RefreshOut>> {
    let cookie = browser.refresh_token();
    let in_body = body.refresh_token.filter(|token| !token.is_empty());
    let opened = match (cookie, in_body) {
        (None, None) => return Err(Error::InvalidToken("Missing refresh token").into()),
        (None, Some(token)) => service::refresh(&auth, &token).await?,
        (Some(token), in_body) => {
            auth.check_origin(&browser)?;
            match (service::refresh(&auth, &token).await, in_body) {
                // The cookie wins only if it is valid.
                (Err(Error::InvalidToken(_)), Some(other)) if other != token => service::refresh(&auth, &other).await?,
                (done, _) => done?,
            }
        }
    };
    let cookie = auth.cookie(&browser, &opened.refresh_token, opened.refresh_expires_in)?;
    let body = RefreshOut {
        success: true,
        refresh_token: body_token(&auth, &opened),
        access_token: opened.access_token,
        token_type: "Bearer",
        expires_in: opened.expires_in,
        provider: opened.provider,
    };
    Ok(WithCookie { body, cookie })
}

/// Signs out: the session ends, and the cookie is cleared.
///
/// By the refresh cookie, a refresh token in the body, or the access token. Without any there is nothing to do.
#[operation("auth.logout", errors(codes::FORBIDDEN))]
async fn logout(
    _: Public,
    State(auth): State<Auth>,
    browser: Browser,
    Optional(body): Optional<RefreshIn>,
) -> Result<WithCookie<Done>> {
    let cookie = browser.refresh_token();
    if cookie.is_some() {
        auth.check_origin(&browser)?;
    }
    let claims = match browser.bearer() {
        Some(token) => auth.verify(token).await?.ok(),
        None => None,
    };
    let refresh = cookie.or(body.refresh_token);
    service::log_out(&auth, refresh.as_deref(), claims.as_ref()).await?;
    let cookie = auth.cookie(&browser, "", 0)?;
    Ok(WithCookie {
        body: Done {
            success: true,
            message: "Signed out",
        },
        cookie,
    })
}

/// A session.
#[derive(Debug, Serialize, JsonSchema)]
struct SessionOut {
    /// Its id.
    session_id: String,
    /// Whether it is the one that asks.
    current: bool,
    /// What it is for.
    scope: Scope,
    /// Where it was opened from.
    ip_address: String,
    /// With what.
    user_agent: String,
    /// When it was opened.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
    /// When it was last carried on.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    last_activity: DateTime<Utc>,
    /// When it ends if it is not carried on.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    expires_at: DateTime<Utc>,
}

impl SessionOut {
    fn new(session: Session, current: Option<&str>) -> Self {
        let Session {
            id,
            scope,
            ip,
            user_agent,
            created_at,
            last_activity,
            expires_at,
            ..
        } = session;
        let current = current == Some(id.as_str());
        Self {
            session_id: id,
            current,
            scope,
            ip_address: ip,
            user_agent,
            created_at,
            last_activity,
            expires_at,
        }
    }
}

/// One's own live sessions.
#[derive(Debug, Serialize, JsonSchema)]
struct Sessions {
    /// Newest first, at most 200.
    sessions: Vec<SessionOut>,
    /// How many.
    total: usize,
}

/// One's own live sessions, newest first.
#[operation("auth.list_sessions")]
async fn list_sessions(user: User, State(auth): State<Auth>) -> Result<Json<Sessions>> {
    let current = user.session_id.clone();
    let sessions = service::list_sessions(&auth, user.id()).await?;
    let sessions: Vec<SessionOut> = sessions
        .into_iter()
        .map(|one| SessionOut::new(one, current.as_deref()))
        .collect();
    Ok(Json(Sessions {
        total: sessions.len(),
        sessions,
    }))
}

/// Ends all of one's own sessions, this one too.
#[operation("auth.end_sessions")]
async fn end_sessions(user: User, State(auth): State<Auth>) -> Result<Json<Done>> {
    service::log_out_everywhere(&auth, user.id()).await?;
    Ok(done("Signed out everywhere"))
}

/// Ends one of one's own sessions.
#[operation("auth.end_session", errors(code::SESSION_NOT_FOUND))]
async fn end_session(user: User, State(auth): State<Auth>, Path(session_id): Path<String>) -> Result<Json<Done>> {
    service::end_session(&auth, user.id(), &session_id).await?;
    Ok(done("Session ended"))
}

/// A JSON body that may be missing.
struct Optional<T>(T);

impl<S, T> axum::extract::FromRequest<S> for Optional<T>
where
    S: Send + Sync,
    T: Default + serde::de::DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = polity_kernel::http::Problem;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Self::Rejection> {
        // Not by its length, which HTTP/2 need not tell.
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        let Json(body) = Json::<T>::from_request(request, state).await?;
        Ok(Self(body))
    }
}

impl<T: JsonSchema> aide::OperationInput for Optional<T> {
    fn operation_input(ctx: &mut aide::generate::GenContext, operation: &mut aide::openapi::Operation) {
        <Json<T> as aide::OperationInput>::operation_input(ctx, operation);
        if let Some(aide::openapi::ReferenceOr::Item(body)) = &mut operation.request_body {
            body.required = false;
        }
    }
}

pub(super) fn add(routes: Routes<Auth>) -> Routes<Auth> {
    routes
        .post("/api/v1/auth/login", login())
        .post("/api/v1/auth/admin/login", admin_login())
        .post("/api/v1/auth/refresh", refresh())
        .post("/api/v1/auth/logout", logout())
        .get("/api/v1/auth/sessions", list_sessions())
        .delete("/api/v1/auth/sessions", end_sessions())
        .delete("/api/v1/auth/sessions/{session_id}", end_session())
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, extract::FromRequest};

    use super::*;

    #[tokio::test]
    async fn a_body_counts_without_a_length_too() {
        let request = |body| {
            let json = http::Request::post("/").header("content-type", "application/json");
            Optional::<RefreshIn>::from_request(json.body(body).unwrap(), &())
        };
        let Ok(Optional(body)) = request(Body::from(r#"{"refresh_token": "x"}"#)).await else {
            panic!("it is a body");
        };
        assert_eq!(body.refresh_token.as_deref(), Some("x"));
        let Ok(Optional(body)) = request(Body::empty()).await else {
            panic!("it may be missing");
        };
        assert_eq!(body.refresh_token, None);
    }
}
