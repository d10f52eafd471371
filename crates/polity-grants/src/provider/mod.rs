//! What providers do differently, declared: adding one is adding an entry to a catalogue.
//!
//! Deliberately absent: client ids and secrets (they belong to whoever registered an app), and code per provider. What
//! cannot be said here, is not supported.

mod catalogue;
mod check;
mod identity;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::{
    catalogue::{Catalogue, CatalogueError},
    identity::{Identity, IdentitySource},
};

/// How one provider speaks OAuth 2 (RFC 6749).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its name in settings and addresses: lower-case letters, digits, `_`, `-`.
    pub name: String,
    /// Its name for people.
    pub display_name: String,
    /// Where a browser is sent (RFC 6749 3.1). Absent if nobody signs in there, as with client credentials alone.
    pub authorize_url: Option<String>,
    /// Where tokens are asked for (RFC 6749 3.2).
    pub token_url: String,
    /// Where tokens are taken back.
    pub revoke_url: Option<String>,
    /// Where a device asks for its code (RFC 8628 3.1).
    pub device_url: Option<String>,
    /// Where it says whose token it is.
    pub userinfo_url: Option<String>,
    /// How it is known whose account a grant is of.
    pub identity: Option<Identity>,
    /// The provider's own text on all this.
    pub documentation: String,
    /// Scopes asked for unless others are.
    #[serde(default)]
    pub scopes_default: Vec<String>,
    /// Scopes that are always asked for, such as the one that a refresh token needs.
    #[serde(default)]
    pub scopes_required: Vec<String>,
    /// What stands between scopes in a request: `" "` (RFC 6749 3.3) or `","`. Answers are read with either.
    #[serde(default = "space")]
    pub scope_separator: String,
    /// How the client says who it is (RFC 6749 2.3).
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// Proof of possession of the code (RFC 7636).
    #[serde(default)]
    pub pkce: Pkce,
    /// The form of its answers. Errors are read in both.
    #[serde(default)]
    pub token_answer: TokenAnswer,
    /// The life of an access token, in seconds, when an answer does not say; absent: it does not end.
    pub default_expiry: Option<u32>,
    /// What becomes of a refresh token by its use.
    pub refresh: Refresh,
    /// What may be done after a refresh of which nobody knows whether it happened.
    pub recovery: Recovery,
    /// Sent along with the authorization request.
    #[serde(default)]
    pub extra_authorize_params: BTreeMap<String, String>,
    /// Sent along with every request for tokens.
    #[serde(default)]
    pub extra_token_params: BTreeMap<String, String>,
    /// Hosts that may be sent an access token of this provider.
    #[serde(default)]
    pub api_hosts: Vec<String>,
    /// How tokens are taken back at [`Provider::revoke_url`].
    #[serde(default)]
    pub revocation: Revocation,
    /// The rest of what is particular.
    #[serde(default)]
    pub quirks: Vec<Quirk>,
    /// Whether what the life of a grant depends on was compared with the documentation: where tokens are asked for, how
    /// the client says who it is, and what becomes of a refresh token by its use.
    pub verified: bool,
}

fn space() -> String {
    " ".to_owned()
}

impl Provider {
    /// Whether it has that quirk.
    pub fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    /// The scopes to ask for: those wanted, or the default ones, and the required ones, each once.
    pub fn scopes(&self, wanted: &[String]) -> Vec<String> {
        let wanted = if wanted.is_empty() {
            &self.scopes_default
        } else {
            wanted
        };
        let mut scopes: Vec<String> = Vec::new();
        for scope in wanted.iter().chain(&self.scopes_required) {
            if !scopes.contains(scope) {
                scopes.push(scope.clone());
            }
        }
        scopes
    }
}

/// How a client says who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// In the `Authorization` header (RFC 6749 2.3.1).
    #[default]
    Basic,
    /// In the body (RFC 6749 2.3.1).
    Post,
    /// A public client: only its id, in the body.
    None,
    /// A signed statement (RFC 7523 2.2).
    PrivateKeyJwt,
}

/// Proof of possession of the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pkce {
    /// The challenge is the verifier's SHA-256.
    #[default]
    S256,
    /// The provider knows none.
    None,
}

/// The form of a token answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenAnswer {
    /// `application/json` (RFC 6749 5.1).
    #[default]
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
}

/// What becomes of a refresh token by its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Refresh {
    /// There are none.
    None,
    /// It goes on working, also where an answer brings another.
    Stable,
    /// Each use brings a new one and ends the old one.
    Rotating {
        /// How long, in seconds after its use, the old one is still answered with a working pair. 0: not at all.
        replay_window: u32,
    },
}

/// What may be done with a refresh token after a call whose outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// Use it again: a second use harms nothing.
    Retry,
    /// Use it again within so many seconds after the first use began; later, the owner has to sign in.
    RetryWithin(u32),
    /// Do not use it again, because that could end every token of its family: the owner has to sign in.
    Reauthorize,
}

/// How tokens are taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revocation {
    /// Not at all.
    #[default]
    None,
    /// RFC 7009, the refresh token if there is one.
    Rfc7009,
    /// A form with the refresh token as `refresh_token`, or the access token as `access_token`.
    NamedField,
    /// A request with the access token as bearer and no body.
    Bearer,
    /// `DELETE` with Basic and the access token in a JSON body; `{client_id}` in the address is replaced.
    GithubGrant,
}

/// What else is particular.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quirk {
    /// Errors come with status 200.
    ErrorsWithOk,
    /// Slack: `ok: false` and codes of its own.
    SlackCodes,
    /// Requests for tokens are JSON.
    JsonRequests,
    /// `unauthorized_client` at a refresh says that the refresh token ended.
    UnauthorizedClientEndsGrant,
    /// `invalid_request` says that the code or the refresh token ended.
    InvalidRequestEndsGrant,
}
