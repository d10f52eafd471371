//! The workspace a request is about: an organization in which the caller is somebody, or their personal one.
//!
//! Whoever is no member finds none, as if there were none.

use garde::Validate;
use polity_kernel::{
    caller::Caller,
    db::{self, Conn, Tx},
    http::{ErrorCode, Problem},
};
use polity_ports::organization::Membership;
use schemars::JsonSchema;
use serde::Deserialize;

/// The caller is no member of the workspace, or there is none.
pub const WORKSPACE_NOT_FOUND: ErrorCode = ErrorCode::new("WORKSPACE_NOT_FOUND", 404, "Workspace not found");

/// Which workspace is meant.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
pub struct WorkspaceQuery {
    /// The workspace; left out, the one the credential is bound to, else one's personal one.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"org_01a1fb4e7b4b73df93c4746cc8a8b943")]
    pub workspace_id: Option<String>,
}

/// A workspace in which a person acts, and what they are in it.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// Its id: an organization's, or the person's own.
    pub id: String,
    /// The person.
    pub user_id: String,
    /// Their role in a word: owner, admin, member, viewer or guest.
    pub role: &'static str,
}

impl Workspace {
    /// Whether they run the workspace.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        matches!(self.role, "owner" | "admin")
    }

    /// Whether they change things in it; viewers and guests change nothing.
    #[must_use]
    pub fn may_change(&self) -> bool {
        may_change(self.role)
    }
}

/// Whether whoever is that in a workspace changes things in it.
pub(crate) fn may_change(role: &str) -> bool {
    matches!(role, "owner" | "admin" | "member")
}

/// Why there is no workspace.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No member, or no workspace: not told apart.
    #[error("Workspace not found")]
    NotFound,
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::new(WORKSPACE_NOT_FOUND, error.to_string()),
            Error::Db(error) => error.into(),
        }
    }
}

/// The person who acts: the caller, or whom a service or a token acts for.
fn person(caller: &Caller) -> &str {
    caller.user_id().or(caller.on_behalf_of.as_deref()).unwrap_or_default()
}

/// The id of the workspace a request names: the one asked for, else the credential's, else the person's own.
fn named<'a>(caller: &'a Caller, asked: Option<&'a str>) -> &'a str {
    asked
        .or(caller.organization_id.as_deref())
        .unwrap_or_else(|| person(caller))
}

/// The workspace a request names.
pub async fn open(
    conn: &mut Conn,
    members: &dyn Membership,
    caller: &Caller,
    asked: Option<&str>,
) -> Result<Workspace, Error> {
    let (user_id, id) = (person(caller), named(caller, asked));
    // A token opens its own workspace and no other.
    let is_foreign = caller.grant.is_some() && caller.organization_id.as_deref() != Some(id);
    if is_foreign || user_id.is_empty() {
        return Err(Error::NotFound);
    }
    let role = members.role(conn, id, user_id).await?.ok_or(Error::NotFound)?;
    Ok(Workspace {
        id: id.to_owned(),
        user_id: user_id.to_owned(),
        role,
    })
}

/// The workspace in which a request makes something, kept as it is until that is made: whoever is removed at the same time
/// leaves nothing behind, since what was theirs ends once they are gone.
pub async fn keep(
    tx: &mut Tx,
    members: &dyn Membership,
    caller: &Caller,
    asked: Option<&str>,
) -> Result<Workspace, Error> {
    tx.lock("organization", named(caller, asked)).await?;
    open(tx, members, caller, asked).await
}
