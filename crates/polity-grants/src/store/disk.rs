//! Grants in a folder, for programs of a few thousand grants on one machine; several processes may share it.
//!
//! Each grant is a file, replaced whole: written beside, synced, renamed, and the folder synced. What locks a grant is
//! the folder it is in, one of 256, by `flock`: the kernel frees it when a process dies, and no file stays behind.
//! The store's time is the machine's clock, which all its processes share.
//!
//! Finding what is due reads every file. Files are of mode 0600; tokens in them are sealed, the rest is not.

mod files;

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use polity_seal::key_id_of;
use serde::{Deserialize, Serialize};

use self::files::{Held, all, hold, write};
use super::{Change, Pending, Store, StoreError};
use crate::{
    clock::{Clock, Millis},
    grant::Grant,
};

const GRANTS: &str = "grants";
const PENDING: &str = "pending";

/// Grants in a folder.
pub struct Disk {
    root: PathBuf,
    clock: Arc<dyn Clock>,
}

/// A pending authorization as it is written.
#[derive(Serialize, Deserialize)]
struct Waiting {
    browser: String,
    until: Millis,
    sealed: Vec<u8>,
}

impl Disk {
    /// The store in that folder, which is made if it is not there. `clock` must be the machine's own.
    pub fn open(root: PathBuf, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        for kind in [GRANTS, PENDING] {
            files::make(&root.join(kind))?;
        }
        Ok(Self { root, clock })
    }

    /// Locks the place of `id` and reads what is there. Blocks until others are done, so it runs on a thread for that.
    async fn hold(&self, kind: &'static str, id: &str) -> Result<Held, StoreError> {
        let (folder, id) = (self.root.join(kind), id.to_owned());
        blocking(move || hold(&folder, &id)).await
    }

    async fn write(&self, held: Held, text: Vec<u8>) -> Result<(), StoreError> {
        blocking(move || write(held, &text)).await
    }

    async fn grants(&self) -> Result<Vec<Grant>, StoreError> {
        let folder = self.root.join(GRANTS);
        let texts = blocking(move || all(&folder)).await?;
        texts.iter().map(|text| read(text)).collect()
    }
}

/// Runs it where blocking harms nobody. It runs to its end even if nobody waits any more.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string())))
}

fn read<T: for<'de> Deserialize<'de>>(text: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(text).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn text(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}

#[async_trait]
impl Store for Disk {
    async fn now(&self) -> Result<Millis, StoreError> {
        Ok(self.clock.now())
    }

    async fn insert(&self, grant: Grant) -> Result<(), StoreError> {
        let held = self.hold(GRANTS, &grant.id).await?;
        if held.text.is_some() {
            return Err(StoreError::Exists);
        }
        self.write(held, text(&grant)?).await
    }

    async fn get(&self, id: &str) -> Result<Option<Grant>, StoreError> {
        let (folder, id) = (self.root.join(GRANTS), id.to_owned());
        let found = blocking(move || files::get(&folder, &id)).await?;
        found.map(|text| read(&text)).transpose()
    }

    async fn update(&self, id: &str, change: Change<'_>) -> Result<Option<bool>, StoreError> {
        let held = self.hold(GRANTS, id).await?;
        let Some(stored) = &held.text else {
            return Ok(None);
        };
        let mut grant: Grant = read(stored)?;
        // The time after the lock was got: waiting for it must not make a lease look longer.
        if !change(&mut grant, self.clock.now()) {
            return Ok(Some(false));
        }
        self.write(held, text(&grant)?).await?;
        Ok(Some(true))
    }

    async fn remove(&self, id: &str) -> Result<bool, StoreError> {
        let held = self.hold(GRANTS, id).await?;
        blocking(move || files::remove(held)).await
    }

    async fn due(&self, within: Millis, limit: usize) -> Result<Vec<String>, StoreError> {
        let now = self.clock.now();
        let mut due = self.grants().await?;
        due.retain(|grant| grant.is_due(now, within));
        due.sort_by_key(|grant| grant.next_refresh_at);
        Ok(due.into_iter().take(limit).map(|grant| grant.id).collect())
    }

    async fn sealed_by_others(&self, key: &str, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let mut found = self.grants().await?;
        found.retain(|grant| {
            let sealed = grant.sealed.as_ref();
            grant.id.as_str() > after && sealed.is_some_and(|bytes| key_id_of(bytes) != Some(key))
        });
        found.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(found.into_iter().take(limit).map(|grant| grant.id).collect())
    }

    async fn put_state(&self, pending: Pending, life: Millis) -> Result<(), StoreError> {
        let now = self.clock.now();
        let waiting = Waiting {
            browser: pending.browser,
            until: now.saturating_add(life),
            sealed: pending.sealed,
        };
        let held = self.hold(PENDING, &pending.key).await?;
        let is_over = move |text: &[u8]| read::<Waiting>(text).is_ok_and(|waiting| waiting.until <= now);
        let text = text(&waiting)?;
        blocking(move || {
            files::sweep(&held, is_over)?;
            write(held, &text)
        })
        .await
    }

    async fn take_state(&self, key: &str, browser: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let held = self.hold(PENDING, key).await?;
        let Some(stored) = &held.text else {
            return Ok(None);
        };
        let waiting: Waiting = read(stored)?;
        if waiting.browser != browser || waiting.until <= self.clock.now() {
            return Ok(None);
        }
        blocking(move || files::remove(held)).await?;
        Ok(Some(waiting.sealed))
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("root", &self.root).finish_non_exhaustive()
    }
}
