//! Sealed values: AES-256-GCM (NIST SP 800-38D) under a key derived for each message.
//!
//! ```text
//! version 1 | id length 1 | key id 9 | salt 16 | nonce 12 | ciphertext | tag 16
//! ```
//!
//! The message key is HKDF-SHA256 (RFC 5869) of the master key with the random salt. GCM breaks when a nonce repeats
//! under one key; here salt and nonce would both have to repeat, 224 random bits, so that no count of messages limits
//! the life of a master key. The header needs no protection of its own: version, key id and salt choose the message
//! key, and with another one the tag does not match.
//!
//! The associated data says where a value belongs (table, row, column): moved elsewhere, it does not open.
//! Deliberately absent: compression and padding; the length of the plaintext shows.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use zeroize::Zeroizing;

use crate::{
    Keyring,
    key::{KEY_ID_LEN, KeyId, MasterKey},
    random::{random_bytes, sure},
};

const VERSION: u8 = 1;
/// [`KEY_ID_LEN`] as it is written.
const ID_LEN: u8 = 9;
const SALT_LEN: usize = 16;
const TAG_LEN: usize = 16;
const HEADER: usize = 2 + KEY_ID_LEN + SALT_LEN + NONCE_LEN;

/// How many bytes a sealed value is longer than its plaintext.
pub const OVERHEAD: usize = HEADER + TAG_LEN;

/// Why a sealed value did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The value names a key that this keyring does not hold.
    #[error(
        "the master key {key_id} is missing from the keyring: reload the keyring if it was rotated elsewhere, or put \
         the line of {key_id} back from a backup of the keyring file"
    )]
    MissingKey {
        /// The key it was sealed with.
        key_id: KeyId,
    },
    /// The bytes are no sealed value, or one of a later version.
    #[error("this is not a sealed value that this version reads: the stored bytes are cut, damaged, or newer")]
    Corrupt,
    /// The key is there, but the value was changed after sealing, or belongs to another place.
    #[error("the sealed value does not open: it was changed, or moved from the place it was sealed for")]
    Wrong,
}

impl Keyring {
    /// Seals `plaintext` with the current key, bound to `aad`. The result is [`OVERHEAD`] bytes longer. Limit: 64 GiB.
    pub fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let ring = self.snapshot();
        let master = ring.current();
        let (salt, nonce) = (random_bytes::<SALT_LEN>(), random_bytes::<NONCE_LEN>());

        // All the room at once: growing would leave a copy of the plaintext behind.
        let mut out = Vec::with_capacity(OVERHEAD + plaintext.len());
        out.extend([VERSION, ID_LEN]);
        out.extend(master.id.to_string().bytes());
        out.extend(salt);
        out.extend(nonce);
        out.extend(plaintext);

        let (_, body) = out.split_at_mut(HEADER);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = sure(message_key(master, &salt).seal_in_place_separate_tag(nonce, Aad::from(aad), body));
        out.extend(tag.as_ref());
        out
    }

    /// Opens what [`Keyring::seal`] made with the same `aad`, by whichever key of this ring it names.
    pub fn open(&self, aad: &[u8], bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let parts = Parts::read(bytes).ok_or(SealError::Corrupt)?;
        let ring = self.snapshot();
        let master = ring
            .find(parts.key_id)
            .ok_or(SealError::MissingKey { key_id: parts.key_id })?;

        let mut body = Zeroizing::new(parts.body.to_vec());
        let length = message_key(master, parts.salt)
            .open_in_place(Nonce::assume_unique_for_key(*parts.nonce), Aad::from(aad), &mut body)
            .map_err(|_| SealError::Wrong)?
            .len();
        body.truncate(length);
        Ok(body)
    }

    /// The same value under the current key, for re-encryption after a rotation; `None` if it has that key already.
    pub fn reseal(&self, aad: &[u8], bytes: &[u8]) -> Result<Option<Vec<u8>>, SealError> {
        let parts = Parts::read(bytes).ok_or(SealError::Corrupt)?;
        if parts.key_id == self.current_id() {
            return Ok(None);
        }
        Ok(Some(self.seal(aad, &self.open(aad, bytes)?)))
    }
}

/// The id of the key that a sealed value names; `None` if the bytes are no sealed value.
pub fn key_id_of(bytes: &[u8]) -> Option<&str> {
    Parts::read(bytes)?;
    str::from_utf8(bytes.get(2..2 + KEY_ID_LEN)?).ok()
}

/// A sealed value taken apart.
struct Parts<'a> {
    key_id: KeyId,
    salt: &'a [u8; SALT_LEN],
    nonce: &'a [u8; NONCE_LEN],
    body: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&[version, id_len], rest) = bytes.split_first_chunk()?;
        if version != VERSION || id_len != ID_LEN {
            return None;
        }
        let (id, rest) = rest.split_first_chunk::<KEY_ID_LEN>()?;
        let (salt, rest) = rest.split_first_chunk()?;
        let (nonce, body) = rest.split_first_chunk()?;
        let key_id = str::from_utf8(id).ok()?.parse().ok()?;
        (body.len() >= TAG_LEN).then_some(Self {
            key_id,
            salt,
            nonce,
            body,
        })
    }
}

