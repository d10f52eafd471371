//! The writer: one connection, and group commit.
//!
//! A transaction is a savepoint in the outer transaction that is open at the time. `commit` releases the savepoint, hands
//! the writer to the next in the queue, and waits until the outer transaction is on disk. Whoever finds the queue empty, or
//! the batch full, commits for all. So one fsync pays for as many transactions as arrived during the one before it.
//!
//! Invariants: the connection belongs to whoever holds the lock; a transaction that is not committed leaves nothing in the
//! batch; a batch that is not empty always has somebody behind it who will commit it; if SQLite gives up the outer
//! transaction by itself (disk full), everybody in the batch is told so.

use std::{
    panic::Location,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::{
    runtime::Handle,
    sync::{OwnedMutexGuard, oneshot},
};

use super::connect::{Checkpoints, LiteSettings};
use crate::db::{Error, Param, Record, Result, hooks::Hooks};

/// A batch is committed when it holds this many transactions, even if more are waiting.
const BATCH: usize = 256;
/// Or when its first transaction has waited this long.
const BATCH_TIME: Duration = Duration::from_millis(10);
/// A checkpoint is asked for every so many commits of batches.
const CHECKPOINT_EVERY: usize = 64;

/// The writer's connection and what is waiting for its next commit. Whoever holds the lock on it writes.
pub(super) struct Pen {
    conn: Connection,
    /// An outer transaction is open.
    open: bool,
    since: Instant,
    batch: Vec<Waiting>,
    commits: usize,
    checkpoints: Checkpoints,
}

/// A released savepoint whose owner waits for the disk.
struct Waiting {
    done: oneshot::Sender<Result<()>>,
    hooks: Hooks,
}

/// The queue in front of the pen.
pub(crate) struct Writer {
    pen: Arc<tokio::sync::Mutex<Pen>>,
    queued: AtomicUsize,
    holder: Mutex<Weak<LiteTx>>,
    runtime: Handle,
    begin_timeout: Duration,
    max_waiting: usize,
    hold: Duration,
}

impl Writer {
    pub(super) fn start(conn: Connection, checkpoints: Checkpoints, settings: &LiteSettings) -> Arc<Self> {
        let pen = Pen {
            conn,
            open: false,
            since: Instant::now(),
            batch: Vec::new(),
            commits: 0,
            checkpoints,
        };
        let writer = Arc::new(Self {
            pen: Arc::new(tokio::sync::Mutex::new(pen)),
            queued: AtomicUsize::new(0),
            holder: Mutex::new(Weak::new()),
            runtime: Handle::current(),
            begin_timeout: settings.begin_timeout,
            max_waiting: settings.max_waiting,
            hold: settings.hold,
        });
        writer.runtime.spawn(watch(Arc::downgrade(&writer)));
        writer
    }

    /// Waits for the turn and opens a savepoint.
    pub(crate) async fn begin(self: &Arc<Self>, place: &'static Location<'static>) -> Result<Arc<LiteTx>> {
        let mut ticket = Ticket::take(self)?;
        let mut pen = tokio::time::timeout(self.begin_timeout, Arc::clone(&self.pen).lock_owned())
            .await
            .map_err(|_| Error::Overloaded)?;
        ticket.served = true;
        drop(ticket);
        if let Err(error) = pen.open_savepoint() {
            pen.give_up_if_lost(&error);
            self.hand_on(pen);
            return Err(error);
        }
        let slot = Mutex::new(Slot::Open { pen, failed: false });
        let tx = Arc::new(LiteTx {
            slot,
            writer: Arc::clone(self),
            place,
            begun: Instant::now(),
        });
        *lock(&self.holder) = Arc::downgrade(&tx);
        Ok(tx)
    }

    /// Runs something on the bare connection between two batches, in a transaction of its own. For migrations.
    pub(crate) async fn alone<T>(self: &Arc<Self>, run: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        let mut pen = Arc::clone(&self.pen).lock_owned().await;
        if pen.open {
            pen.commit_batch();
        }
        let done = run(&mut pen.conn);
        self.hand_on(pen);
        done
    }

    /// Gives the writer to the next in the queue; with nobody there, or a full batch, commits what is waiting first.
    fn hand_on(self: &Arc<Self>, mut pen: OwnedMutexGuard<Pen>) {
        if pen.batch.is_empty() {
            if pen.open && self.queued.load(Ordering::SeqCst) == 0 {
                pen.close_empty();
            }
            return;
        }
        let full = pen.batch.len() >= BATCH || pen.since.elapsed() >= BATCH_TIME;
        if full || self.queued.load(Ordering::SeqCst) == 0 {
            // The fsync may take milliseconds: not on a thread that serves requests.
            drop(self.runtime.spawn_blocking(move || pen.commit_batch()));
        }
    }

    /// Commits what is waiting if the one who was to do it has left the queue.
    async fn flush(self: Arc<Self>) {
        let pen = Arc::clone(&self.pen).lock_owned().await;
        self.hand_on(pen);
    }
}

/// A place in the queue. One who leaves without being served may have been the last whom a batch was waiting for.
struct Ticket<'w> {
    writer: &'w Arc<Writer>,
    served: bool,
}

impl<'w> Ticket<'w> {
    fn take(writer: &'w Arc<Writer>) -> Result<Self> {
        if writer.queued.fetch_add(1, Ordering::SeqCst) >= writer.max_waiting {
            writer.queued.fetch_sub(1, Ordering::SeqCst);
            return Err(Error::Overloaded);
        }
        Ok(Self { writer, served: false })
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let last = self.writer.queued.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && !self.served {
            self.writer.runtime.spawn(Arc::clone(self.writer).flush());
        }
    }
}

