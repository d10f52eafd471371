//! A provider on this machine: `r-ID-N` brings `a-ID-M` and `r-ID-M`, M = N + 1, once, and its reuse is noticed.

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread::sleep,
    time::Duration,
};

use reqwest::Url;

#[derive(Default)]
struct State {
    used: HashSet<String>,
    calls: usize,
    reuses: usize,
    /// How long each answer takes.
    slow: Duration,
}

/// The provider. It ends with the test program.
pub(super) struct Double {
    address: SocketAddr,
    replays: bool,
    state: Arc<Mutex<State>>,
}

impl Double {
    /// One that answers a used token with its successor again, or takes it for stolen.
    pub(super) fn start(replays: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &shared, replays));
            }
        });
        Self {
            address,
            replays,
            state,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    pub(super) fn replays(&self) -> bool {
        self.replays
    }

    pub(super) fn slow(&self, slow: Duration) {
        self.state.lock().unwrap().slow = slow;
    }

    pub(super) fn calls(&self) -> usize {
        self.state.lock().unwrap().calls
    }

    pub(super) fn reuses(&self) -> usize {
        self.state.lock().unwrap().reuses
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>, replays: bool) {
    let Some(body) = read(stream) else { return };
    let (answer, slow) = {
        let mut state = state.lock().unwrap();
        (state.answer(&body, replays), state.slow)
    };
    sleep(slow);
    let (status, body) = answer;
    let head = format!("HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\nconnection: close\r\n");
    let text = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let mut stream = stream;
    drop(stream.write_all(text.as_bytes()));
}

fn read(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_lowercase();
    let (_, rest) = lower.split_once("content-length: ")?;
    let length: u64 = rest.split("\r\n").next()?.parse().ok()?;
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body).ok()?;
    Some(body)
}

impl State {
    fn answer(&mut self, body: &str, replays: bool) -> (u16, String) {
        self.calls += 1;
        let form = Url::parse(&format!("http://form/?{body}")).unwrap();
        let fields: HashMap<_, _> = form.query_pairs().into_owned().collect();
        let token = fields.get("refresh_token").cloned().unwrap_or_default();
        let successor = token
            .strip_prefix("r-")
            .and_then(|rest| rest.rsplit_once('-'))
            .and_then(|(id, number)| Some((id, number.parse::<u32>().ok()? + 1)));
        let Some((id, number)) = successor else {
            return (400, r#"{"error":"invalid_grant"}"#.to_owned());
        };
        if !self.used.insert(token.clone()) && !replays {
            self.reuses += 1;
            return (400, r#"{"error":"invalid_grant"}"#.to_owned());
        }
        let body = serde_json::json!({
            "access_token": format!("a-{id}-{number}"), "refresh_token": format!("r-{id}-{number}"),
            "expires_in": 3600, "token_type": "Bearer",
        });
        (200, body.to_string())
    }
}
