//! An OAuth 2 client (RFC 6749) for every provider of a catalogue.
//!
//! Each call sends one request, once. What a failure means, is in [`crate::failure`]; whether a refresh may be sent at
//! all, is the [`crate::manager`]'s affair.

mod account;
mod answer;
mod authorize;
mod device;
mod jwt;
mod request;
mod revoke;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use self::request::{Form, token_request};
pub use self::{
    account::{Account, Exchanged},
    authorize::Authorization,
    device::{DeviceCode, DevicePoll},
    jwt::{Algorithm, Assertion, SigningKey},
};
use crate::{
    clock::{Clock, Millis, Random},
    failure::Failure,
    http::{Http, Response},
    provider::Provider,
    token::TokenSet,
};
use polity_seal::Secret;

/// What a provider knows its client by.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The client's id.
    pub client_id: String,
    /// Its secret, unless it is public or signs.
    pub client_secret: Option<Secret>,
    /// What it signs with (RFC 7523 2.2).
    pub signing_key: Option<SigningKey>,
}

/// A client registered at a provider.
#[derive(Debug, Clone)]
pub struct App {
    /// Where.
    pub provider: Arc<Provider>,
    /// As whom.
    pub credentials: Credentials,
}

/// Sends the requests. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    timeout: Duration,
}

impl Client {
    /// `timeout` is for a whole call.
    pub fn new(http: Arc<dyn Http>, clock: Arc<dyn Clock>, random: Arc<dyn Random>, timeout: Duration) -> Self {
        Self {
            http,
            clock,
            random,
            timeout,
        }
    }

    /// The time a whole call may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Trades a code for tokens (RFC 6749 4.1.3). A code works once: after [`Failure::Unknown`] the owner begins anew.
    pub async fn exchange(&self, app: &App, code: &Secret, begun: &Authorization) -> Result<Exchanged, Failure> {
        let mut form = Form::new("authorization_code");
        form.add("code", code.expose());
        form.add("redirect_uri", &begun.redirect_uri);
        if let Some(verifier) = &begun.verifier {
            form.add("code_verifier", verifier.expose());
        }
        self.exchanged(app, form, &begun.scopes).await
    }

    /// Asks for the next set (RFC 6749 6). A refresh token that the answer does not replace stays.
    pub async fn refresh(&self, app: &App, old: &TokenSet) -> Result<TokenSet, Failure> {
        let Some(refresh) = &old.refresh else {
            let reason = "no_refresh_token".to_owned();
            return Err(Failure::Reauthorize { reason });
        };
        let mut form = Form::new("refresh_token");
        form.add("refresh_token", refresh.expose());
        let mut tokens = self.tokens(app, form, &old.scopes).await?;
        if tokens.refresh.is_none() {
            tokens.refresh = Some(refresh.clone());
        }
        Ok(tokens)
    }

    /// A token for the client itself (RFC 6749 4.4).
    pub async fn client_credentials(&self, app: &App, scopes: &[String]) -> Result<TokenSet, Failure> {
        let scopes = app.provider.scopes(scopes);
        let mut form = Form::new("client_credentials");
        form.add_scopes(&app.provider, &scopes);
        self.tokens(app, form, &scopes).await
    }

    /// A token for whom a signed statement names (RFC 7523 2.1).
    pub async fn jwt_bearer(
        &self,
        app: &App,
        key: &SigningKey,
        claims: &Assertion,
        scopes: &[String],
    ) -> Result<TokenSet, Failure> {
        let signed = jwt::sign(key, claims, self.clock.now(), &*self.random)?;
        let mut form = Form::new("urn:ietf:params:oauth:grant-type:jwt-bearer");
        form.add("assertion", signed.expose());
        form.add_scopes(&app.provider, scopes);
        self.tokens(app, form, scopes).await
    }

    async fn tokens(&self, app: &App, form: Form, asked: &[String]) -> Result<TokenSet, Failure> {
        Ok(self.exchanged(app, form, asked).await?.tokens)
    }

    async fn exchanged(&self, app: &App, form: Form, asked: &[String]) -> Result<Exchanged, Failure> {
        // The time before the call: a token seems to end earlier than it does, never later.
        let asked_at = self.clock.now();
        let url = app.provider.token_url.clone();
        let response = self.post(app, &url, form, asked_at).await?;
        let (tokens, fields) = answer::tokens(&app.provider, &response, asked, asked_at)?;
        let answer = account::beside(fields, app, &tokens);
        Ok(Exchanged { tokens, answer })
    }

    async fn post(&self, app: &App, url: &str, form: Form, now: Millis) -> Result<Response, Failure> {
        let request = token_request(app, url, form, self.timeout, now, &*self.random)?;
        Ok(self.http.send(request).await?)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