fn message_key(master: &MasterKey, salt: &[u8; SALT_LEN]) -> LessSafeKey {
    let secret = Salt::new(HKDF_SHA256, salt).extract(&*master.bytes);
    let output = sure(secret.expand(&[b"polity-seal/v1/aes-256-gcm"], &AES_256_GCM));
    LessSafeKey::new(UnboundKey::from(output))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sealed_value_names_its_key_and_hides_its_text() {
        let ring = Keyring::generate(0);
        let sealed = ring.seal(b"user/1/token", b"attack at dawn");
        assert_eq!(sealed.len(), OVERHEAD + 14);
        assert_eq!(key_id_of(&sealed), Some(ring.current_id().to_string().as_str()));
        assert!(!sealed.windows(6).any(|part| part == b"attack"));
        assert_ne!(sealed, ring.seal(b"user/1/token", b"attack at dawn"));
        assert_eq!(
            ring.open(b"user/1/token", &sealed).unwrap().as_slice(),
            b"attack at dawn"
        );
    }

    /// Stored values outlive releases. Computed with Python's `cryptography`: HKDF and AESGCM, salt and nonce counting.
    #[test]
    fn the_format_is_a_promise() {
        let key = "k0000002a 1767225600 BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc 3b371f0c";
        let ring = Keyring::parse(&format!("polity-keyring v1\n{key}\nend 1\n")).unwrap();
        let sealed = "01096b3030303030303261000102030405060708090a0b0c0d0e0f000102030405060708090a0b\
            fd267506fb7689f5a17f01fba6605605d56122da";
        let sealed = hex::decode(sealed).unwrap();
        assert_eq!(ring.open(b"a", &sealed).unwrap().as_slice(), b"text");
    }

    #[test]
    fn it_opens_only_where_it_belongs() {
        let ring = Keyring::generate(0);
        let sealed = ring.seal(b"user/1", b"x");
        assert_eq!(ring.open(b"user/2", &sealed), Err(SealError::Wrong));
        assert_eq!(ring.open(b"", &sealed), Err(SealError::Wrong));
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let ring = Keyring::generate(0);
        let sealed = ring.seal(b"a", b"text");
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(ring.open(b"a", &changed).is_err(), "byte {place}");
            assert!(ring.open(b"a", &sealed[..place]).is_err(), "cut at {place}");
        }
        let mut longer = sealed.clone();
        longer.push(0);
        assert_eq!(ring.open(b"a", &longer), Err(SealError::Wrong));
    }

    #[test]
    fn rotation_keeps_old_values_open_until_their_key_is_retired() {
        let ring = Keyring::generate(0);
        let old_id = ring.current_id();
        let old = ring.seal(b"a", b"text");
        assert_eq!(ring.reseal(b"a", &old), Ok(None));

        ring.rotate(1);
        assert_eq!(ring.open(b"a", &old).unwrap().as_slice(), b"text");
        assert_eq!(ring.reseal(b"b", &old), Err(SealError::Wrong));
        let new = ring.reseal(b"a", &old).unwrap().unwrap();
        assert_eq!(ring.reseal(b"a", &new), Ok(None));

        ring.retire(&old_id).unwrap();
        assert_eq!(ring.open(b"a", &new).unwrap().as_slice(), b"text");
        let error = ring.open(b"a", &old).unwrap_err();
        assert_eq!(error, SealError::MissingKey { key_id: old_id });
        assert!(error.to_string().contains(&old_id.to_string()));
        assert_eq!(ring.reseal(b"a", &old), Err(error));
    }

    #[test]
    fn a_key_of_the_same_name_is_not_the_same_key() {
        let ring = Keyring::generate(0);
        let mut sealed = Keyring::generate(0).seal(b"a", b"text");
        sealed[2..2 + KEY_ID_LEN].copy_from_slice(ring.current_id().to_string().as_bytes());
        assert_eq!(ring.open(b"a", &sealed), Err(SealError::Wrong));
    }

    proptest! {
        #[test]
        fn everything_reads_back(aad: Vec<u8>, text: Vec<u8>) {
            let ring = Keyring::generate(0);
            let opened = ring.open(&aad, &ring.seal(&aad, &text)).unwrap();
            prop_assert_eq!(&*opened, &text);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, tail in prop::collection::vec(any::<u8>(), 0..80)) {
            let ring = Keyring::generate(0);
            prop_assert!(ring.open(b"", &bytes).is_err());
            let _ = (key_id_of(&bytes), ring.reseal(b"", &bytes));
            let mut near = vec![VERSION, ID_LEN];
            near.extend(ring.current_id().to_string().bytes());
            near.extend(tail);
            prop_assert!(ring.open(b"", &near).is_err());
        }
    }
}
