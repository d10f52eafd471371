//! What happens to credentials by themselves: they end, are cleaned up, go with their owners, or leak.

use chrono::{DateTime, Duration};
use polity_kernel::{
    TokenText,
    db::{List, Tx},
};
use polity_ports::{Said, integration::ApiTokenExpiring};

use super::revoked;
use crate::credential::{
    Credentials, Error,
    engine::PURPOSE,
    store::{
        self, Revoked,
        usage::{Old, delete_old},
    },
    tenancy,
};

/// How many rows are changed in one transaction.
const AT_ONCE: i64 = 500;
/// How long before its end a token's person is told, in days.
const NOTICE: i64 = 7;

/// Revokes what has been replaced, and deletes uses that are older than they are kept; says how much.
pub(in crate::credential) async fn clean_up(credentials: &Credentials) -> Result<u64, Error> {
    let ctx = &credentials.ctx;
    let mut gone = 0;
    loop {
        let mut tx = ctx.db.begin().await?;
        let done = store::revoke_retired(&mut tx, ctx.clock.now(), AT_ONCE).await?;
        let count = done.len();
        say_all(&mut tx, credentials, done, "polity", "rotated").await?;
        tx.commit().await?;
        gone += count as u64;
        if count == 0 {
            break;
        }
    }
    let settings = &credentials.settings;
    let ago = |days: u32| (ctx.clock.now() - Duration::days(i64::from(days))).timestamp();
    let old = Old {
        log: ago(settings.log_retention_days),
        minutes: ago(settings.minute_retention_days),
        hours: ago(settings.hour_retention_days),
        days: ago(settings.day_retention_days),
        thresholds: ago(62),
    };
    let deleted = ctx
        .db
        .in_batches(move |tx| Box::pin(delete_old(tx, old, AT_ONCE)))
        .await?;
    Ok(gone + deleted)
}

async fn say_all(
    tx: &mut Tx,
    credentials: &Credentials,
    all: Vec<Revoked>,
    by: &str,
    reason: &str,
) -> Result<(), Error> {
    for one in all {
        revoked(tx, credentials, one, by, reason).await?;
    }
    Ok(())
}

/// Says of tokens that end within a week that they do, once each; says of how many.
pub(in crate::credential) async fn tell_expiring(credentials: &Credentials) -> Result<u64, Error> {
    let ctx = &credentials.ctx;
    let mut told = 0;
    loop {
        let now = ctx.clock.now();
        let mut tx = ctx.db.begin().await?;
        let some = store::take_expiring(&mut tx, now, now + Duration::days(NOTICE), AT_ONCE).await?;
        let count = some.len();
        for (token_id, workspace_id, user_id, expires_at) in some {
            let event = ApiTokenExpiring {
                token_id,
                workspace_id,
                user_id,
                expires_at,
                timestamp: now,
            };
            ctx.events.publish(&mut tx, event.event()).await?;
        }
        tx.commit().await?;
        told += count as u64;
        if count == 0 {
            return Ok(told);
        }
    }
}

/// Revokes the tokens of a person who is gone, and the keys of their personal organization. An owner has a bounded number
/// of them, so that it is one transaction.
pub(in crate::credential) async fn revoke_of_person(
    tx: &mut Tx,
    credentials: &Credentials,
    user_id: &str,
) -> Result<(), Error> {
    loop {
        let now = credentials.ctx.clock.now();
        let done = store::revoke_of_person(tx, user_id, "user_deleted", now, AT_ONCE).await?;
        if done.is_empty() {
            return Ok(());
        }
        say_all(tx, credentials, done, "polity", "user_deleted").await?;
    }
}

/// Revokes the credentials of an organization that is gone, or of one person who has left it.
pub(in crate::credential) async fn revoke_of_organization(
    tx: &mut Tx,
    credentials: &Credentials,
    organization_id: &str,
    user_id: Option<&str>,
) -> Result<(), Error> {
    let reason = if user_id.is_some() {
        "member_removed"
    } else {
        "organization_deleted"
    };
    loop {
        let now = credentials.ctx.clock.now();
        let done = store::revoke_of_organization(tx, organization_id, user_id, reason, now, AT_ONCE).await?;
        if done.is_empty() {
            return Ok(());
        }
        say_all(tx, credentials, done, "polity", reason).await?;
    }
}

/// Revokes what a person who has left an organization had or made in it, unless they are back by now.
pub(in crate::credential) async fn revoke_of_member(
    tx: &mut Tx,
    credentials: &Credentials,
    organization_id: &str,
    user_id: &str,
) -> Result<(), Error> {
    if tenancy::role(tx, organization_id, user_id).await?.is_some() {
        return Ok(());
    }
    revoke_of_organization(tx, credentials, organization_id, Some(user_id)).await
}

/// Leaves nothing of a person in what is kept for the audit: of their tokens in any workspace, and of all in their own. Some
/// in each transaction, so that none is held for long; begun again, it comes to the same.
pub(in crate::credential) async fn forget_person(credentials: &Credentials, user_id: &str) -> Result<(), Error> {
    let mut after = String::new();
    loop {
        let mut tx = credentials.ctx.db.begin().await?;
        let some = store::forget_some(&mut tx, user_id, &after, AT_ONCE).await?;
        tx.commit().await?;
        let Some((last,)) = some.last() else { return Ok(()) };
        after.clone_from(last);
        for (id,) in &some {
            forget_uses(credentials, id).await?;
        }
    }
}

async fn forget_uses(credentials: &Credentials, id: &str) -> Result<(), Error> {
    let mut place = Some((i64::MIN, String::new()));
    while let Some(after) = place {
        if credentials.ctx.stop.is_cancelled() {
            let text = "the program stops; the rest is done when it runs again";
            return Err(Error::Internal(text.to_owned()));
        }
        let mut tx = credentials.ctx.db.begin().await?;
        place = store::usage::forget_some(&mut tx, id, &after, AT_ONCE).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// What became of texts that leaked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leaked {
    /// How many different texts look like credentials of Polity's, with the right checksum.
    pub found: usize,
    /// The ids of those that are revoked now.
    pub revoked: Vec<String>,
}

/// Revokes every credential whose text is among these, whosever it is. Texts are compared by hash and kept nowhere.
///
/// # Errors
/// What the database says; what was revoked until then stays so.
pub async fn revoke_leaked(credentials: &Credentials, texts: &[String]) -> Result<Leaked, Error> {
    let ctx = &credentials.ctx;
    let mut hashes: Vec<String> = texts
        .iter()
        .filter(|text| TokenText::parse(text).is_ok())
        .map(|text| ctx.secrets.hash(PURPOSE, text).as_str().to_owned())
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    let mut leaked = Leaked {
        found: hashes.len(),
        ..Leaked::default()
    };
    for some in hashes.chunks(200) {
        let mut tx = ctx.db.begin().await?;
        let now: DateTime<_> = ctx.clock.now();
        let done = store::revoke_hashes(&mut tx, "polity", "leaked", &List::of(some), now).await?;
        leaked.revoked.extend(done.iter().map(|(id, ..)| id.clone()));
        say_all(&mut tx, credentials, done, "polity", "leaked").await?;
        tx.commit().await?;
    }
    Ok(leaked)
}
