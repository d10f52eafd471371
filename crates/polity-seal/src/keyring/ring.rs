//! The keys themselves: never none, one current, in the order of their making. Immutable; a change makes a new ring.

use std::{iter, sync::Arc};

use super::KeyringError;
use crate::key::{KeyId, MasterKey};

pub(crate) struct Ring {
    /// Oldest first.
    older: Vec<Arc<MasterKey>>,
    current: Arc<MasterKey>,
}

impl Ring {
    pub(super) fn generate(now: i64) -> Self {
        Self {
            older: Vec::new(),
            current: Arc::new(MasterKey::generate(KeyId::random(), now)),
        }
    }

    /// The ring of these keys, oldest first; `None` if there are none.
    pub(super) fn from_keys(mut keys: Vec<Arc<MasterKey>>) -> Option<Self> {
        let current = keys.pop()?;
        Some(Self { older: keys, current })
    }

    pub(crate) fn current(&self) -> &MasterKey {
        &self.current
    }

    pub(crate) fn find(&self, id: KeyId) -> Option<&MasterKey> {
        self.iter().find(|key| key.id == id)
    }

    /// Oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &MasterKey> {
        self.shared().map(AsRef::as_ref)
    }

    /// This ring with a new current key.
    pub(super) fn rotated(&self, now: i64) -> Self {
        let mut id = KeyId::random();
        while self.find(id).is_some() {
            id = KeyId::random();
        }
        // A clock that went back must not break the order.
        let current = MasterKey::generate(id, now.max(self.current.created));
        Self {
            older: self.shared().cloned().collect(),
            current: Arc::new(current),
        }
    }

    /// This ring without that key.
    pub(super) fn without(&self, id: KeyId) -> Result<Self, KeyringError> {
        if id == self.current.id {
            return Err(KeyringError::Current { id });
        }
        if self.find(id).is_none() {
            return Err(KeyringError::Unknown { id });
        }
        let older = self.older.iter().filter(|key| key.id != id).cloned().collect();
        Ok(Self {
            older,
            current: Arc::clone(&self.current),
        })
    }

    fn shared(&self) -> impl Iterator<Item = &Arc<MasterKey>> {
        self.older.iter().chain(iter::once(&self.current))
    }
}
