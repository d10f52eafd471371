//! Publishing, and looking at what was published.

use std::time::Duration;

use super::{Event, NewEvent, store};
use crate::{
    Record,
    clock::Clock,
    db::{Db, Result, Tx},
    id::Ids,
    wake::{Topic, Wakes},
};

/// The outbox. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    clock: Clock,
    ids: Ids,
    wakes: Wakes,
}

/// An event that a consumer could not take however often it tried.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct DeadLetter {
    /// The consumer.
    pub consumer: String,
    /// The position of the event.
    pub position: i64,
    /// What the event is about.
    pub key: String,
    /// How often it was tried.
    pub attempts: i64,
    /// What went wrong the last time.
    pub error: Option<String>,
}

/// How many events are deleted in one transaction.
const PRUNED_AT_ONCE: i64 = 500;

impl Events {
    /// The outbox of a process.
    #[must_use]
    pub fn new(clock: Clock, ids: Ids, wakes: Wakes) -> Self {
        Self { clock, ids, wakes }
    }

    /// Writes an event in the transaction of what it reports; returns its id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn publish(&self, tx: &mut Tx, event: NewEvent) -> Result<String> {
        let event = self.made(event);
        store::insert(tx, &event).await?;
        self.announce(tx);
        Ok(event.id)
    }

    /// Writes many, in this order, in one statement.
    ///
    /// # Errors
    /// What the database says.
    pub async fn publish_all(&self, tx: &mut Tx, events: Vec<NewEvent>) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let events: Vec<Event> = events.into_iter().map(|event| self.made(event)).collect();
        store::insert_all(tx, &events).await?;
        self.announce(tx);
        Ok(())
    }

    fn made(&self, new: NewEvent) -> Event {
        Event {
            position: None,
            id: self.ids.new_id("evt_"),
            r#type: new.r#type.into_owned(),
            source: new.source.into_owned(),
            key: new.key,
            data: new.data,
            metadata: new.metadata,
            time: self.clock.now(),
        }
    }

    fn announce(&self, tx: &mut Tx) {
        let wakes = self.wakes.clone();
        tx.on_commit(move || wakes.wake(Topic::Published));
    }

    pub(super) fn announce_stamps(&self) {
        self.wakes.wake(Topic::Stamped);
    }

    /// Events after a position, in order; `types` as in [`super::Consumer::types`].
    ///
    /// # Errors
    /// What the database says.
    pub async fn read_after(&self, db: &Db, position: i64, types: &[&str], limit: u32) -> Result<Vec<Event>> {
        store::after(&mut *db.read().await?, position, types, i64::from(limit)).await
    }

    /// Lets a consumer hear again everything after a position; says whether there is such a consumer. A position that it
    /// has not reached yet changes nothing.
    ///
    /// # Errors
    /// What the database says.
    pub async fn replay(&self, db: &Db, consumer: &str, position: i64) -> Result<bool> {
        let mut tx = db.begin().await?;
        let found = store::rewind(&mut tx, consumer, position).await?;
        tx.commit().await?;
        self.announce_stamps();
        Ok(found)
    }

    /// Events that were set aside.
    ///
    /// # Errors
    /// What the database says.
    pub async fn dead_letters(&self, db: &Db, limit: u32) -> Result<Vec<DeadLetter>> {
        store::dead(&mut *db.read().await?, i64::from(limit)).await
    }

    /// Tries an event again that was set aside; says whether there was one.
    ///
    /// # Errors
    /// What the database says.
    pub async fn revive(&self, db: &Db, consumer: &str, position: i64) -> Result<bool> {
        let mut tx = db.begin().await?;
        let found = store::revive(&mut tx, consumer, position, self.clock.now()).await?;
        tx.commit().await?;
        self.announce_stamps();
        Ok(found)
    }

    /// Deletes events older than `retention` that every consumer has heard; says how many. A consumer that nobody has been for
    /// as long is not waited for.
    ///
    /// # Errors
    /// What the database says.
    pub async fn prune(&self, db: &Db, retention: Duration) -> Result<u64> {
        let before = self.clock.now() - retention;
        db.in_batches(move |tx| Box::pin(store::prune(tx, before, PRUNED_AT_ONCE)))
            .await
    }
}
