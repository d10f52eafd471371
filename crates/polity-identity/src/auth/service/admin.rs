//! Administrators: the first one, and those whom the owner of the machine makes.

use std::time::Duration;

use polity_kernel::{Ctx, Secret, TokenKind, TokenText, db::Tx};
use serde_json::json;

use super::{Client, Opened, lock_identity, login::admin_opening, open, session::end_sessions};
use crate::{
    account::{self, AccountId, AdminRole, NewAccount, RoleActor, fold_email},
    auth::{Auth, AuthSettings, Error, model::Identity, store},
};

/// How long the set-up link works.
const LIVES: Duration = Duration::from_hours(24);
/// What keeps its hash apart from others.
const PURPOSE: &str = "auth.setup";

/// Creates an administrator with every right, or makes one of somebody who has an account; returns the user id.
///
/// # Errors
/// [`Error::PasswordLength`], or what the database says.
pub async fn create_admin(ctx: &Ctx, email: &str, password: Secret, name: &str) -> Result<String, Error> {
    let hash = ctx.passwords.hash(&password).await?;
    let mut tx = ctx.db.begin().await?;
    let identity = make_admin(&mut tx, ctx, email, &hash, name).await?;
    tx.commit().await?;
    Ok(identity.user_id)
}

async fn make_admin(tx: &mut Tx, ctx: &Ctx, email: &str, hash: &str, name: &str) -> Result<Identity, Error> {
    let email = fold_email(email);
    if polity_kernel::http::email(&email, &()).is_err() {
        return Err(Error::Internal(format!("{email} is not an e-mail address")));
    }
    tx.lock("auth.registration", &email).await?;
    let now = ctx.clock.now();
    let identity = if let Some(identity) = store::find_identity_by_email(tx, &email).await? {
        lock_identity(tx, &identity.user_id).await?;
        store::set_password(tx, &identity.user_id, hash, now).await?;
        let settings: AuthSettings = ctx
            .config
            .section("auth")
            .map_err(|error| Error::Internal(error.to_string()))?;
        end_sessions(tx, ctx, &settings, &identity.user_id, None, None, "password_changed").await?;
        identity
    } else {
        let identity = Identity {
            user_id: ctx.ids.new_id("usr_"),
            email,
            name: name.trim().to_owned(),
            password_hash: Some(hash.to_owned()),
            password_version: 1,
            is_active: true,
        };
        store::insert_identity(tx, &identity, true, now).await?;
        identity
    };
    let user_id = AccountId(identity.user_id.clone());
    let new = NewAccount {
        user_id: user_id.clone(),
        email: identity.email.clone(),
        name: identity.name.clone(),
    };
    account::ensure(tx, ctx, new).await?;
    let roles = [AdminRole::SuperAdmin.as_str().to_owned()];
    account::assign_roles(tx, ctx, RoleActor::Program, &user_id, &roles).await?;
    Ok(identity)
}

/// The token of a link that creates the first administrator, once, within a day. `None` if there is one.
///
/// # Errors
/// What the database says.
pub async fn setup_token(ctx: &Ctx) -> Result<Option<Secret>, Error> {
    let kind = TokenKind::new("setup").map_err(|error| Error::Internal(error.to_string()))?;
    let mut tx = ctx.db.begin().await?;
    if account::count_super_admins(&mut tx).await? > 0 {
        return Ok(None);
    }
    let token = TokenText::generate(kind);
    let hash = ctx.secrets.hash(PURPOSE, token.expose());
    store::put_setup_token(&mut tx, hash.as_str(), ctx.clock.now() + LIVES).await?;
    tx.commit().await?;
    Ok(Some(token))
}

/// Creates the first administrator with the set-up link.
pub(in crate::auth) async fn setup(
    auth: &Auth,
    token: &str,
    email: &str,
    password: &Secret,
    name: &str,
) -> Result<String, Error> {
    let ctx = &auth.ctx;
    if TokenText::parse(token).is_err() {
        return Err(Error::BootstrapClosed);
    }
    let token_hash = ctx.secrets.hash(PURPOSE, token).as_str().to_owned();
    // Hashing is only for whoever has the link: it is dear.
    if !store::find_setup_token(&mut *ctx.db.read().await?, &token_hash, ctx.clock.now()).await? {
        return Err(Error::BootstrapClosed);
    }
    let hash = ctx.passwords.hash(password).await?;
    let mut tx = ctx.db.begin().await?;
    tx.lock("auth.bootstrap", "first").await?;
    let open = store::take_setup_token(&mut tx, &token_hash, ctx.clock.now()).await?;
    if !open || account::count_super_admins(&mut tx).await? > 0 {
        return Err(Error::BootstrapClosed);
    }
    let identity = make_admin(&mut tx, ctx, email, &hash, name).await?;
    tx.commit().await?;
    Ok(identity.user_id)
}

/// Makes a person the first administrator with the configured secret: once, and only while there is none.
pub(in crate::auth) async fn bootstrap(
    auth: &Auth,
    user_id: &str,
    secret: &Secret,
    client: Client,
) -> Result<Opened, Error> {
    let ctx = &auth.ctx;
    // `Secret` compares in constant time.
    if auth.settings.admin_bootstrap_secret.as_ref() != Some(secret) {
        return Err(Error::BootstrapClosed);
    }
    let mut tx = ctx.db.begin().await?;
    tx.lock("auth.bootstrap", "first").await?;
    if account::count_super_admins(&mut tx).await? > 0 {
        return Err(Error::BootstrapClosed);
    }
    let found = store::find_identity(&mut tx, user_id).await?;
    let Some(identity) = found.filter(|identity| identity.is_active) else {
        return Err(Error::BootstrapClosed);
    };
    let roles = [AdminRole::SuperAdmin.as_str().to_owned()];
    account::assign_roles(&mut tx, ctx, RoleActor::Program, &AccountId(user_id.to_owned()), &roles).await?;
    let opened = open(&mut tx, auth, admin_opening(&identity, json!(roles), client)).await?;
    tx.commit().await?;
    Ok(opened)
}
