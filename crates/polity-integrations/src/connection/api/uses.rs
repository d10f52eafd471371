//! Using a connection: tokens, calls to the provider, refreshes, and who did.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    clock,
    db::{Cursor, cut},
    http::{Json, Path, Problem, Query, Result, Routes, State},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::connections::ConnectionOut;
use crate::connection::{
    Connections,
    error::code,
    guard::{Issuer, Reader, Writer},
    proxy::{self, Body, Call, Method},
    service,
    store::rest::Use,
};

/// Whose token.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct IssueIn {
    /// The connection.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"con_01a1fb4e7b4b73df93c4746cc8a8b943")]
    connection_id: String,
}

/// An access token, to be used now and not to be kept.
#[derive(Debug, Serialize, JsonSchema)]
struct IssueOut {
    /// The token.
    access_token: String,
    /// How it is used.
    token_type: &'static str,
    /// When it ends; null: it does not.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    expires_at: Option<DateTime<Utc>>,
    /// In how many seconds that is.
    expires_in: Option<i64>,
    /// What it may do.
    scopes: Vec<String>,
    /// The connection.
    connection_id: String,
    /// The provider.
    provider: String,
}

/// Hands out the access token of a connection: a working one, refreshed if need be.
///
/// The only way on which a token leaves. For services, and for API tokens with the scope `issue:tokens` of the connection's
/// owner, or of its workspace if it is shared. Who took which is recorded by the second.
#[operation(
    "connection.issue_token",
    errors(
        code::CONNECTION_NOT_FOUND,
        code::CONNECTION_STATE,
        code::NEEDS_REAUTHORIZATION,
        code::PROVIDER_FAILED,
        code::SCOPE_REQUIRED
    )
)]
async fn issue(
    caller: Issuer,
    State(connections): State<Connections>,
    Json(body): Json<IssueIn>,
) -> Result<Json<IssueOut>> {
    let issued = service::issue(&connections, &caller, &body.connection_id).await?;
    let expires_at = issued.token.expires_at.and_then(DateTime::from_timestamp_millis);
    let now = connections.ctx.clock.now();
    Ok(Json(IssueOut {
        access_token: issued.token.access.expose().to_owned(),
        token_type: "Bearer",
        expires_in: expires_at.map(|end| (end - now).num_seconds().max(0)),
        expires_at,
        scopes: issued.token.scopes,
        connection_id: body.connection_id,
        provider: issued.usable.provider.clone(),
    }))
}

/// Refreshes the token of one's own connection now. Several at once are one refresh.
#[operation(
    "connection.refresh",
    errors(
        code::CONNECTION_NOT_FOUND,
        code::CONNECTION_STATE,
        code::NEEDS_REAUTHORIZATION,
        code::PROVIDER_FAILED,
        code::SCOPE_REQUIRED
    )
)]
async fn refresh(
    caller: Writer,
    State(connections): State<Connections>,
    Path(id): Path<String>,
) -> Result<Json<ConnectionOut>> {
    service::mine(&mut *connections.ctx.db.read().await?, &connections, &caller, &id).await?;
    let found = service::refresh(&connections, &id).await?;
    Ok(Json(ConnectionOut::new(found, connections.ctx.clock.now())))
}

/// A call to the provider.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProxyIn {
    /// The method.
    #[garde(skip)]
    method: Method,
    /// The address, on one of the provider's hosts.
    #[garde(length(chars, min = 1, max = 8192))]
    #[schemars(example = &"https://api.github.com/user")]
    url: String,
    /// Headers, but those that Polity or the connection decides, such as `authorization` and `host`.
    #[garde(length(max = 32))]
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A JSON body.
    #[garde(skip)]
    json: Option<serde_json::Value>,
    /// A body of text; `content-type` says of what kind.
    #[garde(length(max = 1_000_000))]
    text: Option<String>,
    /// A body of bytes, in base64.
    #[garde(length(max = 1_000_000))]
    base64: Option<String>,
}

impl ProxyIn {
    fn body(&mut self) -> Result<Body> {
        match (self.json.take(), self.text.take(), self.base64.take()) {
            (None, None, None) => Ok(Body::Empty),
            (Some(json), None, None) => Ok(Body::Json(json)),
            (None, Some(text), None) => Ok(Body::Bytes(text.into_bytes())),
            (None, None, Some(text)) => match BASE64_STANDARD.decode(text) {
                Ok(bytes) => Ok(Body::Bytes(bytes)),
                Err(error) => Err(Problem::field(&["base64"], error.to_string(), "value_error")),
            },
            _ => {
                let text = "Only one of json, text and base64 can be the body";
                Err(Problem::field(&["json"], text, "value_error"))
            }
        }
    }
}

