//! What an owner does with a grant: begins it, signs in again, takes it back. Each also in parts, for a store whose caller
//! has a transaction of their own.

use super::{Error, Event, Inner, Manager};
use crate::{
    clock::Millis,
    failure::Failure,
    grant::{Grant, Status},
    token::TokenSet,
};

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

/// The tokens of a new sign-in, for one grant. A store may apply it as often as it tries.
#[derive(Clone)]
pub struct Renewal {
    id: String,
    sealed: Vec<u8>,
    scopes: Vec<String>,
    expires_at: Option<Millis>,
    refresh_in: Option<Millis>,
}

impl Renewal {
    fn new(inner: &Inner, id: &str, tokens: &TokenSet) -> Self {
        Self {
            id: id.to_owned(),
            sealed: tokens.seal(&inner.parts.keyring, id),
            scopes: tokens.scopes.clone(),
            expires_at: tokens.expires_at,
            refresh_in: inner.refresh_in(tokens),
        }
    }

    /// Gives the grant these tokens at the store's time; a refresh that runs loses its fence. `false`, and nothing is
    /// changed, if it was revoked or is another grant, under whose id the tokens would not open.
    pub fn apply(&self, grant: &mut Grant, now: Millis) -> bool {
        let may = grant.status != Status::Revoked && grant.id == self.id;
        if may {
            let sealed = self.sealed.clone();
            grant.renew(sealed, self.scopes.clone(), self.expires_at, self.refresh_in, now);
        }
        may
    }
}

impl std::fmt::Debug for Renewal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewal").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Manager {
    /// A new grant with its first tokens, to be inserted by the caller. `now` is the store's time.
    pub fn prepare(&self, new: NewGrant, tokens: &TokenSet, now: Millis) -> Grant {
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
        Renewal::new(&self.inner, &grant.id, tokens).apply(&mut grant, now);
        grant
    }

    /// Keeps a new grant with its first tokens.
    pub async fn connect(&self, new: NewGrant, tokens: &TokenSet) -> Result<(), Error> {
        let store = &self.inner.parts.store;
        let grant = self.prepare(new, tokens, store.now().await?);
        Ok(store.insert(grant).await?)
    }

    /// What [`Manager::reconnect`] applies, for a caller who applies it in a change of their own. What is remembered of
    /// the grant is forgotten by [`Manager::forget`] once that change is kept.
    pub fn renewal(&self, id: &str, tokens: &TokenSet) -> Renewal {
        Renewal::new(&self.inner, id, tokens)
    }

    /// Gives a grant the tokens of a new sign-in. A refresh that runs loses its fence. Not for one that was revoked.
    pub async fn reconnect(&self, id: &str, tokens: &TokenSet) -> Result<(), Error> {
        let renewal = self.renewal(id, tokens);
        let mut change = |grant: &mut Grant, now: Millis| renewal.apply(grant, now);
        let changed = self.inner.parts.store.update(id, &mut change).await?;
        self.forget(id);
        match changed {
            Some(true) => Ok(()),
            Some(false) => Err(Error::Revoked),
            None => Err(Error::NotFound),
        }
    }

    /// Takes a grant back: erases its tokens here, then at the provider. In this order, because a refresh that runs in
    /// another process then finds its fence lost and takes back what it got.
    pub async fn disconnect(&self, id: &str) -> Result<Disconnected, Error> {
        let before = self.inner.parts.store.revoke(id).await?.ok_or(Error::NotFound)?;
        self.forget(id);
        let provider = self.take_back(&before).await;
        if before.status != Status::Revoked {
            self.inner.say(Event::Revoked { grant: id.to_owned() }).await;
        }
        Ok(Disconnected { provider })
    }

    /// The provider's half of [`Manager::disconnect`], with a grant as it was before it was revoked: asks the provider to
    /// take its tokens back. May be repeated. `Ok(true)`: it did, or there were none any more; `Ok(false)`: it offers no
    /// way.
    pub async fn take_back(&self, before: &Grant) -> Result<bool, Failure> {
        let Some(sealed) = &before.sealed else {
            return Ok(true);
        };
        let parts = &self.inner.parts;
        let wrong = |error: &dyn std::error::Error| Failure::Misconfigured {
            reason: error.to_string(),
        };
        let tokens = TokenSet::open(&parts.keyring, &before.id, sealed).map_err(|error| wrong(&error))?;
        let app = parts.apps.app(before).await.map_err(|error| match error {
            Error::Unavailable(_) | Error::Store(_) => Failure::Transient {
                retry_after: None,
                text: error.to_string(),
            },
            _ => wrong(&error),
        })?;
        parts.client.revoke(&app, &tokens).await
    }
}
