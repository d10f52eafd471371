//! Integration tokens: a person's, for one workspace, with scopes (integrations 5.1).

use chrono::{DateTime, Duration, Utc};
use ipnet::IpNet;
use polity_kernel::{
    caller::{Caller, Grant},
    db::{Conn, Json, List, Tx},
    http::Given,
};

use super::{Issued, NewCredential, issue, keys::successor, revoked};
use crate::credential::{
    Credentials, Error,
    limits::RateLimits,
    model::{Credential, Kind},
    store::{self, Wanted, scopes},
    tenancy,
};
use crate::organization::Role;

/// A workspace in which a person acts, and what they are in it.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    pub id: String,
    pub user_id: String,
    pub role: Role,
}

/// The id of the workspace a request names: the one asked for, else the caller's own.
fn named<'a>(caller: &'a Caller, asked: Option<&'a str>) -> &'a str {
    asked
        .or(caller.organization_id.as_deref())
        .unwrap_or_else(|| person(caller))
}

fn person(caller: &Caller) -> &str {
    caller.user_id().or(caller.on_behalf_of.as_deref()).unwrap_or_default()
}

/// The workspace a request names. Whoever is no member finds none.
pub(crate) async fn workspace(conn: &mut Conn, caller: &Caller, asked: Option<&str>) -> Result<Workspace, Error> {
    let (user_id, id) = (person(caller), named(caller, asked));
    // A token opens its own workspace and no other.
    if caller.grant.is_some() && caller.organization_id.as_deref() != Some(id) {
        return Err(Error::WorkspaceNotFound);
    }
    let role = tenancy::role(conn, id, user_id)
        .await?
        .ok_or(Error::WorkspaceNotFound)?;
    Ok(Workspace {
        id: id.to_owned(),
        user_id: user_id.to_owned(),
        role,
    })
}

/// The workspace in which a request makes something, kept as it is until that is made. Who is removed at the same time
/// leaves no token behind: theirs are revoked once they are gone.
pub(crate) async fn kept_workspace(tx: &mut Tx, caller: &Caller, asked: Option<&str>) -> Result<Workspace, Error> {
    tx.lock("organization", named(caller, asked)).await?;
    workspace(tx, caller, asked).await
}

/// A token to make.
pub(crate) struct NewToken {
    pub name: String,
    pub scopes: Vec<String>,
    pub ip_allowlist: Vec<IpNet>,
    /// Nothing: the default; null: never.
    pub expires_at: Given<DateTime<Utc>>,
}

/// Makes a token.
pub(crate) async fn create_token(
    tx: &mut Tx,
    credentials: &Credentials,
    workspace: &Workspace,
    new: NewToken,
) -> Result<Issued, Error> {
    let terms = tenancy::terms(tx, &workspace.id).await?;
    let terms = terms.ok_or(Error::WorkspaceNotFound)?;
    if !terms.is_active {
        return Err(Error::Forbidden(
            "The workspace is suspended; nothing can be changed in it",
        ));
    }
    let scopes = grantable(tx, workspace, new.scopes).await?;
    let now = credentials.ctx.clock.now();
    let default = Duration::days(i64::from(credentials.settings.token_expiry_days));
    let expires_at = match new.expires_at {
        Given::Nothing => Some(now + default),
        Given::Value(at) if at <= now => {
            return Err(Error::Field(
                "expires_at",
                "Expiry date must be in the future".to_owned(),
            ));
        }
        Given::Value(at) => Some(at),
        Given::Null if terms.allows_endless => None,
        Given::Null => {
            return Err(Error::Field(
                "expires_at",
                "This workspace does not allow tokens that never expire; give a date".to_owned(),
            ));
        }
    };
    let new = NewCredential {
        kind: Kind::Token,
        organization_id: workspace.id.clone(),
        subject_id: Some(workspace.user_id.clone()),
        project_id: None,
        name: new.name,
        permissions: Grant::only(Vec::<String>::new()),
        scopes,
        ip_allowlist: new.ip_allowlist,
        rate_limits: RateLimits::new(),
        credits: None,
        refill: None,
        expires_at,
        created_by: workspace.user_id.clone(),
        rotated_from_id: None,
    };
    issue(tx, credentials, new).await
}

