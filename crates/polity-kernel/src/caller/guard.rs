//! Guards: extractors that prove a requirement, and state it in the OpenAPI document.

use std::marker::PhantomData;

use aide::{OperationInput, generate::GenContext, openapi};
use axum::extract::{FromRef, FromRequestParts, MatchedPath};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use indexmap::IndexMap;

use super::{
    Admitted, Authenticator, Caller, Identity, Kind, Presented, Witness,
    witness::{Client, Noted},
};
use crate::{
    Ctx, TokenText,
    http::{ClientIp, Problem, codes},
};

/// The member of an operation in the OpenAPI document that says what it requires.
pub const GUARD: &str = "x-guard";

/// A requirement on the caller. Services define their own beside the common ones here.
pub trait Require: Send + Sync + 'static {
    /// What it is called in the OpenAPI document.
    const NAME: &'static str;
    /// What the answer says to a request without a credential.
    const MISSING: &'static str = "User authentication required";

    /// Whether the caller is admitted.
    ///
    /// # Errors
    /// 401 or 403 with the reason.
    fn admit(caller: &Caller) -> Result<(), Problem>;
}

/// A caller that fulfils `R`.
pub struct Guard<R> {
    caller: Caller,
    proven: PhantomData<R>,
}

impl<R> Guard<R> {
    /// The caller.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
}

impl<R> std::ops::Deref for Guard<R> {
    type Target = Caller;
    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl<R: Require, S: Send + Sync> FromRequestParts<S> for Guard<R>
where
    Ctx: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let ctx = Ctx::from_ref(state);
        let caller = identify(&ctx, parts)
            .await?
            .ok_or_else(|| Problem::unauthenticated(R::MISSING))?;
        R::admit(&caller)?;
        tracing::Span::current().record("caller.id", caller.label());
        Ok(Self {
            caller,
            proven: PhantomData,
        })
    }
}

impl<R: Require> OperationInput for Guard<R> {
    fn operation_input(_: &mut GenContext, operation: &mut openapi::Operation) {
        state(operation, R::NAME, &["bearer", "service", "api_key"]);
    }
}

/// Anybody with a valid credential; what they may do is decided by the service.
impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    Ctx: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Guard::<IsKnown>::from_request_parts(parts, state)
            .await
            .map(|guard| guard.caller)
    }
}

impl OperationInput for Caller {
    fn operation_input(ctx: &mut GenContext, operation: &mut openapi::Operation) {
        Guard::<IsKnown>::operation_input(ctx, operation);
    }
}

/// Nobody in particular: the operation answers without a credential. Such operations are listed, and the list is tested.
#[derive(Debug, Clone, Copy)]
pub struct Public;

impl<S: Send + Sync> FromRequestParts<S> for Public {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self)
    }
}

impl OperationInput for Public {
    fn operation_input(_: &mut GenContext, operation: &mut openapi::Operation) {
        state(operation, "public", &[]);
    }
}

/// States a requirement in the OpenAPI document: what it is called, and the credentials that may fulfil it.
pub fn state(operation: &mut openapi::Operation, name: &str, schemes: &[&str]) {
    operation.extensions.insert(GUARD.to_owned(), name.into());
    operation.security = schemes
        .iter()
        .map(|scheme| IndexMap::from([((*scheme).to_owned(), Vec::new())]))
        .collect();
}

/// The caller a request's headers prove: by service secret, bearer token, API credential, in this order. A request is
/// looked at once, so that it counts once against the limits of its credential.
///
/// # Errors
/// 401 if a credential is there and not valid, or there twice: a proxy may have looked at the other one. 429 if a limit of
/// the credential is reached.
pub async fn identify(ctx: &Ctx, parts: &Parts) -> Result<Option<Caller>, Problem> {
    let witness = parts.extensions.get::<Witness>();
    if let Some(seen) = witness.and_then(Witness::seen) {
        return Ok(Some(seen.caller.clone()));
    }
    let Some(noted) = prove(ctx, parts).await? else {
        return Ok(None);
    };
    let caller = noted.caller.clone();
    if let Some(witness) = witness {
        witness.note(noted);
    }
    Ok(Some(caller))
}