/// What the provider answered.
#[derive(Debug, Serialize, JsonSchema)]
struct ProxyOut {
    /// The status.
    status: u16,
    /// The headers that say something about the body, the limits and the next page.
    headers: BTreeMap<String, String>,
    /// The body, if it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<serde_json::Value>,
    /// The body, if it is other text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The body otherwise, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// Calls the provider's API with a connection's token, which the caller does not see.
///
/// Only hosts of the provider's entry are called, over https, and no redirect is followed. If the provider answers 401, the token
/// is refreshed and the call made once more. The provider's own errors are answers too: look at `status`.
#[operation(
    "connection.proxy",
    errors(
        code::CONNECTION_NOT_FOUND,
        code::CONNECTION_STATE,
        code::NEEDS_REAUTHORIZATION,
        code::PROVIDER_FAILED,
        code::SCOPE_REQUIRED
    )
)]
async fn call(
    caller: Writer,
    State(connections): State<Connections>,
    Path(id): Path<String>,
    Json(mut body): Json<ProxyIn>,
) -> Result<Json<ProxyOut>> {
    let sent = body.body()?;
    let call = Call {
        method: body.method,
        url: body.url,
        headers: body.headers,
        body: sent,
    };
    let answer = proxy::call(&connections, &caller, &id, call).await?;
    let is_json = answer
        .headers
        .get("content-type")
        .is_some_and(|kind| kind.contains("json"));
    let json = is_json.then(|| serde_json::from_slice(&answer.body).ok()).flatten();
    let mut out = ProxyOut {
        status: answer.status,
        headers: answer.headers,
        json,
        text: None,
        base64: None,
    };
    if out.json.is_none() && !answer.body.is_empty() {
        match String::from_utf8(answer.body.to_vec()) {
            Ok(text) => out.text = Some(text),
            Err(error) => out.base64 = Some(BASE64_STANDARD.encode(error.into_bytes())),
        }
    }
    Ok(Json(out))
}

/// Which part of the uses.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct UsesQuery {
    /// How many at most.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "hundred")]
    limit: i64,
    /// Where to go on: `next_cursor` of the part before.
    #[garde(length(chars, max = 512))]
    cursor: Option<String>,
}

fn hundred() -> i64 {
    100
}

/// Uses of a token in a second.
#[derive(Debug, Serialize, JsonSchema)]
struct UseOut {
    /// Who.
    caller: String,
    /// What for: issue or proxy.
    purpose: String,
    /// The second.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    second: DateTime<Utc>,
    /// How often.
    uses: i64,
}

/// Uses.
#[derive(Debug, Serialize, JsonSchema)]
struct UseList {
    /// The uses, latest first.
    items: Vec<UseOut>,
    /// Where the next part begins; null at the end.
    next_cursor: Option<String>,
}

/// Who used the token of one's own connection, latest first, by the second.
#[operation("connection.uses", errors(code::CONNECTION_NOT_FOUND, code::SCOPE_REQUIRED))]
async fn uses(
    caller: Reader,
    State(connections): State<Connections>,
    Path(id): Path<String>,
    Query(query): Query<UsesQuery>,
) -> Result<Json<UseList>> {
    let after = query.cursor.as_deref().map(Cursor::decode).transpose()?;
    let mut read = connections.ctx.db.read().await?;
    service::mine(&mut read, &connections, &caller, &id).await?;
    let mut found = service::history(&mut read, &id, after.as_ref(), query.limit + 1).await?;
    let next_cursor = cut(&mut found, query.limit).map(|last: &Use| {
        let cursor = Cursor {
            at: last.second,
            id: format!("{} {}", last.caller, last.purpose),
        };
        cursor.encode()
    });
    Ok(Json(UseList {
        items: found
            .into_iter()
            .map(|one| UseOut {
                caller: one.caller,
                purpose: one.purpose,
                second: one.second,
                uses: one.uses,
            })
            .collect(),
        next_cursor,
    }))
}

pub(super) fn add(routes: Routes<Connections>) -> Routes<Connections> {
    routes
        .post("/api/v1/tokens:issue", issue())
        .post("/api/v1/integration/oauth/connections/{id}/refresh", refresh())
        .post("/api/v1/integration/oauth/connections/{id}/proxy", call())
        .get("/api/v1/integration/oauth/connections/{id}/uses", uses())
}
