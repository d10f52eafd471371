//! A manager with a store in memory, and the provider it speaks to.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures::future::BoxFuture;
use polity_grants::{
    client::{App, Client, Credentials, Exchanged},
    clock::SystemRandom,
    connect::{ConnectError, Connector},
    failure::Failure,
    grant::Grant,
    manager::{Apps, Error, Event, Hooks, Manager, NewGrant, Parts, Settings, Spawn, Token},
    provider::Catalogue,
    store::{Memory, Store as _},
    testing::TestClock,
    token::TokenSet,
};
use polity_seal::{Keyring, Secret};
use polity_testing::provider::{CLIENT_ID, CLIENT_SECRET, Endpoint, Fault, Pair, Provider, Rotation};
use serde_json::json;

use super::http::{Browser, Wire};

/// Where browsers come back to.
pub(super) const BACK: &str = "https://me.example.com/back";
/// When a test begins, in unix milliseconds.
pub(super) const BEGIN: i64 = 1_700_000_000_000;

/// The library, set up for one client.
pub(super) struct Stand {
    pub(super) clock: TestClock,
    pub(super) store: Arc<Memory>,
    pub(super) client: Client,
    pub(super) connector: Connector,
    pub(super) manager: Manager,
    pub(super) app: App,
    pub(super) browser: Browser,
    events: Arc<Events>,
}

#[derive(Default)]
struct Events(Mutex<Vec<Event>>);

#[async_trait]
impl Hooks for Events {
    async fn happened(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

struct One(App);

#[async_trait]
impl Apps for One {
    async fn app(&self, _: &Grant) -> Result<App, Error> {
        Ok(self.0.clone())
    }
}

struct Tasks;

impl Spawn for Tasks {
    #[expect(clippy::disallowed_methods, reason = "the runtime of the test ends it")]
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
}

impl Stand {
    /// A client of the catalogue's only provider. A call may take `timeout`.
    pub(super) fn new(catalogue: &str, id: &str, secret: Option<&str>, timeout: Duration) -> Self {
        let catalogue = Catalogue::parse_with_loopback(catalogue).unwrap();
        let app = App {
            provider: catalogue.iter().next().unwrap().clone(),
            credentials: Credentials {
                client_id: id.to_owned(),
                client_secret: secret.map(Secret::from),
                signing_key: None,
            },
        };
        let clock = TestClock::new(BEGIN);
        let shared = Arc::new(clock.clone());
        let client = Client::new(Arc::new(Wire::new()), shared.clone(), Arc::new(SystemRandom), timeout);
        let store = Arc::new(Memory::new(shared.clone()));
        let keyring = Keyring::generate(0);
        let events = Arc::<Events>::default();
        let parts = Parts {
            store: store.clone(),
            client: client.clone(),
            apps: Arc::new(One(app.clone())),
            keyring: keyring.clone(),
            clock: shared,
            random: Arc::new(SystemRandom),
            spawn: Arc::new(Tasks),
            hooks: events.clone(),
            holder: "test".to_owned(),
            settings: Settings::default(),
        };
        Self {
            clock,
            store: store.clone(),
            connector: Connector {
                client: client.clone(),
                store,
                keyring,
            },
            client,
            manager: Manager::new(parts),
            app,
            browser: Browser::new(),
            events,
        }
    }

    /// A browser goes out and comes back: what its code is traded for.
    pub(super) async fn sign_in(&self, scopes: &[&str]) -> Result<Exchanged, ConnectError> {
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let session = Secret::from("session");
        let begun = self
            .connector
            .begin(&self.app, BACK, &scopes, &session, &json!(1))
            .await?;
        let back = self.browser.follow(begun.expose(), BACK).await;
        let (state, code) = (back["state"].as_str().into(), back["code"].as_str().into());
        let (exchanged, context) = self.connector.finish(&self.app, &state, &code, &session).await?;
        assert_eq!(context, json!(1));
        Ok(exchanged)
    }

    /// Keeps tokens as the grant `g`.
    pub(super) async fn connect(&self, tokens: &TokenSet) {
        let new = NewGrant {
            id: "g".to_owned(),
            provider: self.app.provider.name.clone(),
            owner: "owner".to_owned(),
            account: None,
        };
        self.manager.connect(new, tokens).await.unwrap();
    }

    /// The token of the grant `g`, now.
    pub(super) async fn token(&self) -> Result<Token, Error> {
        self.manager.token("g").await
    }

    /// Lets time go by for the library, and its next token is a fresh one.
    pub(super) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(super) async fn grant(&self) -> Grant {
        self.store.get("g").await.unwrap().unwrap()
    }

    /// What the hooks were told.
    pub(super) fn events(&self) -> Vec<Event> {
        self.events.0.lock().unwrap().clone()
    }
}

/// A stand and the provider of the tests' own, with one grant `g` whose access token has ended.
pub(super) struct World {
    pub(super) stand: Stand,
    pub(super) provider: Provider,
    pub(super) first: Pair,
}

impl World {
    /// A call may take ten seconds.
    pub(super) async fn new(rotation: Rotation) -> Self {
        Self::with(rotation, "", Duration::from_secs(10)).await
    }

    /// `more` are further lines of the provider's entry.
    pub(super) async fn with(rotation: Rotation, more: &str, timeout: Duration) -> Self {
        let settings = polity_testing::provider::Settings {
            rotation,
            ..Default::default()
        };
        let provider = Provider::start(settings).await;
        let entry = provider.catalogue_entry("double", more);
        let stand = Stand::new(&entry, CLIENT_ID, Some(CLIENT_SECRET), timeout);
        let first = provider.grant("ada", &["read", "write"]);
        stand.connect(&tokens(&first)).await;
        stand.pass(3600);
        Self { stand, provider, first }
    }

    /// Its next call for tokens meets that fault.
    pub(super) async fn failing(rotation: Rotation, fault: Fault) -> Self {
        let world = Self::new(rotation).await;
        world.provider.fault(Endpoint::Token, fault);
        world
    }

    /// A token, which the provider's API takes.
    pub(super) async fn works(&self) -> Token {
        let token = self.stand.token().await.unwrap();
        let url = format!("{}/api/x", self.provider.url());
        let (status, body) = self.stand.browser.call(&url, token.access.expose()).await;
        assert_eq!((status, &body["account"]), (200, &json!("ada")));
        token
    }

    pub(super) async fn unavailable(&self) -> String {
        match self.stand.token().await {
            Err(Error::Unavailable(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn ended(&self) -> String {
        match self.stand.token().await {
            Err(Error::NeedsReauthorization(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    /// How often the first refresh token came.
    pub(super) fn first_calls(&self) -> u64 {
        self.provider.refresh_calls(&self.first.refresh)
    }
}

/// A pair, as it was obtained at the beginning, for an hour.
pub(super) fn tokens(pair: &Pair) -> TokenSet {
    TokenSet {
        access: pair.access.as_str().into(),
        refresh: Some(pair.refresh.as_str().into()),
        token_type: "bearer".to_owned(),
        expires_at: Some(BEGIN + 3_600_000),
        scopes: vec!["read".to_owned(), "write".to_owned()],
        obtained_at: BEGIN,
    }
}

pub(super) fn is_reauthorize<T>(result: &Result<T, Failure>) -> bool {
    matches!(result, Err(Failure::Reauthorize { reason }) if reason == "invalid_grant")
}

pub(super) const WINDOW: Rotation = Rotation::Window(Duration::from_secs(30));
