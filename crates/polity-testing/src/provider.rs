//! An OAuth 2 provider on a loopback socket, for tests and for load.
//!
//! It answers as RFC 6749, 7636, 7009 and 8628 say, and as providers document what these leave open: what becomes of a
//! refresh token by its use. It is a real server to whoever calls it, and a handle to the test that owns it: it can be
//! told to fail in every way a network and a provider have, and it remembers who used which token how often.
//!
//! ```no_run
//! # use polity_testing::provider::{Endpoint, Fault, Provider, Rotation, Settings};
//! # async fn test() {
//! let provider = Provider::start(Settings { rotation: Rotation::Rotating, ..Settings::default() }).await;
//! let pair = provider.grant("ada", &["read"]);
//! provider.fault(Endpoint::Token, Fault::DropAfter);
//! // … the tokens are refreshed, and the answer is lost …
//! assert_eq!(provider.refresh_calls(&pair.refresh), 1);
//! assert_eq!(provider.reuses(), 0);
//! # }
//! ```
//!
//! - Tokens are the same in every run: they are drawn from a counter. They protect nothing.
//! - Its time goes by as the world's does, and on top of it as [`Provider::advance`] says.
//! - Dropping the last handle closes its socket and every connection.

mod api;
mod authorize;
mod device;
mod fault;
mod message;
mod record;
mod serve;
mod state;
#[cfg(test)]
mod tests;
mod token;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, task::AbortHandle};

use self::state::State;
pub use self::{
    fault::{Endpoint, Fault},
    record::Course,
    state::Pair,
};

/// The id of the client that every provider knows.
pub const CLIENT_ID: &str = "test-client";
/// The secret of that client. It protects nothing.
pub const CLIENT_SECRET: &str = "test-only-client-secret:0123456789 ü";

/// What becomes of a refresh token by its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It goes on working, and an answer brings no other.
    Stable,
    /// Each use brings a new one. The use of an old one ends the whole grant.
    Rotating,
    /// For so long after its use the old one is answered with the same successor, unless that was used already.
    Window(Duration),
}

/// How a client says who it is, in the catalogue's words. The provider itself takes every way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// In the header.
    Basic,
    /// In the body.
    Post,
}

/// What a provider is like.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What becomes of a refresh token by its use.
    pub rotation: Rotation,
    /// How long an access token lasts; whole seconds.
    pub access_life: Duration,
    /// How long a code lasts.
    pub code_life: Duration,
    /// What its entry says about clients.
    pub client_auth: ClientAuth,
    /// Clients that it knows beside [`CLIENT_ID`]: id, and secret unless it is public.
    pub clients: Vec<(String, Option<String>)>,
    /// Where browsers may be sent back to; empty: anywhere.
    pub redirect_uris: Vec<String>,
    /// Whether an authorization without PKCE is refused.
    pub requires_pkce: bool,
    /// How much later than it is done a call for tokens is answered.
    pub answers_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rotation: Rotation::Rotating,
            access_life: Duration::from_hours(1),
            code_life: Duration::from_mins(1),
            client_auth: ClientAuth::Basic,
            clients: Vec::new(),
            redirect_uris: Vec::new(),
            requires_pkce: false,
            answers_after: Duration::ZERO,
        }
    }
}

/// A provider that runs. Clones are one.
#[derive(Clone)]
pub struct Provider {
    core: Arc<Core>,
    _running: Arc<Running>,
}

/// What the handle and the connections share.
struct Core {
    settings: Settings,
    address: SocketAddr,
    begun: Instant,
    /// What was added to the time, in milliseconds.
    ahead: AtomicU64,
    state: Mutex<State>,
}

