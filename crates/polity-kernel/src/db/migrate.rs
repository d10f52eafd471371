//! Migrations: numbered texts, one numbering per crate, forward only, applied at start under a lock.
//!
//! A migration that was applied never changes: its checksum is kept, and a program that meets another text, or a number it
//! does not know, refuses to start rather than guess.

use std::collections::HashMap;

use super::{Backend, Db, Dialect, Error, Result, sql};

/// One numbered change of the tables. The text is PostgreSQL's; see [`super::sql`].
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// From 1, without gaps.
    pub version: i64,
    /// What it does, in a word or two.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// The migrations of one crate or service.
#[derive(Debug, Clone, Copy)]
pub struct Migrations {
    /// The name of the numbering, such as `kernel` or `account`.
    pub set: &'static str,
    /// The migrations, in order.
    pub list: &'static [Migration],
}

const TABLE: &str = "create table if not exists polity_migration (
    set_name text not null,
    version bigint not null,
    name text not null,
    checksum bigint not null,
    primary key (set_name, version)
)";
const APPLIED: &str = "select set_name, version, checksum from polity_migration";
const INSERT: &str = "insert into polity_migration (set_name, version, name, checksum) values ($1, $2, $3, $4)";
/// The key of the advisory lock under which replicas that start together migrate one after the other: "polity" in ASCII.
const LOCK: i64 = 0x706f_6c69_7479;

impl Db {
    /// Applies what is missing, each migration in a transaction of its own, and says how many that were.
    ///
    /// # Errors
    /// [`Error::Migration`] if the database is ahead of this program, was made by another text, or does not order texts by
    /// their bytes; what the database says if a migration fails, which then left nothing.
    pub async fn migrate(&self, sets: &[Migrations]) -> Result<usize> {
        match &self.0.backend {
            Backend::Lite(lite) => lite.writer.alone(|conn| migrate_lite(conn, sets)).await,
            Backend::Pg(pg) => {
                let mut client = pg.connect().await?;
                client.execute("select pg_advisory_lock($1)", &[&LOCK]).await?;
                // The lock ends with the session, which ends with the client.
                migrate_pg(&mut client, sets).await
            }
        }
    }
}

type Applied = HashMap<(String, i64), i64>;

/// What is left to apply.
fn missing<'s>(sets: &'s [Migrations], applied: &Applied) -> Result<Vec<(&'static str, &'s Migration)>> {
    let mut known = 0;
    let mut todo = Vec::new();
    for set in sets {
        for migration in set.list {
            match applied.get(&(set.set.to_owned(), migration.version)) {
                None => todo.push((set.set, migration)),
                Some(checksum) if *checksum == self::checksum(migration.sql) => known += 1,
                Some(_) => {
                    return Err(Error::Migration(format!(
                        "migration {} {} ({}) was applied with another text; a migration never changes once it was released",
                        set.set, migration.version, migration.name
                    )));
                }
            }
        }
    }
    if known == applied.len() {
        return Ok(todo);
    }
    let is_known = |(set, version): &&(String, i64)| {
        sets.iter()
            .any(|s| s.set == set.as_str() && s.list.iter().any(|m| m.version == *version))
    };
    let ahead = applied.keys().find(|key| !is_known(key));
    let (set, version) = ahead.map_or(("?", 0), |(set, version)| (set.as_str(), *version));
    Err(Error::Migration(format!(
        "the database was migrated by a newer program: it holds migration {set} {version}, which this one does not know; \
         start the newer program, or restore a backup made before"
    )))
}

fn migrate_lite(conn: &mut rusqlite::Connection, sets: &[Migrations]) -> Result<usize> {
    conn.execute_batch(TABLE)?;
    let applied = {
        let mut statement = conn.prepare(APPLIED)?;
        let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
        rows.collect::<rusqlite::Result<Applied>>()?
    };
    let todo = missing(sets, &applied)?;
    for (set, migration) in &todo {
        let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        tx.execute_batch(&sql::render(migration.sql, Dialect::Lite))
            .map_err(|error| failed(set, migration, error))?;
        let insert = sql::render(INSERT, Dialect::Lite);
        tx.execute(
            &insert,
            (set, migration.version, migration.name, checksum(migration.sql)),
        )?;
        tx.commit()?;
    }
    Ok(todo.len())
}

/// Whether texts have the order of their bytes, as in SQLite and in this program: a page goes on after the text where another
/// one ended, and pages of several tables are merged.
const ORDER: &str = "select 'B' < 'a' and 'a-b' < 'aa' and 'z' < '\u{e9}'";

async fn check_order(client: &tokio_postgres::Client) -> Result<()> {
    let row = client.query_one(ORDER, &[]).await?;
    if row.try_get::<_, bool>(0)? {
        return Ok(());
    }
    Err(Error::Migration(
        "the database does not order texts by their bytes; make it with: create database … template template0 \
         encoding 'UTF8' lc_collate 'C' lc_ctype 'C'"
            .to_owned(),
    ))
}

async fn migrate_pg(client: &mut tokio_postgres::Client, sets: &[Migrations]) -> Result<usize> {
    check_order(client).await?;
    client.batch_execute(TABLE).await?;
    let rows = client.query(APPLIED, &[]).await?;
    let applied: Applied = rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
    let todo = missing(sets, &applied)?;
    for (set, migration) in &todo {
        let tx = client.transaction().await?;
        tx.batch_execute(&sql::render(migration.sql, Dialect::Pg))
            .await
            .map_err(|error| failed(set, migration, error))?;
        tx.execute(
            INSERT,
            &[set, &migration.version, &migration.name, &checksum(migration.sql)],
        )
        .await?;
        tx.commit().await?;
    }
    Ok(todo.len())
}

fn failed(set: &str, migration: &Migration, error: impl Into<Error>) -> Error {
    Error::Migration(format!(
        "migration {set} {} ({}) failed: {}",
        migration.version,
        migration.name,
        error.into()
    ))
}

/// FNV-1a, 64 bits: tells an edited text from the one that was applied. Not a protection against anybody.
fn checksum(text: &str) -> i64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    i64::from_ne_bytes(hash.to_ne_bytes())
}
