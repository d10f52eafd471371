//! The library's HTTP, over the kernel's guarded client.

use async_trait::async_trait;
use polity_grants::http::{Body, Http, HttpError, Method, Request, Response};
use polity_kernel::{
    Secret,
    outbound::{Error, Outbound},
};

#[cfg(test)]
mod tests;

/// Sends what the library asks for, once, and follows no redirect.
#[derive(Debug, Clone)]
pub struct OutboundHttp(Outbound);

impl OutboundHttp {
    /// Over that client.
    pub fn new(outbound: Outbound) -> Self {
        Self(outbound)
    }
}

#[async_trait]
impl Http for OutboundHttp {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let method = match request.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
            Method::Delete => http::Method::DELETE,
        };
        let mut call = self
            .0
            .request(method, &request.url)
            .timeout(request.timeout)
            .max_body_bytes(request.limit)
            .max_redirects(0);
        for (name, value) in &request.headers {
            call = call.secret_header(name, value);
        }
        let with = |kind: &str, text: &Secret| (kind.to_owned(), text.expose().to_owned());
        let body = match &request.body {
            Body::Empty => None,
            Body::Form(text) => Some(with("application/x-www-form-urlencoded", text)),
            Body::Json(text) => Some(with("application/json", text)),
        };
        if let Some((kind, text)) = body {
            call = call.header("content-type", &kind).body(text);
        }
        let answer = call.send().await.map_err(failed)?;
        let headers = answer.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        Ok(Response {
            status: answer.status.as_u16(),
            headers: headers.collect(),
            body: answer.body.to_vec(),
        })
    }
}

/// What it means for a refresh token, which is spent by arriving.
fn failed(error: Error) -> HttpError {
    let arrived = error.may_have_arrived();
    match error {
        Error::TooLarge { .. } => HttpError::TooLarge,
        Error::Blocked { .. } | Error::Scheme { .. } => HttpError::Refused(error.to_string()),
        // Its text may quote the address, and an address may hold what is secret.
        Error::Invalid(_) => HttpError::Refused("the request or its address is malformed".to_owned()),
        other if arrived => HttpError::Unknown(other.to_string()),
        other => HttpError::NotSent(other.to_string()),
    }
}
