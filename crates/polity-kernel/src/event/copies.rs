//! Copies of events for readers outside, in a JetStream stream.
//!
//! One process at a time copies, under a lease. Each message says which one it follows, so the stream is in order, without
//! gaps and without repetitions, also when a process dies between sending and remembering, or wakes up after it lost its
//! lease: the stream itself says where to go on.

use futures::future::try_join_all;

use super::{Event, consumer::Presence, store};
use crate::{
    clock::Clock,
    db::{self, Db},
    lease::Lease,
    nats::{Copy, Nats, NatsError},
};

/// The name its progress is kept under, as a consumer's.
pub(super) const NAME: &str = "nats.copies";

/// Why copying could not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error(transparent)]
    Db(#[from] db::Error),
    #[error(transparent)]
    Nats(#[from] NatsError),
}

/// Copies what has been stamped.
pub(super) struct Copier {
    db: Db,
    nats: Nats,
    clock: Clock,
    lease: Lease,
    presence: Presence,
    batch: i64,
    end: End,
}

/// What the stream ends with.
enum End {
    /// It has to be asked.
    Unknown,
    /// The id of its last copy, if it has one.
    At(Option<String>),
}

impl Copier {
    pub(super) fn new(db: Db, clock: Clock, nats: Nats, owner: &str, batch: u32) -> Self {
        Self {
            db,
            nats,
            lease: Lease::new("event.copies".to_owned(), owner.to_owned(), clock.clone()),
            clock,
            presence: Presence::default(),
            batch: i64::from(batch.max(1)),
            end: End::Unknown,
        }
    }

    /// Copies a batch; says how many events that were. After an error it starts from what the stream says.
    pub(super) async fn step(&mut self) -> Result<u64, CopyError> {
        let copied = self.copy().await;
        if copied.is_err() {
            self.end = End::Unknown;
        }
        copied
    }

    async fn copy(&mut self) -> Result<u64, CopyError> {
        self.presence.show(NAME, &self.db, &self.clock).await?;
        let (progress, last) = {
            let mut read = self.db.read().await?;
            (
                store::progress(&mut read, NAME).await?,
                store::last_position(&mut read).await?,
            )
        };
        if progress == Some(last) || !self.lease.hold(&self.db).await? {
            return Ok(0);
        }
        let mut position = progress.unwrap_or(0);
        let previous = match std::mem::replace(&mut self.end, End::Unknown) {
            End::At(previous) => previous,
            End::Unknown => self.ask_for_the_end(&mut position, last).await?,
        };
        let events = store::after(&mut *self.db.read().await?, position, &[], self.batch).await?;
        let (end, reached) = self.send(&events, previous, position).await?;
        self.remember(position, reached).await?;
        self.end = End::At(end);
        Ok(events.len() as u64)
    }

    /// The id of the last copy in the stream; moves `position` to it where somebody died after sending it and before
    /// remembering that. A stream that is ahead of the database belongs to another one, or to a later state of this one: its
    /// end is no reason to skip anything.
    async fn ask_for_the_end(&self, position: &mut i64, last: i64) -> Result<Option<String>, CopyError> {
        let last_copy = self.nats.last_copy().await?;
        if let Some(copy) = &last_copy
            && (*position + 1..=last).contains(&copy.position)
        {
            self.remember(*position, copy.position).await?;
            *position = copy.position;
        }
        Ok(last_copy.map(|copy| copy.id))
    }

    /// Sends them in order, then waits until all are acknowledged. Returns the new end and its position.
    async fn send(
        &self,
        events: &[Event],
        mut previous: Option<String>,
        mut position: i64,
    ) -> Result<(Option<String>, i64), CopyError> {
        let mut acknowledged = Vec::with_capacity(events.len());
        for event in events {
            position = event.position.unwrap_or(position);
            let sent = match self.send_one(event, previous.as_deref(), event.to_cloudevent()).await {
                Err(NatsError::TooLarge) => {
                    tracing::error!(
                        event.id,
                        "an event is too large for NATS; its copy goes without its data"
                    );
                    let mut copy = event.to_cloudevent();
                    copy["data"] = serde_json::Value::Null;
                    self.send_one(event, previous.as_deref(), copy).await?
                }
                sent => sent?,
            };
            acknowledged.push(sent);
            previous = Some(event.id.clone());
        }
        try_join_all(acknowledged).await?;
        Ok((previous, position))
    }

    async fn send_one(
        &self,
        event: &Event,
        previous: Option<&str>,
        copy: serde_json::Value,
    ) -> Result<impl Future<Output = Result<(), NatsError>> + use<>, NatsError> {
        self.nats
            .send_copy(Copy {
                id: &event.id,
                r#type: &event.r#type,
                position: event.position.unwrap_or_default(),
                body: copy.to_string().into_bytes(),
                previous,
            })
            .await
    }

    async fn remember(&self, from: i64, to: i64) -> Result<(), CopyError> {
        let mut tx = self.db.begin().await?;
        store::advance(&mut tx, NAME, from, to).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn release(&self) {
        self.lease.release(&self.db).await;
    }
}
