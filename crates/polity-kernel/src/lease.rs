//! Leases: one holder at a time in the cluster, by a row with an end.
//!
//! A lease saves work; it is not what keeps things right. Whatever is done under one is fenced by the rows it changes.

use std::time::Duration;

use crate::{
    clock::{Clock, Timestamp},
    db::{Db, Result},
};

/// How long a lease lasts without being renewed.
const LASTS: Duration = Duration::from_secs(10);

/// A lease that one process wants for itself.
pub struct Lease {
    name: String,
    owner: String,
    clock: Clock,
    until: Option<Timestamp>,
}

impl Lease {
    /// The lease of that name, not held yet. `owner` is this process's name.
    #[must_use]
    pub fn new(name: String, owner: String, clock: Clock) -> Self {
        Self {
            name,
            owner,
            clock,
            until: None,
        }
    }

    /// Takes the lease, or renews it when half of it is over; says whether it is held now.
    ///
    /// # Errors
    /// What the database says.
    pub async fn hold(&mut self, db: &Db) -> Result<bool> {
        let now = self.clock.now();
        if self
            .until
            .is_some_and(|until| now + LASTS / 2 < until && until <= now + LASTS)
        {
            return Ok(true);
        }
        let until = now + LASTS;
        let mut tx = db.begin().await?;
        let held = tx
            .sql(
                "insert into lease (name, owner, until) values ($1, $2, $3)
                 on conflict (name) do update set owner = excluded.owner, until = excluded.until
                 where lease.owner = excluded.owner or lease.until <= $4",
            )
            .bind(&self.name)
            .bind(&self.owner)
            .bind(&until)
            .bind(&now)
            .execute()
            .await?;
        tx.commit().await?;
        self.until = (held == 1).then_some(until);
        Ok(held == 1)
    }

    /// Gives the lease back, so that nobody has to wait for its end.
    pub async fn release(&self, db: &Db) {
        let give_back = async {
            let mut tx = db.begin().await?;
            tx.sql("delete from lease where name = $1 and owner = $2")
                .bind(&self.name)
                .bind(&self.owner)
                .execute()
                .await?;
            tx.commit().await
        };
        if let Err(error) = give_back.await {
            tracing::debug!(error = %error, "a lease was not given back; it runs out by itself");
        }
    }
}

/// Frees every lease, and every job that is at work: for a process that knows it is the only one.
pub(crate) async fn free_all(db: &Db, now: Timestamp) -> Result<()> {
    let mut tx = db.begin().await?;
    tx.sql("delete from lease").execute().await?;
    tx.sql("update job set lease_until = $1 where state = 'running'")
        .bind(&now)
        .execute()
        .await?;
    tx.commit().await
}
