//! Argon2id with bounded costs.

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version,
    password_hash::{SaltString, errors},
};
use aws_lc_rs::rand;

use super::PasswordError;

/// Most memory a hash may take, in KiB.
pub const MAX_MEMORY_KIB: u32 = 262_144;
/// Most passes a hash may make.
pub const MAX_ITERATIONS: u32 = 16;
/// Most lanes a hash may have.
const MAX_PARALLELISM: u32 = 16;
/// Longer than any PHC string of Argon2 with the usual salt and output.
const MAX_STORED_BYTES: usize = 256;

/// What one hash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
}

impl Cost {
    pub(super) fn new(memory_kib: u32, iterations: u32, parallelism: u32) -> Result<Self, PasswordError> {
        let cost = Self {
            memory_kib,
            iterations,
            parallelism,
        };
        if cost.bounded() {
            cost.params().map(|_| cost)
        } else {
            Err(PasswordError::Settings)
        }
    }

    fn bounded(self) -> bool {
        self.memory_kib <= MAX_MEMORY_KIB && self.iterations <= MAX_ITERATIONS && self.parallelism <= MAX_PARALLELISM
    }

    fn params(self) -> Result<Params, PasswordError> {
        Params::new(self.memory_kib, self.iterations, self.parallelism, None).map_err(|_| PasswordError::Settings)
    }

    fn argon(self) -> Result<Argon2<'static>, PasswordError> {
        Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params()?))
    }

    pub(super) fn hash(self, password: &[u8]) -> Result<String, PasswordError> {
        let mut salt = [0; 16];
        rand::fill(&mut salt).map_err(|_| PasswordError::Failed)?;
        let salt = SaltString::encode_b64(&salt).map_err(|_| PasswordError::Failed)?;
        let hash = self
            .argon()?
            .hash_password(password, &salt)
            .map_err(|_| PasswordError::Failed)?;
        Ok(hash.to_string())
    }

    pub(super) fn verify(self, password: &[u8], stored: Option<&str>) -> Result<bool, PasswordError> {
        let Some(stored) = stored else {
            return self.waste(password);
        };
        let Some((hash, _)) = read(stored) else {
            tracing::warn!("a stored password hash is not Argon2id within bounds; the login is refused");
            return self.waste(password);
        };
        match self.argon()?.verify_password(password, &hash) {
            Ok(()) => Ok(true),
            Err(errors::Error::Password) => Ok(false),
            Err(_) => Err(PasswordError::Failed),
        }
    }

    /// Takes the time of a check and says no.
    fn waste(self, password: &[u8]) -> Result<bool, PasswordError> {
        self.hash(password).map(|_| false)
    }

    /// Whether a stored hash has this cost.
    pub(super) fn made(self, stored: &str) -> bool {
        read(stored).is_some_and(|(_, cost)| cost == self)
    }
}

/// A stored hash and its cost, if it is an Argon2id hash that may be computed.
fn read(stored: &str) -> Option<(PasswordHash<'_>, Cost)> {
    let hash = Some(stored)
        .filter(|stored| stored.len() <= MAX_STORED_BYTES)
        .map(PasswordHash::new)?
        .ok()?;
    if hash.algorithm != Algorithm::Argon2id.ident() || hash.version != Some(Version::V0x13.into()) {
        return None;
    }
    // The library multiplies before it looks: an absurd number of lanes would overflow.
    if hash
        .params
        .get_decimal("p")
        .is_some_and(|lanes| lanes > MAX_PARALLELISM)
    {
        return None;
    }
    let params = Params::try_from(&hash).ok()?;
    let cost = Cost {
        memory_kib: params.m_cost(),
        iterations: params.t_cost(),
        parallelism: params.p_cost(),
    };
    (cost.bounded() && hash.salt.is_some() && hash.hash.is_some()).then_some((hash, cost))
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_stored_text_panics(text: String) {
            prop_assert!(read(&text).is_none());
        }

        #[test]
        fn no_cost_beyond_the_bounds_is_computed(
            kind in "argon2(id|i|d)",
            version in 16_u32..21,
            memory: u32,
            iterations: u32,
            lanes: u32,
            salt in "[A-Za-z0-9+/]{0,30}",
            hash in "[A-Za-z0-9+/]{0,90}",
        ) {
            let stored = format!("${kind}$v={version}$m={memory},t={iterations},p={lanes}${salt}${hash}");
            if let Some((_, cost)) = read(&stored) {
                prop_assert!(cost.bounded() && kind == "argon2id");
            }
        }
    }
}
