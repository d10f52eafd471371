//! Grants in Redis 7 or Valkey. The time is Redis's.
//!
//! A row is JSON under its id. A change reads it with the time, is worked out here, and replaces the row only if it is
//! still the same. The time is a moment older than the write: a lease is a moment shorter, and none is taken for over
//! that is not. All keys share one hash tag, so that they are on one node of a cluster.
//!
//! It is as durable as the server's `appendfsync` makes it: with less than `always`, a crash of Redis can lose an intent.

use std::time::Duration;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use fred::{
    clients::Client,
    interfaces::ClientLike,
    prelude::{Builder, Config, Error, ReconnectPolicy},
    types::scripts::Script,
};
use polity_seal::{Secret, key_id_of};

use super::{Change, Pending, Store, StoreError};
use crate::{
    clock::Millis,
    grant::{Grant, Status},
};

/// How many ids are looked at at a time.
const PAGE: usize = 200;

/// Grants in Redis. The connection renews itself.
pub struct Redis {
    client: Client,
    prefix: String,
    read: Script,
    swap: Script,
    list: Script,
    state: Script,
}

fn failed(error: Error) -> StoreError {
    StoreError::Unavailable(error.details().to_owned())
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

impl Redis {
    /// Begins to connect to `redis://…`; what is asked before it is connected waits for `timeout` at most. Programs that
    /// share a server need prefixes of their own.
    pub fn open(url: &Secret, prefix: &str, timeout: Duration) -> Result<Self, StoreError> {
        let config = Config::from_url(url.expose()).map_err(failed)?;
        let client = Builder::from_config(config)
            .with_performance_config(|performance| performance.default_command_timeout = timeout)
            .with_connection_config(|connection| {
                // A command that may have arrived is not sent again: the compare-and-set would see its own write.
                connection.max_command_attempts = 1;
                connection.auto_client_setname = false;
            })
            .set_policy(ReconnectPolicy::new_exponential(0, 50, 1_000, 2))
            .build()
            .map_err(failed)?;
        // It runs until the client is dropped.
        drop(client.connect());
        Ok(Self {
            client,
            prefix: prefix.to_owned(),
            read: Script::from_lua(include_str!("redis/read.lua")),
            swap: Script::from_lua(include_str!("redis/swap.lua")),
            list: Script::from_lua(include_str!("redis/list.lua")),
            state: Script::from_lua(include_str!("redis/state.lua")),
        })
    }

    fn key(&self, kind: &str, id: &str) -> String {
        format!("{{{}}}:grants:{kind}:{id}", self.prefix)
    }

    async fn run(&self, script: &Script, keys: Vec<String>, values: Vec<String>) -> Result<Vec<String>, StoreError> {
        let answer = script.evalsha_with_reload::<Vec<String>, _, _>(&self.client, keys, values);
        answer.await.map_err(failed)
    }

    /// The store's time, and the row as it is stored.
    async fn read(&self, id: &str) -> Result<(Millis, Option<String>), StoreError> {
        let answer = self.run(&self.read, vec![self.key("row", id)], Vec::new()).await?;
        let [now, text] = answer.as_slice() else {
            return Err(corrupt("an answer of another form"));
        };
        Ok((now.parse().map_err(corrupt)?, text.strip_prefix('=').map(str::to_owned)))
    }

    /// Replaces the row if it is `before`.
    async fn swap(&self, id: &str, before: &str, after: Option<&Grant>) -> Result<bool, StoreError> {
        let text = after.map(serde_json::to_string).transpose().map_err(corrupt)?;
        let due = after.filter(|grant| grant.status == Status::Active).and_then(due_at);
        let keys = vec![self.key("row", id), self.key("due", ""), self.key("ids", "")];
        let due = due.map(|at| at.to_string()).unwrap_or_default();
        let values = vec![id.to_owned(), before.to_owned(), text.unwrap_or_default(), due];
        Ok(self
            .run(&self.swap, keys, values)
            .await?
            .first()
            .is_some_and(|done| done == "1"))
    }

    async fn list(&self, values: Vec<String>) -> Result<(Millis, Vec<String>), StoreError> {
        let keys = vec![self.key("due", ""), self.key("ids", "")];
        let mut answer = self.run(&self.list, keys, values).await?.into_iter();
        let now = answer.next().unwrap_or_default().parse().map_err(corrupt)?;
        Ok((now, answer.collect()))
    }
}

/// When a job should look at it: not while somebody holds it.
fn due_at(grant: &Grant) -> Option<Millis> {
    let held = grant.intent.as_ref().map_or(Millis::MIN, |intent| intent.lease_until);
    Some(grant.next_refresh_at?.max(held))
}

#[async_trait]
impl Store for Redis {
    async fn now(&self) -> Result<Millis, StoreError> {
        Ok(self.read("").await?.0)
    }

    async fn insert(&self, grant: Grant) -> Result<(), StoreError> {
        let done = self.swap(&grant.id, "", Some(&grant)).await?;
        if done { Ok(()) } else { Err(StoreError::Exists) }
    }

    async fn get(&self, id: &str) -> Result<Option<Grant>, StoreError> {
        let text = self.read(id).await?.1;
        text.map(|text| serde_json::from_str(&text).map_err(corrupt))
            .transpose()
    }

    async fn update(&self, id: &str, change: Change<'_>) -> Result<Option<bool>, StoreError> {
        loop {
            let (now, Some(before)) = self.read(id).await? else {
                return Ok(None);
            };
            let mut grant: Grant = serde_json::from_str(&before).map_err(corrupt)?;
            if !change(&mut grant, now) {
                return Ok(Some(false));
            }
            // Whoever loses has let another win: there is always progress.
            if self.swap(id, &before, Some(&grant)).await? {
                return Ok(Some(true));
            }
        }
    }

    async fn remove(&self, id: &str) -> Result<bool, StoreError> {
        loop {
            let Some(before) = self.read(id).await?.1 else {
                return Ok(false);
            };
            if self.swap(id, &before, None).await? {
                return Ok(true);
            }
        }
    }

    async fn due(&self, within: Millis, limit: usize) -> Result<Vec<String>, StoreError> {
        let values = vec!["due".to_owned(), within.to_string(), "0".to_owned(), limit.to_string()];
        let (now, mut ids) = self.list(values).await?;
        if within > 0 {
            // The order knows when a lease ends, not that it is held now.
            let mut held = Vec::new();
            for id in &ids {
                let grant = self.get(id).await?;
                held.push(grant.is_none_or(|grant| !grant.is_due(now, within)));
            }
            let mut held = held.into_iter();
            ids.retain(|_| !held.next().unwrap_or(false));
        }
        Ok(ids)
    }

    async fn sealed_by_others(&self, key: &str, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let (mut found, mut after) = (Vec::new(), after.to_owned());
        while found.len() < limit {
            let values = vec!["ids".to_owned(), after.clone(), String::new(), PAGE.to_string()];
            let ids = self.list(values).await?.1;
            let Some(last) = ids.last() else { break };
            after.clone_from(last);
            for id in ids {
                let sealed = self.get(&id).await?.and_then(|grant| grant.sealed);
                if sealed.is_some_and(|bytes| key_id_of(&bytes) != Some(key)) {
                    found.push(id);
                }
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn put_state(&self, pending: Pending, life: Millis) -> Result<(), StoreError> {
        let text = STANDARD_NO_PAD.encode(&pending.sealed);
        let values = vec!["put".to_owned(), pending.browser, text, life.max(1).to_string()];
        self.run(&self.state, vec![self.key("state", &pending.key)], values)
            .await?;
        Ok(())
    }

    async fn take_state(&self, key: &str, browser: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let values = vec!["take".to_owned(), browser.to_owned()];
        let answer = self.run(&self.state, vec![self.key("state", key)], values).await?;
        let text = answer.into_iter().next();
        text.map(|text| STANDARD_NO_PAD.decode(text).map_err(corrupt))
            .transpose()
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
