//! Always a working token: remembered, read, or refreshed once over all processes.
//!
//! A refresh goes: claim (the intent is durable) → call → record (the answer is durable) → use. It runs in a task of its
//! own, so that a caller who leaves does not take the answer along. Whoever finds an intent of somebody else waits for
//! its lease; what comes after a lease that ran out, is the provider's recovery rule.

mod cache;
mod claim;
mod flight;
mod hooks;
mod owner;
mod refused;
mod rest;
mod settings;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures::future::BoxFuture;
use polity_seal::{Keyring, Secret};
use tokio::sync::watch;

use self::{
    cache::{Cache, Ticket},
    flight::Why,
};
pub use self::{
    hooks::{Event, Hooks, NoHooks},
    owner::{Disconnected, NewGrant, Renewal},
    rest::DueReport,
    settings::Settings,
};
use crate::{
    client::{App, Client},
    clock::{Clock, Millis, Random, SECOND},
    grant::{Grant, Status},
    provider::Refresh,
    store::{Store, StoreError},
    token::{OpenError, TokenSet},
};

/// An access token to be used now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What calls carry as a bearer token.
    pub access: Secret,
    /// When it ends, in unix milliseconds; absent: it does not.
    pub expires_at: Option<Millis>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// The version of the grant it is of.
    pub version: i64,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such grant.
    #[error("there is no such grant")]
    NotFound,
    /// It was taken back.
    #[error("the grant was revoked")]
    Revoked,
    /// It ended: its owner has to sign in again.
    #[error("the owner has to sign in again: {0}")]
    NeedsReauthorization(String),
    /// The client or the provider's entry is wrong.
    #[error("the client is not set up right: {0}")]
    Misconfigured(String),
    /// It was made less than a minute ago, and is not replaced: it is not the token that is wrong.
    #[error("the provider refuses a token that was made a moment ago")]
    Fresh,
    /// It cannot be refreshed: it lasts as long as it lasts.
    #[error("the provider gave no way to replace the token")]
    Lasting,
    /// Not now. The grant is kept.
    #[error("no token for now: {0}")]
    Unavailable(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The seal.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Knows the client that a grant was made with.
#[async_trait]
pub trait Apps: Send + Sync {
    /// The client, with its secret.
    async fn app(&self, grant: &Grant) -> Result<App, Error>;
}

/// Runs tasks. They should end before the process does; one that is killed costs what a crash costs.
pub trait Spawn: Send + Sync {
    /// Runs it, without waiting.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

/// What a manager works with.
pub struct Parts {
    /// Where grants are.
    pub store: Arc<dyn Store>,
    /// Sends the calls, and says how long one may take.
    pub client: Client,
    /// The clients of the grants.
    pub apps: Arc<dyn Apps>,
    /// Seals the tokens.
    pub keyring: Keyring,
    /// The time of this process: only for how long a token lasts.
    pub clock: Arc<dyn Clock>,
    /// For jitter.
    pub random: Arc<dyn Random>,
    /// Runs refreshes.
    pub spawn: Arc<dyn Spawn>,
    /// Is told what happens.
    pub hooks: Arc<dyn Hooks>,
    /// This process's name in intents. The manager adds something of its own to it.
    pub holder: String,
    /// Times and bounds.
    pub settings: Settings,
}

/// What a refresh that runs will say; waiters share it.
type Flight = watch::Receiver<Option<Landed>>;

/// What a refresh says.
#[derive(Debug, Clone)]
enum Landed {
    /// How it ended.
    Done(Result<Token, Error>),
    /// Another process is at it, and this refresh was not to wait for it.
    Busy,
}

/// Hands out tokens. Cheap to clone; clones are one.
#[derive(Clone)]
pub struct Manager {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    /// The name in intents, of this manager alone.
    holder: String,
    cache: Cache,
    flights: Mutex<HashMap<String, Flight>>,
}

/// A grant as it was read, opened.
struct Read {
    grant: Grant,
    tokens: TokenSet,
    ticket: Ticket,
}

impl Manager {
    /// A manager with nothing remembered.
    pub fn new(parts: Parts) -> Self {
        let cache = Cache::new(millis(parts.settings.remember), parts.settings.remembered);
        let flights = Mutex::default();
        let mut own = [0; 16];
        parts.random.fill(&mut own);
        let holder = format!("{}/{}", parts.holder, hex::encode(own));
        Self {
            inner: Arc::new(Inner {
                parts,
                holder,
                cache,
                flights,
            }),
        }
    }

    /// A token that works.
    ///
    /// Inside the margin the old one is answered while a refresh runs, until the hard margin; then the caller waits.
    /// When a refresh fails for now, a token that still lasts is answered.
    pub async fn token(&self, id: &str) -> Result<Token, Error> {
        let inner = &self.inner;
        let now = inner.parts.clock.now();
        if let Some(token) = inner.cache.get(id, now) {
            return Ok(token);
        }
        let read = inner.read(id).await?;
        if read.tokens.lasts(now, read.tokens.margin(inner.margin())) {
            return inner.remember(&read);
        }
        if read.tokens.refresh.is_none() || !read.is_refreshable(inner).await? {
            return inner.without_refresh(&read).await;
        }
        let flight = self.flight(id, Why::Needed);
        if read
            .tokens
            .lasts(now, read.tokens.margin(millis(inner.parts.settings.hard_margin)))
        {
            return read.token();
        }
        match self.landed(flight, id, Why::Needed).await {
            Err(Error::Unavailable(_) | Error::Misconfigured(_) | Error::Store(_))
                if read.tokens.lasts(inner.parts.clock.now(), 0) =>
            {
                read.token()
            }
            other => other,
        }
    }

    /// Forgets what is remembered of a grant: it was changed elsewhere, or its token was refused.
    pub fn forget(&self, id: &str) {
        self.inner.cache.forget(id);
    }

    /// Forgets everything that is remembered: something may have changed that was not heard of.
    pub fn forget_all(&self) {
        self.inner.cache.forget_all();
    }
}

impl Read {
    fn token(&self) -> Result<Token, Error> {
        if !self.tokens.is_bearer() {
            let kind = &self.tokens.token_type;
            return Err(Error::Misconfigured(format!("a token of type {kind} cannot be used")));
        }
        Ok(Token {
            access: self.tokens.access.clone(),
            expires_at: self.tokens.expires_at,
            scopes: self.tokens.scopes.clone(),
            version: self.grant.version,
        })
    }

    async fn is_refreshable(&self, inner: &Inner) -> Result<bool, Error> {
        Ok(inner.parts.apps.app(&self.grant).await?.provider.refresh != Refresh::None)
    }
}

impl Inner {
    /// The grant and its tokens; an error if it is not one that works.
    async fn read(&self, id: &str) -> Result<Read, Error> {
        let ticket = self.cache.ticket();
        let grant = self.parts.store.get(id).await?.ok_or(Error::NotFound)?;
        match grant.status {
            Status::Active => {}
            Status::Revoked => return Err(Error::Revoked),
            Status::Expired | Status::Error => {
                return Err(Error::NeedsReauthorization(grant.last_error.unwrap_or_default()));
            }
        }
        let sealed = grant.sealed.as_ref().ok_or(OpenError::Unreadable)?;
        let tokens = TokenSet::open(&self.parts.keyring, id, sealed)?;
        Ok(Read { grant, tokens, ticket })
    }

    fn remember(&self, read: &Read) -> Result<Token, Error> {
        let token = read.token()?;
        let now = self.parts.clock.now();
        // Not beyond the moment when it should be refreshed.
        let end = token
            .expires_at
            .map(|end| end.saturating_sub(read.tokens.margin(self.margin())));
        self.cache.put(read.ticket, &read.grant.id, token.clone(), now, end);
        Ok(token)
    }

    /// A token that cannot be refreshed is used to its end; then the grant ended.
    async fn without_refresh(&self, read: &Read) -> Result<Token, Error> {
        let now = self.parts.clock.now();
        if read.tokens.lasts(now, 0) {
            return read.token();
        }
        self.expire(read, "expired, and there is no refresh token").await
    }

    /// Ends a grant that can be refreshed no more, unless it changed since it was read.
    async fn expire(&self, read: &Read, reason: &str) -> Result<Token, Error> {
        let (id, version, reason) = (&read.grant.id, read.grant.version, reason.to_owned());
        let mut change = |grant: &mut Grant, _: Millis| {
            let same = grant.version == version;
            if same {
                grant.expire(reason.clone());
            }
            same
        };
        if self.parts.store.update(id, &mut change).await? == Some(true) {
            self.cache.forget(id);
            self.say(Event::NeedsReauthorization {
                grant: id.clone(),
                reason: reason.clone(),
            })
            .await;
        }
        Err(Error::NeedsReauthorization(reason))
    }

    fn margin(&self) -> Millis {
        millis(self.parts.settings.margin)
    }

    async fn say(&self, event: Event) {
        self.parts.hooks.happened(&event).await;
    }
}

impl std::fmt::Debug for Manager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manager")
            .field("holder", &self.inner.parts.holder)
            .finish_non_exhaustive()
    }
}

/// A span in milliseconds.
fn millis(span: std::time::Duration) -> Millis {
    Millis::try_from(span.as_millis()).unwrap_or(Millis::MAX / SECOND)
}