/// Ends the server when the last handle goes.
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Provider {
    /// Starts one on a free port.
    #[expect(
        clippy::disallowed_methods,
        reason = "the server ends with its handle, and not with a Polity"
    )]
    pub async fn start(settings: Settings) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Mutex::new(State::new(&settings));
        let core = Arc::new(Core {
            settings,
            address,
            begun: Instant::now(),
            ahead: AtomicU64::new(0),
            state,
        });
        let task = tokio::spawn(serve::accept(listener, Arc::clone(&core)));
        Self {
            core,
            _running: Arc::new(Running(task.abort_handle())),
        }
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.core.url()
    }

    /// Its entry in a catalogue, for `Catalogue::parse_with_loopback`; `more` are further lines of it, which win.
    pub fn catalogue_entry(&self, name: &str, more: &str) -> String {
        let url = self.url();
        let (refresh, recovery) = match self.core.settings.rotation {
            Rotation::Stable => ("\"stable\"".to_owned(), "\"retry\"".to_owned()),
            Rotation::Rotating => (
                "{ rotating = { replay_window = 0 } }".to_owned(),
                "\"reauthorize\"".to_owned(),
            ),
            Rotation::Window(time) => {
                let seconds = time.as_secs();
                let refresh = format!("{{ rotating = {{ replay_window = {seconds} }} }}");
                (refresh, format!("{{ retry_within = {seconds} }}"))
            }
        };
        let client_auth = match self.core.settings.client_auth {
            ClientAuth::Basic => "basic",
            ClientAuth::Post => "post",
        };
        let own = format!(
            "name = \"{name}\"\ndisplay_name = \"{name}\"\nauthorize_url = \"{url}/authorize\"\n\
             token_url = \"{url}/token\"\nrevoke_url = \"{url}/revoke\"\nrevocation = \"rfc7009\"\n\
             device_url = \"{url}/device\"\nuserinfo_url = \"{url}/userinfo\"\ndocumentation = \"{url}/\"\n\
             scopes_default = [\"read\"]\nclient_auth = \"{client_auth}\"\nrefresh = {refresh}\n\
             recovery = {recovery}\napi_hosts = [\"127.0.0.1\"]\nverified = false\n\
             identity = {{ source = \"userinfo\", id = \"/sub\", email = \"/email\", name = \"/name\" }}\n"
        );
        let mut entry: toml::Table = own.parse().unwrap();
        entry.extend(more.parse::<toml::Table>().unwrap());
        let mut all = toml::Table::new();
        all.insert("provider".to_owned(), toml::Value::Array(vec![entry.into()]));
        all.to_string()
    }

    /// Lets so much time go by for it.
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap();
        self.core.ahead.fetch_add(millis, Ordering::Relaxed);
    }

    /// The first access token of every grant made from now on ends in so long, whenever it is made: then all these grants
    /// come due together.
    pub fn first_tokens_end_in(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        let end = self.core.now() + millis;
        self.core.state().first_end = Some(end);
    }

    /// The next call of that endpoint meets this fault; faults wait for their calls in order.
    pub fn fault(&self, endpoint: Endpoint, fault: Fault) {
        self.core.state().faults.entry(endpoint).or_default().push_back(fault);
    }

    /// How many faults of that endpoint wait for their calls.
    pub fn faults_left(&self, endpoint: Endpoint) -> usize {
        self.core.state().faults.get(&endpoint).map_or(0, VecDeque::len)
    }

    /// Makes a grant, as if `account` had gone through [`CLIENT_ID`]'s sign-in.
    pub fn grant(&self, account: &str, scopes: &[&str]) -> Pair {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let now = self.core.now();
        let mut state = self.core.state();
        let family = state.family(account, CLIENT_ID, scopes);
        state.pair(family, now)
    }

    /// Who signs in from now on, unless an address has a `login_hint`.
    pub fn sign_in_as(&self, account: &str) {
        account.clone_into(&mut self.core.state().account);
    }

    /// Ends the grant of a token: its owner took it back at the provider, or an operator did.
    pub fn end_grant(&self, token: &str) {
        let mut state = self.core.state();
        let family = state.family_of(token).expect("the provider knows the token");
        state.end(family);
    }

    /// Ends one access token before its time.
    pub fn end_access(&self, token: &str) {
        let mut state = self.core.state();
        state
            .access
            .get_mut(token)
            .expect("the provider knows the token")
            .is_ended = true;
    }

    /// What the owner of a device does: agrees as `account`, or refuses.
    pub fn decide_device(&self, user_code: &str, account: Option<&str>) {
        self.core.state().decide_device(user_code, account);
    }
}

impl Core {
    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Milliseconds since it began.
    fn now(&self) -> u64 {
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        since + self.ahead.load(Ordering::Relaxed)
    }

    /// A test that panicked elsewhere leaves the state whole: each change of it is one function.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}
