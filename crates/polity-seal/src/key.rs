//! One master key and its name.

use std::{fmt, str::FromStr};

use aws_lc_rs::hmac;
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use crate::random::random_bytes;

/// Characters in the text of a [`KeyId`].
pub(crate) const KEY_ID_LEN: usize = 9;

/// The name of a key: `k` and eight lower-case hex digits, such as `k0a1b2c3d`. Not secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u32);

/// A text that names no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key id is `k` and eight lower-case hex digits, such as k0a1b2c3d")]
pub struct InvalidKeyId;

impl KeyId {
    pub(crate) fn random() -> Self {
        Self(u32::from_be_bytes(random_bytes()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "k{:08x}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(text: &str) -> Result<Self, InvalidKeyId> {
        let hex = text.strip_prefix('k').ok_or(InvalidKeyId)?;
        if text.len() != KEY_ID_LEN || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(InvalidKeyId);
        }
        u32::from_str_radix(hex, 16).map(Self).map_err(|_| InvalidKeyId)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What may be shown of a master key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// Its name, written into everything it seals.
    pub id: KeyId,
    /// When it was made, in unix seconds.
    pub created: i64,
    /// Whether new values are sealed with it.
    pub current: bool,
    /// 16 hex digits that two keyrings share only if they hold the same key; they tell nothing else about it.
    pub fingerprint: String,
}

/// 256 secret bits with a name. Erased from memory when dropped.
pub(crate) struct MasterKey {
    pub(crate) id: KeyId,
    pub(crate) created: i64,
    pub(crate) bytes: Zeroizing<[u8; 32]>,
}

impl MasterKey {
    pub(crate) fn generate(id: KeyId, created: i64) -> Self {
        Self {
            id,
            created,
            bytes: Zeroizing::new(random_bytes()),
        }
    }

    pub(crate) fn info(&self, current: bool) -> KeyInfo {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*self.bytes);
        let tag = hmac::sign(&key, b"polity-seal/v1/fingerprint");
        let fingerprint = hex::encode(tag.as_ref().get(..8).unwrap_or_default());
        KeyInfo {
            id: self.id,
            created: self.created,
            current,
            fingerprint,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_text() {
        assert_eq!(KeyId(0xa1b).to_string(), "k00000a1b");
        assert_eq!("k00000a1b".parse(), Ok(KeyId(0xa1b)));
        for wrong in [
            "",
            "k",
            "k00000a1",
            "k00000a1b0",
            "k00000A1B",
            "j00000a1b",
            "k+0000a1b",
            "k0000é1",
        ] {
            assert_eq!(wrong.parse::<KeyId>(), Err(InvalidKeyId), "{wrong}");
        }
    }

    #[test]
    fn fingerprints_tell_keys_apart() {
        let (a, b) = (MasterKey::generate(KeyId(1), 0), MasterKey::generate(KeyId(1), 0));
        assert_eq!(a.info(true).fingerprint.len(), 16);
        assert_eq!(a.info(true).fingerprint, a.info(false).fingerprint);
        assert_ne!(a.info(true).fingerprint, b.info(true).fingerprint);
    }
}
