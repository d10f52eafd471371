//! From the browser's way out to its way back: pending authorizations, single use, ten minutes, one browser each.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use polity_seal::{Keyring, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{
    client::{App, Authorization, Client, Exchanged},
    clock::{Millis, SECOND},
    failure::Failure,
    store::{Pending, Store, StoreError},
};

/// How long a browser may take: ten minutes.
pub const LIFE: Millis = 10 * 60 * SECOND;

/// Why an authorization did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The state is missing, used, expired, or of another browser. Which of these is not said.
    #[error("this sign-in is not known, or no longer: begin again")]
    State,
    /// The provider.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Begins authorizations and takes them up again.
#[derive(Clone)]
pub struct Connector {
    /// Speaks to providers.
    pub client: Client,
    /// Keeps what is pending.
    pub store: Arc<dyn Store>,
    /// Seals it.
    pub keyring: Keyring,
}

/// What was begun, as it comes back.
#[derive(Debug, Clone)]
pub struct Returned {
    /// For [`Client::exchange`].
    pub authorization: Authorization,
    /// What whoever began it wanted to know again.
    pub context: Value,
}

#[derive(Serialize)]
struct Plain<'a> {
    state: &'a str,
    verifier: Option<&'a str>,
    redirect_uri: &'a str,
    scopes: &'a [String],
    context: &'a Value,
}

#[derive(Deserialize)]
struct Stored {
    state: Secret,
    verifier: Option<Secret>,
    redirect_uri: String,
    scopes: Vec<String>,
    context: Value,
}

impl Connector {
    /// Where to send the browser. `browser` is what only its session has; `context` comes back with it.
    pub async fn begin(
        &self,
        app: &App,
        redirect_uri: &str,
        scopes: &[String],
        browser: &Secret,
        context: &Value,
    ) -> Result<Secret, ConnectError> {
        let (url, pending) = self.prepare(app, redirect_uri, scopes, browser, context)?;
        self.store.put_state(pending, LIFE).await?;
        Ok(url)
    }

    /// What [`Connector::begin`] does, for whoever keeps what is pending in a transaction of their own.
    pub fn prepare(
        &self,
        app: &App,
        redirect_uri: &str,
        scopes: &[String],
        browser: &Secret,
        context: &Value,
    ) -> Result<(Secret, Pending), Failure> {
        let (url, begun) = self.client.authorize(app, redirect_uri, scopes)?;
        let plain = Plain {
            state: begun.state.expose(),
            verifier: begun.verifier.as_ref().map(Secret::expose),
            redirect_uri: &begun.redirect_uri,
            scopes: &begun.scopes,
            context,
        };
        let text = Zeroizing::new(serde_json::to_vec(&plain).unwrap_or_default());
        let key = state_key(&begun.state);
        let sealed = self.keyring.seal(&place(&key), &text);
        let pending = Pending {
            key,
            browser: hash(browser),
            sealed,
        };
        Ok((url, pending))
    }

    /// What a browser that comes back with `state` began. It is used up by this, whatever comes next.
    pub async fn take(&self, state: &Secret, browser: &Secret) -> Result<Returned, ConnectError> {
        let key = state_key(state);
        let sealed = self
            .store
            .take_state(&key, &hash(browser))
            .await?
            .ok_or(ConnectError::State)?;
        let text = self
            .keyring
            .open(&place(&key), &sealed)
            .map_err(|_| ConnectError::State)?;
        let stored: Stored = serde_json::from_slice(&text).map_err(|_| ConnectError::State)?;
        let authorization = Authorization {
            state: stored.state,
            verifier: stored.verifier,
            redirect_uri: stored.redirect_uri,
            scopes: stored.scopes,
        };
        Ok(Returned {
            authorization,
            context: stored.context,
        })
    }

    /// [`Connector::take`] and [`Client::exchange`] in one, where the client is known beforehand.
    pub async fn finish(
        &self,
        app: &App,
        state: &Secret,
        code: &Secret,
        browser: &Secret,
    ) -> Result<(Exchanged, Value), ConnectError> {
        let back = self.take(state, browser).await?;
        Ok((
            self.client.exchange(app, code, &back.authorization).await?,
            back.context,
        ))
    }
}

/// Under which [`Pending::key`] a state is kept.
pub fn state_key(state: &Secret) -> String {
    hash(state)
}

/// Neither a state nor a session's secret is stored as it is.
fn hash(secret: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, secret.expose().as_bytes()))
}

/// What binds a sealed pending authorization to its key, for whoever changes master keys.
pub fn place(key: &str) -> Vec<u8> {
    format!("polity-grants/pending/{key}").into_bytes()
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
