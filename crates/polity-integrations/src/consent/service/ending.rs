//! The ends of consents (5.7.2): in the transaction in which one ends, what rests on it is stopped.

use chrono::{DateTime, Utc};
use polity_kernel::{
    Ctx,
    db::{List, Tx},
};
use polity_ports::{Said, consent::ConsentRevoked};

use super::{
    By, audit,
    chain::{AuditEvent, Entry},
    lock_person,
};
use crate::consent::{
    Consents, Error,
    model::{Consent, Ending, Place},
    store,
};

/// How many people are looked up in one statement.
const PAGE: i64 = 200;
/// How many consents are ended in one transaction, with what rests on them.
pub(super) const AT_ONCE: i64 = 50;

/// Takes a consent back. One that has ended stays as it is; one that waits to be renewed is not asked for again.
pub(in crate::consent) async fn revoke(
    tx: &mut Tx,
    consents: &Consents,
    (user_id, workspace_id): (&str, Option<&str>),
    id: &str,
    by: &By,
) -> Result<(), Error> {
    let now = consents.ctx.clock.now();
    lock_person(tx, user_id).await?;
    let found = store::find(tx, user_id, id).await?.ok_or(Error::NotFound)?;
    if workspace_id.is_some_and(|wanted| wanted != found.workspace_id) {
        return Err(Error::NotFound);
    }
    match found.due(now) {
        Some(why) => end_all(tx, consents, user_id, vec![found], why, &By::nobody()).await,
        None if found.is_active => end_all(tx, consents, user_id, vec![found], Ending::Revoked, by).await,
        None => {
            if store::refuse(tx, user_id, id, now).await? > 0 {
                let entry = Entry::of(AuditEvent::Revoked, &found).because(Ending::Revoked);
                audit::append(tx, &consents.ctx, user_id, &[entry], by).await?;
            }
            Ok(())
        }
    }
}

/// Ends the consent of a place, since its own service has ended what rested on it; says whether there was one. Nothing else
/// is stopped. As with [`super::hold`], it comes before any lock of the caller's.
///
/// # Errors
/// What the database says.
pub async fn withdraw(tx: &mut Tx, ctx: &Ctx, place: &Place<'_>, by: &By) -> Result<bool, Error> {
    lock_person(tx, place.user_id).await?;
    let Some(found) = store::find_active(tx, place).await? else {
        return Ok(false);
    };
    let why = found.due(ctx.clock.now()).unwrap_or(Ending::Disconnected);
    end(tx, ctx, place.user_id, std::slice::from_ref(&found), why).await?;
    record(tx, ctx, place.user_id, &[(found, Vec::new())], why, by).await?;
    Ok(true)
}

/// Ends active consents of a person, whose lock is held, and stops what rests on them.
pub(super) async fn end_all(
    tx: &mut Tx,
    consents: &Consents,
    user_id: &str,
    found: Vec<Consent>,
    why: Ending,
    by: &By,
) -> Result<(), Error> {
    let ctx = &consents.ctx;
    end(tx, ctx, user_id, &found, why).await?;
    let mut all = Vec::with_capacity(found.len());
    for consent in found {
        let mut stopped = Vec::new();
        for rests in consents.enforced() {
            stopped.push((rests.what(), rests.ended(tx, &consent, why).await?));
        }
        all.push((consent, stopped));
    }
    record(tx, ctx, user_id, &all, why, by).await
}

async fn end(tx: &mut Tx, ctx: &Ctx, user_id: &str, found: &[Consent], why: Ending) -> Result<(), Error> {
    let ids = List::of(found.iter().map(|consent| &consent.id));
    Ok(store::end(tx, user_id, &ids, why, None, ctx.clock.now()).await?)
}

/// What was stopped, of each kind how much.
type Stopped = Vec<(&'static str, u64)>;

/// Writes down that consents ended, and what was stopped with each.
async fn record(
    tx: &mut Tx,
    ctx: &Ctx,
    user_id: &str,
    all: &[(Consent, Stopped)],
    why: Ending,
    by: &By,
) -> Result<(), Error> {
    let now = ctx.clock.now();
    let event = match why {
        Ending::Expired => AuditEvent::Expired,
        Ending::Superseded | Ending::Replaced => AuditEvent::Superseded,
        _ => AuditEvent::Revoked,
    };
    let mut entries = Vec::with_capacity(all.len());
    let mut events = Vec::with_capacity(all.len());
    for (consent, stopped) in all {
        entries.push(Entry::of(event, consent).because(why));
        entries.extend(enforced(consent, stopped));
        let count = stopped.iter().map(|(_, count)| count).sum();
        events.push(said(consent, why, count, now).event());
    }
    audit::append(tx, ctx, user_id, &entries, by).await?;
    Ok(ctx.events.publish_all(tx, events).await?)
}

/// The entry that says what was stopped, if anything was.
pub(super) fn enforced<'a>(consent: &'a Consent, stopped: &[(&'static str, u64)]) -> Option<Entry<'a>> {
    let some: Vec<String> = stopped
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{what}: {count}"))
        .collect();
    (!some.is_empty()).then(|| Entry::of(AuditEvent::Enforced, consent).with(some.join(", ")))
}

fn said(consent: &Consent, why: Ending, enforced: u64, now: DateTime<Utc>) -> ConsentRevoked {
    ConsentRevoked {
        consent_id: consent.id.clone(),
        user_id: consent.user_id.clone(),
        workspace_id: consent.workspace_id.clone(),
        purpose: consent.purpose.as_str().to_owned(),
        subject_kind: consent.subject_kind.as_str().to_owned(),
        entity_type: consent.entity_type.as_str().to_owned(),
        entity_id: Some(consent.entity_id.clone()).filter(|id| !id.is_empty()),
        reason: why.as_str().to_owned(),
        enforced,
        timestamp: now,
    }
}

/// Ends what a person consented to, in one workspace or everywhere, some in each transaction.
pub(in crate::consent) async fn end_within(
    consents: &Consents,
    user_id: &str,
    workspace_id: Option<&str>,
    why: Ending,
) -> Result<(), Error> {
    loop {
        let mut tx = consents.ctx.db.begin().await?;
        lock_person(&mut tx, user_id).await?;
        let found = store::active_of(&mut tx, user_id, workspace_id, AT_ONCE).await?;
        if found.is_empty() {
            return Ok(());
        }
        end_all(&mut tx, consents, user_id, found, why, &By::nobody()).await?;
        tx.commit().await?;
    }
}

/// Ends what anybody consented to in an organization that is gone, one person after the other.
pub(in crate::consent) async fn end_of_workspace(consents: &Consents, workspace_id: &str) -> Result<(), Error> {
    let db = &consents.ctx.db;
    let mut after = String::new();
    loop {
        let people = store::due::people_in(&mut *db.read().await?, workspace_id, &after, PAGE).await?;
        let Some((last,)) = people.last() else {
            return Ok(());
        };
        after.clone_from(last);
        for (user_id,) in people {
            let why = Ending::OrganizationDeleted;
            end_within(consents, &user_id, Some(workspace_id), why).await?;
        }
    }
}
