//! The keyring: the master keys that seal everything stored, and how they follow one another.
//!
//! A rotation adds a key and makes it current; values sealed before still open, are re-encrypted in the background, and
//! then the old key is retired, which removes it. Clones share one ring, so that a rotation reaches every holder.
//!
//! Invariants:
//! - There is exactly one current key, the newest and the last line of the file; keys are in order of their making.
//! - A file is never half written, and nobody but its owner can read it.
//!
//! Deliberately absent: which values still need an old key (the kernel counts them before it retires one), a lock
//! against two processes that change one file (the data folder has it), and telling other processes of a rotation: one
//! that meets [`SealError::MissingKey`](crate::SealError::MissingKey) loads the file again and calls
//! [`Keyring::replace_with`].

mod error;
mod file;
mod ring;
mod text;

use std::{
    fmt,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

pub use self::error::{KeyringError, ParseError};
use self::ring::Ring;
use crate::{KeyId, KeyInfo, Secret};

/// The master keys. Cheap to clone; clones share the same keys. `Debug` shows ids only.
#[derive(Clone)]
pub struct Keyring {
    // The inner `Arc` lets a reader leave the lock at once and work on the keys it saw.
    ring: Arc<RwLock<Arc<Ring>>>,
}

impl Keyring {
    /// A ring of one new key. `now` is unix seconds.
    pub fn generate(now: i64) -> Self {
        Ring::generate(now).into()
    }

    /// The ring that [`Keyring::to_text`] wrote.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        text::parse(text).map(Self::from)
    }

    /// All keys in the form of the file. Whoever has it can open everything.
    pub fn to_text(&self) -> Secret {
        text::render(&self.snapshot())
    }

    /// Reads the file, unless others than its owner may read it.
    pub fn load(path: &Path) -> Result<Self, KeyringError> {
        let bytes = file::read(path)?;
        let parsed = str::from_utf8(&bytes)
            .map_err(|_| ParseError::NotText)
            .and_then(Self::parse);
        parsed.map_err(|cause| KeyringError::Corrupt {
            path: path.to_owned(),
            cause,
        })
    }

    /// A ring of one new key, stored in a new file of mode 0600; [`KeyringError::Exists`] if there is one. `now` is
    /// unix seconds.
    pub fn create(path: &Path, now: i64) -> Result<Self, KeyringError> {
        let keyring = Self::generate(now);
        file::create(path, keyring.to_text().expose())?;
        Ok(keyring)
    }

    /// Replaces the file by these keys: all of it or nothing, and on disk when this returns.
    pub fn save(&self, path: &Path) -> Result<(), KeyringError> {
        file::replace(path, self.to_text().expose())
    }

    /// Adds a new current key in memory. `now` is unix seconds. With a file, use [`Keyring::rotate_saved`].
    pub fn rotate(&self, now: i64) -> KeyId {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        *ring = Arc::new(ring.rotated(now));
        ring.current().id
    }

    /// Adds a new current key that is in the file before anything is sealed with it: on an error no key changed, and a
    /// crash cannot leave a value without its key.
    ///
    /// The file is written under the lock; sealing and opening wait for it, a few milliseconds.
    pub fn rotate_saved(&self, path: &Path, now: i64) -> Result<KeyId, KeyringError> {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        let next = ring.rotated(now);
        file::replace(path, text::render(&next).expose())?;
        *ring = Arc::new(next);
        Ok(ring.current().id)
    }

    /// Removes an old key in memory; [`Keyring::save`] makes it lasting. Values still sealed with it open never again.
    ///
    /// [`KeyringError::Current`] for the current key, [`KeyringError::Unknown`] for one that is not here.
    pub fn retire(&self, id: &KeyId) -> Result<(), KeyringError> {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        *ring = Arc::new(ring.without(*id)?);
        Ok(())
    }

    /// What may be shown of each key, oldest first, the current one last.
    pub fn list(&self) -> Vec<KeyInfo> {
        let ring = self.snapshot();
        ring.iter().map(|key| key.info(key.id == ring.current().id)).collect()
    }

    /// The name of the key that seals new values.
    pub fn current_id(&self) -> KeyId {
        self.snapshot().current().id
    }

    /// Takes over the keys of `other`, for every clone of this ring: how a file that was loaded again comes into force.
    pub fn replace_with(&self, other: &Self) {
        // Read before the lock is taken: `other` may share it.
        let next = other.snapshot();
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// The keys of this moment.
    pub(crate) fn snapshot(&self) -> Arc<Ring> {
        // Nothing panics under the lock, and the value is replaced whole: a poisoned one is still right.
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl From<Ring> for Keyring {
    fn from(ring: Ring) -> Self {
        Self {
            ring: Arc::new(RwLock::new(Arc::new(ring))),
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring ")?;
        f.debug_list()
            .entries(self.snapshot().iter().map(|key| key.id))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_adds_and_retirement_removes() {
        let ring = Keyring::generate(100);
        let first = ring.current_id();
        let second = ring.rotate(200);
        assert_eq!(ring.current_id(), second);
        let seen: Vec<_> = ring
            .list()
            .into_iter()
            .map(|key| (key.id, key.created, key.current))
            .collect();
        assert_eq!(seen, [(first, 100, false), (second, 200, true)]);

        assert!(matches!(ring.retire(&second), Err(KeyringError::Current { id }) if id == second));
        ring.retire(&first).unwrap();
        assert!(matches!(ring.retire(&first), Err(KeyringError::Unknown { id }) if id == first));
        assert_eq!(ring.list().len(), 1);
    }

    #[test]
    fn a_clock_that_went_back_keeps_the_order() {
        let ring = Keyring::generate(100);
        ring.rotate(50);
        assert_eq!(ring.list()[1].created, 100);
        assert!(Keyring::parse(ring.to_text().expose()).is_ok());
    }

    #[test]
    fn clones_share_and_replacing_reaches_them() {
        let ring = Keyring::generate(0);
        let clone = ring.clone();
        assert_eq!(ring.rotate(1), clone.current_id());
        let other = Keyring::generate(2);
        ring.replace_with(&other);
        assert_eq!(clone.list(), other.list());
        ring.replace_with(&clone);
        assert_eq!(ring.list(), other.list());
    }

    #[test]
    fn debug_shows_ids_only() {
        let ring = Keyring::generate(0);
        assert_eq!(format!("{ring:?}"), format!("Keyring [{}]", ring.current_id()));
    }
}
