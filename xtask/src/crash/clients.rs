//! Clients: each registers people and acts for them, one request after the other, and remembers what was acknowledged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::fleet::SERVICE_SECRET;

const PASSWORD: &str = "correct horse battery";
/// How long a client tries to get an answer. Within it a killed server is back.
const PATIENCE: Duration = Duration::from_secs(45);

/// Somebody, as far as their client knows.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) user_id: String,
    pub(super) email: String,
    pub(super) access: String,
    /// The last refresh token that was handed out.
    pub(super) refresh: String,
    /// The greatest number that was written into the name and acknowledged.
    pub(super) acknowledged: u64,
    /// The greatest number that was tried.
    pub(super) tried: u64,
    /// How many profile changes were acknowledged.
    pub(super) changes: u64,
    /// How many resets were asked for and acknowledged.
    pub(super) resets: u64,
}

/// What a client says in the end.
pub(super) struct Report {
    pub(super) people: Vec<Person>,
    /// Organizations whose deletion was acknowledged.
    pub(super) ended: Vec<String>,
    /// People whose deletion was acknowledged.
    pub(super) gone: Vec<String>,
    pub(super) violations: Vec<String>,
}

/// A client.
pub(super) struct Client {
    number: usize,
    addresses: Vec<String>,
    http: reqwest::Client,
    pub(super) random: fastrand::Rng,
    clock_jumped: Arc<AtomicBool>,
    pub(super) people: Vec<Person>,
    pub(super) ended: Vec<String>,
    pub(super) gone: Vec<String>,
    violations: Vec<String>,
    registered: u32,
}

/// An answer: its status and its body.
type Answer = (u16, Value);

