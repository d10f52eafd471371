//! Read connections. A statement runs inline in the task that asked; one that turns out long starts again on a blocking
//! thread, so that it delays nobody else.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connect::connect_read_only;
use crate::db::{Error, Param, Record, Result};

/// How long a statement may run inline. The next check by SQLite's virtual machine past it interrupts the statement.
const INLINE_MICROS: i64 = 3_000;
/// How many instructions of SQLite's virtual machine pass between two looks at the clock; about 50 µs.
const STEP: i32 = 2_000;

/// The pool.
pub(crate) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Reader>>>,
    places: Arc<Semaphore>,
}

/// A connection and the limit its statements run under.
struct Reader {
    conn: Connection,
    limit: Arc<Limit>,
}

/// Microseconds since `base` at which the running statement is interrupted; [`Limit::NONE`] or [`Limit::NOW`].
struct Limit {
    base: Instant,
    at: AtomicI64,
}

impl Limit {
    const NONE: i64 = i64::MAX;
    const NOW: i64 = i64::MIN;

    fn elapsed(&self) -> i64 {
        i64::try_from(self.base.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    fn reached(&self) -> bool {
        let at = self.at.load(Ordering::Relaxed);
        at != Self::NONE && (at == Self::NOW || self.elapsed() > at)
    }
}

impl Readers {
    pub(super) fn new(path: PathBuf, count: usize) -> Self {
        Self {
            path,
            idle: Arc::default(),
            places: Arc::new(Semaphore::new(count)),
        }
    }

    /// A connection of one's own until it is dropped.
    pub(crate) async fn get(&self) -> Result<LiteRead> {
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(|_| Error::Unavailable("the database is being closed".into()))?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => Reader::open(&self.path)?,
        };
        Ok(LiteRead(Some(Lent {
            reader: Some(reader),
            idle: Arc::clone(&self.idle),
            _place: place,
        })))
    }
}

impl Reader {
    fn open(path: &std::path::Path) -> Result<Self> {
        let conn = connect_read_only(path)?;
        let limit = Arc::new(Limit {
            base: Instant::now(),
            at: AtomicI64::new(Limit::NONE),
        });
        let watched = Arc::clone(&limit);
        conn.progress_handler(STEP, Some(move || watched.reached()));
        Ok(Self { conn, limit })
    }
}

/// A connection out of the pool; dropping it brings it back, from whatever thread.
struct Lent {
    reader: Option<Reader>,
    idle: Arc<Mutex<Vec<Reader>>>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        }
    }
}

/// A lease on a read connection. Empty only after a long read whose task was dropped.
pub(crate) struct LiteRead(Option<Lent>);

impl LiteRead {
    pub(crate) async fn fetch<T>(&mut self, sql: &str, params: Vec<Param<'_>>, long: bool) -> Result<Vec<T>>
    where
        T: Record + Send + 'static,
    {
        if !long {
            let reader = self.reader()?;
            reader
                .limit
                .at
                .store(reader.limit.elapsed() + INLINE_MICROS, Ordering::Relaxed);
            match super::fetch(&reader.conn, sql, &params) {
                Err(Error::Sql(text)) if text == "interrupted" => {}
                done => return done,
            }
        }
        self.fetch_elsewhere(sql, params).await
    }

    /// Runs the query on a blocking thread. A caller that goes away interrupts it.
    async fn fetch_elsewhere<T>(&mut self, sql: &str, params: Vec<Param<'_>>) -> Result<Vec<T>>
    where
        T: Record + Send + 'static,
    {
        let params: Vec<_> = params.into_iter().map(Param::into_owned).collect();
        let sql = sql.to_owned();
        let reader = self.reader()?;
        reader.limit.at.store(Limit::NONE, Ordering::Relaxed);
        let mut stop = Stop(Some(Arc::clone(&reader.limit)));
        let lent = self.0.take();
        let run = move || {
            let found = match lent.as_ref().and_then(|lent| lent.reader.as_ref()) {
                Some(reader) => super::fetch(&reader.conn, &sql, &params),
                None => Err(gone()),
            };
            (lent, found)
        };
        let (lent, found) = tokio::task::spawn_blocking(run).await.map_err(|_| gone())?;
        stop.0 = None;
        self.0 = lent;
        found
    }

    /// Whether SQLite can prepare the statement.
    pub(crate) fn prepare(&self, sql: &str) -> Result<()> {
        self.reader()?
            .conn
            .prepare(sql)
            .map(|_| ())
            .map_err(|error| Error::Sql(format!("{error}: {sql}")))
    }

    fn reader(&self) -> Result<&Reader> {
        self.0.as_ref().and_then(|lent| lent.reader.as_ref()).ok_or_else(gone)
    }
}

fn gone() -> Error {
    Error::Unavailable("the read connection is gone".into())
}

/// Interrupts the statement when dropped, unless emptied before.
struct Stop(Option<Arc<Limit>>);

impl Drop for Stop {
    fn drop(&mut self) {
        if let Some(limit) = &self.0 {
            limit.at.store(Limit::NOW, Ordering::Relaxed);
        }
    }
}
