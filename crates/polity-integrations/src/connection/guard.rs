//! The guards of connections: people, services for them, and programs with the scope.

use polity_kernel::{
    caller::{Caller, Guard, Kind, Require},
    http::Problem,
};

use super::error::code;

/// 403 unless an API credential has the scope; others have none.
fn demand(caller: &Caller, scope: &'static str) -> Result<(), Problem> {
    if caller.has_scope(scope) {
        return Ok(());
    }
    let text = format!("The token lacks the scope {scope}");
    Err(Problem::new(code::SCOPE_REQUIRED, text).with("required_scope", scope))
}

/// A person, or whom a credential acts for.
fn is_person(caller: &Caller) -> Result<(), Problem> {
    if caller.user_id().is_some() || caller.on_behalf_of.is_some() {
        return Ok(());
    }
    Err(Problem::unauthenticated("User authentication required"))
}

macro_rules! guards {
    ($($(#[$doc:meta])* $guard:ident = $name:ident, $scope:literal;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl Require for $name {
            const NAME: &'static str = concat!("user, or token with ", $scope);

            fn admit(caller: &Caller) -> Result<(), Problem> {
                is_person(caller)?;
                demand(caller, $scope)
            }
        }

        $(#[$doc])*
        pub(super) type $guard = Guard<$name>;
    )*};
}

guards! {
    /// Whoever looks at connections.
    Reader = MayRead, "read:connections";
    /// Whoever changes connections, or calls a provider with one.
    Writer = MayWrite, "write:connections";
    /// Whoever ends connections.
    Remover = MayDelete, "delete:connections";
}

/// The one who is handed tokens: a program with the scope, or a service. A person's browser is not.
pub(super) struct MayIssue;

/// The scope it takes.
const ISSUE: &str = "issue:tokens";

impl Require for MayIssue {
    const NAME: &'static str = "service, or token with issue:tokens";

    fn admit(caller: &Caller) -> Result<(), Problem> {
        match caller.kind {
            Kind::Service | Kind::ApiCredential => demand(caller, ISSUE),
            Kind::User | Kind::Admin | Kind::Device => {
                let text = format!("Tokens are handed to services, and to API tokens with the scope {ISSUE}");
                Err(Problem::new(code::SCOPE_REQUIRED, text).with("required_scope", ISSUE))
            }
        }
    }
}

/// The guard of [`MayIssue`].
pub(super) type Issuer = Guard<MayIssue>;
