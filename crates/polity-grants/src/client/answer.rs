//! Reading token answers: RFC 6749 5.1 and 5.2, and what providers send instead.

use polity_seal::Secret;
use serde_json::{Map, Value};

use crate::{
    clock::{Millis, SECOND},
    failure::{Failure, of_answer, plain_code},
    http::{BODY_LIMIT, Response},
    provider::{Provider, Quirk, TokenAnswer},
    token::TokenSet,
};

/// The longest scope that is one, in bytes: they are kept, and told with every refresh.
const LONGEST_SCOPE: usize = 255;

/// The longest life that is believed: ten years, in seconds.
const LONGEST: i64 = 10 * 365 * 24 * 60 * 60;

/// The tokens of an answer, and all of its members. `asked` are the scopes it has if it does not say (RFC 6749 5.1).
pub(super) fn tokens(
    provider: &Provider,
    response: &Response,
    asked: &[String],
    asked_at: Millis,
) -> Result<(TokenSet, Map<String, Value>), Failure> {
    let Some(fields) = fields(provider, response) else {
        return Err(of_answer(provider, response, None, asked_at));
    };
    if let Some(code) = error_code(&fields) {
        return Err(of_answer(provider, response, Some(&code), asked_at));
    }
    let secret = |name: &str| text(&fields, name).filter(|text| !text.is_empty()).map(Secret::from);
    let access = secret("access_token").or_else(|| secret("token"));
    // RFC 6749 A.12. Anything else is no header, or two.
    let is_plain = |token: &Secret| token.expose().bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let Some(access) = access.filter(|token| response.is_success() && is_plain(token)) else {
        return Err(of_answer(provider, response, None, asked_at));
    };
    let life = fields
        .get("expires_in")
        .and_then(seconds)
        .or(provider.default_expiry.map(i64::from));
    let tokens = TokenSet {
        access,
        refresh: secret("refresh_token").or_else(|| secret("refreshToken")),
        token_type: text(&fields, "token_type")
            .unwrap_or("bearer")
            .chars()
            .take(32)
            .collect::<String>()
            .to_lowercase(),
        expires_at: life.map(|seconds| asked_at.saturating_add(seconds.saturating_mul(SECOND))),
        scopes: text(&fields, "scope").map_or_else(|| asked.to_vec(), scopes),
        obtained_at: asked_at,
    };
    Ok((tokens, fields))
}

/// The members of an answer, from JSON or a form; `None` for HTML and other things.
pub(super) fn fields(provider: &Provider, response: &Response) -> Option<Map<String, Value>> {
    if response.body.len() > BODY_LIMIT {
        return None;
    }
    let text = str::from_utf8(&response.body).ok()?.trim();
    if text.starts_with('{') {
        return serde_json::from_str(text).ok();
    }
    let kind = response.header("content-type").unwrap_or_default();
    let is_form = kind.starts_with("application/x-www-form-urlencoded")
        || (provider.token_answer == TokenAnswer::Form && !kind.contains("html"));
    let pairs =
        || form_urlencoded::parse(text.as_bytes()).map(|(name, value)| (name.into_owned(), Value::from(&*value)));
    is_form.then(|| pairs().collect())
}

/// The code of an error, whatever the status: some providers answer errors with 200.
pub(super) fn error_code(fields: &Map<String, Value>) -> Option<String> {
    let refused = fields.get("ok") == Some(&Value::Bool(false));
    let found = match fields.get("error") {
        Some(Value::String(code)) => plain_code(code),
        // Not the form of RFC 6749: an object with a code of its own.
        Some(Value::Object(inner)) => ["code", "type", "status"]
            .iter()
            .find_map(|name| plain_code(inner.get(*name)?.as_str()?)),
        _ => None,
    };
    found.or_else(|| refused.then(|| "refused".to_owned()))
}

fn text<'f>(fields: &'f Map<String, Value>, name: &str) -> Option<&'f str> {
    fields.get(name).and_then(Value::as_str)
}

/// `expires_in` as a number or as text. What is no span of time counts as not said; ten years is the most.
fn seconds(value: &Value) -> Option<i64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    if !number.is_finite() || number < 0.0 {
        return None;
    }
    if number >= 315_360_000.0 {
        return Some(LONGEST);
    }
    format!("{number:.0}").parse().ok()
}

/// Scopes separated by spaces or commas, whichever the provider likes today.
fn scopes(text: &str) -> Vec<String> {
    let is_scope = |scope: &&str| (1..=LONGEST_SCOPE).contains(&scope.len());
    let parts = text.split([' ', ',']).filter(is_scope);
    parts.take(256).map(str::to_owned).collect()
}

/// Whether a provider says errors with status 200: then a body without a code is not a success either.
pub(super) fn is_refused(provider: &Provider, response: &Response) -> Option<String> {
    let code = fields(provider, response).and_then(|fields| error_code(&fields));
    if response.is_success() && !provider.has(Quirk::ErrorsWithOk) && !provider.has(Quirk::SlackCodes) {
        return None;
    }
    code
}
