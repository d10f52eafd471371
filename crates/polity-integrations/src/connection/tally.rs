//! Who used which token, counted in memory by second and written in batches: no row is written for a use.
//!
//! A crash loses what was counted since the last batch, less than a second.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::SubsecRound as _;
use polity_kernel::clock::{Clock, Timestamp};

use super::{
    Connections, Error,
    store::rest::{self, Use},
};

/// How often what was counted is written.
const EVERY: Duration = Duration::from_millis(500);
/// How many callers, connections and seconds are counted apart; beyond that, uses are written to the log instead.
const MOST: usize = 100_000;
/// How many rows are written in one transaction.
const AT_ONCE: usize = 1_000;

/// What was counted and is not written yet.
pub(super) struct Tally {
    clock: Clock,
    counts: Mutex<HashMap<Key, i64>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    connection_id: String,
    caller: String,
    purpose: &'static str,
    second: Timestamp,
}

impl Tally {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            counts: Mutex::default(),
        }
    }

    /// Counts a use.
    pub fn used(&self, connection_id: &str, caller: &str, purpose: &'static str) {
        let key = Key {
            connection_id: connection_id.to_owned(),
            caller: caller.to_owned(),
            purpose,
            second: self.clock.now().trunc_subsecs(0),
        };
        self.add(key, 1);
    }

    fn add(&self, key: Key, uses: i64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() < MOST || counts.contains_key(&key) {
            *counts.entry(key).or_default() += uses;
            return;
        }
        drop(counts);
        tracing::error!(
            connection.id = key.connection_id,
            caller = key.caller,
            uses,
            "uses of a token could not be recorded"
        );
    }

    fn take(&self) -> HashMap<Key, i64> {
        std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes uses, until the program stops and everything is written.
pub(super) async fn keep_writing(connections: Connections) {
    let stop = &connections.ctx.stop;
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        write(&connections).await;
    }
    // Requests that were under way when the program was asked to stop count until the last of them is answered.
    while !connections.ctx.tasks.is_closed() {
        write(&connections).await;
        tokio::time::sleep(EVERY).await;
    }
    write(&connections).await;
}

/// Writes what was counted until now.
pub(super) async fn write(connections: &Connections) {
    let mut counted: Vec<(Key, i64)> = connections.tally.take().into_iter().collect();
    while !counted.is_empty() {
        let rest = counted.split_off(counted.len().min(AT_ONCE));
        if let Err(error) = insert(connections, &counted).await {
            tracing::warn!(error = %error, "uses of tokens could not be written; they are kept and tried again");
            for (key, uses) in counted.into_iter().chain(rest) {
                connections.tally.add(key, uses);
            }
            return;
        }
        counted = rest;
    }
}

async fn insert(connections: &Connections, counted: &[(Key, i64)]) -> Result<(), Error> {
    let rows: Vec<Use> = counted
        .iter()
        .map(|(key, uses)| Use {
            connection_id: key.connection_id.clone(),
            caller: key.caller.clone(),
            purpose: key.purpose.to_owned(),
            second: key.second,
            uses: *uses,
        })
        .collect();
    let mut tx = connections.ctx.db.begin().await?;
    // Replicas add to the same rows; in one order, so that none waits for another that waits for it.
    tx.lock("connection.use", "all").await?;
    rest::add_uses(&mut tx, &rows).await?;
    Ok(tx.commit().await?)
}
