//! A fresh PostgreSQL database for one test, on the server that `./test` starts.
//!
//! Deliberately absent: starting a server (that is `./test`, or `./test with-services`).

use std::hash::{BuildHasher as _, RandomState};

use reqwest::Url;
use tokio_postgres::NoTls;

/// The URL of a server on which this process may create databases.
const SERVER: &str = "POLITY_TEST_POSTGRES";
/// Set to `1`, it makes a missing server a failure, so that a suite cannot pass by skipping half of itself.
const REQUIRED: &str = "POLITY_TEST_REQUIRE_SERVICES";

/// A database of one test's own: empty, UTF-8, C collation. Dropped with this value, whoever is still connected.
#[derive(Debug)]
pub struct FreshDatabase {
    server: Url,
    url: Url,
    name: String,
}

impl FreshDatabase {
    /// The address of the database, with user and password.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }
}

impl Drop for FreshDatabase {
    fn drop(&mut self) {
        let (server, sql) = (
            self.server.clone(),
            format!("drop database if exists {} with (force)", self.name),
        );
        // A drop may happen inside a runtime, which cannot wait; a thread of its own can. What fails here is a database
        // too many on a server that is about to be deleted.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.is_ok_and(|runtime| runtime.block_on(execute(&server, &sql)).is_ok())
        });
        let _ = thread.join();
    }
}

/// A fresh database, or `None` (and a line on standard error) where no server is offered.
///
/// # Panics
///
/// When a server is required but not offered, or refuses: a test can only fail then.
#[expect(clippy::panic, reason = "a test without the database it asks for has failed")]
pub async fn fresh_database() -> Option<FreshDatabase> {
    let Some(server) = variable(SERVER) else {
        assert!(
            variable(REQUIRED).as_deref() != Some("1"),
            "{REQUIRED}=1, but {SERVER} is not set"
        );
        eprintln!("skipped on PostgreSQL: {SERVER} is not set (./test with-services sets it)");
        return None;
    };
    match create(&server).await {
        Ok(database) => Some(database),
        Err(error) => panic!("no fresh database on {SERVER}: {error}"),
    }
}

async fn create(server: &str) -> Result<FreshDatabase, Box<dyn std::error::Error>> {
    let server = Url::parse(server)?;
    // The standard library's hash keys are random; each new state has another.
    let random = || RandomState::new().hash_one(std::process::id());
    let name = format!("polity_t_{:016x}{:016x}", random(), random());
    let mut url = server.clone();
    url.set_path(&name);
    // template0 has no connections that could stand in the way, and takes any collation.
    let options = "template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'";
    execute(&server, &format!("create database {name} {options}")).await?;
    Ok(FreshDatabase { server, url, name })
}

/// One statement on a connection of its own.
async fn execute(server: &Url, sql: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(server.as_str(), NoTls).await?;
    // The connection ends when the client is dropped, which is at the end of the work.
    let work = async move { client.batch_execute(sql).await };
    let (done, ended) = tokio::join!(work, connection);
    done.and(ended)
}

#[expect(
    clippy::disallowed_methods,
    reason = "these two describe the test run, not the program's settings"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(url: &str, sql: &str) -> String {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let work = async move { client.query_one(sql, &[]).await.unwrap().get(0) };
        tokio::join!(work, connection).0
    }

    #[tokio::test]
    async fn two_tests_share_nothing_and_leave_nothing() {
        let (Some(a), Some(b)) = (fresh_database().await, fresh_database().await) else {
            return;
        };
        assert_ne!(a.url(), b.url());
        let (name, server) = (a.name.clone(), a.server.to_string());
        let query =
            "select current_database() || ' ' || datcollate from pg_database where datname = current_database()";
        assert_eq!(text(a.url(), query).await, format!("{name} C"));

        let left = format!("select count(*)::text from pg_database where datname = '{name}'");
        assert_eq!(text(&server, &left).await, "1");
        // A connection that is still open does not keep the database alive.
        let (_client, connection) = tokio_postgres::connect(a.url(), NoTls).await.unwrap();
        drop(a);
        assert_eq!(text(&server, &left).await, "0");
        assert!(connection.await.is_err());
    }
}
