//! Clients that ask for tokens all the time, and use them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::Method;
use serde_json::json;

use super::{
    net::{As, Net},
    setup::Connection,
};
use crate::{Findings, crash::Failure};

pub(super) struct Client {
    addresses: Vec<String>,
    provider: String,
    connections: Arc<Vec<Connection>>,
    random: fastrand::Rng,
}

/// What clients say in the end.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Tokens that were issued and worked.
    pub(super) worked: u64,
    /// Requests that a killed server did not answer.
    pub(super) unanswered: u64,
    /// Connections that need their owner, as was answered.
    pub(super) refused: BTreeMap<String, String>,
    pub(super) wrong: Findings,
}

impl Said {
    pub(super) fn add(&mut self, said: Result<Self, Failure>) {
        match said {
            Ok(other) => {
                self.worked += other.worked;
                self.unanswered += other.unanswered;
                self.refused.extend(other.refused);
                self.wrong.extend(other.wrong);
            }
            Err(failure) => self.wrong.extend(Findings::from(failure)),
        }
    }
}

impl Client {
    pub(super) fn new(
        addresses: Vec<String>,
        provider: String,
        connections: Arc<Vec<Connection>>,
        random: fastrand::Rng,
    ) -> Self {
        Self {
            addresses,
            provider,
            connections,
            random,
        }
    }

    /// Asks until told to stop.
    pub(super) async fn act(mut self, stop: Arc<AtomicBool>) -> Result<Said, Failure> {
        let net = Net::new(self.addresses)?;
        let mut said = Said::default();
        while !stop.load(Ordering::SeqCst) {
            let connection = &self.connections[self.random.usize(0..self.connections.len())];
            look(&net, self.random.usize(0..3), connection, &self.provider, &mut said).await;
            tokio::time::sleep(Duration::from_millis(self.random.u64(5..25))).await;
        }
        Ok(said)
    }
}

/// Asks for the token of a connection, and uses it.
pub(super) async fn look(net: &Net, at: usize, connection: &Connection, provider: &str, said: &mut Said) {
    let id = &connection.id;
    let body = json!({ "connection_id": id });
    let path = "/api/v1/tokens:issue";
    let Some(issued) = net.once(at, Method::POST, path, As::Service, &body).await else {
        said.unanswered += 1;
        return;
    };
    let code = issued.text("code");
    match (issued.status, code.as_str()) {
        (200, _) => {
            let (url, token) = (format!("{provider}/api/me"), issued.text("access_token"));
            match net.outside(&url, As::Person(&token)).await {
                Some(answer) if answer.status == 200 && answer.text("account") == connection.account => {
                    said.worked += 1;
                }
                Some(answer) => {
                    let (status, until) = (answer.status, &issued.body["expires_at"]);
                    let text = format!("{id}: a token that was issued until {until} was answered {status}");
                    said.wrong.push(text);
                }
                None => said.unanswered += 1,
            }
        }
        (_, "NEEDS_REAUTHORIZATION" | "CONNECTION_STATE") => {
            said.refused.insert(id.clone(), issued.text("detail"));
        }
        (status, _) => {
            let text = format!("{id}: no token was issued: {status} {code} {}", issued.text("detail"));
            said.wrong.push(text);
        }
    }
}
