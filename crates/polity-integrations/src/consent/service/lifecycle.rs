//! What the clock, the policy and the end of a person do to consents (5.7.3, 5.7.4).

use chrono::Duration;
use polity_kernel::db::{List, Tx};

use super::{
    By, audit,
    chain::{AuditEvent, Entry},
    ending::{end_all, end_of_person},
    lock_person,
};
use crate::consent::{
    Consents, Error,
    model::{Consent, Ending, Status},
    store,
};

/// How many people are looked up in one statement.
const PAGE: i64 = 200;
/// How many rows are deleted in one transaction.
const AT_ONCE: i64 = 500;

/// Ends what is over, and writes down what is for an older policy; one person after the other. One who cannot be helped now
/// stands in nobody's way; then it is an error in the end, and is tried again.
pub(in crate::consent) async fn follow_clock(consents: &Consents) -> Result<u64, Error> {
    let (db, version) = (&consents.ctx.db, i64::from(consents.settings.policy_version));
    let (mut after, mut count, mut failed) = (String::new(), 0, None);
    loop {
        let now = consents.ctx.clock.now();
        let people = store::people_due(&mut *db.read().await?, now, version, &after, PAGE).await?;
        let Some((last,)) = people.last() else {
            return failed.map_or(Ok(count), Err);
        };
        after.clone_from(last);
        for (user_id,) in people {
            match follow(consents, &user_id).await {
                Ok(()) => count += 1,
                Err(error) => {
                    tracing::warn!(error = %error, "consents of a person could not be followed up; it is tried again");
                    failed = Some(error);
                }
            }
        }
    }
}

async fn follow(consents: &Consents, user_id: &str) -> Result<(), Error> {
    let mut tx = consents.ctx.db.begin().await?;
    lock_person(&mut tx, user_id).await?;
    let (now, version) = (consents.ctx.clock.now(), i64::from(consents.settings.policy_version));
    let found = store::active_of(&mut tx, user_id, None).await?;
    for why in [Ending::Expired, Ending::Superseded] {
        let over: Vec<Consent> = found.iter().filter(|one| one.due(now) == Some(why)).cloned().collect();
        if !over.is_empty() {
            end_all(&mut tx, consents, user_id, over, why, &By::nobody()).await?;
        }
    }
    let is_stale = |one: &&Consent| one.due(now).is_none() && one.status == Status::Granted && one.is_outdated(version);
    let stale: Vec<&Consent> = found.iter().filter(is_stale).collect();
    supersede(&mut tx, consents, user_id, &stale).await?;
    Ok(tx.commit().await?)
}

/// Things go on under these until the grace is over; then they are ended.
async fn supersede(tx: &mut Tx, consents: &Consents, user_id: &str, stale: &[&Consent]) -> Result<(), Error> {
    if stale.is_empty() {
        return Ok(());
    }
    let now = consents.ctx.clock.now();
    let until = now + Duration::days(i64::from(consents.settings.grace_days));
    let ids = List::of(stale.iter().map(|one| &one.id));
    store::supersede(tx, user_id, &ids, now, until).await?;
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
    let mut tx = ctx.db.begin().await?;
    end_of_person(&mut tx, consents, user_id).await?;
    let chain_id = store::audit::chain_of(&mut tx, user_id).await?;
    if let Some(chain_id) = &chain_id {
        audit::make_pseudonymous(&mut tx, ctx, chain_id).await?;
    }
    tx.commit().await?;
    let whose = user_id.to_owned();
    ctx.db
        .in_batches(move |tx| {
            let whose = whose.clone();
            Box::pin(async move { store::delete_some(tx, &whose, AT_ONCE).await })
        })
        .await?;
    if let Some(chain_id) = chain_id {
        ctx.db
            .in_batches(move |tx| {
                let chain_id = chain_id.clone();
                Box::pin(async move { store::audit::delete_person_some(tx, &chain_id, AT_ONCE).await })
            })
            .await?;
        let mut tx = ctx.db.begin().await?;
        store::audit::delete_person(&mut tx, user_id).await?;
        tx.commit().await?;
    }
    Ok(())
}
