//! Keys and secrets: the keyring of master keys, sealed values, keyed token hashes, token text, and strings that
//! never show themselves.
//!
//! Invariants:
//! - All cryptography and randomness is AWS-LC's.
//! - No `Debug`, `Display`, error or serialisation shows a key, a plaintext or a token.
//! - Nothing here panics on input, whatever its bytes.
//! - Time is passed in, as unix seconds.
//!
//! Deliberately absent: the database, settings, and when to rotate (the kernel's affair); password hashing, which needs
//! a slow function; asymmetric keys.

mod hash;
mod key;
mod keyring;
mod random;
mod sealed;
mod secret;
mod token;

pub use hash::{HashKey, InvalidTokenHash, TokenHash, constant_time_eq};
pub use key::{InvalidKeyId, KeyId, KeyInfo};
pub use keyring::{Keyring, KeyringError, ParseError};
pub use random::{random_bytes, random_code, random_url_safe};
pub use sealed::{OVERHEAD, SealError, key_id_of};
pub use secret::Secret;
pub use token::{Parsed, TokenError, TokenKind, TokenText};
