//! What else is done with grants: begin, refresh in time, take back, and put under a new key.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use tokio::time::sleep;

use super::{Error, Event, Manager, millis};
use crate::{
    clock::{Millis, below},
    failure::Failure,
    grant::{Grant, Status},
    token::{OpenError, TokenSet},
};

/// How many grants are read at a time when keys change.
const BATCH: usize = 100;

/// What a grant begins with.
#[derive(Debug, Clone)]
pub struct NewGrant {
    /// Its id, unique in the store.
    pub id: String,
    /// The provider's name.
    pub provider: String,
    /// Whose it is.
    pub owner: String,
    /// Whose account it is at the provider.
    pub account: Option<String>,
}

/// What became of a grant that was taken back. Its tokens are erased in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnected {
    /// `Ok(true)`: the provider took it back. `Ok(false)`: it offers no way. Otherwise its tokens may work until they
    /// end, and the owner should look at the provider's own page.
    pub provider: Result<bool, Failure>,
}

/// What a run of [`Manager::refresh_due`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DueReport {
    /// Grants with a token that lasts.
    pub refreshed: usize,
    /// Grants whose owner has to sign in again.
    pub ended: usize,
    /// Grants that are tried again later.
    pub later: usize,
}

impl Manager {
    /// Keeps a new grant with its first tokens.
    pub async fn connect(&self, new: NewGrant, tokens: &TokenSet) -> Result<(), Error> {
        let parts = &self.inner.parts;
        let mut grant = Grant {
            id: new.id,
            provider: new.provider,
            owner: new.owner,
            sealed: None,
            status: Status::Active,
            scopes: Vec::new(),
            account: new.account,
            version: 0,
            expires_at: None,
            next_refresh_at: None,
            refresh_failures: 0,
            last_error: None,
            intent: None,
            fence: 0,
        };
        let now = parts.store.now().await?;
        let sealed = tokens.seal(&parts.keyring, &grant.id);
        grant.renew(
            sealed,
            tokens.scopes.clone(),
            tokens.expires_at,
            self.inner.refresh_in(tokens),
            now,
        );
        Ok(parts.store.insert(grant).await?)
    }

    /// Gives a grant the tokens of a new sign-in. A refresh that runs loses its fence. Not for one that was revoked.
    pub async fn reconnect(&self, id: &str, tokens: &TokenSet) -> Result<(), Error> {
        let parts = &self.inner.parts;
        let sealed = tokens.seal(&parts.keyring, id);
        let refresh_in = self.inner.refresh_in(tokens);
        let mut change = |grant: &mut Grant, now: Millis| {
            let may = grant.status != Status::Revoked;
            if may {
                grant.renew(
                    sealed.clone(),
                    tokens.scopes.clone(),
                    tokens.expires_at,
                    refresh_in,
                    now,
                );
            }
            may
        };
        let changed = parts.store.update(id, &mut change).await?;
        self.forget(id);
        match changed {
            Some(true) => Ok(()),
            Some(false) => Err(Error::Revoked),
            None => Err(Error::NotFound),
        }
    }

    /// Refreshes at most `limit` grants whose time has come, `at_once` at a time, each after a pause at random of up to
    /// `jitter`.
    pub async fn refresh_due(&self, limit: usize, at_once: usize, jitter: Duration) -> Result<DueReport, Error> {
        let due = self.inner.parts.store.due(0, limit).await?;
        let refresh = async |id: String| {
            let pause = below(&*self.inner.parts.random, millis(jitter).unsigned_abs());
            sleep(Duration::from_millis(pause)).await;
            let flight = self.flight(&id);
            self.inner.landed(flight).await
        };
        let results: Vec<_> = stream::iter(due)
            .map(refresh)
            .buffer_unordered(at_once.max(1))
            .collect()
            .await;
        let mut report = DueReport::default();
        for result in results {
            match result {
                Ok(_) => report.refreshed += 1,
                Err(Error::NeedsReauthorization(_) | Error::Revoked | Error::NotFound) => report.ended += 1,
                Err(_) => report.later += 1,
            }
        }
        Ok(report)
    }

    /// Takes a grant back: erases its tokens here, then at the provider. In this order, because a refresh that runs in
    /// another process then finds its fence lost and takes back what it got.
    pub async fn disconnect(&self, id: &str) -> Result<Disconnected, Error> {
        let parts = &self.inner.parts;
        let before = parts.store.revoke(id).await?.ok_or(Error::NotFound)?;
        self.forget(id);
        let provider = match &before.sealed {
            // Taken back before.
            None => Ok(true),
            Some(sealed) => self.revoke(&before, sealed).await,
        };
        if before.status != Status::Revoked {
            self.inner.say(Event::Revoked { grant: id.to_owned() }).await;
        }
        Ok(Disconnected { provider })
    }

    async fn revoke(&self, grant: &Grant, sealed: &[u8]) -> Result<bool, Failure> {
        let parts = &self.inner.parts;
        let wrong = |error: &dyn std::error::Error| Failure::Misconfigured {
            reason: error.to_string(),
        };
        let tokens = TokenSet::open(&parts.keyring, &grant.id, sealed).map_err(|error| wrong(&error))?;
        let app = parts.apps.app(grant).await.map_err(|error| wrong(&error))?;
        parts.client.revoke(&app, &tokens).await
    }

    /// Puts tokens that another key sealed under the current one, while they are used; how many. Ends when there are no
    /// more. A grant that changes meanwhile is sealed anew by that change.
    pub async fn reseal(&self) -> Result<usize, Error> {
        let parts = &self.inner.parts;
        let (mut done, mut after) = (0, String::new());
        loop {
            let key = parts.keyring.current_id().to_string();
            let ids = parts.store.sealed_by_others(&key, &after, BATCH).await?;
            let Some(last) = ids.last().cloned() else {
                return Ok(done);
            };
            for id in ids {
                let Some(grant) = parts.store.get(&id).await? else {
                    continue;
                };
                let Some(sealed) = &grant.sealed else { continue };
                if let Some(fresh) = TokenSet::reseal(&parts.keyring, &id, sealed).map_err(OpenError::from)? {
                    done += usize::from(parts.store.reseal(&id, grant.version, fresh).await?);
                }
            }
            after = last;
        }
    }
}