impl Client {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the client of a test, on the loopback address"
    )]
    pub(super) fn new(
        number: usize,
        addresses: Vec<String>,
        clock_jumped: Arc<AtomicBool>,
        random: fastrand::Rng,
    ) -> Self {
        Self {
            number,
            addresses,
            http: reqwest::Client::new(),
            random,
            clock_jumped,
            people: Vec::new(),
            ended: Vec::new(),
            gone: Vec::new(),
            violations: Vec::new(),
            registered: 0,
        }
    }

    /// Acts until told to stop.
    pub(super) async fn act(mut self, stop: Arc<AtomicBool>) -> Report {
        while !stop.load(Ordering::SeqCst) {
            if self.people.is_empty() || (self.people.len() < 40 && self.random.u8(0..30) == 0) {
                self.register().await;
                continue;
            }
            // Not as fast as can be: the servers' background work is to be hit as well.
            tokio::time::sleep(Duration::from_millis(self.random.u64(0..12))).await;
            let who = self.random.usize(0..self.people.len());
            match self.random.u8(0..100) {
                0..61 => self.change_name(who).await,
                61..65 => self.rise_and_fall(who).await,
                65..85 => self.refresh(who).await,
                85..97 => self.sign_in(who).await,
                _ => self.ask_for_reset(who).await,
            }
        }
        Report {
            people: self.people,
            ended: self.ended,
            gone: self.gone,
            violations: self.violations,
        }
    }

    /// Somebody new. An answer that was lost is looked for by signing in.
    async fn register(&mut self) {
        self.registered += 1;
        let email = format!("c{}-{}@example.com", self.number, self.registered);
        let body = json!({ "email": email, "password": PASSWORD, "name": "0" });
        let Some((200, pending)) = self.try_until("POST", "/api/v1/auth/register", None, &body).await else {
            return;
        };
        let id = text(&pending, "pending_registration_id");
        let path = format!("/api/v1/auth/dev/pending-registration/{id}");
        let Some((200, found)) = self.try_until("GET", &path, None, &Value::Null).await else {
            return self
                .violations
                .push(format!("the acknowledged registration of {email} is gone"));
        };
        let body = json!({ "pending_registration_id": id, "code": found["verification_code"] });
        let answer = self.once("POST", "/api/v1/auth/verify", None, &body).await;
        let tokens = match answer {
            Some((200, verified)) if verified["success"] == true => verified,
            // Lost, or verified by the answer that was lost: whoever signs in, is there.
            _ => {
                let body = json!({ "email": email, "password": PASSWORD });
                match self.try_until("POST", "/api/v1/auth/login", None, &body).await {
                    Some((200, tokens)) => tokens,
                    _ => return,
                }
            }
        };
        let person = Person {
            user_id: text(&tokens, "user_id"),
            access: text(&tokens, "access_token"),
            refresh: text(&tokens, "refresh_token"),
            email,
            acknowledged: 0,
            tried: 0,
            changes: 0,
            resets: 0,
        };
        self.people.push(person);
    }

    /// Counts the name up. A lost answer leaves open whether it was done.
    async fn change_name(&mut self, who: usize) {
        let person = &mut self.people[who];
        person.tried += 1;
        let (number, token) = (person.tried, person.access.clone());
        let path = format!("/api/v1/accounts/profile/{}", person.user_id);
        let body = json!({ "name": number.to_string() });
        match self.once("PUT", &path, Some(&token), &body).await {
            Some((200, changed)) => {
                let person = &mut self.people[who];
                person.acknowledged = number;
                person.changes += 1;
                if changed["name"].as_str().and_then(|name| name.parse().ok()) != Some(number) {
                    self.violations
                        .push(format!("a change to {number} answered {}", changed["name"]));
                }
            }
            Some((401, _)) => self.refresh(who).await,
            Some((status, answer)) if !is_trouble(status) => {
                self.violations
                    .push(format!("a change of name was answered {status}: {answer}"));
            }
            _ => {}
        }
    }

    /// Exchanges the refresh token, with the same one again until there is an answer, as a client must.
    pub(super) async fn refresh(&mut self, who: usize) {
        let body = json!({ "refresh_token": self.people[who].refresh });
        let begun = Instant::now();
        match self.try_until("POST", "/api/v1/auth/refresh", None, &body).await {
            Some((200, tokens)) => self.keep_tokens(who, &tokens),
            Some((status, answer)) => {
                // Beyond the grace a repetition is taken for theft, which is right; a clock that jumps has the same effect.
                let in_grace = begun.elapsed() < Duration::from_secs(8);
                if in_grace && !self.clock_jumped.load(Ordering::SeqCst) {
                    let email = &self.people[who].email;
                    self.violations
                        .push(format!("{email} lost a session: {status} {answer}"));
                }
                self.sign_in(who).await;
            }
            None => {}
        }
    }

    async fn sign_in(&mut self, who: usize) {
        let body = json!({ "email": self.people[who].email, "password": PASSWORD });
        match self.try_until("POST", "/api/v1/auth/login", None, &body).await {
            Some((200, tokens)) => self.keep_tokens(who, &tokens),
            Some((status, answer)) if !is_trouble(status) => {
                let email = &self.people[who].email;
                self.violations
                    .push(format!("{email} cannot sign in: {status} {answer}"));
            }
            _ => {}
        }
    }

    async fn ask_for_reset(&mut self, who: usize) {
        let body = json!({ "email": self.people[who].email });
        if let Some((200, _)) = self.once("POST", "/api/v1/auth/password/reset", None, &body).await {
            self.people[who].resets += 1;
        }
    }

    fn keep_tokens(&mut self, who: usize, tokens: &Value) {
        let person = &mut self.people[who];
        person.access = text(tokens, "access_token");
        person.refresh = text(tokens, "refresh_token");
    }

    /// Repeats a request that may be repeated until it is answered.
    async fn try_until(&mut self, method: &str, path: &str, token: Option<&str>, body: &Value) -> Option<Answer> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.once(method, path, token, body).await {
                Some((status, _)) if is_trouble(status) => {}
                None => {}
                answer => return answer,
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        self.violations
            .push(format!("{method} {path} was not answered for {PATIENCE:?}"));
        None
    }

    /// Sends a request to one of the servers, permissions as a service; `None` if there was no answer.
    pub(super) async fn once(&mut self, method: &str, path: &str, token: Option<&str>, body: &Value) -> Option<Answer> {
        let address = &self.addresses[self.random.usize(0..self.addresses.len())];
        let method = reqwest::Method::from_bytes(method.as_bytes()).ok()?;
        let mut request = self.http.request(method, format!("{address}{path}")).timeout(PATIENCE);
        request = match token {
            Some(token) => request.bearer_auth(token),
            None if path.starts_with("/api/v1/authorization/") => request
                .header("X-Internal-Service", "true")
                .header("X-Internal-Service-Secret", SERVICE_SECRET),
            None => request,
        };
        if !body.is_null() {
            request = request.json(body);
        }
        let sent = request.send().await;
        let Ok(answer) = sent else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            return None;
        };
        let status = answer.status().as_u16();
        let body = answer.json().await.unwrap_or(Value::Null);
        if body.is_null() {
            // The answer was cut off.
            return None;
        }
        if status == 500 {
            self.violations.push(format!("{path} was answered 500: {body}"));
        }
        Some((status, body))
    }
}

/// Not a refusal: what was asked for may be done or not, or be tried again.
fn is_trouble(status: u16) -> bool {
    status >= 500 || status == 429
}

pub(super) fn text(body: &Value, member: &str) -> String {
    body[member].as_str().unwrap_or_default().to_owned()
}
