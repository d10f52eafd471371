//! `/token` (RFC 6749 3.2) and `/revoke` (RFC 7009).

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{
    Core, Fault, Rotation,
    message::{Answer, Call},
    state::{Pair, State},
};

/// What a call for tokens is about.
struct Asked<'c> {
    client: String,
    form: &'c HashMap<String, String>,
    fault: Option<&'c Fault>,
    rotation: Rotation,
    now: u64,
}

impl Asked<'_> {
    fn get(&self, name: &str) -> &str {
        self.form.get(name).map(String::as_str).unwrap_or_default()
    }

    fn scopes(&self) -> Vec<String> {
        scopes(self.get("scope"))
    }
}

pub(super) fn scopes(text: &str) -> Vec<String> {
    let parts = text.split([' ', ',']).filter(|scope| !scope.is_empty());
    parts.map(str::to_owned).collect()
}

impl Core {
    pub(super) fn token(&self, call: &Call, fault: Option<&Fault>) -> Answer {
        let (form, now) = (call.form(), self.now());
        let mut state = self.state();
        let client = call.client(&form);
        let Some((client, _)) = client.filter(|(id, secret)| state.knows(id, secret.as_deref())) else {
            return Answer::error("invalid_client");
        };
        let asked = Asked {
            client,
            form: &form,
            fault,
            rotation: self.settings.rotation,
            now,
        };
        let done = match asked.get("grant_type") {
            "authorization_code" => state.trade(&asked),
            "refresh_token" => state.refreshed(&asked),
            "client_credentials" => Ok(state.own(&asked)),
            "urn:ietf:params:oauth:grant-type:device_code" => {
                let code = asked.get("device_code");
                state
                    .poll(code, &asked.client, now)
                    .map(|family| state.first(family, &asked))
            }
            _ => Err("unsupported_grant_type"),
        };
        match done {
            Ok(body) => Answer::json(200, &Value::Object(body)),
            Err(code) => Answer::error(code),
        }
    }

    /// RFC 7009 2: a token that is not known is a success; one of another client is not touched.
    pub(super) fn revoke(&self, call: &Call) -> Answer {
        let form = call.form();
        let mut state = self.state();
        let client = call.client(&form);
        let Some((client, _)) = client.filter(|(id, secret)| state.knows(id, secret.as_deref())) else {
            return Answer::error("invalid_client");
        };
        let Some(token) = form.get("token") else {
            return Answer::error("invalid_request");
        };
        let family = state.family_of(token);
        if family.is_some_and(|family| state.families[family].client != client) {
            return Answer::empty(200);
        }
        if state.refresh.contains_key(token) {
            if let Some(family) = family {
                state.end(family);
            }
        } else if let Some(access) = state.access.get_mut(token) {
            access.is_ended = true;
        }
        state.seen.taken_back.push(token.clone());
        Answer::empty(200)
    }
}

