//! Calls as they come, and answers as they go.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::{HeaderMap, Method, Request, body::Incoming};
use serde_json::{Value, json};

/// The largest body that is read.
const LARGEST: usize = 16 * 1024 * 1024;

/// A call.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    /// `None` if it breaks off or is too large.
    pub(super) async fn read(request: Request<Incoming>) -> Option<Self> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, LARGEST).collect().await.ok()?.to_bytes();
        Some(Self {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            body,
        })
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }

    pub(super) fn bearer(&self) -> Option<&str> {
        self.header("authorization").strip_prefix("Bearer ")
    }

    pub(super) fn query(&self) -> HashMap<String, String> {
        pairs(self.query.as_bytes())
    }

    /// The members of its body: a form (RFC 6749), or JSON, as some providers want it.
    pub(super) fn form(&self) -> HashMap<String, String> {
        if self.header("content-type").starts_with("application/json") {
            return serde_json::from_slice(&self.body).unwrap_or_default();
        }
        pairs(&self.body)
    }

    /// Id and secret (RFC 6749 2.3.1): from the header, or from the body.
    pub(super) fn client(&self, form: &HashMap<String, String>) -> Option<(String, Option<String>)> {
        let Some(basic) = self.header("authorization").strip_prefix("Basic ") else {
            return Some((form.get("client_id")?.clone(), form.get("client_secret").cloned()));
        };
        let text = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
        let (id, secret) = text.split_once(':')?;
        let decode = |text: &str| {
            let mut read = form_urlencoded::parse(text.as_bytes());
            read.next().map(|(text, _)| text.into_owned()).unwrap_or_default()
        };
        Some((decode(id), Some(decode(secret))))
    }
}

fn pairs(text: &[u8]) -> HashMap<String, String> {
    form_urlencoded::parse(text).into_owned().collect()
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// RFC 6749 5.1: answers with tokens are not stored.
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![
                ("content-type", "application/json".to_owned()),
                ("cache-control", "no-store".to_owned()),
            ],
            body: body.to_string().into(),
        }
    }

    /// RFC 6749 5.2.
    pub(super) fn error(code: &str) -> Self {
        let status = if code == "invalid_client" { 401 } else { 400 };
        let mut answer = Self::json(status, &json!({ "error": code }));
        if status == 401 {
            answer = answer.with("www-authenticate", "Basic realm=\"test\"");
        }
        answer
    }

    /// RFC 6750 3.1.
    pub(super) fn unauthorized() -> Self {
        let challenge = "Bearer realm=\"test\", error=\"invalid_token\"";
        Self::json(401, &json!({ "error": "invalid_token" })).with("www-authenticate", challenge)
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}
