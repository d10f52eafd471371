//! Consumers: who hears what, and how far each has come.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{Event, store, store::Parked};
use crate::{
    backoff,
    clock::{Clock, Timestamp},
    db::{self, Db, Result, Tx},
    lease::Lease,
    observe,
};

/// What is done about an event. Its effects belong into `tx`; what must happen outside is a job.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Takes the event.
    ///
    /// # Errors
    /// [`HandleError::Retry`] to be asked again later, [`HandleError::Dead`] if that would be of no use.
    async fn handle(&self, tx: &mut Tx, event: &Event) -> Result<(), HandleError>;
}

/// Why an event was not taken.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// Trying again may help.
    #[error("{0}")]
    Retry(String),
    /// Trying again is of no use.
    #[error("{0}")]
    Dead(String),
}

impl From<db::Error> for HandleError {
    fn from(error: db::Error) -> Self {
        Self::Retry(error.to_string())
    }
}

/// Someone who hears events. The name is durable: it is what progress is kept under.
#[derive(Clone)]
pub struct Consumer {
    /// `service.purpose`.
    pub name: &'static str,
    /// The types it hears: `account_service.user.created`, or `account_service.*` for all that begin so; empty means all.
    pub types: &'static [&'static str],
    /// What it does.
    pub handler: Arc<dyn Handler>,
}

/// After so many attempts an event is set aside.
const ATTEMPTS: i64 = 12;
/// The first pause; each doubles the one before.
const PAUSE: Duration = Duration::from_secs(1);

/// No pause is as long.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// One consumer at work.
pub struct ConsumerRunner {
    consumer: Consumer,
    db: Db,
    clock: Clock,
    lease: Lease,
    batch: i64,
    stop: CancellationToken,
    presence: Presence,
}

/// Says now and then that somebody is this consumer, so that events wait for it.
#[derive(Default)]
pub(super) struct Presence(Option<Timestamp>);

/// How often.
const SHOWN_EVERY: Duration = Duration::from_hours(1);

impl Presence {
    pub(super) async fn show(&mut self, name: &str, db: &Db, clock: &Clock) -> Result<()> {
        let now = clock.now();
        if self.0.is_some_and(|shown| shown <= now && now < shown + SHOWN_EVERY) {
            return Ok(());
        }
        let mut tx = db.begin().await?;
        store::see(&mut tx, name, now).await?;
        tx.commit().await?;
        self.0 = Some(now);
        Ok(())
    }
}

impl ConsumerRunner {
    /// A consumer in the process `owner`.
    #[must_use]
    pub fn new(consumer: Consumer, db: Db, clock: Clock, owner: &str, batch: u32) -> Self {
        let lease = Lease::new(
            format!("event.consumer.{}", consumer.name),
            owner.to_owned(),
            clock.clone(),
        );
        Self {
            consumer,
            db,
            clock,
            lease,
            batch: i64::from(batch.max(1)),
            stop: CancellationToken::new(),
            presence: Presence::default(),
        }
    }

    /// Lets a step end early, after the event it is at, when `stop` is cancelled.
    #[must_use]
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Tries again what is due, then takes what is new; says how many events moved.
    ///
    /// # Errors
    /// What the database says.
    pub async fn step(&mut self) -> Result<u64> {
        let name = self.consumer.name;
        self.presence.show(name, &self.db, &self.clock).await?;
        let (progress, last) = {
            let mut read = self.db.read().await?;
            (
                store::progress(&mut read, name).await?,
                store::last_position(&mut read).await?,
            )
        };
        let now = self.clock.now();
        let due = store::due(&mut *self.db.read().await?, name, now, now + LONGEST_PAUSE, self.batch).await?;
        let lag = u32::try_from(last - progress.unwrap_or(0)).unwrap_or(u32::MAX);
        metrics::gauge!("polity_event_lag", "consumer" => name).set(f64::from(lag));
        if (progress == Some(last) && due.is_empty()) || !self.lease.hold(&self.db).await? {
            return Ok(0);
        }
        let mut position = progress.unwrap_or(0);
        let mut moved = 0;
        for (parked, attempts) in due {
            if !self.goes_on().await? {
                return Ok(moved);
            }
            moved += u64::from(self.retry(parked, attempts).await?);
        }
        let events = store::after(&mut *self.db.read().await?, position, self.consumer.types, self.batch).await?;
        let all = i64::try_from(events.len()).unwrap_or(0) < self.batch;
        for event in events {
            let at = event.position.unwrap_or(position);
            if !self.goes_on().await? || !self.take(&event, position, at).await? {
                return Ok(moved);
            }
            position = at;
            moved += 1;
        }
        if all && position < last {
            let mut tx = self.db.begin().await?;
            store::advance(&mut tx, name, position, last).await?;
            tx.commit().await?;
        }
        Ok(moved)
    }

