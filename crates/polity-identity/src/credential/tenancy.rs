//! What the rules of credentials ask of an organization: who may do what in it, and on which terms it is.
//!
//! Everybody is the owner of a personal organization, whose id is their own.

use polity_kernel::db::Conn;

use super::{Error, limits::RateLimits, settings::Tier};

/// What somebody is in an organization, most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Viewer,
    Member,
    Admin,
    Owner,
}

impl Role {
    pub(crate) fn is_admin(self) -> bool {
        self >= Self::Admin
    }

    /// The verbs of the scopes that somebody in this role may give to a token.
    pub(super) fn verbs(self) -> &'static [&'static str] {
        match self {
            Self::Viewer => &["read"],
            Self::Member => &["read", "write"],
            Self::Admin | Self::Owner => &["read", "write", "delete", "admin"],
        }
    }

    /// Whether a scope may rest on this role. `*` is for administrators.
    pub(super) fn carries(self, scope: &str) -> bool {
        let verb = scope.split_once(':').map_or("*", |(verb, _)| verb);
        self.is_admin() || self.verbs().contains(&verb)
    }
}

/// On which terms an organization is.
pub(crate) struct Terms {
    /// Its tier.
    pub tier: Tier,
    /// Its limits for keys that have none of their own.
    pub rate_limits: Option<RateLimits>,
    /// Whether tokens that never end may be made in it.
    pub allows_endless: bool,
}

/// What a person is in an organization; `None` for a stranger, and for an organization that is not there.
pub(crate) async fn role(_: &mut Conn, organization_id: &str, user_id: &str) -> Result<Option<Role>, Error> {
    Ok((organization_id == user_id).then_some(Role::Owner))
}

/// The terms of an organization; those of a personal one, if it is none.
pub(crate) async fn terms(_: &mut Conn, _: &str) -> Result<Terms, Error> {
    Ok(Terms {
        tier: Tier::Free,
        rate_limits: None,
        allows_endless: false,
    })
}
