//! PostgreSQL: two pools, one for transactions and one whose sessions are read-only.
//!
//! Invariants: a connection goes back to its pool with no transaction open; a commit, once sent, is waited for by a task
//! of its own, so that a caller who goes away does not leave it undecided.

use std::{
    panic::Location,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use postgres_types::ToSql;
use tokio::runtime::Handle;

use super::{
    Error, Param, Record, Result,
    hooks::Hooks,
    row::{Columns, Row},
};

/// How a PostgreSQL database is opened.
#[derive(Debug, Clone)]
pub(super) struct PgSettings {
    /// `postgres://user:password@host:port/database`.
    pub url: String,
    /// Connections at most, for each of the two pools.
    pub connections: usize,
    /// How long `begin` and `read` wait for a connection.
    pub begin_timeout: Duration,
    /// How long a transaction may be held.
    pub hold: Duration,
}

/// An open PostgreSQL database.
pub(super) struct Pg {
    writers: Pool,
    readers: Pool,
    hold: Duration,
    config: tokio_postgres::Config,
}

/// What a session that only reads is started with.
const READ_ONLY: &str = "-c default_transaction_read_only=on -c statement_timeout=30000";

impl Pg {
    pub(super) fn open(settings: &PgSettings) -> Result<Self> {
        let config = tokio_postgres::Config::from_str(&settings.url)
            .map_err(|error| Error::Unavailable(format!("the database URL is not valid: {error}")))?;
        let hold = settings.hold.as_millis();
        let limits = format!("-c idle_in_transaction_session_timeout={hold} -c statement_timeout={hold}");
        Ok(Self {
            writers: pool(config.clone(), &limits, settings)?,
            readers: pool(config.clone(), READ_ONLY, settings)?,
            hold: settings.hold,
            config,
        })
    }

    pub(super) async fn read(&self) -> Result<PgConn> {
        let client = self.readers.get().await.map_err(unavailable)?;
        Ok(PgConn {
            client: Some(client),
            tx: None,
            runtime: Handle::current(),
        })
    }

    pub(super) async fn begin(&self, place: &'static Location<'static>) -> Result<PgConn> {
        let client = self.writers.get().await.map_err(unavailable)?;
        let open = OpenTx {
            place,
            begun: Instant::now(),
            hold: self.hold,
            failed: false,
        };
        // Made before the first statement: a caller dropped during `begin` must not leave a transaction in the pool.
        let conn = PgConn {
            client: Some(client),
            tx: Some(open),
            runtime: Handle::current(),
        };
        conn.client()?.batch_execute("begin").await?;
        Ok(conn)
    }

    pub(super) async fn time(&self) -> Result<chrono::DateTime<chrono::Utc>> {
        let client = self.readers.get().await.map_err(unavailable)?;
        let asked = Instant::now();
        let row = client.query_one("select clock_timestamp()", &[]).await?;
        let there: chrono::DateTime<chrono::Utc> = row.try_get(0)?;
        Ok(there + asked.elapsed() / 2)
    }

    pub(super) async fn prepare(&self, sql: &str) -> Result<()> {
        let client = self.readers.get().await.map_err(unavailable)?;
        client
            .prepare(sql)
            .await
            .map(|_| ())
            .map_err(|error| match Error::from(error) {
                Error::Sql(text) => Error::Sql(format!("{text}: {sql}")),
                other => other,
            })
    }

    /// A connection outside the pools and without their limits, for migrations.
    pub(super) async fn connect(&self) -> Result<tokio_postgres::Client> {
        let (client, connection) = self.connect_raw().await?;
        Handle::current().spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(db.error = %error, "a database connection ended");
            }
        });
        Ok(client)
    }

    /// The same, which moves only while the caller polls it.
    pub(super) async fn connect_raw(&self) -> Result<(tokio_postgres::Client, RawConnection)> {
        Ok(self.config.connect(tls()?).await?)
    }
}

type RawConnection = tokio_postgres::Connection<
    tokio_postgres::Socket,
    <tokio_postgres_rustls::MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<tokio_postgres::Socket>>::Stream,
>;

