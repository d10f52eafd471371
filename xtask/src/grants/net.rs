//! Requests: to any of the servers, again until one answers.

use std::time::{Duration, Instant};

use reqwest::{Method, header::HeaderMap};
use serde_json::Value;

use crate::crash::{Failure, fleet::SERVICE_SECRET};

/// How long an answer is waited for. Within it a killed server is back.
const PATIENCE: Duration = Duration::from_secs(45);

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) enum As<'a> {
    Nobody,
    Person(&'a str),
    Service,
    /// A service, for somebody.
    For(&'a str),
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn text(&self, member: &str) -> String {
        self.body[member].as_str().unwrap_or_default().to_owned()
    }

    /// The answer, if it has that status.
    pub(super) fn expect(self, status: u16, what: &str) -> Result<Self, Failure> {
        if self.status == status {
            return Ok(self);
        }
        Err(Failure::Broken(format!(
            "{what} was answered {}: {}",
            self.status, self.body
        )))
    }
}

/// A way to the servers. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Net {
    addresses: Vec<String>,
    http: reqwest::Client,
}

impl Net {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the client of a test, on the loopback address"
    )]
    pub(super) fn new(addresses: Vec<String>) -> Result<Self, Failure> {
        let policy = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().redirect(policy).timeout(PATIENCE).build()?;
        Ok(Self { addresses, http })
    }

    /// Asks one of the servers, once; `None` if there was no answer.
    pub(super) async fn once(
        &self,
        at: usize,
        method: Method,
        path: &str,
        who: As<'_>,
        body: &Value,
    ) -> Option<Answer> {
        let url = format!("{}{path}", self.addresses[at % self.addresses.len()]);
        let mut request = self.http.request(method, url);
        request = match who {
            As::Nobody => request,
            As::Person(token) => request.bearer_auth(token),
            As::Service => service(request),
            As::For(user) => service(request).header("X-User-Id", user),
        };
        if !body.is_null() {
            request = request.json(body);
        }
        read(request.send().await.ok()?).await
    }

    /// Asks one after the other until there is an answer that is no trouble.
    pub(super) async fn ask(
        &self,
        at: usize,
        method: Method,
        path: &str,
        who: As<'_>,
        body: &Value,
    ) -> Result<Answer, Failure> {
        let begun = Instant::now();
        let mut said = String::new();
        for turn in at.. {
            match self.once(turn, method.clone(), path, who, body).await {
                Some(answer) if answer.status < 500 && answer.status != 429 => return Ok(answer),
                Some(answer) => said = format!("{} {}", answer.status, answer.body),
                None => {}
            }
            if begun.elapsed() > PATIENCE {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(Failure::Broken(format!(
            "{path} was not answered for {PATIENCE:?}: {said}"
        )))
    }

    /// What somebody else than the servers answers.
    pub(super) async fn outside(&self, url: &str, who: As<'_>) -> Option<Answer> {
        let request = self.http.get(url);
        let request = match who {
            As::Person(token) => request.bearer_auth(token),
            _ => request,
        };
        read(request.send().await.ok()?).await
    }

    /// The same with cookies, as a browser that comes back.
    pub(super) async fn browse(&self, at: usize, path: &str, cookies: &str) -> Option<Answer> {
        let url = format!("{}{path}", self.addresses[at % self.addresses.len()]);
        read(self.http.get(url).header("cookie", cookies).send().await.ok()?).await
    }
}

fn service(request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    request
        .header("X-Internal-Service", "true")
        .header("X-Internal-Service-Secret", SERVICE_SECRET)
}

/// `None` if it was cut off.
async fn read(response: reqwest::Response) -> Option<Answer> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.ok()?;
    Some(Answer {
        status,
        headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    })
}
