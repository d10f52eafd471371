//! One SQL text, two databases.
//!
//! [`Db`] opens SQLite or PostgreSQL. [`Read`] runs queries, [`Tx`] changes things; `&mut Tx` coerces to the `&mut Conn` a
//! query takes, never the other way round. A [`Tx`] that is dropped rolls back. Statements are written as PostgreSQL takes
//! them; [`sql`] says what is turned into what.
//!
//! Invariants:
//! - the database is branched on in this module and nowhere else;
//! - what [`Tx::commit`] acknowledged is on disk; hooks given to [`Tx::on_commit`] run then, and only then;
//! - a task that holds a [`Tx`] cannot begin a second one: it would wait for itself;
//! - a [`Tx`] held longer than the limit is rolled back, and reported with the place that began it.
//!
//! Deliberately absent: an object-relational mapper, a query language, nested transactions, statements without a bound time.

mod error;
mod filter;
mod hooks;
mod listen;
mod lite;
mod migrate;
mod open;
mod page;
mod postgres;
mod query;
mod row;
mod sql;
#[cfg(test)]
mod tests;
mod value;

use std::{
    collections::HashMap,
    panic::Location,
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::BoxFuture;

pub use error::{Error, Result, UnknownText};
pub use filter::Filter;
pub(crate) use listen::Channel;
pub use migrate::{Migration, Migrations};
pub use open::{DatabaseSettings, LITE_FILE};
pub use page::{Cursor, CursorError, Part, Place, cut};
pub use query::Query;
pub use row::{Record, Row};
pub use sql::Dialect;
pub use value::{Cell, Json, List, Param, Rows, Value};

use self::{
    hooks::Hooks,
    lite::{Lite, LiteRead, LiteTx},
    postgres::{Pg, PgConn},
    sql::Seen,
};

/// An open database. Cheap to clone.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    backend: Backend,
    holders: Holders,
    seen: Seen,
    lite_file: Option<std::path::PathBuf>,
}

enum Backend {
    Lite(Lite),
    Pg(Box<Pg>),
}

/// A connection that can run SQL; [`Read`] and [`Tx`] lend it.
pub struct Conn {
    lease: Lease,
    seen: Seen,
}

enum Lease {
    LiteRead(LiteRead),
    LiteTx(Arc<LiteTx>),
    Pg(PgConn),
}

/// A connection for queries. The database refuses changes through it.
pub struct Read(Conn);

/// A transaction: [`Tx::commit`] keeps what was done in it, dropping it undoes it.
#[must_use = "a transaction that is not committed is rolled back"]
pub struct Tx {
    conn: Conn,
    hooks: Hooks,
    holder: Holder,
}

impl Db {
    /// Which database this is. For the kernel's own branches and for reports; a service has no use for it.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.0.backend {
            Backend::Lite(_) => Dialect::Lite,
            Backend::Pg(_) => Dialect::Pg,
        }
    }

    /// A connection for queries.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be reached.
    pub async fn read(&self) -> Result<Read> {
        let lease = match &self.0.backend {
            Backend::Lite(lite) => Lease::LiteRead(lite.readers.get().await?),
            Backend::Pg(pg) => Lease::Pg(pg.read().await?),
        };
        Ok(Read(Conn {
            lease,
            seen: self.0.seen.clone(),
        }))
    }

    /// A transaction.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if its turn does not come within the limit, [`Error::Nested`] if this task holds one already,
    /// [`Error::Unavailable`] if the database cannot be reached.
    #[track_caller]
    pub fn begin(&self) -> impl Future<Output = Result<Tx>> + Send + '_ {
        let place = Location::caller();
        async move {
            let holder = self.0.holders.enter(place)?;
            let lease = match &self.0.backend {
                Backend::Lite(lite) => Lease::LiteTx(lite.writer.begin(place).await?),
                Backend::Pg(pg) => Lease::Pg(pg.begin(place).await?),
            };
            Ok(Tx {
                conn: Conn {
                    lease,
                    seen: self.0.seen.clone(),
                },
                hooks: Hooks::default(),
                holder,
            })
        }
    }

    /// Whether the database answers, for health checks.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<()> {
        self.read()
            .await?
            .sql("select cast(1 as bigint)")
            .one::<(i64,)>()
            .await
            .map(|_| ())
    }

    /// Changes many rows, some in each transaction, until a transaction finds none; says how many. For deleting what is old:
    /// nobody waits long for a lock, and what was done stays done.
    ///
    /// # Errors
    /// What `some` says, or the database.
    pub async fn in_batches(&self, some: impl for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<u64>>) -> Result<u64> {
        let mut all = 0;
        loop {
            let mut tx = self.begin().await?;
            let count = some(&mut tx).await?;
            tx.commit().await?;
            all += count;
            if count == 0 {
                return Ok(all);
            }
        }
    }

    /// The time of the database server, as it was halfway between asking and hearing; `None` on SQLite, which has none of
    /// its own.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn time(&self) -> Result<Option<chrono::DateTime<chrono::Utc>>> {
        match &self.0.backend {
            Backend::Lite(_) => Ok(None),
            Backend::Pg(pg) => pg.time().await.map(Some),
        }
    }

    /// Prepares every statement this process has run so far on this database; for the check, in debug builds, that what ran
    /// on one database runs on the other.
    ///
    /// # Errors
    /// The first statement that this database refuses.
    pub async fn prepare_all(&self, statements: &[String]) -> Result<()> {
        for text in statements {
            let text = sql::render(text, self.dialect());
            match &self.0.backend {
                Backend::Lite(lite) => lite.readers.get().await?.prepare(&text)?,
                Backend::Pg(pg) => pg.prepare(&text).await?,
            }
        }
        Ok(())
    }

    /// Every statement this process has run through this handle, as written. Empty in release builds.
    #[must_use]
    pub fn statements(&self) -> Vec<String> {
        self.0.seen.list()
    }
}

