//! The rules, named by the contract. No HTTP here.

mod archive;
mod audit;
mod context;
mod listing;
mod members;
mod owners;
mod records;
pub(super) mod sharing;

use std::collections::HashSet;

use polity_kernel::{
    caller::{Caller, Kind as CallerKind},
    db::{Conn, List, Tx},
};

pub(super) use archive::{export, import};
pub(super) use audit::{clean_up, fill_search, note, trail};
pub(super) use context::switch;
pub(crate) use context::{Context, acting, context};
pub(super) use listing::{all, members, of_person, platform_stats, stats, usage};
pub use members::add_member;
pub(crate) use members::assign_role;
pub(super) use members::check_permissions;
pub(super) use members::{Change as MemberChange, NewMember, add, change, remove, transfer};
pub(super) use owners::forget_person;
pub(super) use records::{Change, New, check_settings, create, delete, get, limits, set_limits, update};

use super::{
    Error,
    model::{MemberStatus, Membership, Organization, Plan, RateLimits, Role, Standing, Status},
    store,
};

/// Who acts on an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Actor {
    /// A service in its own name, or an administrator of the platform: no membership is asked for.
    Above(String),
    /// A person.
    Person(String),
}

impl Actor {
    pub(super) fn of(caller: &Caller) -> Option<Self> {
        if caller.kind == CallerKind::Admin || (caller.is_service() && caller.on_behalf_of.is_none()) {
            return Some(Self::Above(caller.id.clone()));
        }
        caller.user_id().map(|id| Self::Person(id.to_owned()))
    }

    pub(super) fn id(&self) -> &str {
        match self {
            Self::Above(id) | Self::Person(id) => id,
        }
    }
}

/// The organization, for whoever may see it, and what they are in it; those above are owners. To a stranger it is not there
/// (EC-006), to a suspended member it is closed (EC-007).
pub(super) async fn seen(
    conn: &mut Conn,
    actor: &Actor,
    organization_id: &str,
) -> Result<(Organization, Option<Role>), Error> {
    let found = store::find(conn, organization_id).await?.ok_or(Error::NotFound)?;
    let Actor::Person(user_id) = actor else {
        return Ok((found, None));
    };
    match store::standing(conn, organization_id, user_id).await? {
        Some((role, MemberStatus::Active)) => Ok((found, Some(role))),
        Some((_, MemberStatus::Suspended)) => Err(Error::forbidden("User membership is not active")),
        _ => Err(Error::NotFound),
    }
}

/// The same for a change, which nobody else makes at the same time. A suspended organization is not changed by its members.
pub(super) async fn changed(tx: &mut Tx, actor: &Actor, organization_id: &str) -> Result<(Organization, Role), Error> {
    tx.lock("organization", organization_id).await?;
    let (found, role) = seen(tx, actor, organization_id).await?;
    let Some(role) = role else {
        return Ok((found, Role::Owner));
    };
    if found.status != Status::Active {
        return Err(Error::forbidden(
            "The organization is suspended; nothing can be changed in it",
        ));
    }
    Ok((found, role))
}

/// The same for owners and admins (BR-ACC-003).
pub(super) async fn administered(
    tx: &mut Tx,
    actor: &Actor,
    organization_id: &str,
) -> Result<(Organization, Role), Error> {
    let (found, role) = changed(tx, actor, organization_id).await?;
    if role.is_admin() {
        return Ok((found, role));
    }
    Err(Error::forbidden("Admin access required"))
}

/// What a person is in an organization: the role of an active membership in one that is there.
///
/// # Errors
/// What the database says.
pub async fn role(conn: &mut Conn, organization_id: &str, user_id: &str) -> Result<Option<Role>, Error> {
    let found = store::standing(conn, organization_id, user_id).await?;
    Ok(found.and_then(|(role, status)| (status == MemberStatus::Active).then_some(role)))
}

/// On which terms an organization is.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What it pays for.
    pub plan: Plan,
    /// How it is.
    pub status: Status,
    /// Its limits, null for none; `None`: nobody set any.
    pub rate_limits: Option<RateLimits>,
    /// Whether tokens may be made in it that never end.
    pub allows_endless_tokens: bool,
}

/// The setting of an organization that lets tokens be made that never end.
const ENDLESS_TOKENS: &str = "allow_non_expiring_tokens";

/// The terms of an organization; `None` if there is none.
///
/// # Errors
/// What the database says.
pub async fn terms(conn: &mut Conn, organization_id: &str) -> Result<Option<Terms>, Error> {
    let found = store::find(conn, organization_id).await?;
    Ok(found.map(|found| Terms {
        plan: found.plan,
        status: found.status,
        rate_limits: found.rate_limits.map(|limits| limits.0),
        allows_endless_tokens: found.settings.0.get(ENDLESS_TOKENS) == Some(&true.into()),
    }))
}

/// How many organizations a person is looked up in at once; they may be in more.
const MOST_STANDINGS: i64 = 5_000;

/// What a person is in the organizations they are an active member of: in the 5,000 they joined last.
///
/// # Errors
/// What the database says.
pub async fn standings(conn: &mut Conn, user_id: &str) -> Result<Vec<Standing>, Error> {
    Ok(store::standings(conn, user_id, MOST_STANDINGS).await?)
}

/// Those of these organizations that are there.
///
/// # Errors
/// What the database says.
pub async fn existing(conn: &mut Conn, ids: &[&str]) -> Result<HashSet<String>, Error> {
    let found = store::existing(conn, &List::of(ids)).await?;
    Ok(found.into_iter().map(|(id,)| id).collect())
}

/// Who of these people is an active member of which of these organizations.
///
/// # Errors
/// What the database says.
pub async fn members_among(
    conn: &mut Conn,
    organizations: &[&str],
    people: &[&str],
) -> Result<HashSet<(String, String)>, Error> {
    let found = store::members_among(conn, &List::of(organizations), &List::of(people)).await?;
    Ok(found.into_iter().collect())
}

/// An organization that is there and may be used.
///
/// # Errors
/// What the database says.
pub async fn active(conn: &mut Conn, organization_id: &str) -> Result<Option<Organization>, Error> {
    let found = store::find(conn, organization_id).await?;
    Ok(found.filter(|found| found.status == Status::Active))
}

/// The active membership somebody has in an organization.
///
/// # Errors
/// What the database says.
pub async fn membership(conn: &mut Conn, organization_id: &str, user_id: &str) -> Result<Option<Membership>, Error> {
    let found = store::find_member(conn, organization_id, user_id).await?;
    Ok(found.filter(|found| found.status == MemberStatus::Active))
}
