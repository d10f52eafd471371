//! What processes remember of the database, and how they hear that it is no longer true.
//!
//! [`Invalidations::tell`] says in the transaction of a change what it makes stale. This process forgets it when the
//! transaction is on disk; every other one reads the rows five times a second, at once when it is woken ([`Topic::Revoked`]),
//! so that nothing stale is used anywhere a second later. A process whose last reading is older than a second trusts no
//! [`Cache`] until it has read again.
//!
//! Invariants: rows are read by their place in a sequence, so that no clocks are compared; who finds that rows were deleted
//! which it has not read, because it slept for long, forgets everything; what was loaded before a change and put after it was
//! heard is not put ([`Ticket`]). SQLite has one process, and needs no rows.
//!
//! Deliberately absent: values in what is told. Whoever needs one looks it up.

mod remembered;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use crate::{
    Ctx,
    clock::Timestamp,
    db::{Db, List, Result, Tx},
    wake::{Topic, Wakes},
};

pub use remembered::{Cache, Ticket};

/// The tables, for the kernel's migrations.
pub const TABLES: &str = include_str!("cache/tables.sql");
/// The table of what was deleted, for the kernel's migrations.
pub const PRUNED: &str = include_str!("cache/pruned.sql");

/// How often the rows are read.
const EVERY: Duration = Duration::from_millis(190);
/// How soon after one reading another may follow.
const HURRIED: Duration = Duration::from_millis(10);
/// A process whose last reading is older than this does not trust what it remembers.
const STALE: Duration = Duration::from_secs(1);
/// How far each reading looks back. A row takes its place in the sequence before its transaction commits, and no
/// transaction is held longer than two seconds.
const OVERLAP: Duration = Duration::from_secs(5);
/// How long rows are kept; a process that has not read what is deleted then forgets everything.
const KEPT: Duration = Duration::from_mins(10);
/// How many rows are deleted in one transaction.
const PRUNED_AT_ONCE: i64 = 500;

/// What is no longer true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale<'a> {
    /// What is remembered of one subject.
    Subject(&'a str),
    /// All that is remembered: something may have been missed.
    Everything,
}

