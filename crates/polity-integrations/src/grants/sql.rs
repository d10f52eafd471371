//! The library's store on the kernel's database.
//!
//! Invariants:
//! - A change reads the row under the grant's lock and writes it in one transaction, with what [`Watch`] writes.
//! - Tokens are written only if the change changed them: a new master key may reseal them at the same time.
//! - What other processes remember of a grant is no longer true once it ended or its owner renewed it; they are told in
//!   the transaction.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use polity_grants::{
    clock::Millis,
    grant::{Claim, Grant, Outcome, Status},
    store::{Change, Pending, Store, StoreError},
};
use polity_kernel::{
    Ctx,
    db::{Conn, Error, List, Tx},
};

use super::{
    KIND,
    row::{millis, moment},
    store,
    watch::{Watch, is_seen},
};

/// Grants in the tables of [`super::TABLES`].
pub struct Sql {
    ctx: Ctx,
    watch: Arc<dyn Watch>,
}

/// How often a future looks whether another one of its task has ended its transaction.
const MOST_WAITS: u32 = 1_000;

/// Who changes a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// A refresh: what others remember works on, or ends by itself.
    Refresh,
    /// Anybody else.
    Other,
}

impl Sql {
    /// A store on this database, whose time is the kernel's clock.
    pub fn new(ctx: &Ctx, watch: Arc<dyn Watch>) -> Self {
        Self {
            ctx: ctx.clone(),
            watch,
        }
    }

    /// Inserts a grant in the caller's transaction; [`Error::Unique`] if its id is taken.
    pub async fn insert_in(&self, tx: &mut Tx, grant: &Grant) -> Result<(), Error> {
        if store::insert(tx, grant, self.ctx.clock.now()).await? {
            return Ok(());
        }
        Err(Error::Unique("integration_grant".to_owned()))
    }

    /// The grant of that id.
    pub async fn get_in(&self, conn: &mut Conn, id: &str) -> Result<Option<Grant>, Error> {
        store::find(conn, id).await
    }

    /// Changes a grant in the caller's transaction, under the grant's lock. `None` if there is none; otherwise what
    /// `change` answered.
    pub async fn update_in(&self, tx: &mut Tx, id: &str, change: Change<'_>) -> Result<Option<bool>, Error> {
        self.change(tx, id, change, By::Other).await
    }

    /// Takes many grants back at once, whose locks the caller holds, as [`Grant::revoke`] does with one. [`Watch`] does not
    /// hear of it.
    pub async fn revoke_all_in(&self, tx: &mut Tx, ids: &[String]) -> Result<(), Error> {
        store::revoke_all(tx, &List::of(ids), self.ctx.clock.now()).await?;
        self.ctx
            .invalidations
            .tell_each(tx, &self.ctx, KIND, ids.to_vec())
            .await
    }

    /// Removes a grant for good in the caller's transaction; `false` if there was none.
    pub async fn remove_in(&self, tx: &mut Tx, id: &str) -> Result<bool, Error> {
        let removed = store::delete(tx, id).await?;
        if removed {
            self.tell(tx, id).await?;
        }
        Ok(removed)
    }

    /// Keeps a pending authorization for `life` milliseconds, in the caller's transaction.
    pub async fn put_state_in(&self, tx: &mut Tx, pending: Pending, life: Millis) -> Result<(), Error> {
        let until = moment(self.time().saturating_add(life));
        let Pending { key, browser, sealed } = pending;
        store::insert_pending(tx, &key, &browser, &sealed, until).await
    }

    /// Forgets a pending authorization that another one takes the place of, in the caller's transaction.
    pub async fn drop_state_in(&self, tx: &mut Tx, key: &str) -> Result<(), Error> {
        store::delete_pending(tx, key).await
    }

    fn time(&self) -> Millis {
        millis(self.ctx.clock.now())
    }

    async fn tell(&self, tx: &mut Tx, id: &str) -> Result<(), Error> {
        self.ctx.invalidations.tell(tx, &self.ctx, KIND, id).await
    }

    async fn change(&self, tx: &mut Tx, id: &str, change: Change<'_>, by: By) -> Result<Option<bool>, Error> {
        let Some(before) = self.locked(tx, id).await? else {
            return Ok(None);
        };
        let mut after = before.clone();
        if !change(&mut after, self.time()) {
            return Ok(Some(false));
        }
        store::save(tx, &after).await?;
        if after.sealed != before.sealed {
            let is_erased = after.status == Status::Revoked && after.sealed.is_none();
            store::save_tokens(tx, &after, is_erased.then(|| self.ctx.clock.now())).await?;
        }
        let is_stale = after.status != before.status || (by == By::Other && after.version != before.version);
        if is_stale {
            self.tell(tx, id).await?;
        }
        if is_seen(&before, &after) {
            self.watch.changed(tx, &before, &after).await?;
        }
        Ok(Some(true))
    }

