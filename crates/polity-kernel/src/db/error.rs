//! What can go wrong between a service and its database, by cause.

use std::panic::Location;

/// The result of everything in [`crate::db`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the database, by what the caller can do about it.
///
/// SQLite does not name the constraint it found violated, so the kind is all a caller may rely on: an expected conflict is
/// written as `on conflict …` and read from the number of rows.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A unique index or a primary key refused the row.
    #[error("a unique constraint refused the row: {0}")]
    Unique(String),
    /// A row that is referred to does not exist, or one that is still referred to would go.
    #[error("a foreign key refused the change: {0}")]
    ForeignKey(String),
    /// A check or a `not null` refused the row.
    #[error("a check refused the row: {0}")]
    Check(String),
    /// A change was sent through a [`super::Read`].
    #[error("a read connection cannot change anything: {0}")]
    ReadOnly(String),
    /// The database cannot be reached, or went away. Trying again later may help.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// More writers are waiting than can be served in time. Nothing was begun.
    #[error("the database is overloaded: no transaction could begin within the limit")]
    Overloaded,
    /// The disk is full, or cannot be written. Nothing of the transaction was kept.
    #[error("the database cannot be written: {0}")]
    Full(String),
    /// Two transactions waited for each other, and this one was chosen to give way. Trying again helps.
    #[error("the transaction gave way to another: {0}")]
    Conflict(String),
    /// The task that holds a transaction asked for a second one, which would wait for itself.
    #[error("this task already holds a transaction begun at {0}")]
    Nested(&'static Location<'static>),
    /// The transaction was held longer than the limit and has been rolled back.
    #[error("the transaction begun at {0} was held too long and has been rolled back")]
    Expired(&'static Location<'static>),
    /// A statement of this transaction failed before: it can only roll back.
    #[error("an earlier statement of this transaction failed; it can only be rolled back")]
    Aborted,
    /// A column does not hold what the code reads from it.
    #[error("column {column}: {message}")]
    Decode {
        /// The column's name or position.
        column: String,
        /// What is wrong with it.
        message: String,
    },
    /// Exactly one row was asked for, and there was none or more than one.
    #[error("expected one row, found {0}")]
    RowCount(usize),
    /// The database holds a migration that this program does not know, or one with another text.
    #[error("{0}")]
    Migration(String),
    /// Anything else: a mistake in the SQL, or in the executor.
    #[error("{0}")]
    Sql(String),
}

impl Error {
    /// Whether the same request may succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::Overloaded | Self::Full(_) | Self::Conflict(_) | Self::Expired(_)
        )
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ffi::{self, ErrorCode};
        let text = error.to_string();
        let rusqlite::Error::SqliteFailure(failure, _) = &error else {
            return Self::Sql(text);
        };
        match (failure.code, failure.extended_code) {
            (_, ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID) => {
                Self::Unique(text)
            }
            (_, ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => Self::ForeignKey(text),
            (ErrorCode::ConstraintViolation, _) => Self::Check(text),
            (ErrorCode::ReadOnly, _) => Self::ReadOnly(text),
            (ErrorCode::DiskFull | ErrorCode::SystemIoFailure, _) => Self::Full(text),
            (
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::CannotOpen | ErrorCode::OutOfMemory,
                _,
            ) => Self::Unavailable(text),
            _ => Self::Sql(text),
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::SqlState;
        let Some(db) = error.as_db_error() else {
            return if error.is_closed()
                || std::error::Error::source(&error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
            {
                Self::Unavailable(error.to_string())
            } else {
                Self::Sql(describe(&error))
            };
        };
        let text = format!("{} ({})", db.message(), db.code().code());
        match db.code() {
            code if *code == SqlState::UNIQUE_VIOLATION => Self::Unique(text),
            code if *code == SqlState::FOREIGN_KEY_VIOLATION => Self::ForeignKey(text),
            code if *code == SqlState::CHECK_VIOLATION || *code == SqlState::NOT_NULL_VIOLATION => Self::Check(text),
            code if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Self::ReadOnly(text),
            code if *code == SqlState::T_R_DEADLOCK_DETECTED || *code == SqlState::T_R_SERIALIZATION_FAILURE => {
                Self::Conflict(text)
            }
            code if *code == SqlState::DISK_FULL => Self::Full(text),
            // 08: connection; 57P: shutdown and the limits on idle transactions; 53: resources.
            code if ["08", "57", "53"].iter().any(|class| code.code().starts_with(class))
                || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT =>
            {
                Self::Unavailable(text)
            }
            _ => Self::Sql(text),
        }
    }
}

/// The driver keeps the cause (a value that would not convert, say) in the source chain and leaves it out of its text.
fn describe(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// A stored text that is none of an enum's values.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text:?} is not a {kind}")]
pub struct UnknownText {
    kind: &'static str,
    text: String,
}

impl UnknownText {
    /// `kind` names the enum, `text` is what was found.
    #[must_use]
    pub fn new(kind: &'static str, text: &str) -> Self {
        Self {
            kind,
            text: text.chars().take(64).collect(),
        }
    }
}