impl Tx {
    /// Keeps what was done; returns when it is on disk. Once begun, it runs to its end even if the caller goes away.
    ///
    /// # Errors
    /// [`Error::Aborted`] if a statement failed before, [`Error::Expired`] if it was held too long, [`Error::Full`] if the
    /// disk is full; nothing was kept then. [`Error::Unavailable`] on PostgreSQL leaves open whether it was kept.
    pub async fn commit(mut self) -> Result<()> {
        let hooks = std::mem::take(&mut self.hooks);
        match &mut self.conn.lease {
            Lease::LiteTx(tx) => {
                let done = tx.commit(hooks);
                drop(self.holder);
                done.await
            }
            Lease::Pg(conn) => conn.commit(hooks).await,
            Lease::LiteRead(_) => Err(Error::ReadOnly("commit".into())),
        }
    }

    /// Undoes what was done, and returns when that has happened. Dropping does the same without waiting.
    ///
    /// # Errors
    /// If the database went away, in which case nothing was kept either.
    pub async fn rollback(mut self) -> Result<()> {
        match &mut self.conn.lease {
            Lease::LiteTx(tx) => tx.rollback(),
            Lease::Pg(conn) => conn.rollback().await?,
            Lease::LiteRead(_) => {}
        }
        Ok(())
    }

    /// Runs `hook` once the transaction is on disk, and not at all otherwise. It must be quick and must not block.
    pub fn on_commit(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.hooks.add(hook);
    }

    /// Makes the transactions that lock the same thing pass one after the other, until each ends.
    ///
    /// It stands before every rule that reads and then writes; several in sorted order. An advisory lock on PostgreSQL;
    /// nothing on SQLite, where transactions pass one after the other anyway.
    ///
    /// # Errors
    /// As any statement.
    pub async fn lock(&mut self, kind: &str, id: &str) -> Result<()> {
        if let Lease::Pg(_) = self.conn.lease {
            let key = format!("{kind}:{id}");
            self.conn
                .sql("select pg_advisory_xact_lock(hashtextextended($1, 0)) is null")
                .bind(&key)
                .one::<(bool,)>()
                .await?;
        }
        Ok(())
    }
}

impl std::ops::Deref for Read {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.0
    }
}

impl std::ops::DerefMut for Read {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.0
    }
}

impl std::ops::Deref for Tx {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl std::ops::DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

/// Which tasks hold a transaction, and since where.
#[derive(Clone, Default)]
struct Holders(Arc<Mutex<HashMap<Task, &'static Location<'static>>>>);

/// A task, or the thread of a future that is driven without one (`block_on`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Task {
    Task(tokio::task::Id),
    Thread(std::thread::ThreadId),
}

impl Holders {
    fn enter(&self, place: &'static Location<'static>) -> Result<Holder> {
        let task = tokio::task::try_id().map_or_else(|| Task::Thread(std::thread::current().id()), Task::Task);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = held.get(&task) {
            return Err(Error::Nested(first));
        }
        held.insert(task, place);
        Ok(Holder {
            holders: self.clone(),
            task,
        })
    }
}

/// The entry of one transaction, until it ends.
struct Holder {
    holders: Holders,
    task: Task,
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.holders
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.task);
    }
}
