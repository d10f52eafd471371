//! The tokens of a grant, and their sealed form.

use polity_seal::{Keyring, SealError, Secret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::Millis;

/// What a provider gave. `Debug` shows no token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TokenSet {
    /// What calls carry.
    pub access: Secret,
    /// What brings the next set.
    pub refresh: Option<Secret>,
    /// `bearer`, or what else the provider said, in lower case.
    pub token_type: String,
    /// When the access token ends, in unix milliseconds by the clock of the process that asked; absent: it does not.
    pub expires_at: Option<Millis>,
    /// What it may do. Fewer than were asked for is usual.
    pub scopes: Vec<String>,
    /// When it was asked for, in unix milliseconds.
    pub obtained_at: Millis,
}

/// The sealed text. Secrets serialise as hidden, so this borrows their text.
#[derive(Serialize)]
struct Plain<'a> {
    access: &'a str,
    refresh: Option<&'a str>,
    token_type: &'a str,
    expires_at: Option<Millis>,
    scopes: &'a [String],
    obtained_at: Millis,
}

/// Why sealed tokens do not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The seal.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// They open, and are no tokens that this version reads.
    #[error("the tokens were written by another version")]
    Unreadable,
}

impl TokenSet {
    /// Whether the access token may be used as a bearer token (RFC 6750). RFC 6749 7.1 forbids to use other types
    /// without knowing them. Slack calls its own by whose they are.
    pub fn is_bearer(&self) -> bool {
        matches!(self.token_type.as_str(), "bearer" | "bot" | "user")
    }

    /// Whether the access token lasts longer than `margin` milliseconds from `now`.
    pub fn lasts(&self, now: Millis, margin: Millis) -> bool {
        self.expires_at.is_none_or(|end| end.saturating_sub(now) > margin)
    }

    /// `margin`, or half of the token's whole life if that is less: a token shorter than the margin is no reason to
    /// refresh at every use.
    pub fn margin(&self, margin: Millis) -> Millis {
        let life = |end: Millis| end.saturating_sub(self.obtained_at).max(0);
        self.expires_at.map_or(margin, |end| margin.min(life(end) / 2))
    }

    /// The scopes among `wanted` that were not given.
    pub fn missing<'w>(&self, wanted: &'w [String]) -> Vec<&'w str> {
        wanted
            .iter()
            .filter(|scope| !self.scopes.contains(scope))
            .map(String::as_str)
            .collect()
    }

    /// Seals the set for one grant: under another grant's id it does not open.
    pub fn seal(&self, keyring: &Keyring, grant: &str) -> Vec<u8> {
        let plain = Plain {
            access: self.access.expose(),
            refresh: self.refresh.as_ref().map(Secret::expose),
            token_type: &self.token_type,
            expires_at: self.expires_at,
            scopes: &self.scopes,
            obtained_at: self.obtained_at,
        };
        // Strings, numbers and lists always serialise; nothing is a token set that does not open.
        let text = Zeroizing::new(serde_json::to_vec(&plain).unwrap_or_default());
        keyring.seal(&place(grant), &text)
    }

    /// Opens what [`TokenSet::seal`] made for the same grant.
    pub fn open(keyring: &Keyring, grant: &str, sealed: &[u8]) -> Result<Self, OpenError> {
        let text = keyring.open(&place(grant), sealed)?;
        serde_json::from_slice(&text).map_err(|_| OpenError::Unreadable)
    }

    /// The same set under the current key; `None` if it has that key already.
    pub fn reseal(keyring: &Keyring, grant: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>, SealError> {
        keyring.reseal(&place(grant), sealed)
    }
}

/// What binds a sealed token set to its grant, for whoever changes master keys.
pub fn place(grant: &str) -> Vec<u8> {
    format!("polity-grants/grant/{grant}/tokens").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> TokenSet {
        TokenSet {
            access: "hush-a".into(),
            refresh: Some("hush-r".into()),
            token_type: "bearer".to_owned(),
            expires_at: Some(10_000),
            scopes: vec!["read".to_owned()],
            obtained_at: 0,
        }
    }

    #[test]
    fn it_opens_for_its_grant_only() {
        let ring = Keyring::generate(0);
        let sealed = tokens().seal(&ring, "a");
        assert_eq!(TokenSet::open(&ring, "a", &sealed), Ok(tokens()));
        assert_eq!(
            TokenSet::open(&ring, "b", &sealed),
            Err(OpenError::Seal(SealError::Wrong))
        );
        assert!(!sealed.windows(4).any(|part| part == b"hush"));
        assert!(!format!("{:?}", tokens()).contains("hush"));
        let none = TokenSet {
            refresh: None,
            expires_at: None,
            ..tokens()
        };
        assert_eq!(TokenSet::open(&ring, "a", &none.seal(&ring, "a")), Ok(none));
    }

    #[test]
    fn other_plaintext_is_refused_without_panic() {
        let ring = Keyring::generate(0);
        let sealed = ring.seal(&place("a"), b"{}");
        assert_eq!(TokenSet::open(&ring, "a", &sealed), Err(OpenError::Unreadable));
    }

    #[test]
    fn margins_and_scopes() {
        let set = tokens();
        assert!(set.lasts(0, 9_999) && !set.lasts(0, 10_000) && !set.lasts(i64::MAX, 0));
        assert!(
            TokenSet {
                expires_at: None,
                ..tokens()
            }
            .lasts(i64::MAX, 0)
        );
        assert_eq!((set.margin(300_000), set.margin(1_000)), (5_000, 1_000));
        let wanted = ["read".to_owned(), "write".to_owned()];
        assert_eq!(set.missing(&wanted), ["write"]);
        assert!(
            set.is_bearer()
                && !TokenSet {
                    token_type: "mac".to_owned(),
                    ..tokens()
                }
                .is_bearer()
        );
    }
}
