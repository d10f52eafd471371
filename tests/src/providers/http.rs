//! The library's requests, sent by a plain HTTP client; and a browser.

use async_trait::async_trait;
use polity_grants::http::{Body, Http, HttpError, Method, Request, Response};
use url::Url;

/// Sends requests as they are, once.
pub(super) struct Wire(reqwest::Client);

#[expect(
    clippy::disallowed_methods,
    reason = "a test speaks to its own server on the loopback address"
)]
fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let builder = builder.retry(reqwest::retry::never()).cookie_store(true).no_proxy();
    builder.build().unwrap()
}

impl Wire {
    pub(super) fn new() -> Self {
        Self(client())
    }
}

#[async_trait]
impl Http for Wire {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut call = self.0.request(method, &request.url).timeout(request.timeout);
        for (name, value) in &request.headers {
            call = call.header(*name, value.expose());
        }
        call = match &request.body {
            Body::Empty => call,
            Body::Form(text) => call
                .header("content-type", "application/x-www-form-urlencoded")
                .body(text.expose().to_owned()),
            Body::Json(text) => call
                .header("content-type", "application/json")
                .body(text.expose().to_owned()),
        };
        let answer = call.send().await.map_err(lost)?;
        read(answer, request.limit).await
    }
}

async fn read(mut answer: reqwest::Response, limit: usize) -> Result<Response, HttpError> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(lost)? {
        body.extend_from_slice(&part);
        if body.len() > limit {
            return Err(HttpError::TooLarge);
        }
    }
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = answer.headers().iter();
    Ok(Response {
        status: answer.status().as_u16(),
        headers: headers.map(|(name, value)| (name.to_string(), text(value))).collect(),
        body,
    })
}

/// Only who had no connection sent nothing.
fn lost(error: reqwest::Error) -> HttpError {
    let text = error.without_url();
    if text.is_connect() {
        HttpError::NotSent(text.to_string())
    } else {
        HttpError::Unknown(text.to_string())
    }
}

/// A browser, which has cookies and goes where it is sent.
pub(super) struct Browser(reqwest::Client);

impl Browser {
    pub(super) fn new() -> Self {
        Self(client())
    }

    /// Follows an address until it is sent to one that begins with `back`; that one's parameters.
    pub(super) async fn follow(&self, from: &str, back: &str) -> std::collections::HashMap<String, String> {
        let mut at = Url::parse(from).unwrap();
        for _ in 0..10 {
            let answer = self.0.get(at.clone()).send().await.unwrap();
            let to = answer
                .headers()
                .get("location")
                .map(|to| to.to_str().unwrap().to_owned());
            let Some(to) = to else {
                panic!("{} ended at {at}: {}", answer.status(), answer.text().await.unwrap());
            };
            at = at.join(&to).unwrap();
            if at.as_str().starts_with(back) {
                return at.query_pairs().into_owned().collect();
            }
        }
        panic!("it is sent in circles, at last to {at}");
    }

    /// Status and body of a call with a bearer token.
    pub(super) async fn call(&self, url: &str, access: &str) -> (u16, serde_json::Value) {
        let answer = self.0.get(url).bearer_auth(access).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }
}
