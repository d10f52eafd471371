//! Requests for tokens: their parameters, and how the client says who it is.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use polity_seal::Secret;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{App, Assertion, jwt};
use crate::{
    clock::{Millis, Random},
    failure::Failure,
    http::{Body, Method, Request},
    provider::{ClientAuth, Provider, Quirk},
};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How long a client's statement about itself holds, in seconds.
const ASSERTION_LIFE: u32 = 60;

/// Parameters in their order. Their values are erased when dropped.
pub(super) struct Form {
    fields: Vec<(String, Zeroizing<String>)>,
}

impl Form {
    pub(super) fn empty() -> Self {
        Self { fields: Vec::new() }
    }

    pub(super) fn new(grant_type: &str) -> Self {
        let mut form = Self::empty();
        form.add("grant_type", grant_type);
        form
    }

    pub(super) fn add(&mut self, name: &str, value: &str) {
        self.fields.push((name.to_owned(), Zeroizing::new(value.to_owned())));
    }

    /// No scopes are not an empty `scope`: RFC 6749 3.3 wants at least one in it.
    pub(super) fn add_scopes(&mut self, provider: &Provider, scopes: &[String]) {
        if !scopes.is_empty() {
            self.add("scope", &scopes.join(&provider.scope_separator));
        }
    }

    fn encoded(&self) -> Secret {
        let mut text = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.fields {
            text.append_pair(name, value);
        }
        text.finish().into()
    }

    fn json(&self) -> Secret {
        let fields = self.fields.iter();
        let map: Map<String, Value> = fields
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        Value::from(map).to_string().into()
    }
}

/// A `POST` of that form, with the client's authentication.
pub(super) fn token_request(
    app: &App,
    url: &str,
    mut form: Form,
    timeout: Duration,
    now: Millis,
    random: &dyn Random,
) -> Result<Request, Failure> {
    let mut request = Request::new(Method::Post, url, timeout);
    request.headers.push(("accept", "application/json".into()));
    for (name, value) in &app.provider.extra_token_params {
        form.add(name, value);
    }
    authenticate(app, &mut request, &mut form, now, random)?;
    request.body = if app.provider.has(Quirk::JsonRequests) {
        Body::Json(form.json())
    } else {
        Body::Form(form.encoded())
    };
    Ok(request)
}

fn authenticate(
    app: &App,
    request: &mut Request,
    form: &mut Form,
    now: Millis,
    random: &dyn Random,
) -> Result<(), Failure> {
    let id = &app.credentials.client_id;
    match app.provider.client_auth {
        ClientAuth::None => form.add("client_id", id),
        ClientAuth::Basic => request.headers.push(("authorization", basic(app)?)),
        ClientAuth::Post => {
            form.add("client_id", id);
            form.add("client_secret", secret(app)?.expose());
        }
        ClientAuth::PrivateKeyJwt => {
            let missing = || Failure::misconfigured("the client has no key to sign with");
            let key = app.credentials.signing_key.as_ref().ok_or_else(missing)?;
            let claims = Assertion {
                issuer: id.clone(),
                subject: id.clone(),
                audience: app.provider.token_url.clone(),
                lifetime: ASSERTION_LIFE,
                more: Map::new(),
            };
            form.add("client_id", id);
            form.add("client_assertion_type", ASSERTION_TYPE);
            form.add("client_assertion", jwt::sign(key, &claims, now, random)?.expose());
        }
    }
    Ok(())
}

fn secret(app: &App) -> Result<&Secret, Failure> {
    let secret = app.credentials.client_secret.as_ref();
    secret.ok_or_else(|| Failure::misconfigured("the client has no secret"))
}

/// The header of RFC 6749 2.3.1: id and secret are form-encoded before they are joined, so that a colon or a letter
/// outside ASCII in either is read as what it is.
pub(super) fn basic(app: &App) -> Result<Secret, Failure> {
    let encode = |text: &str| Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
    let (id, secret) = (encode(&app.credentials.client_id), encode(secret(app)?.expose()));
    let pair = Zeroizing::new(format!("{}:{}", *id, *secret));
    Ok(format!("Basic {}", STANDARD.encode(pair.as_bytes())).into())
}
