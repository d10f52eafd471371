//! A bounded cache that forgets what has changed.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::Invalidations;

/// How many groups are remembered as changed; beyond that everything is forgotten instead.
const MOST_GROUPS: usize = 10_000;

/// Names, to the function it is given, what a value rests on besides its own row, such as its organization: when that
/// changes, the value is forgotten.
pub type Groups<V> = fn(&V, &mut dyn FnMut(&str));

/// Remembers values that are in the database, at most so many: the ones used least are forgotten first.
pub struct Cache<K, V> {
    /// Each with the version at which it began to be loaded.
    entries: moka::sync::Cache<K, (V, u64)>,
    forgotten: RwLock<Forgotten>,
    groups: Groups<V>,
    invalidations: Invalidations,
}

/// What was forgotten. Held for writing while something is.
#[derive(Default)]
struct Forgotten {
    /// Counts it.
    version: u64,
    /// Groups of which everything that began to be loaded before this version is stale.
    groups: HashMap<String, u64>,
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
    pub fn new(capacity: u64, invalidations: Invalidations, groups: Groups<V>) -> Self {
        Self {
            entries: moka::sync::Cache::new(capacity),
            forgotten: RwLock::default(),
            groups,
            invalidations,
        }
    }

    fn forgotten(&self) -> RwLockReadGuard<'_, Forgotten> {
        self.forgotten.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn forgetting(&self) -> RwLockWriteGuard<'_, Forgotten> {
        let mut forgotten = self.forgotten.write().unwrap_or_else(PoisonError::into_inner);
        forgotten.version += 1;
        forgotten
    }

    /// The value, if it is remembered and may be trusted.
    pub fn get(&self, key: &K) -> Option<V> {
        let (value, loaded) = self.entries.get(key)?;
        let forgotten = self.forgotten();
        let has_changed = |group: &str| forgotten.groups.get(group).is_some_and(|at| *at > loaded);
        let mut is_stale = false;
        if !forgotten.groups.is_empty() {
            (self.groups)(&value, &mut |group| is_stale |= has_changed(group));
        }
        drop(forgotten);
        (!is_stale && self.invalidations.are_heard()).then_some(value)
    }

    /// Taken before a value is loaded.
    pub fn ticket(&self) -> Ticket {
        Ticket(self.forgotten().version)
    }

    /// Remembers a loaded value, unless anything was forgotten since its ticket was taken: it may have been this.
    pub fn put(&self, ticket: Ticket, key: K, value: V) {
        let forgotten = self.forgotten();
        if forgotten.version == ticket.0 {
            self.entries.insert(key, (value, ticket.0));
        }
    }

    /// Forgets one value.
    pub fn forget(&self, key: &K) {
        let _forgotten = self.forgetting();
        self.entries.invalidate(key);
    }

    /// Forgets every value of a group, however many there are.
    pub fn forget_group(&self, group: &str) {
        let mut forgotten = self.forgetting();
        if forgotten.groups.len() >= MOST_GROUPS {
            forgotten.groups.clear();
            self.entries.invalidate_all();
        }
        let version = forgotten.version;
        forgotten.groups.insert(group.to_owned(), version);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut forgotten = self.forgetting();
        forgotten.groups.clear();
        self.entries.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{testing::Fresh, wake::Wakes};

    fn cache() -> (Cache<&'static str, (u8, &'static str)>, Fresh) {
        let fresh = Fresh::lite(|_| ());
        let invalidations = Invalidations::new(&fresh.db, Wakes::default());
        (
            Cache::new(100, invalidations, |(_, group), rests_on| rests_on(group)),
            fresh,
        )
    }

    #[tokio::test]
    async fn what_changed_while_it_was_loaded_is_not_remembered() {
        let (cache, _fresh) = cache();
        let (early, late) = (cache.ticket(), cache.ticket());
        cache.put(early, "a", (1, "x"));
        assert_eq!(cache.get(&"a"), Some((1, "x")));
        cache.forget(&"a");
        cache.put(late, "a", (1, "x"));
        assert_eq!(cache.get(&"a"), None);
        let late = cache.ticket();
        cache.forget_group("y");
        cache.put(late, "a", (1, "x"));
        assert_eq!(cache.get(&"a"), None);
        cache.put(cache.ticket(), "a", (1, "x"));
        cache.clear();
        assert_eq!(cache.get(&"a"), None);
    }

    #[tokio::test]
    async fn a_group_is_forgotten_and_nothing_else_and_groups_are_bounded() {
        let (cache, _fresh) = cache();
        cache.put(cache.ticket(), "a", (1, "x"));
        cache.put(cache.ticket(), "b", (2, "y"));
        cache.forget_group("x");
        assert_eq!((cache.get(&"a"), cache.get(&"b")), (None, Some((2, "y"))));
        cache.put(cache.ticket(), "a", (3, "x"));
        assert_eq!(cache.get(&"a"), Some((3, "x")));
        for n in 0..MOST_GROUPS {
            cache.forget_group(&n.to_string());
        }
        assert!(cache.forgotten().groups.len() <= MOST_GROUPS);
        assert_eq!(cache.get(&"b"), None);
        cache.put(cache.ticket(), "b", (2, "y"));
        assert_eq!(cache.get(&"b"), Some((2, "y")));
    }
}
