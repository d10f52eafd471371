//! Who is calling, and the guards that ask.
//!
//! A guard is the first argument of a handler: [`Public`], [`Caller`] (anybody with a valid credential), or
//! [`Guard<R>`](Guard) for a requirement `R`. It states itself in the OpenAPI document, and the program refuses to start
//! with an operation that states nothing.
//!
//! Invariants: `X-User-Id` counts only beside a valid service secret; there is no mode in which a header alone proves
//! anything.

mod grant;
mod guard;
mod settings;
mod witness;

use std::{pin::Pin, sync::Arc};

use chrono::{DateTime, Utc};

pub use grant::Grant;
pub use guard::{AdminOrService, GUARD, Guard, IsAdminOrService, IsService, IsUser, Public, Require, Service, User};
pub use guard::{identify, state};
pub use settings::CallerSettings;
pub(crate) use witness::Witness;
pub use witness::{Admitted, Answered, Origin, Presented};

use crate::http::Problem;

/// What kind of credential proved the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A person, by access token.
    User,
    /// A platform administrator, by access token of scope `admin`.
    Admin,
    /// Another service, by secret; `on_behalf_of` may name a person.
    Service,
    /// A program, by API credential.
    ApiCredential,
    /// A device, by device token.
    Device,
}

/// Who is calling. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Caller(Arc<Identity>);

/// What a credential proves.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The kind of credential.
    pub kind: Kind,
    /// The user, device, or service.
    pub id: String,
    /// The user a service acts for.
    pub on_behalf_of: Option<String>,
    /// The service account an API credential is for.
    pub service_account_id: Option<String>,
    /// The user's address, if the token carries it.
    pub email: Option<String>,
    /// The organization the credential is bound to.
    pub organization_id: Option<String>,
    /// Permissions, opaque to all but the one who checks them.
    pub permissions: Vec<String>,
    /// The platform roles of an administrator.
    pub admin_roles: Vec<String>,
    /// The session the token belongs to.
    pub session_id: Option<String>,
    /// When the credential ends; `None` for one that does not.
    pub expires_at: Option<DateTime<Utc>>,
    /// What an API credential may do; `None` for every other caller, whom no scopes bind.
    pub grant: Option<Grant>,
}

impl Caller {
    /// A caller with that identity.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self(Arc::new(identity))
    }

    /// The person this is, or acts for.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        match self.kind {
            Kind::User | Kind::Admin => Some(&self.id),
            Kind::Service => self.on_behalf_of.as_deref(),
            Kind::ApiCredential | Kind::Device => None,
        }
    }

    /// Whether this is a service.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.kind == Kind::Service
    }

    /// Whether this is a platform administrator with at least one role.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.kind == Kind::Admin && !self.admin_roles.is_empty()
    }

    /// Whether the credential carries the permission.
    #[must_use]
    pub fn has_permission(&self, permission: &str) -> bool {
        self.permissions.iter().any(|held| held == permission)
    }

    /// Whether the caller's credential, if it is an API credential, has the scope. Others are bound by what they are.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.grant.as_ref().is_none_or(|grant| grant.allows(scope))
    }

    /// Whether the caller may act on what belongs to `user_id`: themselves, an administrator, or a service.
    ///
    /// A service that names a person acts for that person alone.
    #[must_use]
    pub fn may_act_for(&self, user_id: &str) -> bool {
        match (self.kind, &self.on_behalf_of) {
            (Kind::Service, Some(person)) => person == user_id,
            (Kind::Service, None) => true,
            _ => self.is_admin() || self.user_id() == Some(user_id),
        }
    }

    /// The caller for a log line or a record: kind, id, and the person a service acts for.
    #[must_use]
    pub fn label(&self) -> String {
        let label = format!("{:?}:{}", self.kind, self.id).to_lowercase();
        match &self.on_behalf_of {
            Some(person) => format!("{label} for {person}"),
            None => label,
        }
    }
}

impl std::ops::Deref for Caller {
    type Target = Identity;
    fn deref(&self) -> &Identity {
        &self.0
    }
}

/// A future that a trait object returns.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Turns a credential into a caller. Identity implements it; the kernel knows only service secrets.
pub trait Authenticator: Send + Sync {
    /// The caller a bearer token proves.
    ///
    /// # Errors
    /// 401 with the reason, or 503 if it cannot be decided now.
    fn bearer<'a>(&'a self, token: &'a str) -> Pending<'a, Result<Caller, Problem>>;

    /// The caller an API credential proves. The call counts against its limits.
    ///
    /// # Errors
    /// As [`Authenticator::bearer`]; 429 if a limit is reached.
    fn api_credential<'a>(&'a self, presented: Presented<'a>) -> Pending<'a, Result<Admitted, Problem>>;

    /// Hears how a request was answered that an API credential made. It must be quick.
    fn answered(&self, answered: Answered<'_>);
}
