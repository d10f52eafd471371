//! Claiming, with a store that may fail after it wrote.

use std::time::Duration;

use super::{Error, Inner, Read, millis};
use crate::{grant::Claim, store::StoreError};

impl Inner {
    /// Claims the refresh of what was read. When the store fails, it may have written: a claim that is found there as
    /// ours is used. Left alone, it would look like a refresh of unknown outcome, though nothing was sent.
    pub(super) async fn claim(&self, read: &Read, lease: Duration) -> Result<Claim, Error> {
        let (store, grant) = (&self.parts.store, &read.grant);
        let claimed = store.claim(&grant.id, grant.version, &self.holder, millis(lease)).await;
        let Err(StoreError::Unavailable(text)) = claimed else {
            return Ok(claimed?);
        };
        let found = store.get(&grant.id).await?.and_then(|grant| grant.intent);
        // The name is of this manager alone, and one refresh of a grant runs in it at a time.
        let ours = found.filter(|intent| intent.holder == self.holder && intent.fence > grant.fence);
        match ours {
            None => Err(StoreError::Unavailable(text).into()),
            Some(intent) if intent.recoveries == 0 => Ok(Claim::Fresh { fence: intent.fence }),
            Some(intent) => Ok(Claim::Recover {
                fence: intent.fence,
                begun_at: intent.begun_at,
                now: store.now().await?,
                recoveries: intent.recoveries,
            }),
        }
    }
}
