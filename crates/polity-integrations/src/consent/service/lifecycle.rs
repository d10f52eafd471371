//! What the clock, the policy and the end of a person do to consents (5.7.3, 5.7.4).

use chrono::Duration;
use polity_kernel::db::{List, Tx};

use super::{
    By, audit,
    chain::{AuditEvent, Entry},
    ending::{AT_ONCE, end_all, end_within},
    keeping, lock_person,
};
use crate::consent::{
    Consents, Error,
    model::{Consent, Ending, Status},
    store,
};

/// How many people are looked up in one statement.
const PAGE: i64 = 200;
/// How many rows are deleted in one transaction.
const DELETED: i64 = 500;
/// After so many who cannot be helped now, something else is wrong.
const LEFT: usize = 100;

/// Ends what is over, and writes down what is for an older policy; one person after the other. One who cannot be helped now
/// stands in nobody's way; then it is an error in the end, and is tried again.
pub(in crate::consent) async fn follow_clock(consents: &Consents) -> Result<u64, Error> {
    let (db, version) = (&consents.ctx.db, i64::from(consents.settings.policy_version));
    let (mut count, mut left, mut failed) = (0, Vec::new(), None);
    loop {
        let (now, but) = (consents.ctx.clock.now(), List::of(&left));
        let people = store::due::people_due(&mut *db.read().await?, now, version, &but, PAGE).await?;
        if people.is_empty() || left.len() >= LEFT {
            return failed.map_or(Ok(count), Err);
        }
        for (user_id,) in people {
            match follow(consents, &user_id).await {
                Ok(()) => count += 1,
                Err(error) => {
                    tracing::warn!(error = %error, "consents of a person could not be followed up; it is tried again");
                    left.push(user_id);
                    failed = Some(error);
                }
            }
        }
    }
}

async fn follow(consents: &Consents, user_id: &str) -> Result<(), Error> {
    loop {
        let mut tx = consents.ctx.db.begin().await?;
        lock_person(&mut tx, user_id).await?;
        let (now, version) = (consents.ctx.clock.now(), i64::from(consents.settings.policy_version));
        let found = store::active_of(&mut tx, user_id, None, i64::MAX).await?;
        let over: Vec<(Ending, &Consent)> = found.iter().filter_map(|one| Some((one.due(now)?, one))).collect();
        // Some of one kind in each transaction; the last one has none.
        let Some((why, _)) = over.first().copied() else {
            supersede(&mut tx, consents, user_id, &stale(&found, version)).await?;
            return Ok(tx.commit().await?);
        };
        let some = over.iter().filter(|(ending, _)| *ending == why).take(at_once());
        let some = some.map(|(_, one)| (*one).clone()).collect();
        end_all(&mut tx, consents, user_id, some, why, &By::nobody()).await?;
        tx.commit().await?;
    }
}

fn at_once() -> usize {
    usize::try_from(AT_ONCE).unwrap_or(1)
}

fn stale(found: &[Consent], version: i64) -> Vec<&Consent> {
    let is_stale = |one: &&Consent| one.status == Status::Granted && one.is_outdated(version);
    found.iter().filter(is_stale).collect()
}

/// Things go on under these until the grace is over; then they are ended.
async fn supersede(tx: &mut Tx, consents: &Consents, user_id: &str, stale: &[&Consent]) -> Result<(), Error> {
    if stale.is_empty() {
        return Ok(());
    }
    let now = consents.ctx.clock.now();
    let until = now + Duration::days(i64::from(consents.settings.grace_days));
    let ids = List::of(stale.iter().map(|one| &one.id));
    store::due::supersede(tx, user_id, &ids, now, until).await?;
    let detail = format!("the policy is of version {}", consents.settings.policy_version);
    let entries: Vec<Entry<'_>> = stale
        .iter()
        .map(|one| Entry::of(AuditEvent::Superseded, one).with(detail.clone()))
        .collect();
    audit::append(tx, &consents.ctx, user_id, &entries, &By::nobody()).await
}

/// Forgets a person: their consents, what is personal in their history, and at last whose that is.
pub(in crate::consent) async fn forget(consents: &Consents, user_id: &str) -> Result<(), Error> {
    let ctx = &consents.ctx;
    end_within(consents, user_id, None, Ending::UserDeleted).await?;
    let mut tx = ctx.db.begin().await?;
    let chain_id = store::audit::chain_of(&mut tx, user_id).await?;
    if let Some(chain_id) = &chain_id {
        keeping::make_pseudonymous(&mut tx, ctx, chain_id).await?;
    }
    tx.commit().await?;
    let whose = user_id.to_owned();
    ctx.db
        .in_batches(move |tx| {
            let whose = whose.clone();
            Box::pin(async move { store::due::delete_some(tx, &whose, DELETED).await })
        })
        .await?;
    if let Some(chain_id) = chain_id {
        ctx.db
            .in_batches(move |tx| {
                let chain_id = chain_id.clone();
                Box::pin(async move { store::keeping::delete_person_some(tx, &chain_id, DELETED).await })
            })
            .await?;
        let mut tx = ctx.db.begin().await?;
        store::keeping::delete_person(&mut tx, user_id).await?;
        tx.commit().await?;
    }
    Ok(())
}
