//! What else is done with grants: refresh in time, and put under a new key.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use tokio::time::sleep;

use super::{Error, Landed, Manager, flight::Why, millis};
use crate::{
    clock::{Millis, below},
    grant::Grant,
    token::{OpenError, TokenSet},
};

/// How many grants are read at a time when keys change.
const BATCH: usize = 100;

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
    /// Refreshes at most `limit` grants whose time has come, `at_once` at a time, each after a pause at random of up to
    /// `jitter`. What another process holds is left to it.
    pub async fn refresh_due(&self, limit: usize, at_once: usize, jitter: Duration) -> Result<DueReport, Error> {
        let due = self.inner.parts.store.due(0, limit).await?;
        let refresh = async |id: String| {
            let pause = below(&*self.inner.parts.random, millis(jitter).unsigned_abs());
            if pause > 0 {
                sleep(Duration::from_millis(pause)).await;
            }
            let said = self.inner.said(self.flight(&id, Why::Due)).await;
            if let Landed::Done(Err(error)) = &said {
                self.postpone(&id, error).await;
            }
            said
        };
        let all: Vec<_> = stream::iter(due)
            .map(refresh)
            .buffer_unordered(at_once.max(1))
            .collect()
            .await;
        let mut report = DueReport::default();
        for said in all {
            match said {
                Landed::Done(Ok(_)) => report.refreshed += 1,
                Landed::Done(Err(Error::NeedsReauthorization(_) | Error::Revoked | Error::NotFound)) => {
                    report.ended += 1;
                }
                Landed::Done(Err(_)) | Landed::Busy => report.later += 1,
            }
        }
        Ok(report)
    }

    /// What failed before it was claimed would stay due for ever, and in front of the others.
    async fn postpone(&self, id: &str, error: &Error) {
        let settings = &self.inner.parts.settings;
        let pause = match error {
            Error::Misconfigured(_) | Error::Open(_) => settings.longest_pause,
            _ => settings.pause,
        };
        let text = error.to_string();
        let mut change = |grant: &mut Grant, now: Millis| {
            let is_due = grant.is_due(now, 0);
            if is_due {
                grant.postpone(millis(pause), text.clone(), now);
            }
            is_due
        };
        // If the store does not answer, the next run finds it as it was.
        drop(self.inner.parts.store.update(id, &mut change).await);
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
