//! One call: building it, following its redirects, reading its answer.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION},
};
use polity_seal::Secret;
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use super::{Error, Outbound};

/// A call being built. Nothing happens until [`send`](Self::send); mistakes made while building are reported there.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    outbound: Outbound,
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
    timeout: Duration,
    max_body_bytes: usize,
    max_redirects: u32,
    mistake: Option<Error>,
}

impl Request {
    pub(super) fn new(outbound: Outbound, method: Method, url: &str) -> Self {
        let settings = &outbound.0.settings;
        Self {
            timeout: Duration::from_millis(settings.timeout_ms),
            max_body_bytes: settings.max_body_bytes,
            max_redirects: settings.max_redirects,
            method,
            url: url.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            mistake: None,
            outbound,
        }
    }

    /// Sets a header, replacing an earlier one of the same name.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => drop(self.headers.insert(name, value)),
            _ => self.mistake = Some(Error::Invalid(format!("{name:?} is not a valid header"))),
        }
        self
    }

    /// The same with a value that must not be seen in logs.
    pub fn secret_header(mut self, name: &str, value: &Secret) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value.expose())) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                self.headers.insert(name, value);
            }
            _ => self.mistake = Some(Error::Invalid(format!("{name:?} is not a valid header"))),
        }
        self
    }

    /// Sets `Authorization: Bearer …` (RFC 6750).
    pub fn bearer(self, token: &str) -> Self {
        self.authorization(format!("Bearer {token}"))
    }

    /// Sets `Authorization: Basic …` (RFC 7617).
    pub fn basic(self, user: &str, password: &str) -> Self {
        self.authorization(format!(
            "Basic {}",
            BASE64_STANDARD.encode(format!("{user}:{password}"))
        ))
    }

    fn authorization(mut self, value: String) -> Self {
        match HeaderValue::try_from(value) {
            Ok(mut value) => {
                value.set_sensitive(true);
                self.headers.insert(AUTHORIZATION, value);
            }
            Err(_) => self.mistake = Some(Error::Invalid("the credential is not a valid header".to_owned())),
        }
        self
    }

    /// Sets the body as it is.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a JSON body and its content type.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.header("content-type", "application/json").body(body),
            Err(error) => {
                self.mistake = Some(Error::Invalid(format!("the body is not JSON: {error}")));
                self
            }
        }
    }

    /// Sets a form body and its content type.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.header("content-type", "application/x-www-form-urlencoded")
            .body(body)
    }

    /// Sets the time for the whole call, instead of the configured one.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the largest answer to read, instead of the configured one.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Sets how many redirects to follow, instead of the configured number. With 0 a redirect is the answer.
    pub fn max_redirects(mut self, redirects: u32) -> Self {
        self.max_redirects = redirects;
        self
    }

    /// Makes the call.
    ///
    /// A redirect (RFC 9110) that would carry the body to another origin is not followed: it is the answer. Towards
    /// another origin only `Accept` and `Accept-Language` are kept, since any header may be a credential.
    pub async fn send(mut self) -> Result<Response, Error> {
        match self.mistake.take() {
            Some(mistake) => Err(mistake),
            None => tokio::time::timeout(self.timeout, self.follow())
                .await
                .map_err(|_| Error::Timeout)?,
        }
    }

    async fn follow(mut self) -> Result<Response, Error> {
        let mut url = self.outbound.check(&self.url)?;
        let mut followed = 0;
        loop {
            let answer = self.hop(&url).await?;
            let Some(next) = target(&url, &answer)? else {
                return self.read(url, answer).await;
            };
            if self.max_redirects == 0 {
                return self.read(url, answer).await;
            }
            self.become_redirect(answer.status());
            let leaves = next.origin() != url.origin();
            if leaves && !self.body.is_empty() {
                return self.read(url, answer).await;
            }
            if followed == self.max_redirects {
                return Err(Error::TooManyRedirects {
                    limit: self.max_redirects,
                });
            }
            followed += 1;
            self.outbound.judge(&next)?;
            if leaves {
                self.keep_only(&[ACCEPT, ACCEPT_LANGUAGE]);
            }
            url = next;
        }
    }

    async fn hop(&self, url: &Url) -> Result<reqwest::Response, Error> {
        let mut request = reqwest::Request::new(self.method.clone(), url.clone());
        request.headers_mut().clone_from(&self.headers);
        if !self.body.is_empty() {
            *request.body_mut() = Some(self.body.clone().into());
        }
        Ok(self.outbound.0.client.execute(request).await?)
    }

    /// What browsers and RFC 9110 do: 303 asks with GET, 301 and 302 turn a POST into GET, 307 and 308 change nothing.
    fn become_redirect(&mut self, status: StatusCode) {
        let turned = match status {
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            _ => false,
        };
        if turned {
            self.method = Method::GET;
            self.body = Bytes::new();
            self.headers.remove(CONTENT_TYPE);
            self.headers.remove(CONTENT_LENGTH);
        }
    }

    fn keep_only(&mut self, names: &[HeaderName]) {
        let kept = names
            .iter()
            .filter_map(|name| Some((name.clone(), self.headers.get(name)?.clone())));
        self.headers = kept.collect();
    }

    async fn read(&self, url: Url, mut answer: reqwest::Response) -> Result<Response, Error> {
        let too_large = Error::TooLarge {
            limit: self.max_body_bytes,
        };
        if answer
            .content_length()
            .is_some_and(|length| length > self.max_body_bytes as u64)
        {
            return Err(too_large);
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > self.max_body_bytes {
                return Err(too_large);
            }
            body.extend_from_slice(&chunk);
        }
        let headers = std::mem::take(answer.headers_mut());
        Ok(Response {
            status: answer.status(),
            headers,
            body: body.freeze(),
            url,
        })
    }
}

/// Where a redirect points, if the answer is one.
fn target(from: &Url, answer: &reqwest::Response) -> Result<Option<Url>, Error> {
    let redirects = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = answer.headers().get(LOCATION).filter(|_| redirects) else {
        return Ok(None);
    };
    let bad = || Error::Malformed("the redirect has no valid Location".to_owned());
    let location = location.to_str().map_err(|_| bad())?;
    from.join(location).map(Some).map_err(|_| bad())
}

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body, decompressed.
    pub body: Bytes,
    /// Where it came from, after redirects.
    pub url: Url,
}

impl Response {
    /// Reads the body as JSON. The error never quotes the body, which may hold a token.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let place = (error.line(), error.column());
            Error::Malformed(format!(
                "it is not the expected JSON (line {}, column {})",
                place.0, place.1
            ))
        })
    }
}