    /// Whether there is time for one more event; renews the lease, since a step may last longer than it.
    async fn goes_on(&mut self) -> Result<bool> {
        Ok(!self.stop.is_cancelled() && self.lease.hold(&self.db).await?)
    }

    /// Lets the handler have the event and commits. The inner error is the handler's, the outer one the database's.
    async fn attempt(&self, mut tx: Tx, event: &Event) -> Result<std::result::Result<(), HandleError>> {
        let handled = AssertUnwindSafe(self.consumer.handler.handle(&mut tx, event))
            .catch_unwind()
            .instrument(observe::event_span(self.consumer.name, &event.id))
            .await;
        let ok = if matches!(handled, Ok(Ok(()))) { "true" } else { "false" };
        metrics::counter!("polity_events_total", "consumer" => self.consumer.name, "ok" => ok).increment(1);
        match handled.unwrap_or_else(|_| Err(HandleError::Retry("the handler panicked".to_owned()))) {
            Ok(()) => match tx.commit().await {
                // It hid that a statement had failed, or took too long: it would do so again.
                Err(error @ (db::Error::Aborted | db::Error::Expired(_))) => Ok(Err(error.into())),
                done => done.map(Ok),
            },
            Err(error) => {
                drop(tx);
                Ok(Err(error))
            }
        }
    }

    /// Takes a new event, or parks it; false if somebody else is at it.
    async fn take(&self, event: &Event, from: i64, to: i64) -> Result<bool> {
        let name = self.consumer.name;
        let mut tx = self.db.begin().await?;
        // Progress first: whoever comes second waits here, and finds that the position has moved.
        if !store::advance(&mut tx, name, from, to).await? {
            return Ok(false);
        }
        if store::is_held_back(&mut tx, name, &event.key).await? {
            store::park(&mut tx, &self.parked(event, "retry", 0, self.clock.now(), None)).await?;
            tx.commit().await?;
            return Ok(true);
        }
        match self.attempt(tx, event).await? {
            Ok(()) => Ok(true),
            Err(error) => {
                let mut tx = self.db.begin().await?;
                let moved = store::advance(&mut tx, name, from, to).await?;
                if moved {
                    self.fail(&mut tx, event, 0, &error).await?;
                    tx.commit().await?;
                }
                Ok(moved)
            }
        }
    }

    /// Tries a parked event again; says whether it is off the list.
    async fn retry(&self, position: i64, attempts: i64) -> Result<bool> {
        let name = self.consumer.name;
        let mut tx = self.db.begin().await?;
        if !store::unpark(&mut tx, name, position, attempts).await? {
            return Ok(false);
        }
        let Some(event) = store::at(&mut tx, position).await? else {
            tx.commit().await?;
            return Ok(true);
        };
        match self.attempt(tx, &event).await? {
            Ok(()) => Ok(true),
            Err(error) => {
                let mut tx = self.db.begin().await?;
                if store::unpark(&mut tx, name, position, attempts).await? {
                    self.fail(&mut tx, &event, attempts, &error).await?;
                    tx.commit().await?;
                }
                Ok(false)
            }
        }
    }

    async fn fail(&self, tx: &mut Tx, event: &Event, attempts: i64, error: &HandleError) -> Result<()> {
        let attempts = attempts + 1;
        let dead = matches!(error, HandleError::Dead(_)) || attempts >= ATTEMPTS;
        let state = if dead { "dead" } else { "retry" };
        let next_at = self.clock.now() + backoff::pause(PAUSE, attempts, &event.id);
        if dead {
            tracing::error!(event.id, event.consumer = self.consumer.name, error = %error, "an event was set aside");
        } else {
            tracing::warn!(event.id, event.consumer = self.consumer.name, error = %error, "an event will be tried again");
        }
        let error = error.to_string();
        store::park(tx, &self.parked(event, state, attempts, next_at, Some(&error))).await
    }

    fn parked<'a>(
        &self,
        event: &'a Event,
        state: &'static str,
        attempts: i64,
        next_at: crate::clock::Timestamp,
        error: Option<&'a str>,
    ) -> Parked<'a> {
        let position = event.position.unwrap_or_default();
        Parked {
            consumer: self.consumer.name,
            position,
            key: &event.key,
            state,
            attempts,
            next_at,
            error,
        }
    }

    pub(super) async fn release(&self) {
        self.lease.release(&self.db).await;
    }
}
