//! Signing in with a password.

use polity_kernel::{Secret, db::Tx};
use polity_ports::{
    Said,
    auth::{UserLoggedIn, UserLoggedOut},
};
use serde_json::json;

use super::{
    Client, Opened, Opening, open,
    proof::{Guess, guess, prove},
};
use crate::{
    account::{self, AccountId, fold_email},
    auth::{
        Auth, Error,
        model::{Identity, Metadata, Scope},
        store,
    },
    organization,
};

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
    let found = store::find_identity_by_email(&mut *ctx.db.read().await?, &email).await?;
    let guess = guess(auth, &email, found, password).await?;
    let rehash = rehash(auth, &guess, password).await?;
    let mut tx = ctx.db.begin().await?;
    let Some(identity) = prove(&mut tx, auth, &guess).await? else {
        tx.commit().await?;
        return Err(Error::InvalidCredentials);
    };
    if identity.password_hash.is_none() {
        return Err(Error::PasswordNotSet);
    }
    let opening = admit(&mut tx, (door, organization_id), &identity, client).await?;
    if let Some(hash) = rehash {
        store::rehash_password(&mut tx, &identity.user_id, &hash).await?;
    }
    store::mark_login(&mut tx, &identity.user_id, ctx.clock.now()).await?;
    let opened = open(&mut tx, auth, opening).await?;
    say_logged_in(&mut tx, auth, &opened).await?;
    tx.commit().await?;
    Ok((opened, identity))
}

/// The session that a door opens to somebody, if it does.
async fn admit<'a>(
    tx: &mut Tx,
    (door, wanted): (Door, Option<&str>),
    identity: &'a Identity,
    client: Client,
) -> Result<Opening<'a>, Error> {
    let account = account::claims(tx, &AccountId(identity.user_id.clone())).await?;
    if !identity.is_active || account.as_ref().is_some_and(|account| !account.is_active) {
        return Err(Error::Disabled);
    }
    let roles = account.map(|account| account.admin_roles.0).unwrap_or_default();
    match door {
        Door::User => {
            let organization_id = organization_of(tx, &identity.user_id, wanted).await?;
            Ok(Opening {
                organization_id,
                ..user_opening(identity, "password", client)
            })
        }
        Door::Admin if roles.is_empty() => Err(Error::NotAnAdmin),
        Door::Admin => Ok(admin_opening(identity, json!(roles), client)),
    }
}

/// The organization to sign in to: one they may act in, or the one they chose to act in; none is none.
async fn organization_of(tx: &mut Tx, user_id: &str, wanted: Option<&str>) -> Result<Option<String>, Error> {
    let Some(wanted) = wanted else {
        return Ok(organization::context(tx, user_id)
            .await?
            .map(|context| context.organization_id));
    };
    match organization::acting(tx, user_id, wanted).await {
        Ok(context) => Ok(Some(context.organization_id)),
        Err(organization::Error::NotFound | organization::Error::Forbidden(_)) => Err(Error::NotAMember),
        Err(error) => Err(error.into()),
    }
}

/// A new hash, if the stored one was made with weaker parameters.
async fn rehash(auth: &Auth, guess: &Guess, password: &Secret) -> Result<Option<String>, Error> {
    let passwords = &auth.ctx.passwords;
    let stored = guess.right().and_then(|identity| identity.password_hash.as_deref());
    match stored {
        Some(stored) if passwords.needs_rehash(stored) => Ok(Some(passwords.hash(password).await?)),
        _ => Ok(None),
    }
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
