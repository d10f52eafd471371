//! Requests to providers, and the trait by which whoever uses the library sends them.
//!
//! Invariants:
//! - No `Debug` of a request or an answer shows a header's value, a query or a body.
//! - An error says whether the request can have reached the other side: a refresh token is spent by arriving, not by
//!   being answered.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use polity_seal::Secret;

/// How many bytes of an answer are read unless said otherwise: 256 KiB.
pub const BODY_LIMIT: usize = 256 * 1024;

/// Sends requests. It follows no redirect, and checks addresses before it connects.
#[async_trait]
pub trait Http: Send + Sync {
    /// Sends one request, once, and reads its answer. Both together take no longer than [`Request::timeout`].
    ///
    /// It never tries again by itself: a second try after [`HttpError::Unknown`] could spend a refresh token twice.
    async fn send(&self, request: Request) -> Result<Response, HttpError>;
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Asks for a token, or takes one back.
    Post,
    /// Takes a grant back.
    Delete,
}

/// A body.
#[derive(Clone)]
pub enum Body {
    /// None.
    Empty,
    /// `application/x-www-form-urlencoded`.
    Form(Secret),
    /// `application/json`.
    Json(Secret),
}

/// A request to a provider.
#[derive(Clone)]
pub struct Request {
    /// What it does.
    pub method: Method,
    /// Where it goes.
    pub url: String,
    /// Names in lower case, with their values. The content type is set by the body.
    pub headers: Vec<(&'static str, Secret)>,
    /// What it carries.
    pub body: Body,
    /// The time for everything: name, connection, request, answer.
    pub timeout: Duration,
    /// How many bytes of the answer are read before [`HttpError::TooLarge`].
    pub limit: usize,
}

impl Request {
    /// A request without headers or body.
    pub fn new(method: Method, url: &str, timeout: Duration) -> Self {
        Self {
            method,
            url: url.to_owned(),
            headers: Vec::new(),
            body: Body::Empty,
            timeout,
            limit: BODY_LIMIT,
        }
    }

    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| *known == name)?;
        Some(found.1.expose())
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| *name).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url.split(['?', '#']).next().unwrap_or_default())
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

/// What a provider answered.
#[derive(Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// All of the body.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name)?;
        Some(&found.1)
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("length", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why there is no answer. The texts name no secret: they are logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// Nothing of the request left: no address, no connection, no TLS.
    #[error("the request was not sent: {0}")]
    NotSent(String),
    /// The request may have arrived: time ran out, or the connection broke after it was made.
    #[error("it is not known whether the request arrived: {0}")]
    Unknown(String),
    /// The answer is longer than the limit. The request arrived.
    #[error("the answer is larger than is read")]
    TooLarge,
    /// The address is not allowed. Nothing was sent.
    #[error("the address is refused: {0}")]
    Refused(String),
}

impl HttpError {
    /// Whether the other side can have seen the request.
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Unknown(_) | Self::TooLarge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        let mut request = Request::new(Method::Post, "https://a.example/t?code=hush", Duration::from_secs(1));
        request.headers.push(("authorization", "Basic hush".into()));
        request.body = Body::Form("refresh_token=hush".into());
        let response = Response {
            status: 200,
            headers: vec![("set-cookie".to_owned(), "hush".to_owned())],
            body: b"hush".to_vec(),
        };
        let shown = format!("{request:?} {:?} {response:?}", request.body.clone().form());
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains("https://a.example/t"), "{shown}");
    }

    impl Body {
        fn form(self) -> Option<Secret> {
            match self {
                Self::Form(text) => Some(text),
                Self::Empty | Self::Json(_) => None,
            }
        }
    }
}
