//! Connections as each kind of work needs them, and the thread that moves the log into the file.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use crate::db::Result;

/// How an SQLite database is opened.
#[derive(Debug, Clone)]
pub(crate) struct LiteSettings {
    /// The file; created when missing.
    pub path: PathBuf,
    /// How many read connections there are at most.
    pub readers: usize,
    /// How long `begin` waits for its turn.
    pub begin_timeout: Duration,
    /// How many tasks may wait for the writer.
    pub max_waiting: usize,
    /// How long a transaction may be held.
    pub hold: Duration,
}

/// A connection that may write. `synchronous=full`: a commit is on disk before it is acknowledged.
pub(super) fn connect(path: &Path) -> Result<Connection> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.execute_batch(
        "pragma journal_mode = wal;
         pragma synchronous = full;
         pragma wal_autocheckpoint = 0;
         pragma journal_size_limit = 16777216;
         pragma cache_size = -16384;",
    )?;
    common(&conn)?;
    Ok(conn)
}

/// A connection that can only read.
pub(super) fn connect_read_only(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.execute_batch("pragma query_only = on; pragma cache_size = -2048;")?;
    common(&conn)?;
    Ok(conn)
}

/// `like` minds case, as it does in PostgreSQL.
fn common(conn: &Connection) -> Result<()> {
    conn.execute_batch("pragma foreign_keys = on; pragma temp_store = memory; pragma case_sensitive_like = on;")?;
    conn.set_prepared_statement_cache_capacity(512);
    Ok(())
}

/// The thread that copies the write-ahead log into the file, so that no commit pays for it.
pub(super) struct Checkpoints {
    wants: mpsc::SyncSender<Want>,
    /// The log is long, and nearly all of it is copied: the writer is asked to copy the rest.
    is_long: Arc<AtomicBool>,
}

/// How much a checkpoint is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    /// Copy what nobody is reading.
    Copy,
    /// Give the space of the log back, even if writers have to wait for a moment.
    Space,
}

const COPY: &str = "pragma wal_checkpoint(passive)";
/// Past so many pages the log is long: it takes disk, and every start reads it.
const LONG: i64 = 4_096;
/// Past so many it is begun anew even if writers have to wait.
const TOO_LONG: i64 = 4 * LONG;

impl Checkpoints {
    pub(super) fn start(path: &Path) -> Result<Self> {
        let conn = connect(path)?;
        // What an earlier process left may fill the disk, and must not be what stops this one.
        checkpoint(&conn, "pragma wal_checkpoint(truncate)");
        let is_long = Arc::new(AtomicBool::new(false));
        let (wants, receiver) = mpsc::sync_channel::<Want>(1);
        let says_long = Arc::clone(&is_long);
        let run = move || {
            while let Ok(want) = receiver.recv() {
                // Most is copied while writers go on; what makes them wait then has little left to do.
                let pages = checkpoint(&conn, COPY);
                if want == Want::Space {
                    checkpoint(&conn, "pragma wal_checkpoint(truncate)");
                } else if pages > TOO_LONG {
                    checkpoint(&conn, "pragma wal_checkpoint(restart)");
                } else if pages > LONG {
                    says_long.store(true, Ordering::Relaxed);
                }
            }
        };
        std::thread::Builder::new()
            .name("polity-checkpoint".into())
            .spawn(run)
            .map_err(|error| crate::db::Error::Unavailable(format!("the checkpoint thread did not start: {error}")))?;
        Ok(Self { wants, is_long })
    }

    /// Asks for a checkpoint; one request that is still waiting is enough.
    pub(super) fn ask(&self) {
        self.wants.try_send(Want::Copy).ok();
    }

    /// Asks for the space of the log, when the disk is full.
    pub(super) fn ask_for_space(&self) {
        self.wants.try_send(Want::Space).ok();
    }

    /// Copies the rest of a long log on the writer's own connection, between two of its transactions. When nothing is left
    /// to copy, the next one begins the log anew, and nobody had to wait for a lock.
    pub(super) fn finish(&self, writer: &Connection) {
        if self.is_long.swap(false, Ordering::Relaxed) {
            checkpoint(writer, COPY);
        }
    }
}

/// Runs a checkpoint; says how many pages the log has.
fn checkpoint(conn: &Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |row| row.get(1)).unwrap_or_else(|error| {
        tracing::warn!(db.error = %error, "a checkpoint failed; the log keeps growing until one succeeds");
        0
    })
}
