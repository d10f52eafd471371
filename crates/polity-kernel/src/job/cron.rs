//! Schedules: jobs by the clock, each tick enqueued once in the cluster.

use std::str::FromStr;

use chrono::SubsecRound;

use super::{Jobs, NewJob, store};
use crate::{
    clock::Clock,
    db::{Db, Result},
};

/// A job by the clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Cron {
    /// `service.purpose`; durable: ticks are kept under it.
    pub name: &'static str,
    /// When, as five fields of cron, in UTC.
    pub schedule: &'static str,
    /// The kind of job to enqueue.
    pub kind: &'static str,
    /// What it is to do.
    pub payload: serde_json::Value,
}

/// The schedules of a process.
pub struct Schedules {
    crons: Vec<(Cron, croner::Cron)>,
    db: Db,
    clock: Clock,
    jobs: Jobs,
}

impl Schedules {
    /// Takes the schedules.
    ///
    /// # Errors
    /// A sentence that names the schedule that is none.
    pub fn new(crons: Vec<Cron>, db: Db, clock: Clock, jobs: Jobs) -> Result<Self, String> {
        let parse = |cron: Cron| match croner::Cron::from_str(cron.schedule) {
            Ok(parsed) => Ok((cron, parsed)),
            Err(error) => Err(format!(
                "the schedule {:?} of {} is none: {error}",
                cron.schedule, cron.name
            )),
        };
        let crons = crons.into_iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { crons, db, clock, jobs })
    }

    /// Enqueues what has become due since the last look; says how much. Ticks that were missed run once, not one by one.
    ///
    /// # Errors
    /// What the database says.
    pub async fn step(&self) -> Result<u32> {
        // The schedule hands the fraction of a second on: with it, every look would find another tick.
        let now = self.clock.now().trunc_subsecs(0);
        let mut enqueued = 0;
        for (cron, schedule) in &self.crons {
            let last = store::last_tick(&mut *self.db.read().await?, cron.name).await?;
            let Some(last) = last else {
                let mut tx = self.db.begin().await?;
                store::enrol_cron(&mut tx, cron.name, now).await?;
                tx.commit().await?;
                continue;
            };
            let Ok(tick) = schedule.find_previous_occurrence(&now, true) else {
                continue;
            };
            if tick <= last {
                continue;
            }
            let mut tx = self.db.begin().await?;
            if store::take_tick(&mut tx, cron.name, tick).await? {
                self.jobs
                    .enqueue(&mut tx, NewJob::new(cron.kind, cron.payload.clone()))
                    .await?;
                tx.commit().await?;
                enqueued += 1;
            }
        }
        Ok(enqueued)
    }
}
