//! Whose account it is, and what an answer says beside its tokens.
//!
//! What is kept of an answer is for people and for lists: no token is in it, and it is small.

use polity_seal::Secret;
use serde_json::{Map, Value};

use super::{App, Client};
use crate::{
    failure::{Failure, of_answer},
    http::{Body, Method, Request},
    provider::IdentitySource,
    token::TokenSet,
};

/// The longest id, address or name of an account, in bytes.
const LONGEST: usize = 255;
/// The most that is kept of an answer, in bytes.
const MOST: usize = 16 * 1024;
/// The longest text of an answer that is kept, in bytes.
const LONGEST_TEXT: usize = 2048;
/// How deep an answer is kept.
const DEEPEST: usize = 8;
/// How names of members end whose value is a secret; without `_` and `-`, in lower case.
const SECRET_ENDS: [&str; 7] = ["token", "tokens", "secret", "password", "apikey", "assertion", "code"];

/// What a code was traded for.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchanged {
    /// The tokens.
    pub tokens: TokenSet,
    /// What else the answer said: without tokens, at most 16 KiB.
    pub answer: Value,
}

/// An account at a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Its id, which never changes; at most 255 bytes.
    pub id: String,
    /// Its e-mail address, as the provider says. Nobody here checked it.
    pub email: Option<String>,
    /// Its name for people, cut to 255 bytes.
    pub name: Option<String>,
    /// What the provider said about it: without tokens, at most 16 KiB.
    pub data: Value,
}

impl Client {
    /// Whose account a grant is of, as the provider's entry says where to find it.
    pub async fn account(&self, app: &App, exchanged: &Exchanged) -> Result<Account, Failure> {
        let missing = || Failure::misconfigured("the provider has no `identity`");
        let identity = app.provider.identity.as_ref().ok_or_else(missing)?;
        let said = match identity.source {
            IdentitySource::Token => exchanged.answer.clone(),
            IdentitySource::Userinfo => self.ask(app, &exchanged.tokens, Method::Get, Body::Empty).await?,
            IdentitySource::UserinfoPost => {
                let body = identity.body.as_deref();
                let body = body.map_or(Body::Empty, |text| Body::Json(text.into()));
                self.ask(app, &exchanged.tokens, Method::Post, body).await?
            }
        };
        let text = |place: &str| said.pointer(place).and_then(plain);
        let id = text(&identity.id).filter(|id| id.len() <= LONGEST);
        let email = identity.email.as_deref().and_then(text);
        let name = identity.name.as_deref().and_then(text);
        Ok(Account {
            id: id.ok_or_else(|| Failure::misconfigured("the provider does not say whose account it is"))?,
            email: email.filter(|email| email.len() <= LONGEST),
            name: name.map(|name| name[..name.floor_char_boundary(LONGEST)].to_owned()),
            data: kept(&said, app, &exchanged.tokens),
        })
    }

    /// What the provider says about whose token it is, as JSON.
    pub async fn userinfo(&self, app: &App, tokens: &TokenSet) -> Result<Value, Failure> {
        self.ask(app, tokens, Method::Get, Body::Empty).await
    }

    async fn ask(&self, app: &App, tokens: &TokenSet, method: Method, body: Body) -> Result<Value, Failure> {
        let missing = || Failure::misconfigured("the provider has no `userinfo_url`");
        let url = app.provider.userinfo_url.as_ref().ok_or_else(missing)?;
        let mut request = Request::new(method, url, self.timeout);
        let bearer = format!("Bearer {}", tokens.access.expose());
        request.headers.push(("authorization", bearer.into()));
        request.headers.push(("accept", "application/json".into()));
        request.body = body;
        let response = self.http.send(request).await?;
        let read = response
            .is_success()
            .then(|| serde_json::from_slice(&response.body).ok());
        let failure = || of_answer(&app.provider, &response, None, self.clock.now());
        read.flatten().ok_or_else(failure)
    }
}

/// Text without control characters, or a number as text.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() && !text.contains(char::is_control) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// What may be kept of a token answer.
pub(super) fn beside(fields: Map<String, Value>, app: &App, tokens: &TokenSet) -> Value {
    kept(&Value::Object(fields), app, tokens)
}

fn kept(value: &Value, app: &App, tokens: &TokenSet) -> Value {
    // A provider may repeat what it was sent, and what is kept is shown to people: the client's secret is not theirs.
    let client = app.credentials.client_secret.as_ref();
    let secrets: Vec<&str> = [Some(&tokens.access), tokens.refresh.as_ref(), client]
        .into_iter()
        .flatten()
        .map(Secret::expose)
        .collect();
    let mut keeper = Keeper { secrets, left: MOST };
    keeper.keep(value, DEEPEST).unwrap_or(Value::Null)
}

/// Copies what may be kept, for as long as there is room. What is too long or too deep is left out whole: half of it
/// would say something else.
struct Keeper<'s> {
    secrets: Vec<&'s str>,
    left: usize,
}

impl Keeper<'_> {
    fn keep(&mut self, value: &Value, deep: usize) -> Option<Value> {
        match value {
            Value::Null | Value::Bool(_) => self.pay(5).map(|()| value.clone()),
            Value::Number(number) => self.pay(number.to_string().len()).map(|()| value.clone()),
            Value::String(text) if self.is_plain(text) => self.pay(written(text)).map(|()| value.clone()),
            Value::String(_) => None,
            Value::Array(all) => {
                let deeper = deep.checked_sub(1)?;
                self.pay(2)?;
                let kept = all.iter().filter_map(|one| {
                    self.pay(1)?;
                    self.keep(one, deeper)
                });
                Some(kept.collect())
            }
            Value::Object(members) => {
                let deeper = deep.checked_sub(1)?;
                self.pay(2)?;
                let kept = members.iter().filter_map(|(name, value)| {
                    if is_secret(name) || !self.is_plain(name) {
                        return None;
                    }
                    self.pay(written(name) + 2)?;
                    Some((name.clone(), self.keep(value, deeper)?))
                });
                Some(Value::Object(kept.collect()))
            }
        }
    }

    fn is_plain(&self, text: &str) -> bool {
        // A short token, as tests have them, stands in other words by chance.
        let is_in = |secret: &&str| text == *secret || (secret.len() >= 16 && text.contains(*secret));
        text.len() <= LONGEST_TEXT && !self.secrets.iter().any(is_in)
    }

    fn pay(&mut self, bytes: usize) -> Option<()> {
        self.left = self.left.checked_sub(bytes)?;
        Some(())
    }
}

/// How long a text is in JSON.
fn written(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        0..=31 => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum::<usize>() + 2
}

/// Whether the value of a member of that name is a secret. Who knows the address of a web hook may use it.
fn is_secret(name: &str) -> bool {
    let letters = name.chars().filter(|c| !matches!(c, '_' | '-'));
    let name = letters.collect::<String>().to_lowercase();
    SECRET_ENDS.iter().any(|end| name.ends_with(end)) || name.contains("webhook")
}
