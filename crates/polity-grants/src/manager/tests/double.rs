//! A provider with rotating refresh tokens that notices reuse, and fails when told to.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::sleep;

use crate::{
    clock::{Clock, Millis},
    http::{Body, Http, HttpError, Request, Response},
};

/// How one call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    NotSent,
    DroppedBefore,
    DroppedAfter,
    Status(u16),
    RetryAfter(u32),
    Html,
    WrongJson,
    /// The answer comes so many milliseconds after the request was processed.
    SlowAnswer(u64),
    /// The request is processed so many milliseconds after it came.
    SlowStart(u64),
    /// Someone else used the successor, too.
    RotatedTwice,
    /// The owner took the grant back at the provider.
    Revoked,
    WrongSecret,
}

struct Used {
    at: Millis,
    successor: String,
}

#[derive(Default)]
struct State {
    family_ended: bool,
    used: HashMap<String, Used>,
    minted: HashSet<String>,
    good: HashSet<String>,
    calls: usize,
    arrivals: HashMap<String, usize>,
    reuses: usize,
    revokes_fail: usize,
    revoked: Vec<String>,
    faults: VecDeque<Fault>,
}

pub(super) struct Double {
    clock: Arc<dyn Clock>,
    /// How long a used refresh token is answered with its successor, in milliseconds.
    window: Millis,
    /// The life of access tokens in seconds.
    life: i64,
    state: Mutex<State>,
}

impl Double {
    pub(super) fn new(clock: Arc<dyn Clock>, window: Millis, life: i64) -> Arc<Self> {
        let mut state = State::default();
        state.minted.insert("r0".to_owned());
        state.good.insert("a0".to_owned());
        Arc::new(Self {
            clock,
            window,
            life,
            state: Mutex::new(state),
        })
    }

    pub(super) fn fail(&self, faults: &[Fault]) {
        self.state.lock().unwrap().faults.extend(faults);
    }

    /// So many tokens are not taken back.
    pub(super) fn refuse_revokes(&self, times: usize) {
        self.state.lock().unwrap().revokes_fail = times;
    }

    pub(super) fn heal(&self) {
        self.state.lock().unwrap().faults.clear();
    }

    pub(super) fn calls(&self) -> usize {
        self.state.lock().unwrap().calls
    }

    pub(super) fn reuses(&self) -> usize {
        self.state.lock().unwrap().reuses
    }

    /// The most often that one refresh token arrived.
    pub(super) fn most_arrivals(&self) -> usize {
        self.state.lock().unwrap().arrivals.values().copied().max().unwrap_or(0)
    }

    pub(super) fn works(&self, access: &str) -> bool {
        let state = self.state.lock().unwrap();
        !state.family_ended && state.good.contains(access)
    }

    pub(super) fn revoked(&self) -> Vec<String> {
        self.state.lock().unwrap().revoked.clone()
    }

    fn refresh(&self, token: &str) -> Response {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap();
        *state.arrivals.entry(token.to_owned()).or_default() += 1;
        if state.family_ended || !state.minted.contains(token) {
            return refusal(400, "invalid_grant");
        }
        let number = state.minted.len();
        let successor = match state.used.get(token) {
            Some(used) if now - used.at <= self.window => used.successor.clone(),
            Some(_) => {
                state.reuses += 1;
                state.family_ended = true;
                return refusal(400, "invalid_grant");
            }
            None => {
                let successor = format!("r{number}");
                state.minted.insert(successor.clone());
                let used = Used {
                    at: now,
                    successor: successor.clone(),
                };
                state.used.insert(token.to_owned(), used);
                successor
            }
        };
        let access = format!("a{}", state.good.len());
        state.good.insert(access.clone());
        let body = serde_json::json!({
            "access_token": access, "refresh_token": successor, "expires_in": self.life, "token_type": "Bearer",
        });
        answer(200, &body.to_string())
    }

    fn spend_successor(&self, token: &str) {
        let mut state = self.state.lock().unwrap();
        let successor = state.used[token].successor.clone();
        let used = Used {
            at: i64::MIN / 2,
            successor: "elsewhere".to_owned(),
        };
        state.used.insert(successor, used);
    }
}

fn answer(status: u16, body: &str) -> Response {
    Response {
        status,
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
    }
}

fn refusal(status: u16, code: &str) -> Response {
    answer(
        status,
        &format!(r#"{{"error":"{code}","error_description":"about hush"}}"#),
    )
}

#[async_trait]
impl Http for Double {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let Body::Form(form) = &request.body else {
            return Ok(answer(400, ""));
        };
        let fields: HashMap<String, String> = form_urlencoded::parse(form.expose().as_bytes()).into_owned().collect();
        if request.url.ends_with("/revoke") {
            let mut state = self.state.lock().unwrap();
            if state.revokes_fail > 0 {
                state.revokes_fail -= 1;
                return Ok(answer(503, ""));
            }
            state.revoked.push(fields["token"].clone());
            return Ok(answer(200, ""));
        }
        let fault = {
            let mut state = self.state.lock().unwrap();
            state.calls += 1;
            state.faults.pop_front().unwrap_or(Fault::None)
        };
        let token = &fields["refresh_token"];
        let dropped = || HttpError::Unknown("connection closed".to_owned());
        match fault {
            Fault::None => {}
            Fault::NotSent => return Err(HttpError::NotSent("no route".to_owned())),
            Fault::DroppedBefore => return Err(dropped()),
            Fault::DroppedAfter => {
                self.refresh(token);
                return Err(dropped());
            }
            Fault::Status(status) => return Ok(answer(status, "")),
            Fault::RetryAfter(seconds) => {
                let mut refusal = answer(429, "");
                refusal.headers.push(("retry-after".to_owned(), seconds.to_string()));
                return Ok(refusal);
            }
            Fault::Html => {
                self.refresh(token);
                return Ok(answer(200, "<html>Welcome</html>"));
            }
            Fault::WrongJson => {
                self.refresh(token);
                return Ok(answer(200, r#"{"access_token":"#));
            }
            Fault::SlowAnswer(millis) => {
                let answer = self.refresh(token);
                sleep(Duration::from_millis(millis)).await;
                return Ok(answer);
            }
            Fault::SlowStart(millis) => sleep(Duration::from_millis(millis)).await,
            Fault::RotatedTwice => {
                let answer = self.refresh(token);
                self.spend_successor(token);
                return Ok(answer);
            }
            Fault::Revoked => self.state.lock().unwrap().family_ended = true,
            Fault::WrongSecret => return Ok(refusal(401, "invalid_client")),
        }
        Ok(self.refresh(token))
    }
}
