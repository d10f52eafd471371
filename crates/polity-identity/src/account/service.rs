//! The rules, named by the contract. No HTTP here.

mod directory;
mod lifecycle;
mod moderation;
mod profile;

use std::collections::HashSet;

use polity_kernel::{
    Ctx,
    caller::Caller,
    db::{self, Conn, Json, List, Tx},
};
use polity_ports::{Said, account::UserCreated};

pub(super) use directory::{Listed, by_email, list, search, stats};
pub(super) use lifecycle::{cancel_erasure, delete, erase_due, export, schedule_erasure, seen};
pub(crate) use moderation::add_role;
pub(super) use moderation::{Actor, add_note, detail, history, set_active, set_moderation};
pub use moderation::{RoleActor, assign_roles};
pub(super) use profile::{
    Change, Confirmed, confirm_email, profile, set_instructions, set_preferences, update, version,
};

use super::{
    Error,
    archive::Person,
    model::{Account, AccountId, Preferences, Status, fold_email, is_reserved},
    store,
};
use crate::auth;

/// Who an account is for.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// The id that auth assigned.
    pub user_id: AccountId,
    /// Their address, in any form.
    pub email: String,
    /// Their name.
    pub name: String,
}

/// What [`ensure`] found or made.
#[derive(Debug, Clone)]
pub struct Ensured {
    /// The stored account.
    pub account: Account,
    /// Whether it was made now.
    pub created: bool,
}

/// The account of a person, made if there is none.
///
/// BR-ACC-001, 006, 007: the insert decides who made it; whoever comes second gets the stored one untouched, and the event
/// is published once. BR-ACC-002: an address belongs to one person for ever.
///
/// # Errors
/// [`Error::EmailTaken`] if the address is somebody else's; [`Error::Refused`] for blanks.
pub async fn ensure(tx: &mut Tx, ctx: &Ctx, new: NewAccount) -> Result<Ensured, Error> {
    let name = new.name.trim().to_owned();
    if new.user_id.0.trim().is_empty() {
        return Err(Error::Refused("user_id is required"));
    }
    if name.is_empty() {
        return Err(Error::Refused("name is required"));
    }
    let email = fold_email(&new.email);
    check_not_reserved(&email)?;
    let now = ctx.clock.now();
    let account = Account {
        user_id: new.user_id,
        email,
        name,
        is_active: true,
        status: Status::Active,
        status_reason: None,
        admin_roles: Json(Vec::new()),
        preferences: Json(Preferences::new()),
        custom_instructions: String::new(),
        created_at: now,
        updated_at: now,
        deleted_at: None,
        erase_at: None,
        erased_at: None,
        last_seen_at: None,
    };
    if store::insert(tx, &account).await? {
        let created = UserCreated {
            user_id: account.user_id.0.clone(),
            email: account.email.clone(),
            name: account.name.clone(),
            subscription_plan: "free".to_owned(),
            created_at: now,
        };
        ctx.events.publish(tx, created.event()).await?;
        return Ok(Ensured { account, created: true });
    }
    match store::find(tx, &account.user_id).await? {
        Some(account) => Ok(Ensured {
            account,
            created: false,
        }),
        None => Err(Error::EmailTaken(account.email)),
    }
}

/// Accounts with the ids they had elsewhere, for those who have none here; an identity without a password comes with each, so
/// that they can ask for one. Says who is new.
///
/// # Errors
/// What the database says; [`db::Error::Unique`] if an address is somebody else's.
pub(crate) async fn adopt(tx: &mut Tx, ctx: &Ctx, people: &[Person]) -> db::Result<HashSet<String>> {
    let now = ctx.clock.now();
    let made = store::insert_people(tx, people, now).await?;
    let made: HashSet<String> = made.into_iter().map(|(id,)| id.0).collect();
    let here = store::people(tx, &List::of(people.iter().map(|person| &person.user_id))).await?;
    if here.len() != people.len() {
        return Err(db::Error::Unique("an address is another person's".to_owned()));
    }
    let new: Vec<&Person> = people.iter().filter(|person| made.contains(&person.user_id)).collect();
    auth::adopt(tx, &new, now).await?;
    let events = new.iter().map(|person| {
        let created = UserCreated {
            user_id: person.user_id.clone(),
            email: person.email.clone(),
            name: person.name.clone(),
            subscription_plan: "free".to_owned(),
            created_at: now,
        };
        created.event()
    });
    ctx.events.publish_all(tx, events.collect()).await?;
    Ok(made)
}

/// The stored account of a person, active or not; for auth and for whoever asks for claims.
///
/// # Errors
/// What the database says.
pub async fn claims(conn: &mut Conn, user_id: &AccountId) -> Result<Option<Account>, Error> {
    Ok(store::find(conn, user_id).await?)
}

/// The active account with an address, for a sibling that was given the address by its owner or an administrator.
///
/// # Errors
/// What the database says.
pub async fn of_address(conn: &mut Conn, email: &str) -> Result<Option<Account>, Error> {
    let found = store::find_by_email(conn, &fold_email(email)).await?;
    Ok(found.filter(|account| account.is_active))
}

/// Those of these people who have an account that was not deleted, whether or not it may be used.
///
/// # Errors
/// What the database says.
pub async fn existing(conn: &mut Conn, people: &[&str]) -> Result<HashSet<String>, Error> {
    let found = store::existing(conn, &List::of(people)).await?;
    Ok(found.into_iter().map(|(id,)| id.0).collect())
}

/// How many active super_admins there are.
///
/// # Errors
/// What the database says.
pub async fn count_super_admins(conn: &mut Conn) -> Result<i64, Error> {
    Ok(store::count_super_admins(conn).await?)
}

/// Refuses an address that only an erased account may have.
pub(super) fn check_not_reserved(email: &str) -> Result<(), Error> {
    if is_reserved(email) {
        return Err(Error::Invalid("email", "addresses of this domain are reserved"));
    }
    Ok(())
}

/// Refuses who may not act for a person. The row is not looked at, so the answer says nothing about it.
pub(super) fn check_self(caller: &Caller, user_id: &AccountId) -> Result<(), Error> {
    if caller.may_act_for(&user_id.0) {
        return Ok(());
    }
    Err(Error::Forbidden("You can only access your own account"))
}

/// The account for a change: nobody else changes it until the transaction ends. An erased one is not found.
pub(super) async fn locked(tx: &mut Tx, user_id: &AccountId) -> Result<Account, Error> {
    tx.lock("account", &user_id.0).await?;
    let found = store::find(tx, user_id).await?;
    let found = found.filter(|account| account.erased_at.is_none());
    found.ok_or_else(|| Error::NotFound(user_id.0.clone()))
}

/// The same for an account that may be used (BR-STS-006: another is not found).
pub(super) async fn locked_active(tx: &mut Tx, user_id: &AccountId) -> Result<Account, Error> {
    let account = locked(tx, user_id).await?;
    if account.is_active {
        Ok(account)
    } else {
        Err(Error::NotFound(user_id.0.clone()))
    }
}

/// Sees to it that a super_admin is left when this one goes. Taken before the account's own lock, as everywhere.
pub(super) async fn keep_a_super_admin(tx: &mut Tx, account: &Account) -> Result<(), Error> {
    if account.is_acting_super_admin() && store::count_super_admins(tx).await? <= 1 {
        return Err(Error::LastSuperAdmin);
    }
    Ok(())
}

/// The lock that every change of who is an acting super_admin takes first.
pub(super) async fn lock_super_admins(tx: &mut Tx) -> Result<(), Error> {
    Ok(tx.lock("account.super_admins", "all").await?)
}
