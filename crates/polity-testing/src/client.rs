//! The client: an ordinary HTTP client, and answers that are easy to look at.

use reqwest::Method;
use serde_json::Value;

use crate::{App, SERVICE_SECRET};

#[expect(
    clippy::disallowed_methods,
    reason = "a test speaks to its own server on the loopback address"
)]
pub(crate) fn build() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("the client builds")
}

/// A request to the app.
pub struct Request<'a> {
    app: &'a App,
    builder: reqwest::RequestBuilder,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body, as text.
    pub text: String,
    /// The body, as JSON; null if it is not JSON.
    pub body: Value,
}

impl App {
    /// A request.
    #[must_use]
    pub fn request(&self, method: Method, path: &str) -> Request<'_> {
        let app = self.next();
        let url = format!("http://{}{path}", app.address);
        Request {
            app,
            builder: app.client.request(method, url),
        }
    }

    /// `GET`.
    #[must_use]
    pub fn get(&self, path: &str) -> Request<'_> {
        self.request(Method::GET, path)
    }

    /// `POST`.
    #[must_use]
    pub fn post(&self, path: &str) -> Request<'_> {
        self.request(Method::POST, path)
    }

    /// `PUT`.
    #[must_use]
    pub fn put(&self, path: &str) -> Request<'_> {
        self.request(Method::PUT, path)
    }

    /// `DELETE`.
    #[must_use]
    pub fn delete(&self, path: &str) -> Request<'_> {
        self.request(Method::DELETE, path)
    }
}

impl Request<'_> {
    /// With an access token.
    #[must_use]
    pub fn bearer(mut self, token: &str) -> Self {
        self.builder = self.builder.bearer_auth(token);
        self
    }

    /// With the service secret.
    #[must_use]
    pub fn service(self) -> Self {
        self.header("X-Internal-Service", "true")
            .header("X-Internal-Service-Secret", SERVICE_SECRET)
    }

    /// On behalf of a user; beside [`Request::service`].
    #[must_use]
    pub fn on_behalf_of(self, user_id: &str) -> Self {
        self.header("X-User-Id", user_id)
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Self {
        self.builder = self.builder.json(body);
        self
    }

    /// With a form.
    #[must_use]
    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        self.builder = self.builder.form(fields);
        self
    }

    /// With any body.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<reqwest::Body>) -> Self {
        self.builder = self.builder.header("Content-Type", content_type).body(body);
        self
    }

    /// Sends it.
    pub async fn send(self) -> Answer {
        // What another replica has just changed counts here within a second; a test does not wait for it.
        self.app.ctx.invalidations.catch_up().await;
        let response = self
            .builder
            .send()
            .await
            .unwrap_or_else(|error| panic!("{} did not answer: {error}", self.app.address));
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.expect("the body is text");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer {
            status,
            headers,
            text,
            body,
        }
    }
}

impl Answer {
    /// The answer, if it has that status; else the test fails and shows it.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "most tests only want the status")]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// A member of the body as text; empty if it is missing or something else.
    #[must_use]
    pub fn text_at(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The code of a problem; also checks that it is one.
    #[track_caller]
    pub fn code(&self) -> &str {
        let kind = self.header("content-type");
        assert_eq!(kind, "application/problem+json", "not a problem: {}", self.text);
        for member in ["type", "title", "detail", "request_id", "timestamp"] {
            assert!(
                self.body[member].is_string(),
                "the problem has no {member}: {}",
                self.text
            );
        }
        assert_eq!(self.body["status"], self.status);
        self.text_at("/code")
    }

    /// A header as text; empty if it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}
