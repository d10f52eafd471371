//! States: single use, in time, one browser.

use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;
use serde_json::json;
use url::Url;

use super::*;
use crate::{
    client::Credentials,
    http::{Body, Http, HttpError, Request, Response},
    provider::testing::provider,
    store::Memory,
    testing::{CountingRandom, TestClock},
};

/// Answers every exchange with a token, and keeps the body.
#[derive(Default)]
struct Provider(Mutex<Vec<String>>);

#[async_trait]
impl Http for Provider {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        if let Body::Form(text) = request.body {
            self.0.lock().unwrap().push(text.expose().to_owned());
        }
        let body = br#"{"access_token":"a","token_type":"bearer"}"#.to_vec();
        let headers = Vec::new();
        Ok(Response {
            status: 200,
            headers,
            body,
        })
    }
}

struct World {
    connector: Connector,
    app: App,
    clock: TestClock,
    provider: Arc<Provider>,
}

fn world() -> World {
    let clock = TestClock::new(1_700_000_000_000);
    let seen = Arc::new(Provider::default());
    let random = Arc::new(CountingRandom::default());
    let client = Client::new(seen.clone(), Arc::new(clock.clone()), random, Duration::from_secs(5));
    let credentials = Credentials {
        client_id: "c".to_owned(),
        client_secret: Some("s".into()),
        signing_key: None,
    };
    World {
        connector: Connector {
            client,
            store: Arc::new(Memory::new(Arc::new(clock.clone()))),
            keyring: Keyring::generate(0),
        },
        app: App {
            provider: Arc::new(provider("")),
            credentials,
        },
        clock,
        provider: seen,
    }
}

impl World {
    /// Sends a browser out; the state it comes back with.
    async fn begin(&self, browser: &str) -> Secret {
        let context = json!({ "for": "me" });
        let back = "https://me.example.com/back";
        let url = self
            .connector
            .begin(&self.app, back, &[], &browser.into(), &context)
            .await
            .unwrap();
        let url = Url::parse(url.expose()).unwrap();
        let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1;
        state.as_ref().into()
    }

    async fn finish(&self, state: &Secret, browser: &str) -> Result<Value, ConnectError> {
        let done = self
            .connector
            .finish(&self.app, state, &"code".into(), &browser.into())
            .await;
        done.map(|(_, context)| context)
    }
}

#[tokio::test]
async fn a_browser_comes_back_once() {
    let world = world();
    let state = world.begin("mine").await;
    assert_eq!(world.finish(&state, "mine").await, Ok(json!({ "for": "me" })));
    let sent = world.provider.0.lock().unwrap().concat();
    assert!(
        sent.contains("code_verifier=") && sent.contains("redirect_uri=https%3A%2F%2Fme.example.com%2Fback"),
        "{sent}"
    );
    assert_eq!(world.finish(&state, "mine").await, Err(ConnectError::State));
    assert_eq!(
        world.provider.0.lock().unwrap().len(),
        1,
        "a replay reaches no provider"
    );
}

#[tokio::test]
async fn another_browser_gets_nothing_and_spoils_nothing() {
    let world = world();
    let state = world.begin("mine").await;
    assert_eq!(world.finish(&state, "other").await, Err(ConnectError::State));
    assert_eq!(world.finish(&"made up".into(), "mine").await, Err(ConnectError::State));
    assert!(world.finish(&state, "mine").await.is_ok());
}

#[tokio::test]
async fn it_ends_after_ten_minutes() {
    let world = world();
    let (late, early) = (world.begin("mine").await, world.begin("mine").await);
    assert_ne!(late, early);
    world.clock.advance(Duration::from_secs(599));
    assert!(world.finish(&early, "mine").await.is_ok());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.finish(&late, "mine").await, Err(ConnectError::State));
}
