//! The sequencer: gives committed events their position.

use super::{Events, store};
use crate::{
    clock::Clock,
    db::{Db, Result},
    lease::Lease,
};

/// Stamps events, one process at a time. Two at once would be safe, and one of them idle: the counter is locked.
pub struct Sequencer {
    db: Db,
    events: Events,
    lease: Lease,
    batch: i64,
}

impl Sequencer {
    /// A sequencer of the process `owner`.
    #[must_use]
    pub fn new(db: Db, clock: Clock, events: Events, owner: &str, batch: u32) -> Self {
        let lease = Lease::new("event.sequencer".to_owned(), owner.to_owned(), clock);
        Self {
            db,
            events,
            lease,
            batch: i64::from(batch.max(1)),
        }
    }

    /// Stamps what is there; says how many events that were.
    ///
    /// # Errors
    /// What the database says.
    pub async fn step(&mut self) -> Result<u64> {
        if !store::any_unstamped(&mut *self.db.read().await?).await? || !self.lease.hold(&self.db).await? {
            return Ok(0);
        }
        let mut tx = self.db.begin().await?;
        tx.lock("event", "sequence").await?;
        let stamped = store::stamp(&mut tx, self.batch).await?;
        tx.commit().await?;
        self.events.announce_stamps();
        Ok(stamped)
    }

    pub(super) async fn release(&self) {
        self.lease.release(&self.db).await;
    }
}