async fn prove(ctx: &Ctx, parts: &Parts) -> Result<Option<Noted>, Problem> {
    let headers = &parts.headers;
    if let Some(secret) = only(headers, "x-internal-service-secret")? {
        return service(ctx, headers, secret.as_bytes()).map(|caller| Some(plain(caller)));
    }
    let Some(authenticator) = ctx.authenticator.get() else {
        return Ok(None);
    };
    if let Some(value) = only(headers, header::AUTHORIZATION.as_str())? {
        let token = value
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty())
            .ok_or_else(|| Problem::unauthenticated("The Authorization header must be `Bearer <token>`"))?;
        let token = token.1.trim();
        if TokenText::is_one(token) {
            return present(ctx, authenticator.as_ref(), parts, token).await.map(Some);
        }
        return authenticator.bearer(token).await.map(|caller| Some(plain(caller)));
    }
    if let Some(value) = only(headers, "x-api-key")? {
        let text = value
            .to_str()
            .map_err(|_| Problem::unauthenticated("Invalid API key"))?;
        return present(ctx, authenticator.as_ref(), parts, text).await.map(Some);
    }
    Ok(None)
}

/// A caller of whom nothing is recorded.
fn plain(caller: Caller) -> Noted {
    Noted {
        caller,
        headers: HeaderMap::new(),
        client: None,
    }
}

async fn present(ctx: &Ctx, authenticator: &dyn Authenticator, parts: &Parts, text: &str) -> Result<Noted, Problem> {
    let agent = parts.headers.get(header::USER_AGENT);
    let client = Client {
        ip: ClientIp::of(parts, &ctx.http().trusted_proxies).0,
        user_agent: agent
            .and_then(|agent| agent.to_str().ok())
            .unwrap_or_default()
            .to_owned(),
    };
    let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    let from = client.origin(&parts.method, route);
    let Admitted { caller, headers } = authenticator.api_credential(Presented { text, from }).await?;
    Ok(Noted {
        caller,
        headers,
        client: Some(client),
    })
}

/// The value of a header that may be there once.
fn only<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Problem::unauthenticated(format!(
            "The header {name} is there more than once"
        )));
    }
    Ok(first)
}

fn service(ctx: &Ctx, headers: &HeaderMap, secret: &[u8]) -> Result<Caller, Problem> {
    let says_so =
        only(headers, "x-internal-service")?.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    if !ctx.callers.admits(secret) || !says_so {
        return Err(Problem::unauthenticated("The service credential is not valid"));
    }
    let on_behalf_of = match only(headers, "x-user-id")?.map(HeaderValue::to_str) {
        Some(Ok(id)) if !id.trim().is_empty() && id.len() <= 255 => Some(id.trim().to_owned()),
        None => None,
        Some(_) => {
            return Err(Problem::new(
                codes::BAD_REQUEST,
                "X-User-Id must be a user id of at most 255 characters",
            ));
        }
    };
    Ok(Caller::new(Identity {
        kind: Kind::Service,
        id: "internal-service".to_owned(),
        on_behalf_of,
        service_account_id: None,
        email: None,
        organization_id: None,
        permissions: Vec::new(),
        admin_roles: Vec::new(),
        session_id: None,
        expires_at: None,
        grant: None,
    }))
}

/// Anybody with a valid credential, but a device: what is open to devices says so itself.
struct IsKnown;

impl Require for IsKnown {
    const NAME: &'static str = "caller";

    fn admit(caller: &Caller) -> Result<(), Problem> {
        if caller.kind == Kind::Device {
            return Err(Problem::unauthenticated("A device token does not open this"));
        }
        Ok(())
    }
}

/// A person, or a service that acts for one.
pub struct IsUser;

impl Require for IsUser {
    const NAME: &'static str = "user";

    fn admit(caller: &Caller) -> Result<(), Problem> {
        match caller.user_id() {
            Some(_) => Ok(()),
            None => Err(Problem::unauthenticated("User authentication required")),
        }
    }
}

/// A service.
pub struct IsService;

impl Require for IsService {
    const NAME: &'static str = "service";

    fn admit(caller: &Caller) -> Result<(), Problem> {
        if caller.is_service() {
            return Ok(());
        }
        Err(Problem::new(codes::FORBIDDEN, "A service credential is required"))
    }
}

/// A platform administrator, or a service in its own name.
pub struct IsAdminOrService;

impl Require for IsAdminOrService {
    const NAME: &'static str = "admin or service";

    fn admit(caller: &Caller) -> Result<(), Problem> {
        if caller.is_admin() || (caller.is_service() && caller.on_behalf_of.is_none()) {
            return Ok(());
        }
        Err(Problem::new(
            codes::FORBIDDEN,
            "Administrator or service credentials are required",
        ))
    }
}

/// The guard of [`IsUser`].
pub type User = Guard<IsUser>;
/// The guard of [`IsService`].
pub type Service = Guard<IsService>;
/// The guard of [`IsAdminOrService`].
pub type AdminOrService = Guard<IsAdminOrService>;

impl User {
    /// The person.
    #[must_use]
    pub fn id(&self) -> &str {
        self.caller.user_id().unwrap_or_default()
    }
}
