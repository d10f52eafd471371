//! Keyed hashes of machine secrets: what is stored instead of a token, so that a stolen table is worth nothing without
//! the key, and a lookup is one indexed equality.
//!
//! A hash cannot be renewed without the token's text: a [`HashKey`] lives as long as the last token hashed with it, and
//! does not rotate with the master key that seals it. The purpose keeps hashes of different kinds apart even for equal
//! texts. Not for passwords: people choose them, and they need a slow function.

use std::{fmt, str::FromStr};

use aws_lc_rs::{constant_time, hmac};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::{
    key::{KEY_ID_LEN, KeyId},
    random::random_bytes,
};

/// Whether both are the same bytes, in a time that depends on their lengths only.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// A 256-bit key for HMAC-SHA256 (RFC 2104) with a name. Redacted in `Debug`, erased when dropped.
#[derive(Clone)]
pub struct HashKey {
    id: KeyId,
    bytes: Zeroizing<[u8; 32]>,
    mac: hmac::Key,
}

impl HashKey {
    /// A new key with a new name.
    pub fn generate() -> Self {
        Self::from_bytes(KeyId::random(), random_bytes())
    }

    /// The key that was stored under this name.
    pub fn from_bytes(id: KeyId, bytes: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(bytes);
        let mac = hmac::Key::new(hmac::HMAC_SHA256, &*bytes);
        Self { id, bytes, mac }
    }

    /// Its name, the first part of every hash made with it.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Its bytes, to be sealed and stored.
    pub fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The hash of `data` for `purpose`, a constant of the caller such as `"api-key"`.
    pub fn hash(&self, purpose: &str, data: &[u8]) -> TokenHash {
        let mut mac = hmac::Context::with_key(&self.mac);
        // The length keeps purpose and data apart: ("ab", "c") is not ("a", "bc").
        mac.update(&(purpose.len() as u64).to_be_bytes());
        mac.update(purpose.as_bytes());
        mac.update(data);
        TokenHash(format!("{}.{}", self.id, URL_SAFE_NO_PAD.encode(mac.sign())))
    }

    /// Whether `hash` is this key's hash of `data` for `purpose`, compared in constant time.
    pub fn verify(&self, purpose: &str, data: &[u8], hash: &TokenHash) -> bool {
        constant_time_eq(self.hash(purpose, data).0.as_bytes(), hash.0.as_bytes())
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A keyed hash as it is stored: `<key id>.<43 base64url characters>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenHash(String);

/// A text that is no [`TokenHash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token hash is a key id, a dot and 43 base64url characters")]
pub struct InvalidTokenHash;

impl TokenHash {
    /// The stored text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the key that made it.
    pub fn key_id(&self) -> Option<KeyId> {
        self.0.get(..KEY_ID_LEN)?.parse().ok()
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TokenHash {
    type Err = InvalidTokenHash;

    fn from_str(text: &str) -> Result<Self, InvalidTokenHash> {
        let (id, mac) = text.split_once('.').ok_or(InvalidTokenHash)?;
        id.parse::<KeyId>().map_err(|_| InvalidTokenHash)?;
        // 43 characters without padding are 32 bytes; the decoder refuses a second spelling of the last one.
        if mac.len() != 43 || URL_SAFE_NO_PAD.decode(mac).is_err() {
            return Err(InvalidTokenHash);
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> HashKey {
        HashKey::from_bytes("k00000001".parse().unwrap(), [7; 32])
    }

    #[test]
    fn purpose_data_and_key_each_change_the_hash() {
        let key = key();
        let hash = key.hash("ab", b"c");
        assert_eq!(hash, key.hash("ab", b"c"));
        assert_ne!(hash, key.hash("a", b"bc"));
        assert_ne!(hash, key.hash("ab", b"d"));
        assert_ne!(hash, HashKey::from_bytes(key.id(), [8; 32]).hash("ab", b"c"));
        assert!(key.verify("ab", b"c", &hash));
        assert!(!key.verify("ab", b"C", &hash));
        assert_eq!(hash.key_id(), Some(key.id()));
    }

    /// Stored hashes outlive releases. Computed with Python's `hmac` over 8 length bytes, `api-key` and `secret`.
    #[test]
    fn the_hash_is_a_promise() {
        assert_eq!(
            key().hash("api-key", b"secret").as_str(),
            "k00000001.8wOnIZfUdtFMtGgoSXsoVHwe7OpLcjKNR3AqRykAu8U"
        );
    }

    #[test]
    fn debug_hides_the_key_and_bytes_bring_it_back() {
        assert_eq!(format!("{:?}", key()), "HashKey { id: k00000001, .. }");
        let generated = HashKey::generate();
        let back = HashKey::from_bytes(generated.id(), *generated.expose());
        assert_eq!(back.hash("p", b"x"), generated.hash("p", b"x"));
    }

    #[test]
    fn equality_compares_all_bytes() {
        assert!(constant_time_eq(b"", b""));
        assert!(constant_time_eq(b"abc", b"abc"));
        assert!(!constant_time_eq(b"abc", b"abd"));
        assert!(!constant_time_eq(b"abc", b"ab"));
    }

    proptest! {
        #[test]
        fn hashes_read_back(purpose: String, data: Vec<u8>) {
            let hash = key().hash(&purpose, &data);
            prop_assert_eq!(hash.as_str().parse::<TokenHash>(), Ok(hash));
        }

        #[test]
        fn no_text_panics(text: String, tail in "k[0-9a-f]{8}\\.[A-Za-z0-9_-]{40,46}") {
            let _ = text.parse::<TokenHash>();
            if let Ok(hash) = tail.parse::<TokenHash>() {
                prop_assert_eq!(hash.as_str().len(), 53);
            }
        }
    }
}