fn pool(mut config: tokio_postgres::Config, options: &str, settings: &PgSettings) -> Result<Pool> {
    let given = config
        .get_options()
        .map(|given| format!("{given} "))
        .unwrap_or_default();
    config.options(format!("{given}{options}"));
    if config.get_application_name().is_none() {
        config.application_name("polity");
    }
    config.connect_timeout(settings.begin_timeout);
    let manager = Manager::from_config(
        config,
        tls()?,
        ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        },
    );
    Pool::builder(manager)
        .max_size(settings.connections)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(settings.begin_timeout))
        .create_timeout(Some(settings.begin_timeout))
        .build()
        .map_err(|error| Error::Unavailable(error.to_string()))
}

/// TLS with the public roots; used when the URL's `sslmode` asks for it.
fn tls() -> Result<tokio_postgres_rustls::MakeRustlsConnect> {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Unavailable(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(tokio_postgres_rustls::MakeRustlsConnect::new(config))
}

fn unavailable(error: PoolError) -> Error {
    match error {
        PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => Error::Overloaded,
        PoolError::Backend(error) => match Error::from(error) {
            Error::Sql(text) => Error::Unavailable(text),
            other => other,
        },
        other => Error::Unavailable(other.to_string()),
    }
}

/// A lease on a connection, with the transaction it is in, if any.
pub(super) struct PgConn {
    client: Option<Object>,
    tx: Option<OpenTx>,
    runtime: Handle,
}

struct OpenTx {
    place: &'static Location<'static>,
    begun: Instant,
    hold: Duration,
    failed: bool,
}

impl OpenTx {
    fn check(&self) -> Result<()> {
        if self.failed {
            return Err(Error::Aborted);
        }
        if self.begun.elapsed() >= self.hold {
            tracing::error!(db.place = %self.place, "a transaction was held too long and will be rolled back");
            return Err(Error::Expired(self.place));
        }
        Ok(())
    }
}

impl PgConn {
    fn client(&self) -> Result<&Object> {
        self.client.as_ref().ok_or(Error::Aborted)
    }

    pub(super) async fn fetch<T: Record>(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<T>> {
        self.check()?;
        let found = self.try_fetch(sql, params).await;
        self.note(&found);
        found
    }

    async fn try_fetch<T: Record>(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<T>> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        let rows = client.query(&statement, &borrow(params)).await?;
        let names: Vec<&str> = statement.columns().iter().map(tokio_postgres::Column::name).collect();
        let columns = Columns::find(T::COLUMNS, &names)?;
        rows.iter().map(|row| T::from_row(&Row::pg(row, &columns))).collect()
    }

    pub(super) async fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64> {
        self.check()?;
        let done = self.try_execute(sql, params).await;
        self.note(&done);
        done
    }

    async fn try_execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.execute(&statement, &borrow(params)).await?)
    }

    fn check(&mut self) -> Result<()> {
        let Some(tx) = &mut self.tx else { return Ok(()) };
        tx.check().inspect_err(|_| tx.failed = true)
    }

    fn note<T>(&mut self, done: &Result<T>) {
        if let (Err(_), Some(tx)) = (done, &mut self.tx) {
            tx.failed = true;
        }
    }

    pub(super) async fn commit(&mut self, hooks: Hooks) -> Result<()> {
        if let Err(error) = self.check() {
            self.rollback().await?;
            return Err(error);
        }
        let client = self.client.take().ok_or(Error::Aborted)?;
        self.tx = None;
        let commit = async move {
            client.batch_execute("commit").await?;
            hooks.run();
            Ok(())
        };
        let done = self.runtime.spawn(commit).await;
        done.unwrap_or_else(|_| Err(Error::Unavailable("the program ended during a commit".into())))
    }

    pub(super) async fn rollback(&mut self) -> Result<()> {
        let Some(client) = self.client.take() else {
            return Ok(());
        };
        self.tx = None;
        let undo = async move { client.batch_execute("rollback").await };
        self.runtime
            .spawn(undo)
            .await
            .map_err(|_| Error::Aborted)?
            .map_err(Error::from)
    }
}

impl Drop for PgConn {
    fn drop(&mut self) {
        if self.tx.take().is_some()
            && let Some(client) = self.client.take()
        {
            self.runtime.spawn(async move {
                if client.batch_execute("rollback").await.is_err() {
                    // Whatever state it is in, it must not be lent again.
                    drop(Object::take(client));
                }
            });
        }
    }
}

fn borrow<'p>(params: &'p [Param<'_>]) -> Vec<&'p (dyn ToSql + Sync)> {
    params.iter().map(|param| param as &(dyn ToSql + Sync)).collect()
}