type Listener = Box<dyn Fn(Stale<'_>) + Send + Sync>;

/// What processes tell one another. Cheap to clone.
#[derive(Clone)]
pub struct Invalidations(Arc<Inner>);

struct Inner {
    wakes: Wakes,
    /// Whether there can be other processes.
    is_shared: bool,
    listeners: RwLock<Vec<(&'static str, Listener)>>,
    read_at: RwLock<Option<Instant>>,
}

impl Invalidations {
    /// Those of a process on this database.
    #[must_use]
    pub fn new(db: &Db, wakes: Wakes) -> Self {
        Self(Arc::new(Inner {
            wakes,
            is_shared: db.is_shared(),
            listeners: RwLock::default(),
            read_at: RwLock::default(),
        }))
    }

    /// Calls `heard` for every subject of that kind that has changed, here or in another process. It must be quick, and
    /// must not mind hearing the same again.
    pub fn listen(&self, kind: &'static str, heard: impl Fn(Stale<'_>) + Send + Sync + 'static) {
        let mut listeners = self.0.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.push((kind, Box::new(heard)));
    }

    /// Says, in the transaction of the change, that what is remembered of a subject is no longer true.
    ///
    /// # Errors
    /// What the database says.
    pub async fn tell(&self, tx: &mut Tx, ctx: &Ctx, kind: &'static str, subject: impl Into<String>) -> Result<()> {
        self.tell_each(tx, ctx, kind, vec![subject.into()]).await
    }

    /// The same of several subjects, in one statement.
    ///
    /// # Errors
    /// What the database says.
    pub async fn tell_each(&self, tx: &mut Tx, ctx: &Ctx, kind: &'static str, subjects: Vec<String>) -> Result<()> {
        if self.0.is_shared && !subjects.is_empty() {
            tx.sql("insert into invalidation (kind, subject, at) select $1, item, $3 from list($2) as subjects")
                .bind(kind)
                .bind(&List::of(&subjects))
                .bind(&ctx.clock.now())
                .execute()
                .await?;
        }
        let told = self.clone();
        tx.on_commit(move || {
            for subject in &subjects {
                told.hear(kind, Stale::Subject(subject));
            }
            told.0.wakes.wake(Topic::Revoked);
        });
        Ok(())
    }

    /// Whether what others say is heard in time, so that what is remembered may be used.
    #[must_use]
    pub fn are_heard(&self) -> bool {
        let read_at = || *self.0.read_at.read().unwrap_or_else(PoisonError::into_inner);
        !self.0.is_shared || read_at().is_some_and(|at| at.elapsed() < STALE)
    }

    /// Waits until what was told before this moment, by whatever process, is heard here. For who cannot wait for a second:
    /// tests.
    pub async fn catch_up(&self) {
        let begun = Instant::now();
        let read_at = || *self.0.read_at.read().unwrap_or_else(PoisonError::into_inner);
        while self.0.is_shared && read_at().is_none_or(|at| at < begun) {
            self.0.wakes.wake(Topic::Revoked);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn hear(&self, kind: &str, what: Stale<'_>) {
        let listeners = self.0.listeners.read().unwrap_or_else(PoisonError::into_inner);
        for (_, heard) in listeners.iter().filter(|(of, _)| *of == kind) {
            heard(what);
        }
    }

    fn hear_everything(&self) {
        let listeners = self.0.listeners.read().unwrap_or_else(PoisonError::into_inner);
        for (_, heard) in &*listeners {
            heard(Stale::Everything);
        }
    }
}

/// Where the readings have come to.
#[derive(Default)]
struct Place {
    /// Where the next reading starts: where one ended that is old enough.
    after: i64,
    /// The highest place of which it was known that it is deleted.
    pruned: i64,
    ends: VecDeque<(Instant, i64)>,
    /// What was heard after `after`, so that it is not heard with every reading.
    heard: BTreeSet<i64>,
}

impl Place {
    fn from(after: i64, pruned: i64) -> Self {
        Self {
            after: after.max(0),
            pruned,
            ..Self::default()
        }
    }

    fn settle(&mut self) {
        while self.ends.front().is_some_and(|(at, _)| at.elapsed() > OVERLAP) {
            self.after = self.ends.pop_front().map_or(self.after, |(_, end)| end);
        }
        self.heard = self.heard.split_off(&(self.after + 1));
    }
}

/// Hears what other processes tell, until the program stops.
pub(crate) async fn follow(ctx: Ctx) {
    if !ctx.db.is_shared() {
        return;
    }
    let mut place: Option<Place> = None;
    let mut woken = ctx.wakes.listen(Topic::Revoked);
    loop {
        if let Err(error) = read(&ctx.invalidations, &ctx.db, &mut place).await {
            tracing::warn!(error = %error, "invalidations could not be read; nothing that is remembered is used");
        }
        if ctx.stop.run_until_cancelled(next_reading(&mut woken)).await.is_none() {
            return;
        }
    }
}

/// Waits until it is time to read again, or somebody says that there is something to read.
async fn next_reading(woken: &mut tokio::sync::watch::Receiver<u64>) {
    // However often it is said, others get their turn.
    tokio::time::sleep(HURRIED).await;
    tokio::select! {
        _ = woken.changed() => {}
        () = tokio::time::sleep(EVERY) => {}
    }
}

async fn read(heard: &Invalidations, db: &Db, place: &mut Option<Place>) -> Result<()> {
    let begun = Instant::now();
    let mut now_at = match place.take() {
        Some(now_at) => now_at,
        None => begin(heard, db).await?,
    };
    now_at.settle();
    let (pruned, told) = told_after(db, now_at.after).await?;
    if pruned > now_at.pruned.max(now_at.after) {
        // Rows that were never read are perhaps among what is deleted: a machine may sleep, and its clocks with it.
        now_at = begin(heard, db).await?;
    }
    let mut end = now_at.after;
    for (seq, kind, subject) in told {
        end = end.max(seq);
        if now_at.heard.insert(seq) {
            heard.hear(&kind, Stale::Subject(&subject));
        }
    }
    now_at.ends.push_back((begun, end));
    *place = Some(now_at);
    *heard.0.read_at.write().unwrap_or_else(PoisonError::into_inner) = Some(begun);
    Ok(())
}

/// Forgets everything, and begins with what those told who are perhaps still to commit.
async fn begin(heard: &Invalidations, db: &Db) -> Result<Place> {
    let mut read = db.read().await?;
    let (last, pruned) = read
        .sql(
            "select (select coalesce(max(seq), 0) from invalidation),
                    (select coalesce(max(seq), 0) from invalidation_pruned)",
        )
        .one::<(i64, i64)>()
        .await?;
    heard.hear_everything();
    Ok(Place::from(last.max(pruned) - 10_000, pruned))
}

type Told = (i64, String, String);
/// The highest place that was deleted, and something that was told.
type Row = (i64, Option<i64>, Option<String>, Option<String>);

/// The highest place that was deleted, and what was told after a place; as of one moment.
async fn told_after(db: &Db, after: i64) -> Result<(i64, Vec<Told>)> {
    let mut read = db.read().await?;
    let rows: Vec<Row> = read
        .sql(
            "select pruned.seq, told.seq, told.kind, told.subject
             from invalidation_pruned as pruned left join invalidation as told on told.seq > $1
             order by told.seq",
        )
        .bind(&after)
        .all()
        .await?;
    let pruned = rows.iter().map(|(pruned, ..)| *pruned).max().unwrap_or_default();
    let told = rows
        .into_iter()
        .filter_map(|(_, seq, kind, subject)| Some((seq?, kind?, subject?)))
        .collect();
    Ok((pruned, told))
}

/// Deletes what every process has heard long ago; says how much.
///
/// # Errors
/// What the database says.
pub async fn prune(ctx: &Ctx) -> Result<u64> {
    prune_before(&ctx.db, ctx.clock.now() - KEPT).await
}

async fn prune_before(db: &Db, before: Timestamp) -> Result<u64> {
    db.in_batches(move |tx| Box::pin(async move { prune_some(tx, before).await }))
        .await
}

async fn prune_some(tx: &mut Tx, before: Timestamp) -> Result<u64> {
    let gone: Vec<(i64,)> = tx
        .sql(
            "delete from invalidation where seq in (select seq from invalidation where at < $1 limit $2)
             returning seq",
        )
        .bind(&before)
        .bind(&PRUNED_AT_ONCE)
        .all()
        .await?;
    let Some((last,)) = gone.iter().max() else { return Ok(0) };
    tx.sql("update invalidation_pruned set seq = $1 where seq < $1")
        .bind(last)
        .execute()
        .await?;
    Ok(gone.len() as u64)
}

#[cfg(test)]
mod tests;
