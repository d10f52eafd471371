//! Uses, counted in memory and written in batches: no row is written for a call.
//!
//! A crash loses what was counted since the last batch ([`super::CredentialSettings::flush_ms`], and what the batch takes to
//! write): less than a second. A batch that cannot be written is kept and tried again, as far as there is room.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use polity_kernel::{caller::Answered, clock::Clock, db::Tx};

use super::{
    Credentials, Error,
    engine::Known,
    limits::{Field, Limit},
    model::minute,
    service,
    store::usage::{self, Common, LastUse, LogRow, UsageRow},
};

/// Tables under locks of their own.
const SHARDS: usize = 16;
/// How many credentials and minutes each table counts apart.
const COUNTED: usize = 16_384;
/// How many kinds of uses each table holds; what is beyond is counted by credential and minute alone.
const LOGGED: usize = 4_096;

/// What was counted and is not written yet.
pub(crate) struct Tally {
    clock: Clock,
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
    /// Held by whoever writes: whoever reads waits for what others have taken and not written yet.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Shard {
    counts: HashMap<u64, Count>,
    log: HashMap<u64, LogRow>,
}

/// Uses of a credential in a minute.
struct Count {
    known: Arc<Known>,
    minute: i64,
    requests: i64,
    tokens: i64,
    refused: i64,
    ip: Option<String>,
}

