//! The address a browser is sent to (RFC 6749 4.1.1), with state and PKCE (RFC 7636).

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use polity_seal::Secret;
use url::Url;

use super::{App, Client};
use crate::{clock::Random, failure::Failure, provider::Pkce};

/// What has to be remembered until the browser comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// 256 random bits, 43 characters. It comes back with the code.
    pub state: Secret,
    /// The verifier of RFC 7636 4.1, 43 characters.
    pub verifier: Option<Secret>,
    /// Where the browser comes back to; sent again with the code.
    pub redirect_uri: String,
    /// The scopes asked for.
    pub scopes: Vec<String>,
}

impl Client {
    /// Begins: where to send the browser, and what to remember. No scopes means the provider's default ones.
    pub fn authorize(
        &self,
        app: &App,
        redirect_uri: &str,
        scopes: &[String],
    ) -> Result<(Secret, Authorization), Failure> {
        let missing = || Failure::misconfigured("the provider has no `authorize_url`");
        let address = app.provider.authorize_url.as_ref().ok_or_else(missing)?;
        let mut url = Url::parse(address).map_err(|_| Failure::misconfigured("`authorize_url` is no address"))?;
        let begun = Authorization {
            state: random_text(&*self.random),
            verifier: (app.provider.pkce == Pkce::S256).then(|| random_text(&*self.random)),
            redirect_uri: redirect_uri.to_owned(),
            scopes: app.provider.scopes(scopes),
        };
        let mut query = url.query_pairs_mut();
        query.append_pair("response_type", "code");
        query.append_pair("client_id", &app.credentials.client_id);
        query.append_pair("redirect_uri", redirect_uri);
        if !begun.scopes.is_empty() {
            query.append_pair("scope", &begun.scopes.join(&app.provider.scope_separator));
        }
        query.append_pair("state", begun.state.expose());
        if let Some(verifier) = &begun.verifier {
            query.append_pair("code_challenge", &challenge(verifier));
            query.append_pair("code_challenge_method", "S256");
        }
        for (name, value) in &app.provider.extra_authorize_params {
            query.append_pair(name, value);
        }
        drop(query);
        Ok((String::from(url).into(), begun))
    }
}

/// RFC 7636 4.2.
pub(super) fn challenge(verifier: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.expose().as_bytes()))
}

/// 32 random bytes as base64url.
fn random_text(random: &dyn Random) -> Secret {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    random.fill(&mut *bytes);
    URL_SAFE_NO_PAD.encode(*bytes).into()
}
