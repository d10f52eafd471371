//! The settings of the database, and opening it.

use std::{path::Path, sync::Arc, time::Duration};

use polity_seal::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Backend, Db, Error, Holders, Inner, Result,
    lite::{Lite, LiteSettings},
    postgres::{Pg, PgSettings},
    sql::Seen,
};

/// The database.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseSettings {
    /// Where the database is: `postgres://user:password@host:port/name`, or nothing for SQLite in the data folder.
    #[schemars(with = "Option<String>", extend("x-secret" = true))]
    pub url: Option<Secret>,
    /// Connections at most: readers on SQLite, and on PostgreSQL for each of the two pools (changes, reads).
    pub connections: u32,
    /// How long a request waits for its turn to write, in milliseconds; after that it is answered 503.
    pub begin_timeout_ms: u64,
    /// How many requests may wait for the writer at once (SQLite).
    pub max_waiting: u32,
    /// How long a transaction may be held, in milliseconds; after that it is rolled back and reported.
    pub hold_ms: u64,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            url: None,
            connections: 16,
            begin_timeout_ms: 5_000,
            max_waiting: 4_096,
            hold_ms: 2_000,
        }
    }
}

/// The file of the embedded database inside the data folder.
pub const LITE_FILE: &str = "polity.db";

impl Db {
    /// Opens the database the settings name; SQLite's file stands in `data_dir`. Needs a running runtime.
    ///
    /// PostgreSQL is not contacted before the first use.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the file cannot be opened, or the URL is not one.
    pub fn open(settings: &DatabaseSettings, data_dir: &Path) -> Result<Self> {
        let begin_timeout = Duration::from_millis(settings.begin_timeout_ms);
        let hold = Duration::from_millis(settings.hold_ms);
        let backend = match &settings.url {
            None => Backend::Lite(Lite::open(&LiteSettings {
                path: data_dir.join(LITE_FILE),
                readers: settings.connections.max(1) as usize,
                begin_timeout,
                max_waiting: settings.max_waiting.max(1) as usize,
                hold,
            })?),
            Some(url) => {
                let url = url.expose().to_owned();
                if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
                    return Err(Error::Unavailable(
                        "database.url must start with postgres:// (leave it unset for SQLite in the data folder)"
                            .into(),
                    ));
                }
                let connections = settings.connections.max(1) as usize;
                Backend::Pg(Box::new(Pg::open(&PgSettings {
                    url,
                    connections,
                    begin_timeout,
                    hold,
                })?))
            }
        };
        let lite_file = settings.url.is_none().then(|| data_dir.join(LITE_FILE));
        Ok(Self(Arc::new(Inner {
            backend,
            holders: Holders::default(),
            seen: Seen::new(),
            lite_file,
        })))
    }

    /// Writes a consistent copy of an SQLite database to the file `to` while everything goes on.
    ///
    /// # Errors
    /// [`Error::Unavailable`] on PostgreSQL, which has its own tools; [`Error::Full`] if the copy cannot be written.
    pub async fn backup(&self, to: &Path) -> Result<()> {
        let Some(file) = self.0.lite_file.clone() else {
            return Err(Error::Unavailable("only SQLite is copied this way; use pg_dump".into()));
        };
        let to = to.to_owned();
        let copy = tokio::task::spawn_blocking(move || Lite::backup(&file, &to)).await;
        copy.unwrap_or_else(|_| Err(Error::Unavailable("the program ended during a backup".into())))
    }
}