impl Pen {
    fn run(&self, sql: &str) -> Result<()> {
        self.conn.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    fn open_savepoint(&mut self) -> Result<()> {
        if !self.open {
            self.run("begin immediate")?;
            self.open = true;
            self.since = Instant::now();
        }
        self.run("savepoint s")
    }

    fn rollback_savepoint(&mut self) {
        if self.open
            && let Err(error) = self.run("rollback to s").and_then(|()| self.run("release s"))
        {
            self.give_up(&error);
        }
    }

    /// After an error: if SQLite rolled the outer transaction back by itself, the whole batch has failed.
    fn give_up_if_lost(&mut self, error: &Error) {
        if self.open && self.conn.is_autocommit() {
            self.fail_batch(error);
        }
    }

    fn give_up(&mut self, error: &Error) {
        if !self.conn.is_autocommit()
            && let Err(second) = self.run("rollback")
        {
            tracing::error!(db.error = %second, "the database did not roll back");
        }
        self.fail_batch(error);
    }

    fn fail_batch(&mut self, error: &Error) {
        self.open = false;
        // Most likely the disk is full, and the log holds space that a checkpoint gives back.
        self.checkpoints.ask_for_space();
        for waiting in self.batch.drain(..) {
            drop(
                waiting
                    .done
                    .send(Err(Error::Full(format!("the commit of the batch failed: {error}")))),
            );
        }
    }

    fn close_empty(&mut self) {
        if let Err(error) = self.run("rollback") {
            self.give_up(&error);
        }
        self.open = false;
    }

    fn commit_batch(&mut self) {
        if let Err(error) = self.run("commit") {
            tracing::error!(db.error = %error, db.batch = self.batch.len(), "a batch of transactions could not be committed");
            self.give_up(&error);
            return;
        }
        self.open = false;
        metrics::counter!("polity_db_commits_total").increment(1);
        metrics::counter!("polity_db_transactions_total").increment(self.batch.len() as u64);
        for waiting in self.batch.drain(..) {
            waiting.hooks.run();
            drop(waiting.done.send(Ok(())));
        }
        self.checkpoints.finish(&self.conn);
        self.commits += 1;
        if self.commits.is_multiple_of(CHECKPOINT_EVERY) {
            self.checkpoints.ask();
        }
    }
}

/// A transaction: the pen, until it is committed, rolled back or taken away.
pub(crate) struct LiteTx {
    slot: Mutex<Slot>,
    writer: Arc<Writer>,
    place: &'static Location<'static>,
    begun: Instant,
}

enum Slot {
    Open { pen: OwnedMutexGuard<Pen>, failed: bool },
    Expired,
    Done,
}

impl LiteTx {
    pub(crate) fn fetch<T: Record>(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<T>> {
        self.with(|conn| super::fetch(conn, sql, params))
    }

    pub(crate) fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64> {
        self.with(|conn| super::execute(conn, sql, params))
    }

    /// Runs a statement; one that fails leaves a transaction that can only roll back, as in PostgreSQL.
    fn with<T>(&self, run: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let mut slot = lock(&self.slot);
        let Slot::Open { pen, failed } = &mut *slot else {
            return Err(self.closed(&slot));
        };
        if *failed {
            return Err(Error::Aborted);
        }
        run(&pen.conn).inspect_err(|error| {
            *failed = true;
            pen.give_up_if_lost(error);
        })
    }

    /// Releases the savepoint and waits until it is on disk.
    pub(crate) async fn commit(&self, hooks: Hooks) -> Result<()> {
        let done = self.release(hooks)?;
        done.await
            .unwrap_or_else(|_| Err(Error::Unavailable("the database was closed during a commit".into())))
    }

    fn release(&self, hooks: Hooks) -> Result<oneshot::Receiver<Result<()>>> {
        let mut slot = lock(&self.slot);
        if matches!(&*slot, Slot::Open { failed: true, .. }) {
            drop(slot);
            self.rollback();
            return Err(Error::Aborted);
        }
        let Slot::Open { mut pen, .. } = std::mem::replace(&mut *slot, Slot::Done) else {
            *slot = Slot::Expired;
            return Err(Error::Expired(self.place));
        };
        drop(slot);
        if let Err(error) = pen.run("release s") {
            pen.give_up(&error);
            self.writer.hand_on(pen);
            return Err(error);
        }
        let (done, wait) = oneshot::channel();
        pen.batch.push(Waiting { done, hooks });
        self.writer.hand_on(pen);
        Ok(wait)
    }

    /// Undoes the transaction, if it is still open.
    pub(crate) fn rollback(&self) {
        self.end(Slot::Done);
    }

    fn end(&self, state: Slot) -> bool {
        let mut slot = lock(&self.slot);
        if !matches!(*slot, Slot::Open { .. }) {
            return false;
        }
        let Slot::Open { mut pen, .. } = std::mem::replace(&mut *slot, state) else {
            return false;
        };
        pen.rollback_savepoint();
        self.writer.hand_on(pen);
        true
    }

    fn closed(&self, slot: &Slot) -> Error {
        if matches!(slot, Slot::Expired) {
            Error::Expired(self.place)
        } else {
            Error::Aborted
        }
    }
}

impl Drop for LiteTx {
    fn drop(&mut self) {
        self.rollback();
    }
}

/// Takes the pen away from whoever holds it too long.
async fn watch(writer: Weak<Writer>) {
    loop {
        let Some(strong) = writer.upgrade() else { return };
        let pause = strong.hold / 8;
        let holder = lock(&strong.holder).upgrade();
        if let Some(tx) = holder
            && tx.begun.elapsed() >= strong.hold
            && tx.end(Slot::Expired)
        {
            tracing::error!(db.place = %tx.place, "a transaction was held too long and has been rolled back");
        }
        drop(strong);
        tokio::time::sleep(pause).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
