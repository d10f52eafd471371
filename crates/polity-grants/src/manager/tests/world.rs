//! Processes on one store and one provider, that can be killed; and a store that fails when told to.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::future::BoxFuture;
use polity_seal::Keyring;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::double::Double;
use crate::{
    client::{App, Client, Credentials},
    clock::{Clock, Millis},
    grant::Grant,
    manager::{Apps, Error, Event, Hooks, Manager, NewGrant, Parts, Settings, Spawn},
    provider::testing::provider,
    store::{Change, Memory, Pending, Store, StoreError},
    testing::CountingRandom,
    token::TokenSet,
};

/// The runtime's own time, which tests stop and the runtime moves when nothing else is to be done.
#[derive(Debug, Clone, Copy)]
pub(super) struct RuntimeClock(Instant, Millis);

impl Clock for RuntimeClock {
    fn now(&self) -> Millis {
        1_700_000_000_000 + self.1 + i64::try_from(self.0.elapsed().as_millis()).unwrap()
    }
}

/// A store with a moment before and after every change, in which a process can die, and writes that fail.
pub(super) struct Flaky {
    inner: Memory,
    /// So many changes fail before they are made.
    pub(super) fail_before: AtomicUsize,
    /// So many fail after they were made.
    pub(super) fail_after: AtomicUsize,
    slow: bool,
}

fn counts(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
        .is_ok()
}

#[async_trait]
impl Store for Flaky {
    async fn now(&self) -> Result<Millis, StoreError> {
        self.inner.now().await
    }
    async fn insert(&self, grant: Grant) -> Result<(), StoreError> {
        self.inner.insert(grant).await
    }
    async fn get(&self, id: &str) -> Result<Option<Grant>, StoreError> {
        self.inner.get(id).await
    }
    async fn update(&self, id: &str, change: Change<'_>) -> Result<Option<bool>, StoreError> {
        let moment = Duration::from_millis(if self.slow { 3 } else { 0 });
        sleep(moment).await;
        let failed = || StoreError::Unavailable("told to".to_owned());
        if counts(&self.fail_before) {
            return Err(failed());
        }
        let result = self.inner.update(id, change).await;
        sleep(moment).await;
        if counts(&self.fail_after) {
            Err(failed())
        } else {
            result
        }
    }
    async fn remove(&self, id: &str) -> Result<bool, StoreError> {
        self.inner.remove(id).await
    }
    async fn due(&self, within: Millis, limit: usize) -> Result<Vec<String>, StoreError> {
        self.inner.due(within, limit).await
    }
    async fn sealed_by_others(&self, key: &str, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.inner.sealed_by_others(key, after, limit).await
    }
    async fn put_state(&self, pending: Pending, life: Millis) -> Result<(), StoreError> {
        self.inner.put_state(pending, life).await
    }
    async fn take_state(&self, key: &str, browser: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.take_state(key, browser).await
    }
}

/// The tasks of a process.
#[derive(Default)]
pub(super) struct Tasks(Mutex<JoinSet<()>>);

impl Spawn for Tasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.lock().unwrap().spawn(task);
    }
}

struct OneApp(App);

#[async_trait]
impl Apps for OneApp {
    async fn app(&self, _: &Grant) -> Result<App, Error> {
        Ok(self.0.clone())
    }
}

#[derive(Default)]
pub(super) struct Seen(pub(super) Mutex<Vec<Event>>);

#[async_trait]
impl Hooks for Seen {
    async fn happened(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// A process. Dropping it kills its tasks where they are.
pub(super) struct Process {
    pub(super) manager: Manager,
    pub(super) tasks: Arc<Tasks>,
}

pub(super) struct World {
    pub(super) clock: RuntimeClock,
    pub(super) double: Arc<Double>,
    pub(super) store: Arc<Flaky>,
    pub(super) keyring: Keyring,
    pub(super) seen: Arc<Seen>,
    app: App,
    random: Arc<CountingRandom>,
}

impl World {
    /// A grant `g` with `a0` and `r0`, whose access token ends at once.
    pub(super) async fn new(entry: &str, window: Millis, slow: bool) -> Self {
        let clock = RuntimeClock(Instant::now(), 0);
        let more = format!("{entry}\nrevoke_url = \"https://id.example.com/revoke\"\nrevocation = \"rfc7009\"");
        let credentials = Credentials {
            client_id: "c".to_owned(),
            client_secret: Some("s".into()),
            signing_key: None,
        };
        let world = Self {
            clock,
            double: Double::new(Arc::new(clock), window, 3600),
            store: Arc::new(Flaky {
                inner: Memory::new(Arc::new(clock)),
                fail_before: AtomicUsize::new(0),
                fail_after: AtomicUsize::new(0),
                slow,
            }),
            keyring: Keyring::generate(0),
            seen: Arc::default(),
            app: App {
                provider: Arc::new(provider(&more)),
                credentials,
            },
            random: Arc::default(),
        };
        let new = NewGrant {
            id: "g".to_owned(),
            provider: "test".to_owned(),
            owner: "o".to_owned(),
            account: None,
        };
        world
            .process("first")
            .manager
            .connect(new, &world.tokens(0))
            .await
            .unwrap();
        world
    }

    pub(super) fn rotating() -> &'static str {
        "refresh = { rotating = { replay_window = 0 } }\nrecovery = \"reauthorize\""
    }

    pub(super) fn replaying() -> &'static str {
        "refresh = { rotating = { replay_window = 30 } }\nrecovery = { retry_within = 30 }"
    }

    /// `a0` and `r0`, that last so many seconds.
    pub(super) fn tokens(&self, seconds: i64) -> TokenSet {
        TokenSet {
            access: "a0".into(),
            refresh: Some("r0".into()),
            token_type: "bearer".to_owned(),
            expires_at: Some(self.clock.now() + seconds * 1000),
            scopes: vec!["read".to_owned()],
            obtained_at: self.clock.now() - 3_600_000,
        }
    }

    pub(super) fn process(&self, holder: &str) -> Process {
        self.skewed(holder, 0)
    }

    /// A process whose clock is wrong by so many milliseconds.
    pub(super) fn skewed(&self, holder: &str, skew: Millis) -> Process {
        let clock = RuntimeClock(self.clock.0, skew);
        let tasks = Arc::new(Tasks::default());
        let client = Client::new(
            self.double.clone(),
            Arc::new(clock),
            self.random.clone(),
            Duration::from_secs(10),
        );
        let manager = Manager::new(Parts {
            store: self.store.clone(),
            client,
            apps: Arc::new(OneApp(self.app.clone())),
            keyring: self.keyring.clone(),
            clock: Arc::new(clock),
            random: self.random.clone(),
            spawn: tasks.clone(),
            hooks: self.seen.clone(),
            holder: holder.to_owned(),
            settings: Settings::default(),
        });
        Process { manager, tasks }
    }

    pub(super) async fn grant(&self) -> Grant {
        self.store.get("g").await.unwrap().unwrap()
    }

    pub(super) fn events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.seen.0.lock().unwrap())
    }
}

impl Process {
    /// Kills it: its tasks stop at whatever they wait for.
    pub(super) fn kill(self) {
        self.tasks.0.lock().unwrap().abort_all();
    }
}

pub(super) async fn pass(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}
