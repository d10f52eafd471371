//! A bounded cache that forgets what has changed.

use std::{
    hash::Hash,
    sync::{PoisonError, RwLock},
};

use super::Invalidations;

/// Remembers values that are in the database, at most so many: the ones used least are forgotten first.
pub struct Cache<K, V> {
    entries: moka::sync::Cache<K, V>,
    /// Counts what was forgotten. Held for writing while something is.
    version: RwLock<u64>,
    invalidations: Invalidations,
}

/// When a value began to be loaded. What has changed since is not remembered.
#[derive(Debug, Clone, Copy)]
pub struct Ticket(u64);

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + Clone + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A cache of at most `capacity` values; 0 remembers nothing.
    #[must_use]
    pub fn new(capacity: u64, invalidations: Invalidations) -> Self {
        Self {
            entries: moka::sync::Cache::new(capacity),
            version: RwLock::default(),
            invalidations,
        }
    }

    /// The value, if it is remembered and may be trusted.
    pub fn get(&self, key: &K) -> Option<V> {
        self.entries.get(key).filter(|_| self.invalidations.are_heard())
    }

    /// Taken before a value is loaded.
    pub fn ticket(&self) -> Ticket {
        Ticket(*self.version.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers a loaded value, unless anything was forgotten since its ticket was taken: it may have been this.
    pub fn put(&self, ticket: Ticket, key: K, value: V) {
        let version = self.version.read().unwrap_or_else(PoisonError::into_inner);
        if *version == ticket.0 {
            self.entries.insert(key, value);
        }
    }

    /// Forgets one value.
    pub fn forget(&self, key: &K) {
        let mut version = self.version.write().unwrap_or_else(PoisonError::into_inner);
        *version += 1;
        self.entries.invalidate(key);
    }

    /// Forgets every value of which `is_stale` says so. Looks at all of them: for what happens rarely.
    pub fn forget_if(&self, is_stale: impl Fn(&V) -> bool) {
        let mut version = self.version.write().unwrap_or_else(PoisonError::into_inner);
        *version += 1;
        for (key, value) in &self.entries {
            if is_stale(&value) {
                self.entries.invalidate(&*key);
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut version = self.version.write().unwrap_or_else(PoisonError::into_inner);
        *version += 1;
        self.entries.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{testing::Fresh, wake::Wakes};

    #[tokio::test]
    async fn what_changed_while_it_was_loaded_is_not_remembered() {
        let fresh = Fresh::lite(|_| ());
        let cache = Cache::new(10, Invalidations::new(&fresh.db, Wakes::default()));
        let (early, late) = (cache.ticket(), cache.ticket());
        cache.put(early, "a", 1);
        assert_eq!(cache.get(&"a"), Some(1));
        cache.forget(&"a");
        cache.put(late, "a", 1);
        assert_eq!(cache.get(&"a"), None);
        cache.put(cache.ticket(), "a", 2);
        cache.put(cache.ticket(), "b", 3);
        cache.forget_if(|value| *value == 2);
        assert_eq!((cache.get(&"a"), cache.get(&"b")), (None, Some(3)));
        cache.clear();
        assert_eq!(cache.get(&"b"), None);
    }
}
