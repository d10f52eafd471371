//! `/authorize` (RFC 6749 4.1.1): nobody is asked, the browser is sent back at once.

use std::collections::HashMap;

use url::Url;

use super::{
    Core, Fault,
    message::{Answer, Call},
    state::Code,
    token::scopes,
};

impl Core {
    pub(super) fn authorize(&self, call: &Call, fault: Option<&Fault>) -> Answer {
        let query = call.query();
        let get = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let mut state = self.state();
        // RFC 6749 4.1.2.1: to an address that is not known nobody is sent, not even with an error.
        let back = get("redirect_uri");
        let allowed = &self.settings.redirect_uris;
        let is_allowed = allowed.is_empty() || allowed.iter().any(|known| known == back);
        let (Ok(mut url), true, true) = (
            Url::parse(back),
            is_allowed,
            state.clients.contains_key(get("client_id")),
        ) else {
            return Answer::empty(400);
        };
        let refused = match fault {
            Some(Fault::Denied) => Some("access_denied"),
            _ => refused(&query, self.settings.requires_pkce),
        };
        if let Some(code) = refused {
            url.query_pairs_mut().append_pair("error", code);
        } else {
            let text = state.draw("code");
            let account = query.get("login_hint").unwrap_or(&state.account).clone();
            let code = Code {
                account,
                client: get("client_id").to_owned(),
                redirect_uri: back.to_owned(),
                scopes: scopes(get("scope")),
                challenge: query.get("code_challenge").cloned(),
                expires_at: self.now() + u64::try_from(self.settings.code_life.as_millis()).unwrap_or(u64::MAX / 2),
                family: None,
            };
            state.codes.insert(text.clone(), code);
            url.query_pairs_mut().append_pair("code", &text);
        }
        if let Some(text) = query.get("state") {
            url.query_pairs_mut().append_pair("state", text);
        }
        Answer::empty(302).with("location", url.as_str())
    }
}

/// What the browser is sent back with instead of a code.
fn refused(query: &HashMap<String, String>, requires_pkce: bool) -> Option<&'static str> {
    if query.get("response_type").is_none_or(|kind| kind != "code") {
        return Some("unsupported_response_type");
    }
    let is_s256 = query
        .get("code_challenge_method")
        .is_some_and(|method| method == "S256");
    match query.get("code_challenge") {
        None if requires_pkce => Some("invalid_request"),
        // RFC 7636 4.2: S256 gives 43 characters.
        Some(challenge) if !is_s256 || challenge.len() != 43 => Some("invalid_request"),
        _ => None,
    }
}
