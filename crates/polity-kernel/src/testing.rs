//! Fresh databases for the kernel's own tests. The rest of the house uses the `polity-testing` crate.

use crate::{
    Secret,
    db::{DatabaseSettings, Db},
};

/// A database of one test's own.
pub(crate) struct Fresh {
    pub(crate) db: Db,
    _folder: tempfile::TempDir,
}

/// The URL of a PostgreSQL server on which this process may create databases.
const SERVER: &str = "POLITY_TEST_POSTGRES";

impl Fresh {
    /// An SQLite file, on tmpfs where there is one.
    pub(crate) fn lite(change: impl FnOnce(&mut DatabaseSettings)) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let mut settings = DatabaseSettings::default();
        change(&mut settings);
        let db = Db::open(&settings, folder.path()).unwrap();
        Self { db, _folder: folder }
    }

    /// Runs the test on SQLite, and on PostgreSQL where there is a server.
    pub(crate) async fn each(test: impl AsyncFn(Db)) {
        Self::each_with(|_| {}, test).await;
    }

    /// Runs the test on a PostgreSQL database that orders texts by a language, where there is a server.
    pub(crate) async fn ordered_by_language(test: impl AsyncFn(Db)) {
        if let Some((url, name, server)) = create(LANGUAGE).await {
            let settings = DatabaseSettings {
                url: Some(Secret::from(url)),
                ..DatabaseSettings::default()
            };
            test(Db::open(&settings, std::path::Path::new("/nowhere")).unwrap()).await;
            on_server(&server, &format!("drop database if exists {name} with (force)")).await;
        }
    }

    pub(crate) async fn each_with(change: impl Fn(&mut DatabaseSettings), test: impl AsyncFn(Db)) {
        let fresh = Self::lite(&change);
        test(fresh.db.clone()).await;
        if let Some((url, name, server)) = create(BYTES).await {
            let mut settings = DatabaseSettings {
                url: Some(Secret::from(url)),
                connections: 8,
                ..DatabaseSettings::default()
            };
            change(&mut settings);
            test(Db::open(&settings, std::path::Path::new("/nowhere")).unwrap()).await;
            on_server(&server, &format!("drop database if exists {name} with (force)")).await;
        }
    }
}

/// How a database orders texts by their bytes, and how by a language.
const BYTES: &str = "lc_collate 'C' lc_ctype 'C'";
const LANGUAGE: &str = "locale_provider icu icu_locale 'en-US'";

async fn create(order: &str) -> Option<(String, String, String)> {
    let server = variable(SERVER);
    assert!(
        server.is_some() || variable("POLITY_TEST_REQUIRE_SERVICES").is_none(),
        "{SERVER} is not set"
    );
    let server = server?;
    let random = u64::from_le_bytes(polity_seal::random_bytes::<8>());
    let name = format!("polity_k_{random:x}");
    on_server(
        &server,
        &format!("create database {name} template template0 encoding 'UTF8' {order}"),
    )
    .await;
    let mut url = url::Url::parse(&server).unwrap();
    url.set_path(&name);
    Some((url.to_string(), name, server))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test command says by these variables what the tests may use"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "the driver's connection ends with its client")]
async fn on_server(server: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(server, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
}
