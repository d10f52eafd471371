//! The SQL of the catalogue of scopes.

use chrono::{DateTime, Utc};
use polity_kernel::{
    Record,
    db::{Conn, List, Result, Tx},
};

/// A scope of the catalogue.
#[derive(Debug, Clone, Record)]
pub(crate) struct Scope {
    pub name: String,
    pub description: Option<String>,
    pub resource_type: String,
    pub permission_type: String,
    pub is_default: bool,
    pub is_deprecated: bool,
    pub created_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,
}

macro_rules! scope {
    ($rest:literal) => {
        concat!(
            "select scope_name as name, description, resource_type, permission_type, is_default, is_deprecated, created_at, updated_at
             from api_scope ",
            $rest
        )
    };
}

/// How many scopes there can be.
pub(crate) const MOST: i64 = 1_000;

/// The catalogue, by name; with or without what is deprecated.
pub(crate) async fn list(conn: &mut Conn, deprecated: bool) -> Result<Vec<Scope>> {
    conn.sql(scope!(
        "where is_deprecated = $1 or not is_deprecated order by scope_name limit 1000"
    ))
    .bind(&deprecated)
    .all()
    .await
}

/// Those of these that there are.
pub(crate) async fn named(conn: &mut Conn, names: &List) -> Result<Vec<Scope>> {
    conn.sql(scope!("where scope_name in list($1) order by scope_name"))
        .bind(names)
        .all()
        .await
}

pub(crate) async fn count(conn: &mut Conn) -> Result<i64> {
    let (count,) = conn.sql("select count(*) from api_scope").one::<(i64,)>().await?;
    Ok(count)
}

/// Says whether it is new.
pub(crate) async fn insert(tx: &mut Tx, scope: &Scope, now: DateTime<Utc>) -> Result<bool> {
    let inserted = tx
        .sql(
            "insert into api_scope (scope_name, description, resource_type, permission_type, is_default, is_deprecated,
                                    created_at, updated_at)
             values ($1, $2, $3, $4, $5, $6, $7, $7)
             on conflict do nothing",
        )
        .bind(&scope.name)
        .bind(&scope.description)
        .bind(&scope.resource_type)
        .bind(&scope.permission_type)
        .bind(&scope.is_default)
        .bind(&scope.is_deprecated)
        .bind(&now)
        .execute()
        .await?;
    Ok(inserted == 1)
}

pub(crate) async fn update(tx: &mut Tx, scope: &Scope, now: DateTime<Utc>) -> Result<()> {
    tx.sql(
        "update api_scope set description = $2, is_default = $3, is_deprecated = $4, updated_at = $5 where scope_name = $1",
    )
    .bind(&scope.name)
    .bind(&scope.description)
    .bind(&scope.is_default)
    .bind(&scope.is_deprecated)
    .bind(&now)
    .execute()
    .await?;
    Ok(())
}
