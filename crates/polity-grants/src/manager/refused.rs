//! A token that the provider's API refuses although it seems to last.

use super::{Error, Manager, Read, Token, flight::Why};
use crate::clock::{Millis, SECOND};

/// A token that was made so lately is not replaced because it is refused: the next one would be refused, too.
const FRESH: Millis = 60 * SECOND;

/// How often the grant is read anew, because refreshes that began before the refusal end without a new token.
const TRIES: usize = 4;

impl Manager {
    /// Another token than that of `version`, which the provider's API answered with 401.
    ///
    /// If the grant still has that version, it is refreshed, once for all who ask. A token that was made less than a
    /// minute ago is not replaced: then it is not the token that is wrong, and [`Error::Fresh`] says so. A grant
    /// that cannot be refreshed ends.
    pub async fn refused(&self, id: &str, version: i64) -> Result<Token, Error> {
        match self.replaced(id, version).await {
            Err(Error::Lasting) => {
                let read = self.inner.read(id).await?;
                if read.grant.version != version {
                    return self.token(id).await;
                }
                let reason = "refused by the provider, and there is no refresh token";
                self.inner.expire(&read, reason).await
            }
            other => other,
        }
    }

    /// Another token than that of `version`, as [`Manager::refused`], but nothing ends: of a grant that cannot be refreshed,
    /// [`Error::Lasting`] says so.
    pub async fn replaced(&self, id: &str, version: i64) -> Result<Token, Error> {
        self.forget(id);
        for _ in 0..TRIES {
            let read = self.inner.read(id).await?;
            if read.grant.version != version {
                return self.token(id).await;
            }
            if read.is_fresh(self.inner.parts.clock.now()) {
                break;
            }
            if read.tokens.refresh.is_none() || !read.is_refreshable(&self.inner).await? {
                return Err(Error::Lasting);
            }
            let why = Why::Refused(version);
            let token = self.landed(self.flight(id, why), id, why).await?;
            if token.version != version {
                return Ok(token);
            }
        }
        self.forget(id);
        Err(Error::Fresh)
    }
}

impl Read {
    /// Clocks of processes may differ: what was made in the future was made just now, or by a clock that is wrong.
    fn is_fresh(&self, now: Millis) -> bool {
        now.saturating_sub(self.tokens.obtained_at).unsigned_abs() < FRESH.unsigned_abs()
    }
}