/// The scopes to give: those asked for, if all exist, are not deprecated, and rest on the person's role; the default ones
/// that do if none are asked for.
async fn grantable(conn: &mut Conn, workspace: &Workspace, asked: Vec<String>) -> Result<Vec<String>, Error> {
    if asked.is_empty() {
        let all = scopes::list(conn, false).await?;
        return Ok(all
            .into_iter()
            .filter(|scope| scope.is_default && tenancy::carries(workspace.role, &scope.name))
            .map(|scope| scope.name)
            .collect());
    }
    let known = scopes::named(conn, &List::of(&asked)).await?;
    let is_known = |name: &String| known.iter().any(|scope| scope.name == *name && !scope.is_deprecated);
    let unknown: Vec<&str> = asked
        .iter()
        .filter(|name| !is_known(name))
        .map(String::as_str)
        .collect();
    if !unknown.is_empty() {
        let text = format!("Unknown or deprecated scopes: {}", unknown.join(", "));
        return Err(Error::Field("scopes", text));
    }
    if let Some(scope) = asked.iter().find(|scope| !tenancy::carries(workspace.role, scope)) {
        let text = format!("Your role in this workspace does not carry the scope {scope}, so you cannot give it");
        return Err(Error::Field("scopes", text));
    }
    let mut scopes: Vec<String> = known.into_iter().map(|scope| scope.name).collect();
    scopes.dedup();
    Ok(scopes)
}

/// A person's tokens in a workspace, newest first.
pub(crate) async fn tokens(
    read: &mut Conn,
    workspace: &Workspace,
    (page, page_size): (i64, i64),
) -> Result<(Vec<Credential>, i64), Error> {
    let wanted = Wanted {
        organization_id: &workspace.id,
        kinds: &["token"],
        subject_id: Some(&workspace.user_id),
        project_id: None,
    };
    Ok(store::list(read, &wanted, page_size, (page - 1) * page_size).await?)
}

/// A person's token; somebody else's is not found, not even by an administrator of the workspace.
pub(crate) async fn token(conn: &mut Conn, workspace: &Workspace, id: &str) -> Result<Credential, Error> {
    let found = store::find(conn, &workspace.id, id).await?;
    found
        .filter(|found| found.kind == Kind::Token && found.subject_id.as_deref() == Some(&workspace.user_id))
        .ok_or(Error::TokenNotFound)
}

/// What is to change; what is `None` stays.
pub(crate) struct TokenChange {
    pub name: Option<String>,
    pub is_active: Option<bool>,
    pub ip_allowlist: Option<Vec<IpNet>>,
}

/// Changes a token. One that has ended is not changed any more, and cannot be made active again.
pub(crate) async fn change_token(
    tx: &mut Tx,
    credentials: &Credentials,
    workspace: &Workspace,
    id: &str,
    change: TokenChange,
) -> Result<Credential, Error> {
    tx.lock("credential", id).await?;
    let mut found = token(tx, workspace, id).await?;
    let now = credentials.ctx.clock.now();
    if found.is_over(now) {
        return Err(Error::Over);
    }
    found.name = change.name.unwrap_or(found.name);
    found.is_enabled = change.is_active.unwrap_or(found.is_enabled);
    found.ip_allowlist = change.ip_allowlist.map_or(found.ip_allowlist, Json);
    found.updated_at = now;
    if !store::update(tx, &found, now).await? {
        // Revoked since it was read.
        return Err(Error::Over);
    }
    credentials.tell(tx, &found.hash).await?;
    Ok(found)
}

/// Revokes a token for good. One that is revoked stays so.
pub(crate) async fn revoke_token(
    tx: &mut Tx,
    credentials: &Credentials,
    workspace: &Workspace,
    id: &str,
) -> Result<(), Error> {
    token(tx, workspace, id).await?;
    let (by, now) = (workspace.user_id.as_str(), credentials.ctx.clock.now());
    if let Some(done) = store::revoke(tx, by, "revoked", (&workspace.id, id), now).await? {
        revoked(tx, credentials, done, by, "revoked").await?;
    }
    Ok(())
}

/// Makes a token that takes the place of another, which goes on for `overlap`. Its scopes are given anew: one that the
/// person's role carries no longer is left out.
pub(crate) async fn rotate_token(
    tx: &mut Tx,
    credentials: &Credentials,
    workspace: &Workspace,
    id: &str,
    overlap: Duration,
) -> Result<Issued, Error> {
    tx.lock("credential", id).await?;
    let mut old = token(tx, workspace, id).await?;
    old.scopes.0.retain(|scope| tenancy::carries(workspace.role, scope));
    successor(tx, credentials, old, overlap, &workspace.user_id).await
}
