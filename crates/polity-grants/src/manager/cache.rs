//! Tokens that were read a moment ago. What was forgotten while it was read is not put back.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use super::Token;
use crate::clock::Millis;

/// A bounded map. When it is full of what still holds, it is emptied: reading again is cheap.
pub(super) struct Cache {
    life: Millis,
    most: usize,
    entries: RwLock<HashMap<String, (Token, Millis)>>,
    /// Counts what was forgotten.
    forgotten: AtomicU64,
}

/// Taken before a token is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket(u64);

impl Cache {
    pub(super) fn new(life: Millis, most: usize) -> Self {
        Self {
            life,
            most,
            entries: RwLock::default(),
            forgotten: AtomicU64::new(0),
        }
    }

    pub(super) fn get(&self, id: &str, now: Millis) -> Option<Token> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let (token, until) = entries.get(id)?;
        (*until > now).then(|| token.clone())
    }

    pub(super) fn ticket(&self) -> Ticket {
        Ticket(self.forgotten.load(Ordering::SeqCst))
    }

    /// Keeps it for the cache's life, and not beyond `end`; not if anything was forgotten since the ticket was taken: it
    /// may have been this.
    pub(super) fn put(&self, ticket: Ticket, id: &str, token: Token, now: Millis, end: Option<Millis>) {
        let until = now.saturating_add(self.life).min(end.unwrap_or(Millis::MAX));
        if until <= now || self.most == 0 {
            return;
        }
        let mut entries = self.write();
        if self.ticket().0 != ticket.0 {
            return;
        }
        if entries.len() >= self.most {
            entries.retain(|_, (_, until)| *until > now);
        }
        if entries.len() >= self.most {
            entries.clear();
        }
        entries.insert(id.to_owned(), (token, until));
    }

    pub(super) fn forget(&self, id: &str) {
        let mut entries = self.write();
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        entries.remove(id);
    }

    pub(super) fn forget_all(&self) {
        let mut entries = self.write();
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        entries.clear();
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, (Token, Millis)>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}
