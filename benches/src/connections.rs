//! Fills a SQLite database with connections whose tokens are sealed as the program seals them; `benches/http/run.py` calls it
//! while no server runs on the folder.
//!
//! `cargo run --release -p polity-benches --bin connections -- DATABASE KEYRING COUNT APP USER`
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark ends at the first surprise"
)]

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use polity_grants::token::TokenSet;
use polity_seal::Keyring;
use rusqlite::{Connection, params};

/// For as long as no benchmark runs.
const LIFE_MS: i64 = 24 * 60 * 60 * 1000;

fn main() {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().unwrap();
    let (database, keyring, count) = (next(), next(), next().parse::<u32>().unwrap());
    let (app, user) = (next(), next());
    let keyring = Keyring::load(Path::new(&keyring)).unwrap();
    let mut database = Connection::open(database).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_millis()).unwrap();
    let tx = database.transaction().unwrap();
    {
        let mut grant = tx.prepare(GRANT).unwrap();
        let mut connection = tx.prepare(CONNECTION).unwrap();
        for n in 1..=count {
            let id = format!("con_{n}");
            // As long as those of most providers.
            let tokens = TokenSet {
                access: format!("access-{n:0>100}").into(),
                refresh: Some(format!("refresh-{n:0>100}").into()),
                token_type: "bearer".to_owned(),
                expires_at: Some(now + LIFE_MS),
                scopes: vec!["read".to_owned()],
                obtained_at: now,
            };
            let sealed = tokens.seal(&keyring, &id);
            let ends = (now + LIFE_MS) * 1000;
            grant.execute(params![id, user, sealed, ends, now * 1000]).unwrap();
            let account = format!("account-{n}");
            connection
                .execute(params![id, user, app, account, ends, now * 1000])
                .unwrap();
        }
    }
    tx.commit().unwrap();
}

const GRANT: &str = "insert into integration_grant (id, provider, owner, status, sealed, scopes, version, expires_at,
        next_refresh_at, refresh_failures, fence, created_at)
    values (?1, 'bench', ?2, 'active', ?3, '[\"read\"]', 1, ?4, ?4, 0, 0, ?5)";

const CONNECTION: &str = "insert into oauth_connection (id, user_id, workspace_id, oauth_app_id, status, is_sync_enabled,
        is_shared, requested_scopes, granted_scopes, missing_scopes, external_user_id, token_expires_at, refresh_failures,
        is_opened, created_at, updated_at)
    values (?1, ?2, ?2, ?3, 'active', 1, 0, '[\"read\"]', '[\"read\"]', '[]', ?4, ?5, 0, 1, ?6, ?6)";
