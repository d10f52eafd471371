//! Signing in with a password.

use std::time::Duration;

use polity_kernel::{Secret, db::Tx};
use polity_ports::{
    Said,
    auth::{UserLoggedIn, UserLoggedOut},
};
use serde_json::json;

use super::{Client, Opened, Opening, open};
use crate::{
    account::{self, AccountId, fold_email},
    auth::{
        Auth, Error,
        model::{Identity, Metadata, Scope, lock_out},
        store,
    },
};

/// What keeps the hashes of addresses apart from others.
const PURPOSE: &str = "auth.login_failure";

/// Which door somebody comes in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::auth) enum Door {
    /// Everybody's.
    User,
    /// Platform administrators'.
    Admin,
}

/// Signs somebody in. An unknown address, a wrong password and an account that is locked for a while answer the same, after
/// the same work.
pub(in crate::auth) async fn login(
    auth: &Auth,
    door: Door,
    email: &str,
    password: &Secret,
    organization_id: Option<&str>,
    client: Client,
) -> Result<(Opened, Identity), Error> {
    let ctx = &auth.ctx;
    let email = fold_email(email);
    let subject = ctx.secrets.hash(PURPOSE, &email).as_str().to_owned();
    let (found, locked_until) = {
        let mut read = ctx.db.read().await?;
        (
            store::find_identity_by_email(&mut read, &email).await?,
            store::locked_until(&mut read, &subject).await?,
        )
    };
    let stored = found.as_ref().and_then(|identity| identity.password_hash.as_deref());
    let right = ctx.passwords.verify(password, stored).await?;
    if locked_until.is_some_and(|until| ctx.clock.now() < until) {
        return Err(Error::InvalidCredentials);
    }
    let Some(identity) = found.filter(|identity| right || identity.password_hash.is_none()) else {
        count_failure(auth, &subject).await?;
        return Err(Error::InvalidCredentials);
    };
    if identity.password_hash.is_none() {
        return Err(Error::PasswordNotSet);
    }
    let rehash = stored_needs_rehash(auth, &identity, password).await?;
    if organization_id.is_some() {
        // There are no organisations yet, so nobody is a member of one.
        return Err(Error::NotAMember);
    }
    let mut tx = ctx.db.begin().await?;
    let account = account::claims(&mut tx, &AccountId(identity.user_id.clone())).await?;
    if !identity.is_active || account.as_ref().is_some_and(|account| !account.is_active) {
        return Err(Error::Disabled);
    }
    let roles = account.map(|account| account.admin_roles.0).unwrap_or_default();
    let opening = match door {
        Door::User => user_opening(&identity, "password", client),
        Door::Admin if roles.is_empty() => return Err(Error::NotAnAdmin),
        Door::Admin => admin_opening(&identity, json!(roles), client),
    };
    if let Some(hash) = rehash {
        store::set_password(&mut tx, &identity.user_id, &hash, ctx.clock.now()).await?;
    }
    store::forget_failures(&mut tx, &subject).await?;
    store::mark_login(&mut tx, &identity.user_id, ctx.clock.now()).await?;
    let opened = open(&mut tx, auth, opening).await?;
    say_logged_in(&mut tx, auth, &opened).await?;
    tx.commit().await?;
    Ok((opened, identity))
}

/// A new hash, if the stored one was made with weaker parameters.
async fn stored_needs_rehash(auth: &Auth, identity: &Identity, password: &Secret) -> Result<Option<String>, Error> {
    let passwords = &auth.ctx.passwords;
    match &identity.password_hash {
        Some(stored) if passwords.needs_rehash(stored) => Ok(Some(passwords.hash(password).await?)),
        _ => Ok(None),
    }
}

/// Counts a wrong password; after some in a row the address answers nobody for a growing while.
async fn count_failure(auth: &Auth, subject: &str) -> Result<(), Error> {
    let now = auth.ctx.clock.now();
    let mut tx = auth.ctx.db.begin().await?;
    let failures = store::count_failure(&mut tx, subject, now).await?;
    let until = lock_out(failures).map(|seconds| now + Duration::from_secs(seconds));
    store::lock_subject(&mut tx, subject, until).await?;
    Ok(tx.commit().await?)
}

/// The session of a person.
pub(super) fn user_opening<'a>(identity: &'a Identity, method: &str, client: Client) -> Opening<'a> {
    let mut metadata = Metadata::new();
    metadata.insert("provider".to_owned(), "polity".into());
    metadata.insert("login_method".to_owned(), method.into());
    metadata.insert("name".to_owned(), identity.name.clone().into());
    Opening {
        user_id: &identity.user_id,
        email: &identity.email,
        scope: Scope::User,
        organization_id: None,
        permissions: Vec::new(),
        metadata,
        client,
    }
}

/// The session of an administrator.
pub(super) fn admin_opening(identity: &Identity, roles: serde_json::Value, client: Client) -> Opening<'_> {
    let mut opening = user_opening(identity, "admin", client);
    opening.metadata.insert("admin_roles".to_owned(), roles);
    Opening {
        scope: Scope::Admin,
        permissions: vec!["auth.admin".to_owned()],
        ..opening
    }
}

pub(super) async fn say_logged_in(tx: &mut Tx, auth: &Auth, opened: &Opened) -> Result<(), Error> {
    let event = UserLoggedIn {
        user_id: opened.claims.sub.clone(),
        email: opened.claims.email.clone().unwrap_or_default(),
        organization_id: opened.claims.organization_id.clone(),
        provider: opened.provider.clone(),
        timestamp: auth.ctx.clock.now(),
    };
    let mut event = event.event();
    event.metadata = json!({
        "permissions": opened.claims.permissions,
        "has_organization": opened.claims.organization_id.is_some(),
    });
    auth.ctx.events.publish(tx, event).await?;
    Ok(())
}

pub(super) async fn say_logged_out(tx: &mut Tx, auth: &Auth, user_id: &str) -> Result<(), Error> {
    let email = store::find_identity(tx, user_id)
        .await?
        .map(|identity| identity.email)
        .unwrap_or_default();
    let event = UserLoggedOut {
        user_id: user_id.to_owned(),
        email,
        timestamp: auth.ctx.clock.now(),
    };
    auth.ctx.events.publish(tx, event.event()).await?;
    Ok(())
}
