//! Calls to a provider's API with a connection's token: only to the provider's hosts, once more after a 401.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use polity_grants::{
    manager::{self, Token},
    provider::{IdentitySource, Provider},
};
use polity_kernel::{
    caller::Caller,
    outbound::{self, Response},
};
use polity_ports::{Said, integration::ConnectionCalled};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{Connections, Error, service};

/// How a provider is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    fn http(self) -> http::Method {
        match self {
            Self::Get => http::Method::GET,
            Self::Head => http::Method::HEAD,
            Self::Post => http::Method::POST,
            Self::Put => http::Method::PUT,
            Self::Patch => http::Method::PATCH,
            Self::Delete => http::Method::DELETE,
        }
    }
}

/// What is sent.
pub(super) enum Body {
    Empty,
    Json(Value),
    Bytes(Vec<u8>),
}

/// A call to make.
pub(super) struct Call {
    pub method: Method,
    pub url: String,
    pub headers: BTreeMap<String, String>,
    pub body: Body,
}

/// What the provider answered.
pub(super) struct Answered {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Bytes,
}

/// Headers of a request that are Polity's, the connection's, or between two machines only.
const OURS: [&str; 19] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-api-key",
    "x-real-ip",
];

/// Headers of an answer that are handed on: what the body is, how much may still be asked, where the next page is.
const TOLD: [&str; 9] = [
    "content-type",
    "content-language",
    "content-disposition",
    "etag",
    "last-modified",
    "link",
    "location",
    "retry-after",
    "x-request-id",
];

/// Makes the call. Each is recorded by an event, whatever comes of it, and whether or not somebody waits for the answer.
pub(super) async fn call(connections: &Connections, caller: &Caller, id: &str, call: Call) -> Result<Answered, Error> {
    let (own, caller, id) = (connections.clone(), caller.clone(), id.to_owned());
    let work = async move { made(&own, &caller, &id, call).await };
    connections.to_its_end(work).await
}

async fn made(connections: &Connections, caller: &Caller, id: &str, call: Call) -> Result<Answered, Error> {
    let (token, provider) = service::token_for_call(connections, caller, id).await?;
    let url = allowed(&provider, &call.url)?;
    for name in call.headers.keys() {
        let lower = name.to_ascii_lowercase();
        if OURS.contains(&lower.as_str()) || lower.starts_with("x-forwarded-") {
            return Err(Error::Field("headers", format!("{name:?} is not the caller's to say")));
        }
    }
    let answer = answered(connections, id, &call, (&url, &provider), &token).await;
    let status = answer.as_ref().ok().map(|answer| answer.status);
    record(connections, caller, id, &call, &url, status).await?;
    let answer = answer?;
    Ok(Answered {
        status: answer.status.as_u16(),
        headers: told(&answer.headers),
        body: answer.body,
    })
}

/// The answer, to another token if the first is refused: refused before it was looked at, so that to ask again harms nothing.
async fn answered(
    connections: &Connections,
    id: &str,
    call: &Call,
    (url, provider): (&Url, &Provider),
    token: &Token,
) -> Result<Response, Error> {
    let answer = send(connections, call, url, token).await?;
    if answer.status != StatusCode::UNAUTHORIZED {
        return Ok(answer);
    }
    let manager = connections.grants.manager();
    let fresh = match manager.replaced(id, token.version).await {
        // One address may refuse what others take: only a token that the provider does not know any more ends a connection.
        Err(manager::Error::Lasting) if is_dead(connections, provider, token).await => {
            manager.refused(id, token.version).await
        }
        other => other,
    };
    match fresh {
        Ok(fresh) => send(connections, call, url, &fresh).await,
        // There is no other token for now: the refusal is the answer.
        Err(manager::Error::Fresh | manager::Error::Lasting | manager::Error::Unavailable(_)) => Ok(answer),
        Err(error) => Err(error.into()),
    }
}

/// Whether the provider does not even say whose the token is.
async fn is_dead(connections: &Connections, provider: &Provider, token: &Token) -> bool {
    let (Some(url), Some(identity)) = (&provider.userinfo_url, &provider.identity) else {
        return false;
    };
    let (method, body) = match identity.source {
        IdentitySource::Token => return false,
        IdentitySource::Userinfo => (Method::Get, None),
        IdentitySource::UserinfoPost => (Method::Post, identity.body.as_deref()),
    };
    let body = body.and_then(|body| serde_json::from_str(body).ok());
    let call = Call {
        method,
        url: url.clone(),
        headers: BTreeMap::new(),
        body: body.map_or(Body::Empty, Body::Json),
    };
    let Ok(url) = Url::parse(url) else { return false };
    let asked = send(connections, &call, &url, token).await;
    asked.is_ok_and(|answer| answer.status == StatusCode::UNAUTHORIZED)
}