impl State {
    /// RFC 6749 4.1.3. A code that comes again ends what it was traded for (4.1.2).
    fn trade(&mut self, asked: &Asked) -> Result<Map<String, Value>, &'static str> {
        let code = self.codes.get(asked.get("code")).ok_or("invalid_grant")?;
        if let Some(family) = code.family {
            self.end(family);
            return Err("invalid_grant");
        }
        let proves = match (&code.challenge, asked.form.get("code_verifier")) {
            (None, None) => true,
            (Some(challenge), Some(verifier)) => *challenge == challenge_of(verifier),
            // RFC 9700 2.1.1: a verifier without a challenge is an attack on PKCE.
            _ => false,
        };
        let fits = code.client == asked.client && code.redirect_uri == asked.get("redirect_uri");
        if !fits || !proves || code.expires_at <= asked.now {
            return Err("invalid_grant");
        }
        let (account, scopes) = (code.account.clone(), code.scopes.clone());
        let family = self.family(&account, &asked.client, scopes);
        if let Some(code) = self.codes.get_mut(asked.get("code")) {
            code.family = Some(family);
        }
        Ok(self.first(family, asked))
    }

    /// The first pair of a grant.
    fn first(&mut self, family: usize, asked: &Asked) -> Map<String, Value> {
        let pair = self.pair(family, asked.now);
        self.written(&pair, true, asked)
    }

    /// RFC 6749 4.4.3: without a refresh token.
    fn own(&mut self, asked: &Asked) -> Map<String, Value> {
        let access = self.access(None, asked.scopes(), asked.now);
        let refresh = String::new();
        self.written(&Pair { access, refresh }, false, asked)
    }

    /// RFC 6749 6, and what becomes of the refresh token.
    fn refreshed(&mut self, asked: &Asked) -> Result<Map<String, Value>, &'static str> {
        let token = asked.get("refresh_token").to_owned();
        let known = self.refresh.get(&token).ok_or("invalid_grant")?;
        let (family, replaced) = (known.family, known.replaced.clone());
        if asked.fault == Some(&Fault::Revoked) {
            self.end(family);
        }
        let grant = &self.families[family];
        if grant.client != asked.client || (grant.is_ended && replaced.is_none()) {
            return Err("invalid_grant");
        }
        if asked.scopes().iter().any(|scope| !grant.scopes.contains(scope)) {
            return Err("invalid_scope");
        }
        if let Some((at, successor)) = replaced {
            return self.replayed(family, at, successor, asked);
        }
        self.seen.refreshed += 1;
        self.families[family].refreshed += 1;
        if asked.rotation == Rotation::Stable {
            let scopes = self.families[family].scopes.clone();
            let access = self.access(Some(family), scopes, asked.now);
            return Ok(self.written(&Pair { access, refresh: token }, false, asked));
        }
        let pair = self.replace(&token, family, asked.now);
        if asked.fault == Some(&Fault::RotatedTwice) {
            self.replace(&pair.refresh, family, asked.now);
        }
        let tells = asked.fault != Some(&Fault::NoNewRefresh);
        Ok(self.written(&pair, tells, asked))
    }

    /// A token that was replaced came again: its successor, if it is early enough, or the end of the grant.
    fn replayed(
        &mut self,
        family: usize,
        at: u64,
        successor: Pair,
        asked: &Asked,
    ) -> Result<Map<String, Value>, &'static str> {
        let is_early = match asked.rotation {
            Rotation::Window(time) => u128::from(asked.now - at) < time.as_millis(),
            Rotation::Stable | Rotation::Rotating => false,
        };
        let grant = &self.families[family];
        if is_early && !grant.is_ended && grant.current == successor.refresh {
            self.seen.replays += 1;
            return Ok(self.written(&successor, true, asked));
        }
        self.seen.reuses += 1;
        self.families[family].reuses += 1;
        self.end(family);
        Err("invalid_grant")
    }

    fn replace(&mut self, token: &str, family: usize, now: u64) -> Pair {
        let pair = self.pair(family, now);
        if let Some(old) = self.refresh.get_mut(token) {
            old.replaced = Some((now, pair.clone()));
        }
        pair
    }

    /// RFC 6749 5.1, and how it can be told wrong.
    fn written(&mut self, pair: &Pair, with_refresh: bool, asked: &Asked) -> Map<String, Value> {
        if let Some(Fault::Scope(text)) = asked.fault
            && let Some(access) = self.access.get_mut(&pair.access)
        {
            access.scopes = scopes(text);
        }
        let access = self.access.get(&pair.access);
        let left = access.map_or(0, |access| access.expires_at.saturating_sub(asked.now).div_ceil(1_000));
        let scope = access.map(|access| access.scopes.join(" ")).unwrap_or_default();
        let mut body = Map::new();
        body.insert("access_token".to_owned(), json!(pair.access));
        let kind = match asked.fault {
            Some(Fault::TokenType(kind)) => kind.as_str(),
            _ => "Bearer",
        };
        body.insert("token_type".to_owned(), json!(kind));
        match asked.fault {
            Some(Fault::WithoutExpiry) => None,
            Some(Fault::ExpiresIn(seconds)) => body.insert("expires_in".to_owned(), json!(seconds)),
            _ => body.insert("expires_in".to_owned(), json!(left)),
        };
        if with_refresh {
            body.insert("refresh_token".to_owned(), json!(pair.refresh));
        }
        body.insert("scope".to_owned(), json!(scope));
        body
    }
}

/// RFC 7636 4.6.
fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}