    /// The grant, which nobody else changes until the transaction ends.
    async fn locked(&self, tx: &mut Tx, id: &str) -> Result<Option<Grant>, Error> {
        tx.lock(KIND, id).await?;
        store::find(tx, id).await
    }

    /// A transaction of its own. Several futures of one task may ask at once, as a batch does: one waits for the other. Who
    /// holds one themselves waits in vain, and is told.
    async fn begin(&self) -> Result<Tx, StoreError> {
        let mut waits = 0;
        loop {
            match self.ctx.db.begin().await {
                Err(Error::Nested(_)) if waits < MOST_WAITS => waits += 1,
                begun => return begun.map_err(failed),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn updated(&self, id: &str, change: Change<'_>, by: By) -> Result<Option<bool>, StoreError> {
        let mut tx = self.begin().await?;
        let changed = self.change(&mut tx, id, change, by).await.map_err(failed)?;
        if changed == Some(true) {
            tx.commit().await.map_err(failed)?;
        }
        Ok(changed)
    }
}

fn failed(error: Error) -> StoreError {
    match error {
        Error::Decode { .. } => StoreError::Corrupt(error.to_string()),
        other => StoreError::Unavailable(other.to_string()),
    }
}

fn limited(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn ids(rows: Vec<(String,)>) -> Vec<String> {
    rows.into_iter().map(|(id,)| id).collect()
}

#[async_trait]
impl Store for Sql {
    async fn now(&self) -> Result<Millis, StoreError> {
        Ok(self.time())
    }

    async fn insert(&self, grant: Grant) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        match self.insert_in(&mut tx, &grant).await {
            Err(Error::Unique(_)) => return Err(StoreError::Exists),
            other => other.map_err(failed)?,
        }
        tx.commit().await.map_err(failed)
    }

    async fn get(&self, id: &str) -> Result<Option<Grant>, StoreError> {
        let mut read = self.ctx.db.read().await.map_err(failed)?;
        store::find(&mut read, id).await.map_err(failed)
    }

    async fn update(&self, id: &str, change: Change<'_>) -> Result<Option<bool>, StoreError> {
        self.updated(id, change, By::Other).await
    }

    async fn remove(&self, id: &str) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let removed = self.remove_in(&mut tx, id).await.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(removed)
    }

    async fn due(&self, within: Millis, limit: usize) -> Result<Vec<String>, StoreError> {
        let mut read = self.ctx.db.read().await.map_err(failed)?;
        let due = store::due(&mut read, self.time(), within, limited(limit)).await;
        due.map(ids).map_err(failed)
    }

    async fn sealed_by_others(&self, key: &str, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let mut read = self.ctx.db.read().await.map_err(failed)?;
        let found = store::sealed_by_others(&mut read, key, after, limited(limit)).await;
        found.map(ids).map_err(failed)
    }

    async fn put_state(&self, pending: Pending, life: Millis) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        self.put_state_in(&mut tx, pending, life).await.map_err(failed)?;
        tx.commit().await.map_err(failed)
    }

    async fn take_state(&self, key: &str, browser: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut tx = self.begin().await?;
        let taken = store::take_pending(&mut tx, key, browser, self.ctx.clock.now()).await;
        let taken = taken.map_err(failed)?;
        if taken.is_some() {
            tx.commit().await.map_err(failed)?;
        }
        Ok(taken)
    }

    /// Writes nothing but who holds it, and only if it is to be held.
    async fn claim(&self, id: &str, version: i64, holder: &str, lease: Millis) -> Result<Claim, StoreError> {
        let mut tx = self.begin().await?;
        let Some(mut grant) = self.locked(&mut tx, id).await.map_err(failed)? else {
            return Ok(Claim::Gone);
        };
        let claim = grant.claim(version, holder, lease, self.time());
        if matches!(claim, Claim::Fresh { .. } | Claim::Recover { .. }) {
            store::save_claim(&mut tx, &grant).await.map_err(failed)?;
            tx.commit().await.map_err(failed)?;
        }
        Ok(claim)
    }

    async fn record(&self, id: &str, fence: i64, outcome: Outcome) -> Result<bool, StoreError> {
        let mut change = |grant: &mut Grant, now: Millis| grant.record(fence, outcome.clone(), now);
        let recorded = self.updated(id, &mut change, By::Refresh).await?;
        Ok(recorded.unwrap_or(false))
    }
}

impl std::fmt::Debug for Sql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sql").finish_non_exhaustive()
    }
}
