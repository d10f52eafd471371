//! Tokens that were read a moment ago.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock, RwLockWriteGuard},
};

use super::Token;
use crate::clock::Millis;

/// A bounded map. When it is full of what still holds, it is emptied: reading again is cheap.
pub(super) struct Cache {
    life: Millis,
    most: usize,
    entries: RwLock<HashMap<String, (Token, Millis)>>,
}

impl Cache {
    pub(super) fn new(life: Millis, most: usize) -> Self {
        Self {
            life,
            most,
            entries: RwLock::default(),
        }
    }

    pub(super) fn get(&self, id: &str, now: Millis) -> Option<Token> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let (token, until) = entries.get(id)?;
        (*until > now).then(|| token.clone())
    }

    /// Keeps it for the cache's life, and not beyond `end`.
    pub(super) fn put(&self, id: &str, token: Token, now: Millis, end: Option<Millis>) {
        let until = now.saturating_add(self.life).min(end.unwrap_or(Millis::MAX));
        if until <= now || self.most == 0 {
            return;
        }
        let mut entries = self.write();
        if entries.len() >= self.most {
            entries.retain(|_, (_, until)| *until > now);
        }
        if entries.len() >= self.most {
            entries.clear();
        }
        entries.insert(id.to_owned(), (token, until));
    }

    pub(super) fn forget(&self, id: &str) {
        self.write().remove(id);
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, (Token, Millis)>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}