impl Tally {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    fn with<T>(&self, id: &str, work: impl FnOnce(&mut Shard) -> T) -> Option<T> {
        let index = usize::try_from(self.hasher.hash_one(id) % SHARDS as u64).unwrap_or(0);
        let shard = self.shards.get(index)?;
        Some(work(&mut shard.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn count(&self, known: &Arc<Known>, add: impl FnOnce(&mut Count)) {
        let minute = minute(self.clock.now());
        let id = known.credential.id.as_str();
        self.with(id, |shard| {
            // While nothing can be written, what is counted stays bounded: then a credential's minutes become one.
            let is_full = shard.counts.len() >= COUNTED;
            let key = self.hasher.hash_one((id, (!is_full).then_some(minute)));
            let count = shard.counts.entry(key).or_insert_with(|| Count {
                known: Arc::clone(known),
                minute,
                requests: 0,
                tokens: 0,
                refused: 0,
                ip: None,
            });
            add(count);
        });
    }

    /// Counts a use.
    pub(super) fn used(&self, known: &Arc<Known>, requests: u32, tokens: u64) {
        self.count(known, |count| {
            count.requests += i64::from(requests);
            count.tokens = count.tokens.saturating_add(i64::try_from(tokens).unwrap_or(i64::MAX));
        });
    }

    /// Counts one that a limit refused.
    pub(super) fn refused(&self, known: &Arc<Known>) {
        self.count(known, |count| count.refused += 1);
    }

    /// Notes from where a credential is used.
    pub(super) fn seen_at(&self, known: &Arc<Known>, ip: std::net::IpAddr) {
        self.count(known, |count| {
            if count.ip.is_none() {
                count.ip = Some(ip.to_string());
            }
        });
    }

    /// Adds a request to the log.
    pub(super) fn log(&self, answered: &Answered<'_>) {
        let minute = minute(self.clock.now());
        let (id, from) = (answered.caller.id.as_str(), &answered.from);
        let key = self
            .hasher
            .hash_one((id, minute, from.method, from.route, answered.status));
        let took = i64::try_from(answered.took.as_millis()).unwrap_or(i64::MAX);
        self.with(id, |shard| {
            if let Some(row) = shard.log.get_mut(&key) {
                row.requests += 1;
                row.milliseconds = row.milliseconds.saturating_add(took);
            } else if shard.log.len() < LOGGED {
                let cut = |text: &str, most: usize| text.chars().take(most).collect();
                shard.log.insert(
                    key,
                    LogRow {
                        id: String::new(),
                        organization_id: answered.caller.organization_id.clone().unwrap_or_default(),
                        credential_id: id.to_owned(),
                        minute,
                        method: cut(from.method, 20),
                        endpoint: cut(from.route, 500),
                        status_code: i64::from(answered.status),
                        requests: 1,
                        milliseconds: took,
                        ip: from.ip.to_string(),
                        user_agent: cut(from.user_agent, 256),
                    },
                );
            }
        });
    }

    /// Takes what was counted.
    fn take(&self) -> (Vec<Count>, Vec<LogRow>) {
        let (mut counts, mut log) = (Vec::new(), Vec::new());
        for shard in &self.shards {
            let taken = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            counts.extend(taken.counts.into_values());
            log.extend(taken.log.into_values());
        }
        (counts, log)
    }

    /// Puts back what could not be written.
    fn put_back(&self, counts: Vec<Count>, log: Vec<LogRow>) {
        for back in counts {
            let known = Arc::clone(&back.known);
            let key = self.hasher.hash_one((known.credential.id.as_str(), Some(back.minute)));
            self.with(&known.credential.id, |shard| match shard.counts.get_mut(&key) {
                Some(count) => {
                    count.requests += back.requests;
                    count.tokens = count.tokens.saturating_add(back.tokens);
                    count.refused += back.refused;
                }
                None => {
                    shard.counts.insert(key, back);
                }
            });
        }
        for back in log {
            let id = back.credential_id.clone();
            let status = u16::try_from(back.status_code).unwrap_or_default();
            let key = self.hasher.hash_one((
                id.as_str(),
                back.minute,
                back.method.as_str(),
                back.endpoint.as_str(),
                status,
            ));
            self.with(&id, |shard| {
                if let Some(row) = shard.log.get_mut(&key) {
                    row.requests += back.requests;
                    row.milliseconds = row.milliseconds.saturating_add(back.milliseconds);
                } else if shard.log.len() < LOGGED {
                    shard.log.insert(key, back);
                }
            });
        }
    }
}

/// Writes uses, until the program stops and everything is written.
pub(super) async fn keep_writing(credentials: Credentials) {
    let pause = Duration::from_millis(u64::from(credentials.settings.flush_ms.max(10)));
    let stop = &credentials.ctx.stop;
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        write_all(&credentials).await;
    }
    // Requests that were under way when the program was asked to stop count until the last of them is answered.
    while !credentials.ctx.tasks.is_closed() {
        write_all(&credentials).await;
        tokio::time::sleep(pause).await;
    }
    write_all(&credentials).await;
}

/// Writes what was counted until now, for somebody who waits for it. What was taken out of memory is written even if they
/// go away meanwhile, as a client does that closes its connection.
pub(super) async fn flush(credentials: &Credentials) {
    let (done, written) = tokio::sync::oneshot::channel::<()>();
    let all = credentials.clone();
    credentials.ctx.spawn(async move {
        write_all(&all).await;
        drop(done);
    });
    // Said by dropping it, so that nobody waits for one that failed.
    drop(written.await);
}

/// Some of it in each transaction, so that none is held for long.
async fn write_all(credentials: &Credentials) {
    let _one_at_a_time = credentials.tally.writing.lock().await;
    let (mut counts, mut log) = credentials.tally.take();
    for row in &mut log {
        if row.id.is_empty() {
            row.id = credentials.ctx.ids.new_id("use_");
        }
    }
    while !counts.is_empty() || !log.is_empty() {
        let rest = counts.split_off(counts.len().min(AT_ONCE));
        let more = log.split_off(log.len().min(AT_ONCE));
        if let Err(error) = write(credentials, &counts, &log).await {
            tracing::warn!(error = %error, "uses of credentials could not be written; they are kept and tried again");
            counts.extend(rest);
            log.extend(more);
            credentials.tally.put_back(counts, log);
            return;
        }
        (counts, log) = (rest, more);
    }
}

/// How many credentials, and entries of the log, are written in one transaction.
const AT_ONCE: usize = 1_000;

async fn write(credentials: &Credentials, counts: &[Count], log: &[LogRow]) -> Result<(), Error> {
    let ctx = &credentials.ctx;
    let rows = add_up(counts);
    let uses: Vec<LastUse> = counts
        .iter()
        .filter(|count| count.requests > 0)
        .map(|count| {
            let ip = count.ip.clone().unwrap_or_default();
            (count.known.credential.id.clone(), ip)
        })
        .collect::<HashMap<_, _>>()
        .into_iter()
        .map(|(id, ip)| LastUse { id, ip })
        .collect();
    let now = ctx.clock.now();
    let mut tx = ctx.db.begin().await?;
    // Replicas add to the rows of one organization; in one order, so that none waits for another that waits for it.
    tx.lock("credential.usage", "all").await?;
    usage::add_log(&mut tx, log).await?;
    let added = usage::add_usage(&mut tx, &rows).await?;
    let days: Vec<Day> = added.into_iter().filter(|(_, _, grain, ..)| grain == "day").collect();
    usage::mark_used(&mut tx, &uses, now, now - Duration::from_mins(1)).await?;
    tell_thresholds(&mut tx, credentials, counts, &days).await?;
    Ok(tx.commit().await?)
}

/// A row per credential and span, and one per organization and span.
fn add_up(counts: &[Count]) -> Vec<UsageRow> {
    let mut rows: HashMap<(&str, &str, &'static str, i64), UsageRow> = HashMap::new();
    for count in counts {
        let credential = &count.known.credential;
        let spans = [
            ("minute", count.minute),
            ("hour", count.minute - count.minute.rem_euclid(3_600)),
            ("day", count.minute - count.minute.rem_euclid(86_400)),
        ];
        for (grain, start) in spans {
            for id in [credential.id.as_str(), ""] {
                let organization = credential.organization_id.as_str();
                let row = rows
                    .entry((organization, id, grain, start))
                    .or_insert_with(|| UsageRow {
                        organization_id: organization.to_owned(),
                        credential_id: id.to_owned(),
                        grain,
                        start,
                        requests: 0,
                        tokens: 0,
                        refused: 0,
                    });
                row.requests += count.requests;
                row.tokens = row.tokens.saturating_add(count.tokens);
                row.refused += count.refused;
            }
        }
    }
    rows.into_values().collect()
}

/// What a day has come to: organization, credential, grain, start, requests, tokens.
type Day = (String, String, String, i64, i64, i64);

/// Tells of quotas of a day that are used by 80 % or all.
async fn tell_thresholds(tx: &mut Tx, credentials: &Credentials, counts: &[Count], days: &[Day]) -> Result<(), Error> {
    let mut latest: HashMap<(&str, &str), &Day> = HashMap::new();
    for day in days {
        let last = latest.entry((&day.0, &day.1)).or_insert(day);
        if day.3 > last.3 {
            *last = day;
        }
    }
    let known: HashMap<&str, &Known> = counts
        .iter()
        .map(|count| (count.known.credential.id.as_str(), &*count.known))
        .collect();
    let mut common: HashMap<Common, (&Known, &Limit)> = HashMap::new();
    for known in known.into_values() {
        let organization = known.credential.organization_id.as_str();
        for limit in &known.limits {
            let is_common = limit.scope_id == organization;
            let id = if is_common { "" } else { &limit.scope_id };
            let Some(day) = latest.get(&(organization, id)) else {
                continue;
            };
            let Some(used) = used(limit, day.4, day.5) else {
                continue;
            };
            if !is_common {
                service::tell_used(tx, credentials, &known.credential, limit, (used, day.3)).await?;
            } else if service::is_news(credentials, limit, (used, day.3)) {
                // All that is used in the organization may have come to it; what counts against its limit is less.
                let of = Common {
                    organization_id: organization.to_owned(),
                    field: limit.field,
                    day: day.3,
                };
                common.insert(of, (known, limit));
            }
        }
    }
    tell_common(tx, credentials, common).await
}

/// What of requests and tokens a limit of a day counts; `None` for one of less than a day.
fn used(limit: &Limit, requests: i64, tokens: i64) -> Option<i64> {
    match limit.of {
        Some(Field::RequestsPerDay) => Some(requests),
        Some(Field::TokensPerDay) => Some(tokens),
        _ => None,
    }
}

/// Tells of the quotas of organizations.
async fn tell_common(
    tx: &mut Tx,
    credentials: &Credentials,
    common: HashMap<Common, (&Known, &Limit)>,
) -> Result<(), Error> {
    let asked: Vec<Common> = common.keys().cloned().collect();
    let found = usage::used_of_organizations(tx, &asked).await?;
    for (of, (known, limit)) in common {
        let counted = found
            .iter()
            .find(|found| found.organization_id == of.organization_id && found.field == of.field);
        if let Some(used) = counted.and_then(|counted| used(limit, counted.requests, counted.tokens)) {
            service::tell_used(tx, credentials, &known.credential, limit, (used, of.day)).await?;
        }
    }
    Ok(())
}
