//! What happens around every request, from the outside in: an id, a log line and a figure; the body of a problem; CORS and
//! compression; an end to panics and to waiting; a limit to the body.

use std::time::{Duration, Instant};

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower::util::option_layer;
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer, cors::CorsLayer};
use tracing::Instrument;

use super::{Problem, codes, lines};
use crate::{
    Ctx,
    caller::{Answered, Witness},
    observe,
};

/// How Polity listens, and what it takes from a client.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// The address to listen on.
    pub host: String,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// How long a request may take, in milliseconds; after that it is answered 504.
    pub timeout_ms: u64,
    /// How long a client may take to send the head of a request, in milliseconds.
    pub header_timeout_ms: u64,
    /// The largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// How long the program still takes requests after it was asked to stop, in milliseconds. `/health/ready` answers 503
    /// meanwhile, so that balancers send no more; behind one, give it a little longer than the balancer needs to notice.
    pub drain_notice_ms: u64,
    /// How long running requests may go on after the program was asked to stop, in milliseconds.
    pub drain_ms: u64,
    /// How many connections may be open at once.
    pub max_connections: u32,
    /// Networks of proxies whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`.
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Origins of browsers that may call the API, such as `https://app.example.com`; none by default.
    pub cors_origins: Vec<String>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 8080,
            timeout_ms: 30_000,
            header_timeout_ms: 10_000,
            max_body_bytes: 1 << 20,
            drain_notice_ms: 0,
            drain_ms: 20_000,
            max_connections: 10_000,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
        }
    }
}

/// The id of a request: the client's `X-Request-Id` if it is one, else a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Puts the layers around `router`.
pub fn wrap(router: Router, ctx: &Ctx) -> Router {
    let settings = ctx.http();
    router
        .fallback(async || {
            Problem::new(
                codes::NOT_FOUND,
                "There is nothing at this path; /docs lists what there is.",
            )
        })
        .method_not_allowed_fallback(async || {
            Problem::new(
                codes::METHOD_NOT_ALLOWED,
                "This path does not take this method; /docs lists what it takes.",
            )
        })
        .layer(DefaultBodyLimit::max(settings.max_body_bytes))
        .layer(middleware::from_fn_with_state(settings.max_body_bytes, refuse_large))
        .layer(middleware::from_fn_with_state(
            Duration::from_millis(settings.timeout_ms),
            limit_time,
        ))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(CompressionLayer::new())
        .layer(option_layer(cors(&settings.cors_origins)))
        .layer(middleware::from_fn_with_state(ctx.clone(), outermost))
}

/// Nothing where no page of another origin may call: a preflight is then answered like any method that is not there.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let (any, named): (Vec<_>, Vec<_>) = origins.iter().partition(|origin| origin.trim() == "*");
    if !any.is_empty() {
        tracing::warn!("http.cors_origins names every origin; that cannot go with credentials, and is left out");
    }
    let origins: Vec<HeaderValue> = named.iter().filter_map(|origin| origin.parse().ok()).collect();
    if origins.is_empty() {
        return None;
    }
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            HeaderName::from_static("idempotency-key"),
            REQUEST_ID,
        ])
        .expose_headers([REQUEST_ID, header::ETAG, header::RETRY_AFTER])
        .max_age(Duration::from_hours(1));
    Some(layer)
}

async fn limit_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let slow = || {
        Problem::new(
            codes::TIMEOUT,
            "The request took too long and was given up; it may be tried again.",
        )
    };
    tokio::time::timeout(limit, next.run(request))
        .await
        .unwrap_or_else(|_| slow().into_response())
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    Problem::internal(&format!("a handler panicked: {}", text.unwrap_or("?"))).into_response()
}

/// Gives the request its id, its span and its log line, and a problem its body.
async fn outermost(State(ctx): State<Ctx>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request_id(&request, &ctx);
    let method = request.method().clone();
    let version = request.version();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    request.extensions_mut().insert(RequestId(id.clone()));
    let witness = Witness::default();
    request.extensions_mut().insert(witness.clone());
    let span = observe::request_span(&id, &method, route.as_deref(), request.headers());
    let mut response = async {
        let mut response = next.run(request).await;
        if let Some(problem) = take_problem(&mut response) {
            response = problem.finish(&id, ctx.clock.now());
        }
        let took = begun.elapsed();
        let status = response.status().as_u16();
        observe::record_request("http", &method, route.as_deref(), status, took);
        observe::conclude(status);
        if let Some(noted) = witness.seen() {
            // A 429 tells of the limit that was reached, which is not the caller's own: with that it would not be known.
            if response.status() != StatusCode::TOO_MANY_REQUESTS {
                response.headers_mut().extend(noted.headers.clone());
            }
            if let (Some(client), Some(authenticator)) = (&noted.client, ctx.authenticator.get()) {
                let from = client.origin(&method, route.as_deref());
                let caller = &noted.caller;
                authenticator.answered(Answered {
                    caller,
                    from,
                    status,
                    took,
                });
            }
        }
        tracing::info!(http.status = status, http.ms = took.as_secs_f64() * 1000.0, "answered");
        response
    }
    .instrument(span)
    .await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    harden(&mut response);
    if ctx.draining.is_cancelled() && version < Version::HTTP_2 {
        // The client's next request goes to somebody who stays.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A problem waits for its body in an extension; what inner layers put on the answer stays on it.
fn take_problem(response: &mut Response) -> Option<Problem> {
    let problem = response.extensions_mut().remove::<Problem>()?;
    let mut headers = std::mem::take(response.headers_mut());
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::CONTENT_TYPE);
    Some(problem.with_headers(headers))
}

/// How much of a body that is too large is read before it is refused: a client that is still sending when the connection
/// closes may never see the answer.
const DRAINED: usize = 32 << 20;

/// Refuses a body that says it is too large, after reading what a well-meaning client sends. Lines have a limit of their own;
/// what takes no lines does not read them.
async fn refuse_large(State(limit): State<usize>, request: Request, next: Next) -> Response {
    let is_lines = lines::are_lines(request.headers());
    let limit = if is_lines { limit.max(lines::MOST) } else { limit };
    let drained = if is_lines { limit + DRAINED } else { DRAINED };
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_none_or(|length: usize| length <= limit) {
        return next.run(request).await;
    }
    if length.is_some_and(|length| length <= drained) {
        let mut body = request.into_body().into_data_stream();
        while let Some(Ok(_)) = body.next().await {}
    }
    Problem::new(
        codes::PAYLOAD_TOO_LARGE,
        format!("The body is larger than the limit of {limit} bytes."),
    )
    .into_response()
}

fn request_id(request: &Request, ctx: &Ctx) -> String {
    let given = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    match given {
        Some(id)
            if (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) =>
        {
            id.to_owned()
        }
        _ => ctx.ids.new_id("req_"),
    }
}

/// Answers are for the client who asked: no cache keeps them, no browser guesses at them, no page frames them.
fn harden(response: &mut Response) {
    let defaults = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ];
    for (name, value) in defaults {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_origin_is_no_origin() {
        // Together with credentials browsers refuse it, and the layer panics.
        drop(cors(&["*".to_owned(), "https://app.example.com".to_owned()]));
    }
}
