//! Where a provider says whose account it is.

use serde::{Deserialize, Serialize};

/// Where to look, and for what. The places are JSON pointers (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// What is looked at.
    pub source: IdentitySource,
    /// The account's id, which never changes: text, or a number that is taken as text.
    pub id: String,
    /// Its e-mail address.
    pub email: Option<String>,
    /// Its name for people.
    pub name: Option<String>,
    /// A JSON text that is sent with [`IdentitySource::UserinfoPost`], such as a GraphQL query; absent: no body.
    pub body: Option<String>,
}

/// What says whose account it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentitySource {
    /// The answer to a `GET` of `userinfo_url`.
    Userinfo,
    /// The answer to a `POST` to `userinfo_url`.
    UserinfoPost,
    /// The answer that brought the tokens.
    Token,
}

impl Identity {
    /// The places with their fields.
    fn pointers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let optional = [("identity.email", &self.email), ("identity.name", &self.name)];
        let given = optional
            .into_iter()
            .filter_map(|(field, place)| Some((field, place.as_deref()?)));
        [("identity.id", self.id.as_str())].into_iter().chain(given)
    }

    /// Everything that is wrong with it.
    pub(super) fn wrong(&self, userinfo_url: Option<&str>) -> Vec<(&'static str, String)> {
        let mut wrong: Vec<_> = self
            .pointers()
            .filter(|(_, place)| !is_pointer(place))
            .map(|(field, place)| (field, format!("{place:?} is no JSON pointer to a member")))
            .collect();
        if self.source != IdentitySource::Token && userinfo_url.is_none() {
            wrong.push(("identity.source", "it needs `userinfo_url`".to_owned()));
        }
        match &self.body {
            Some(_) if self.source != IdentitySource::UserinfoPost => {
                wrong.push(("identity.body", "only `userinfo_post` sends one".to_owned()));
            }
            Some(body) if serde_json::from_str::<serde::de::IgnoredAny>(body).is_err() => {
                wrong.push(("identity.body", "it is no JSON".to_owned()));
            }
            _ => {}
        }
        wrong
    }
}

/// RFC 6901 3, without the empty one, which is the whole answer.
fn is_pointer(text: &str) -> bool {
    let escapes = |part: &str| part.starts_with('0') || part.starts_with('1');
    text.starts_with('/') && text.len() <= 255 && text.split('~').skip(1).all(escapes)
}
