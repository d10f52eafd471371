//! Grants in memory: for tests, and for programs that ask their owners to sign in after each start.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use polity_seal::key_id_of;

use super::{Change, Pending, Store, StoreError};
use crate::{
    clock::{Clock, Millis},
    grant::Grant,
};

/// Grants of this process.
pub struct Memory {
    clock: Arc<dyn Clock>,
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    grants: BTreeMap<String, Grant>,
    pending: BTreeMap<String, (Pending, Millis)>,
}

impl Memory {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            rows: Mutex::default(),
        }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for Memory {
    async fn now(&self) -> Result<Millis, StoreError> {
        Ok(self.clock.now())
    }

    async fn insert(&self, grant: Grant) -> Result<(), StoreError> {
        let mut rows = self.rows();
        if rows.grants.contains_key(&grant.id) {
            return Err(StoreError::Exists);
        }
        rows.grants.insert(grant.id.clone(), grant);
        Ok(())
    }

    async fn get(&self, id: &str) -> Result<Option<Grant>, StoreError> {
        Ok(self.rows().grants.get(id).cloned())
    }

    async fn update(&self, id: &str, change: Change<'_>) -> Result<Option<bool>, StoreError> {
        let now = self.clock.now();
        let mut rows = self.rows();
        let Some(grant) = rows.grants.get_mut(id) else {
            return Ok(None);
        };
        let mut changed = grant.clone();
        let does = change(&mut changed, now);
        if does {
            *grant = changed;
        }
        Ok(Some(does))
    }

    async fn remove(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.rows().grants.remove(id).is_some())
    }

    async fn due(&self, within: Millis, limit: usize) -> Result<Vec<String>, StoreError> {
        let now = self.clock.now();
        let rows = self.rows();
        let mut due: Vec<_> = rows.grants.values().filter(|grant| grant.is_due(now, within)).collect();
        due.sort_by_key(|grant| grant.next_refresh_at);
        Ok(due.into_iter().take(limit).map(|grant| grant.id.clone()).collect())
    }

    async fn sealed_by_others(&self, key: &str, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let rows = self.rows();
        let is_other = |grant: &&Grant| {
            let sealed = grant.sealed.as_ref();
            grant.id.as_str() > after && sealed.is_some_and(|bytes| key_id_of(bytes) != Some(key))
        };
        let found = rows.grants.values().filter(is_other).take(limit);
        Ok(found.map(|grant| grant.id.clone()).collect())
    }

    async fn put_state(&self, pending: Pending, life: Millis) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut rows = self.rows();
        rows.pending.retain(|_, (_, until)| *until > now);
        rows.pending
            .insert(pending.key.clone(), (pending, now.saturating_add(life)));
        Ok(())
    }

    async fn take_state(&self, key: &str, browser: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let now = self.clock.now();
        let mut rows = self.rows();
        let fits = |(pending, until): &(Pending, Millis)| pending.browser == browser && *until > now;
        if !rows.pending.get(key).is_some_and(fits) {
            return Ok(None);
        }
        Ok(rows.pending.remove(key).map(|(pending, _)| pending.sealed))
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("grants", &self.rows().grants.len())
            .finish_non_exhaustive()
    }
}
