//! Calls to a provider's API with a connection's token: only to the provider's hosts, once more after a 401.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use polity_grants::{manager::Token, provider::Provider};
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
const OURS: [&str; 17] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
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

/// Makes the call. Each is recorded by an event, whatever comes of it.
pub(super) async fn call(connections: &Connections, caller: &Caller, id: &str, call: Call) -> Result<Answered, Error> {
    let (token, provider) = service::token_for_call(connections, caller, id).await?;
    let url = allowed(&provider, &call.url)?;
    for name in call.headers.keys() {
        let lower = name.to_ascii_lowercase();
        if OURS.contains(&lower.as_str()) || lower.starts_with("x-forwarded-") {
            return Err(Error::Field("headers", format!("{name:?} is not the caller's to say")));
        }
    }
    let mut answer = send(connections, &call, &url, &token).await?;
    if answer.status == StatusCode::UNAUTHORIZED {
        // Refused before it was looked at: to ask again harms nothing.
        let fresh = connections.grants.manager().refused(id, token.version).await?;
        answer = send(connections, &call, &url, &fresh).await?;
    }
    record(connections, caller, id, &call, &url, answer.status).await?;
    Ok(Answered {
        status: answer.status.as_u16(),
        headers: told(&answer.headers),
        body: answer.body,
    })
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
    sent.map_err(|error| match error {
        outbound::Error::Invalid(text) => Error::Field("headers", text),
        outbound::Error::TooLarge { limit } => {
            Error::Provider(format!("it answered with more than the {limit} bytes that are read"))
        }
        other => Error::Unavailable(other.to_string()),
    })
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
    status: StatusCode,
) -> Result<(), Error> {
    let ctx = &connections.ctx;
    let plain = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
    let said = ConnectionCalled {
        connection_id: id.to_owned(),
        caller: caller.label(),
        method: call.method.http().to_string(),
        url: plain.chars().take(500).collect(),
        status: status.as_u16(),
        timestamp: ctx.clock.now(),
    };
    let mut tx = ctx.db.begin().await?;
    ctx.events.publish(&mut tx, said.event()).await?;
    tx.commit().await?;
    connections.tally.used(id, &caller.label(), "proxy");
    Ok(())
}
