//! Refusals, and whose access was last checked: noted in memory and written in batches, since no row is written for a check.
//!
//! A refusal is noted once a minute for one person and resource. A crash loses what was noted since the last batch.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use polity_kernel::{db::List, event::NewEvent};
use polity_ports::{
    Said,
    authorization::{AccessDenied, Ask},
};

use super::{
    Authorization, Error,
    model::{Action, Decision, Person, normal},
    store::{self, audit},
};

/// How often what was noted is written.
const EVERY: Duration = Duration::from_millis(500);
/// How many people wait to be noted at most; what comes beyond that is not noted.
const WAITING: usize = 10_000;
/// The same of refusals: whoever asks about thousands of things a second does not fill the audit with them.
const DENIED: usize = 500;
/// How many of them are written in one transaction.
const AT_ONCE: usize = 500;
/// How many that were noted this minute are remembered.
const REMEMBERED: u64 = 50_000;

/// What was noted and is not written yet.
pub(super) struct Watch {
    waiting: Mutex<Waiting>,
    /// What was noted in which minute: refusals by person and resource, people by their id.
    noted: moka::sync::Cache<(u64, i64), ()>,
    hasher: std::hash::RandomState,
}

#[derive(Default)]
struct Waiting {
    denied: Vec<AccessDenied>,
    checked: HashSet<String>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            noted: moka::sync::Cache::new(REMEMBERED),
            hasher: std::hash::RandomState::new(),
        }
    }

    /// Notes a decision. Of who is nobody, or may not act, it is not kept when they were asked about: nothing would remove it.
    pub(super) fn note(&self, ask: Ask<'_>, person: &Person, decision: &Decision, now: DateTime<Utc>) {
        let minute = now.timestamp().div_euclid(60);
        if person.is_active && self.is_new(ask.user_id, minute) {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.checked.len() < WAITING {
                waiting.checked.insert(ask.user_id.to_owned());
            }
        }
        if decision.is_granted {
            return;
        }
        let resource_name = normal(ask.resource_name);
        if !self.is_new((ask.user_id, ask.resource_type, resource_name.as_str()), minute) {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.denied.len() < DENIED {
            waiting.denied.push(AccessDenied {
                user_id: ask.user_id.to_owned(),
                resource_type: ask.resource_type,
                resource_name,
                required_access_level: ask.level,
                reason: decision.reason.clone(),
                timestamp: now,
            });
        }
    }

    /// Whether this is noted in that minute for the first time.
    fn is_new(&self, what: impl std::hash::Hash, minute: i64) -> bool {
        use std::hash::BuildHasher;
        let key = (self.hasher.hash_one(what), minute);
        // Most are not new, and cost no lock; of those that are at once, one is.
        !self.noted.contains_key(&key) && self.noted.entry(key).or_insert(()).is_fresh()
    }

    fn take(&self) -> Waiting {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes what was noted, until the program stops and everything is written.
pub(super) async fn keep_writing(authorization: Authorization) {
    let stop = &authorization.ctx.stop;
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        flush(&authorization).await;
    }
    flush(&authorization).await;
}

async fn flush(authorization: &Authorization) {
    let Waiting { mut denied, checked } = authorization.watch.take();
    let mut checked: Vec<String> = checked.into_iter().collect();
    while !denied.is_empty() || !checked.is_empty() {
        let more = denied.split_off(denied.len().min(AT_ONCE));
        let others = checked.split_off(checked.len().min(AT_ONCE));
        if let Err(error) = write(authorization, denied, &checked).await {
            tracing::warn!(error = %error, "refusals of access could not be written");
        }
        (denied, checked) = (more, others);
    }
}

async fn write(authorization: &Authorization, denied: Vec<AccessDenied>, checked: &[String]) -> Result<(), Error> {
    let ctx = &authorization.ctx;
    let now = ctx.clock.now();
    let entries: Vec<audit::Entry> = denied
        .iter()
        .map(|denied| audit::Entry {
            id: ctx.ids.new_id("pad_"),
            user_id: denied.user_id.clone(),
            resource_type: denied.resource_type.as_str().to_owned(),
            resource_name: denied.resource_name.clone(),
            action: Action::Check,
            old_access_level: None,
            new_access_level: Some(denied.required_access_level.as_str().to_owned()),
            performed_by_user_id: denied.user_id.clone(),
            reason: None,
            success: false,
            error_message: Some(denied.reason.clone()),
            created_at: now,
        })
        .collect();
    let events: Vec<NewEvent> = denied.iter().map(Said::event).collect();
    let mut tx = ctx.db.begin().await?;
    // Replicas write the rows of the same people: one after the other, so that none waits for another that waits for it.
    tx.lock("authorization.watch", "all").await?;
    audit::insert(&mut tx, &entries, now).await?;
    store::note_checks(&mut tx, &List::of(checked), now).await?;
    ctx.events.publish_all(&mut tx, events).await?;
    Ok(tx.commit().await?)
}
