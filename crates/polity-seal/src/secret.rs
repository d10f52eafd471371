//! A string that does not show itself.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::constant_time_eq;

/// What stands where a secret would.
const HIDDEN: &str = "[hidden]";

/// A secret string: erased from memory when dropped, compared in constant time, and shown by [`Secret::expose`] only.
///
/// It deserialises from a string, in formats that describe themselves (JSON, TOML), and serialises as `"[hidden]"`: a
/// response that shows a secret once says so with `expose`. There is no `Display`.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The secret itself. Every call is a place to look at in review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

/// Constant in time for equal lengths; the length is not hidden.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // `any`, because a format that is asked for a string words its refusal itself, and quotes the value in it.
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// Refuses other scalars itself: serde's own message would quote the value, which may be a password of digits.
struct SecretVisitor;

impl SecretVisitor {
    fn refuse<E: de::Error>() -> Result<Secret, E> {
        Err(E::custom("a secret must be a string: put it in quotes"))
    }
}

impl de::Visitor<'_> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        Ok(text.into())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Secret, E> {
        Ok(text.into())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
        Self::refuse()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
        Self::refuse()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
        Self::refuse()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
        Self::refuse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_expose_shows_it() {
        let secret = Secret::from("hunter2");
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "[hidden] Some([hidden])");
        assert_eq!(serde_json::to_string(&secret).unwrap(), r#""[hidden]""#);
    }

    #[test]
    fn it_reads_from_a_string_and_quotes_no_other_value() {
        let secret: Secret = serde_json::from_str(r#""hunter\u0032""#).unwrap();
        assert_eq!(secret, Secret::from("hunter2"));
        for wrong in ["48151623", "-48151623", "48151623.5", "true", "null", "[48151623]"] {
            let error = serde_json::from_str::<Secret>(wrong).unwrap_err().to_string();
            assert!(error.contains("string"), "{error}");
            assert!(!error.contains("4815"), "{error}");
        }
    }

    #[test]
    fn equality_is_of_the_text() {
        assert_eq!(Secret::from("a"), Secret::from(String::from("a")));
        assert_ne!(Secret::from("a"), Secret::from("b"));
        assert_ne!(Secret::from("a"), Secret::from("aa"));
        assert!(Secret::default().is_empty());
    }
}
