//! What follows from what account says, and what has ended.

use std::time::Duration;

use chrono::{DateTime, Utc};
use polity_kernel::db::{self, Conn, Tx};

use super::{lock_identity, revoke_sessions};
use crate::{
    account::archive::Person,
    auth::{Auth, Error, model::Scope, store},
    changes,
};

/// Takes over the active flag; an account that may not be used has no sessions.
pub(in crate::auth) async fn follow_status(
    tx: &mut Tx,
    auth: &Auth,
    user_id: &str,
    is_active: bool,
) -> Result<(), Error> {
    lock_identity(tx, user_id).await?;
    store::set_active(tx, user_id, is_active, auth.ctx.clock.now()).await?;
    changes::of_person(tx, &auth.ctx, user_id).await?;
    if !is_active {
        revoke_sessions(tx, auth, user_id, None, None, "disabled").await?;
    }
    Ok(())
}

/// Takes over name and address.
pub(in crate::auth) async fn follow_profile(
    tx: &mut Tx,
    auth: &Auth,
    user_id: &str,
    name: &str,
    email: &str,
) -> Result<(), Error> {
    lock_identity(tx, user_id).await?;
    if !store::sync_profile(tx, user_id, name, email, auth.ctx.clock.now()).await?
        && store::find_identity(tx, user_id).await?.is_some()
    {
        tracing::error!(
            user.id = user_id,
            "the address of an account is another identity's; the identity keeps its own"
        );
    }
    Ok(())
}

/// Leaves nothing of an erased person but the id.
pub(in crate::auth) async fn forget(tx: &mut Tx, auth: &Auth, user_id: &str) -> Result<(), Error> {
    let email = format!("erased+{user_id}@erased.invalid");
    lock_identity(tx, user_id).await?;
    store::erase_identity(tx, user_id, &email, auth.ctx.clock.now()).await?;
    // What was revoked stays so: revocations name the session alone.
    revoke_sessions(tx, auth, user_id, None, None, "deleted").await?;
    store::session::delete_all(tx, user_id).await?;
    Ok(())
}

/// Identities for people who come with an archive: without a password, which they set by a mailed reset.
///
/// # Errors
/// [`db::Error::Unique`] if an address is another identity's.
pub(crate) async fn adopt(tx: &mut Tx, people: &[&Person], now: DateTime<Utc>) -> db::Result<()> {
    store::insert_people(tx, people, now).await.map(drop)
}

/// Whether a person may sign in, and so whether what acts for them may act.
pub(crate) async fn is_active(conn: &mut Conn, user_id: &str) -> db::Result<bool> {
    let found = store::find_identity(conn, user_id).await?;
    Ok(found.is_some_and(|identity| identity.is_active))
}

/// Whether this is a person who may not sign in.
pub(crate) async fn is_disabled(conn: &mut Conn, user_id: &str) -> db::Result<bool> {
    let found = store::find_identity(conn, user_id).await?;
    Ok(found.is_some_and(|identity| !identity.is_active))
}

/// Ends an administrator's sessions when a role was taken: the next one carries the roles that are left.
pub(in crate::auth) async fn revoke_admin_sessions(tx: &mut Tx, auth: &Auth, user_id: &str) -> Result<(), Error> {
    revoke_sessions(tx, auth, user_id, None, Some(Scope::Admin), "role_revoked").await?;
    Ok(())
}

/// Sessions are kept this long after they ended, for whoever asks what happened.
const SESSIONS: Duration = Duration::from_hours(30 * 24);
/// A mail is given up after this; what it opens has ended long before.
const MAILS: Duration = Duration::from_hours(3 * 24);
/// How long wrong passwords are counted together.
const RECENT: Duration = Duration::from_hours(1);
/// How long attempts of devices to authenticate are kept.
const ATTEMPTS: Duration = Duration::from_hours(24 * 90);
/// How many rows of a table one transaction deletes: it must not keep others waiting.
const AT_ONCE: i64 = 500;

/// Deletes what has ended; says how much.
pub(in crate::auth) async fn clean_up(auth: &Auth) -> Result<u64, Error> {
    let now = auth.ctx.clock.now();
    let ended = store::Ended {
        now,
        recent: now - RECENT,
        mails: now - MAILS,
        sessions: now - SESSIONS,
        attempts: now - ATTEMPTS,
        keys: auth.keys.retired_before(),
    };
    let db = &auth.ctx.db;
    Ok(db
        .in_batches(move |tx| Box::pin(store::clean_up(tx, ended, AT_ONCE)))
        .await?)
}
