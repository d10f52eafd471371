//! API keys of organizations: the rules of auth's face (BR-API).

use chrono::{DateTime, Duration, Utc};
use ipnet::IpNet;
use polity_kernel::{
    caller::{Caller, Grant, Kind as CallerKind},
    db::{Conn, Json, Tx},
    http::Given,
};

use super::{Issued, NewCredential, issue, revoked};
use crate::credential::{
    Credentials, Error,
    limits::RateLimits,
    model::{Credential, Interval, Kind},
    store::{self, Wanted},
    tenancy,
};
use crate::organization::Role;

/// The permissions of which one lets a member make keys.
const CREATE: [&str; 4] = [
    "auth.api_keys.create",
    "api_keys:create",
    "api_key:create",
    "keys:create",
];
/// The kinds that are keys.
const KINDS: [&str; 2] = ["user", "service"];

/// A key to make.
pub(crate) struct NewKey {
    pub organization_id: String,
    pub name: String,
    pub permissions: Vec<String>,
    pub scopes: Vec<String>,
    pub service_account_id: Option<String>,
    pub project_id: Option<String>,
    pub ip_allowlist: Vec<IpNet>,
    pub rate_limits: RateLimits,
    pub credits: Option<i64>,
    pub refill: Option<(i64, Interval)>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// Whether the caller is above organizations: an administrator of the platform, or a service in its own name.
fn is_above(caller: &Caller) -> bool {
    caller.kind == CallerKind::Admin
        || caller.has_permission("auth.admin")
        || (caller.is_service() && caller.on_behalf_of.is_none())
}

/// What the caller is in an organization.
async fn standing(conn: &mut Conn, caller: &Caller, organization_id: &str) -> Result<Option<Role>, Error> {
    if is_above(caller) {
        return Ok(Some(Role::Owner));
    }
    match caller.user_id() {
        Some(user_id) => tenancy::role(conn, organization_id, user_id).await,
        None => Ok(None),
    }
}

/// Whether anything may be made in an organization: it is there and active.
pub(crate) async fn is_usable(conn: &mut Conn, organization_id: &str) -> Result<bool, Error> {
    let terms = tenancy::terms(conn, organization_id).await?;
    Ok(terms.is_some_and(|terms| terms.is_active))
}

/// Members, and those above, see keys and limits.
pub(crate) async fn may_read(conn: &mut Conn, caller: &Caller, organization_id: &str) -> Result<(), Error> {
    match standing(conn, caller, organization_id).await? {
        Some(_) => Ok(()),
        None => Err(Error::Forbidden("You do not belong to this organization")),
    }
}

/// Administrators of the organization, and those above, change them.
pub(crate) async fn may_change(conn: &mut Conn, caller: &Caller, organization_id: &str) -> Result<(), Error> {
    match standing(conn, caller, organization_id).await? {
        Some(role) if role.is_admin() => Ok(()),
        Some(_) => Err(Error::Forbidden("Organization administrators only")),
        None => Err(Error::Forbidden("You do not belong to this organization")),
    }
}

async fn may_create(conn: &mut Conn, caller: &Caller, organization_id: &str) -> Result<(), Error> {
    let Some(role) = standing(conn, caller, organization_id).await? else {
        return Err(Error::Forbidden(
            "You can only create API keys for your own organization",
        ));
    };
    if role.is_admin() || CREATE.iter().any(|permission| caller.has_permission(permission)) {
        return Ok(());
    }
    Err(Error::Forbidden("API key creation permission required"))
}

/// Makes a key. Without permissions and scopes it may do everything in its organization (BR-API-034).
pub(crate) async fn create_key(
    tx: &mut Tx,
    credentials: &Credentials,
    caller: &Caller,
    new: NewKey,
) -> Result<Issued, Error> {
    // Who is removed at the same time leaves no key behind: theirs are revoked once they are gone.
    tx.lock("organization", &new.organization_id).await?;
    may_create(tx, caller, &new.organization_id).await?;
    is_active(tx, &new.organization_id).await?;
    if new.project_id.is_some() && !is_above(caller) {
        return Err(Error::Field(
            "project_id",
            "There is no project service that could say that you may use this project; leave it out, or let an \
             administrator or a service make the key"
                .to_owned(),
        ));
    }
    let permissions = if new.permissions.is_empty() && new.scopes.is_empty() {
        Grant::All
    } else {
        Grant::only(new.permissions)
    };
    let is_service = new.service_account_id.is_some();
    let new = NewCredential {
        kind: if is_service { Kind::Service } else { Kind::User },
        organization_id: new.organization_id,
        subject_id: new.service_account_id,
        project_id: new.project_id,
        name: new.name,
        permissions,
        scopes: new.scopes,
        ip_allowlist: new.ip_allowlist,
        rate_limits: new.rate_limits,
        credits: new.credits,
        refill: new.refill,
        expires_at: new.expires_at,
        created_by: author(caller),
        rotated_from_id: None,
    };
    issue(tx, credentials, new).await
}

/// Nothing is made in an organization that is suspended.
async fn is_active(conn: &mut Conn, organization_id: &str) -> Result<(), Error> {
    let terms = tenancy::terms(conn, organization_id).await?;
    if terms.ok_or(Error::OrganizationNotFound)?.is_active {
        return Ok(());
    }
    Err(Error::Forbidden(
        "The organization is suspended; nothing can be changed in it",
    ))
}

/// Who did something: the person, or whatever else the caller is.
pub(super) fn author(caller: &Caller) -> String {
    caller.user_id().unwrap_or(&caller.id).to_owned()
}

/// The keys of an organization, newest first, revoked ones included, and how many there are.
pub(crate) async fn keys(
    read: &mut Conn,
    caller: &Caller,
    organization_id: &str,
    project_id: Option<&str>,
    (limit, offset): (i64, i64),
) -> Result<(Vec<Credential>, i64), Error> {
    may_read(read, caller, organization_id).await?;
    let wanted = Wanted {
        organization_id,
        kinds: &KINDS,
        subject_id: None,
        project_id,
    };
    Ok(store::list(read, &wanted, limit, offset).await?)
}

async fn find(conn: &mut Conn, organization_id: &str, id: &str) -> Result<Credential, Error> {
    let found = store::find(conn, organization_id, id).await?;
    found
        .filter(|found| matches!(found.kind, Kind::User | Kind::Service))
        .ok_or(Error::KeyNotFound)
}

/// One key.
pub(crate) async fn key(
    read: &mut Conn,
    caller: &Caller,
    organization_id: &str,
    id: &str,
) -> Result<Credential, Error> {
    may_read(read, caller, organization_id).await?;
    find(read, organization_id, id).await
}

/// Revokes a key for good (BR-API-039).
pub(crate) async fn revoke_key(
    tx: &mut Tx,
    credentials: &Credentials,
    caller: &Caller,
    organization_id: &str,
    id: &str,
) -> Result<(), Error> {
    may_change(tx, caller, organization_id).await?;
    find(tx, organization_id, id).await?;
    let (by, now) = (author(caller), credentials.ctx.clock.now());
    // One that is revoked stays so, and saying it again changes nothing.
    if let Some(done) = store::revoke(tx, &by, "revoked", (organization_id, id), now).await? {
        revoked(tx, credentials, done, &by, "revoked").await?;
    }
    Ok(())
}

/// Replaces the limits of a key.
pub(crate) async fn set_limits(
    tx: &mut Tx,
    credentials: &Credentials,
    caller: &Caller,
    (organization_id, id): (&str, &str),
    limits: RateLimits,
) -> Result<RateLimits, Error> {
    may_change(tx, caller, organization_id).await?;
    // A successor that is made at the same time takes the limits over: it has these, or they are set on what is over.
    tx.lock("credential", id).await?;
    let found = find(tx, organization_id, id).await?;
    let limits = Json(limits);
    store::set_limits(tx, organization_id, id, &limits, credentials.ctx.clock.now()).await?;
    credentials.tell(tx, &found.hash).await?;
    Ok(limits.0)
}

/// What is to change; what is `None` stays.
#[derive(Default)]
pub(crate) struct KeyChange {
    pub name: Option<String>,
    pub is_active: Option<bool>,
    pub ip_allowlist: Option<Vec<IpNet>>,
    pub expires_at: Given<DateTime<Utc>>,
}

/// Changes a key that is alive.
pub(crate) async fn change_key(
    tx: &mut Tx,
    credentials: &Credentials,
    caller: &Caller,
    (organization_id, id): (&str, &str),
    change: KeyChange,
) -> Result<Credential, Error> {
    may_change(tx, caller, organization_id).await?;
    tx.lock("credential", id).await?;
    let mut found = find(tx, organization_id, id).await?;
    let now = credentials.ctx.clock.now();
    if found.is_over(now) {
        return Err(Error::Over);
    }
    found.name = change.name.unwrap_or(found.name);
    found.is_enabled = change.is_active.unwrap_or(found.is_enabled);
    found.ip_allowlist = change.ip_allowlist.map_or(found.ip_allowlist, Json);
    found.expires_at = change.expires_at.over(found.expires_at);
    found.updated_at = now;
    if !store::update(tx, &found, now).await? {
        // Revoked since it was read.
        return Err(Error::Over);
    }
    credentials.tell(tx, &found.hash).await?;
    Ok(found)
}

/// Makes a key that takes the place of another, which goes on for `overlap`.
pub(crate) async fn rotate_key(
    tx: &mut Tx,
    credentials: &Credentials,
    caller: &Caller,
    (organization_id, id): (&str, &str),
    overlap: Option<Duration>,
) -> Result<Issued, Error> {
    tx.lock("organization", organization_id).await?;
    may_change(tx, caller, organization_id).await?;
    tx.lock("credential", id).await?;
    let old = find(tx, organization_id, id).await?;
    let default = if old.credits.is_some() {
        0
    } else {
        credentials.settings.rotation_overlap
    };
    let overlap = overlap.unwrap_or(Duration::seconds(i64::from(default)));
    successor(tx, credentials, old, overlap, &author(caller)).await
}

/// Makes the successor of a credential: the same in everything but its text and its id. Credits go over to it.
pub(super) async fn successor(
    tx: &mut Tx,
    credentials: &Credentials,
    old: Credential,
    overlap: Duration,
    by: &str,
) -> Result<Issued, Error> {
    let now = credentials.ctx.clock.now();
    if old.is_over(now) || old.retires_at.is_some() {
        return Err(Error::Over);
    }
    if old.credits.is_some() && overlap > Duration::zero() {
        return Err(Error::Field(
            "grace_seconds",
            "A key with credits cannot go on beside its successor, which takes them over; use 0".to_owned(),
        ));
    }
    is_active(tx, &old.organization_id).await?;
    if !store::retire(tx, &old.organization_id, &old.id, now + overlap, now).await? {
        // Revoked since it was read.
        return Err(Error::Over);
    }
    // Counted now that the row is changed, so that nobody takes any in between; those of a new period are its successor's.
    if let Some(interval) = old.credit_interval {
        store::fill_credits(tx, &old.id, interval.period(now)).await?;
    }
    let credits = match old.credits {
        Some(_) => Some(store::credits_left(tx, &old.id).await?),
        None => None,
    };
    if overlap <= Duration::zero()
        && let Some(done) = store::revoke(tx, by, "rotated", (&old.organization_id, &old.id), now).await?
    {
        revoked(tx, credentials, done, by, "rotated").await?;
    }
    credentials.tell(tx, &old.hash).await?;
    let permissions = if old.grant_all {
        Grant::All
    } else {
        Grant::only(old.permissions.0)
    };
    let new = NewCredential {
        kind: old.kind,
        organization_id: old.organization_id,
        subject_id: old.subject_id,
        project_id: old.project_id,
        name: old.name,
        permissions,
        scopes: old.scopes.0,
        ip_allowlist: old.ip_allowlist.0,
        rate_limits: old.rate_limits.0,
        credits,
        refill: old.credit_amount.zip(old.credit_interval),
        expires_at: old.expires_at,
        created_by: by.to_owned(),
        rotated_from_id: Some(old.id),
    };
    issue(tx, credentials, new).await
}
