//! The guards of credentials' own operations.

use polity_kernel::{
    caller::{Caller, Guard, Kind, Require},
    http::{Problem, codes},
};

use super::error::code;

/// Whoever checks credentials for others: a service in its own name, an administrator, or a gateway with a key of a service account, which
/// learns of its own organization's alone.
pub(crate) struct IsVerifier;

/// The scope a gateway's key needs, if it is not for everything.
const VERIFY: &str = "auth.api_keys.verify";

impl Require for IsVerifier {
    const NAME: &'static str = "service, admin or gateway key";

    fn admit(caller: &Caller) -> Result<(), Problem> {
        let is_gateway =
            caller.kind == Kind::ApiCredential && caller.service_account_id.is_some() && caller.has_scope(VERIFY);
        let is_admin = caller.kind == Kind::Admin || caller.has_permission("auth.admin");
        let is_service = caller.is_service() && caller.on_behalf_of.is_none();
        if is_service || is_admin || is_gateway {
            return Ok(());
        }
        Err(Problem::new(
            codes::FORBIDDEN,
            "A service credential without X-User-Id, an administrator or a service account's key with the scope auth.api_keys.verify is required",
        ))
    }
}

/// The guard of [`IsVerifier`].
pub(crate) type Verifier = Guard<IsVerifier>;

/// A person in their workspace, or their token if it may see workspaces.
pub(super) struct MaySeeWorkspace;

/// The scope a token needs.
const SEE: &str = "read:workspaces";

impl Require for MaySeeWorkspace {
    const NAME: &'static str = "user, or token with read:workspaces";

    fn admit(caller: &Caller) -> Result<(), Problem> {
        if caller.grant.is_none() && caller.user_id().is_some() {
            return Ok(());
        }
        is_token(caller)?;
        if caller.has_scope(SEE) {
            return Ok(());
        }
        let text = format!("The token lacks the scope {SEE}");
        Err(Problem::new(code::SCOPE_REQUIRED, text).with("required_scope", SEE))
    }
}

/// The guard of [`MaySeeWorkspace`].
pub(super) type WorkspaceViewer = Guard<MaySeeWorkspace>;

/// A token, whatever its scopes: what it asks concerns itself.
pub(super) struct IsToken;

impl Require for IsToken {
    const NAME: &'static str = "token";
    const MISSING: &'static str = "An API token is required";

    fn admit(caller: &Caller) -> Result<(), Problem> {
        is_token(caller)
    }
}

/// The guard of [`IsToken`].
pub(super) type Token = Guard<IsToken>;

fn is_token(caller: &Caller) -> Result<(), Problem> {
    if caller.kind == Kind::ApiCredential && caller.on_behalf_of.is_some() {
        return Ok(());
    }
    Err(Problem::unauthenticated("An API token is required"))
}