/// The address, if a token of this provider may be sent there.
fn allowed(provider: &Provider, url: &str) -> Result<Url, Error> {
    let wrong = |text: String| Error::Field("url", text);
    let url = Url::parse(url).map_err(|error| wrong(format!("This is no address: {error}")))?;
    let host = url.host_str().unwrap_or_default();
    let is_known = provider.api_hosts.iter().any(|known| known == host);
    // A provider on this machine is for development; its port is part of it, because others listen here too.
    let is_local = url.scheme() == "http"
        && host == "127.0.0.1"
        && Url::parse(&provider.token_url).is_ok_and(|token| token.origin() == url.origin());
    if !is_known || !(is_local || (url.scheme() == "https" && url.port().is_none())) {
        let hosts = provider.api_hosts.join(", ");
        return Err(wrong(format!(
            "Only https addresses of the provider may be called: {hosts}"
        )));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("The address may have no user or password".to_owned()));
    }
    Ok(url)
}

async fn send(connections: &Connections, call: &Call, url: &Url, token: &Token) -> Result<Response, Error> {
    let settings = &connections.settings;
    let mut request = connections.ctx.outbound.request(call.method.http(), url.as_str());
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    request = match &call.body {
        Body::Empty => request,
        Body::Json(json) => request.json(json),
        Body::Bytes(bytes) => request.body(bytes.clone()),
    };
    let sent = request
        .bearer(token.access.expose())
        .timeout(Duration::from_millis(settings.proxy_timeout_ms))
        .max_body_bytes(settings.proxy_max_bytes)
        .max_redirects(0)
        .send()
        .await;
    let answer = sent.map_err(|error| match error {
        outbound::Error::Invalid(text) => Error::Field("headers", text),
        outbound::Error::TooLarge { limit } => {
            Error::Provider(format!("it answered with more than the {limit} bytes that are read"))
        }
        other => Error::Unavailable(other.to_string()),
    })?;
    Ok(hidden(answer, token.access.expose().as_bytes()))
}

/// What stands in the place of a token.
const HIDDEN: &[u8] = b"[hidden]";

/// Some addresses repeat the token they were called with, such as in the link to the next page. Who may not have it does not
/// get it there either.
fn hidden(mut answer: Response, token: &[u8]) -> Response {
    // A short one, as tests have them, stands in other words by chance.
    if token.len() < 16 {
        return answer;
    }
    let at = |text: &[u8]| text.windows(token.len()).position(|part| part == token);
    for value in answer.headers.values_mut() {
        if at(value.as_bytes()).is_some() {
            *value = HeaderValue::from_static("[hidden]");
        }
    }
    let (mut rest, mut told) = (&answer.body[..], Vec::new());
    while let Some(start) = at(rest) {
        told.extend_from_slice(&rest[..start]);
        told.extend_from_slice(HIDDEN);
        rest = &rest[start + token.len()..];
    }
    if !told.is_empty() {
        told.extend_from_slice(rest);
        answer.body = told.into();
    }
    answer
}

fn told(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .filter(|(name, _)| {
            TOLD.contains(&name.as_str()) || name.as_str().contains("ratelimit") || name.as_str().contains("rate-limit")
        })
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect()
}

async fn record(
    connections: &Connections,
    caller: &Caller,
    id: &str,
    call: &Call,
    url: &Url,
    status: Option<StatusCode>,
) -> Result<(), Error> {
    let ctx = &connections.ctx;
    let plain = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
    let said = ConnectionCalled {
        connection_id: id.to_owned(),
        caller: caller.label(),
        method: call.method.http().to_string(),
        url: plain.chars().take(500).collect(),
        status: status.map(|status| status.as_u16()),
        timestamp: ctx.clock.now(),
    };
    let mut tx = ctx.db.begin().await?;
    ctx.events.publish(&mut tx, said.event()).await?;
    tx.commit().await?;
    connections.tally.used(id, &caller.label(), "proxy");
    Ok(())
}
