//! The SQL of what is to be taken back, and of who used which token.

use chrono::{DateTime, Utc};
use polity_kernel::{
    Record,
    db::{Conn, Cursor, Filter, List, Result, Rows, Tx},
};
use serde::Serialize;

/// Tokens that the provider is still to be told of.
#[derive(Debug, Clone, Record)]
pub(in crate::connection) struct TakeBack {
    pub id: String,
    pub oauth_app_id: String,
    pub provider: String,
    pub sealed: Vec<u8>,
    pub created_at: DateTime<Utc>,
}

pub(in crate::connection) async fn insert_take_back(tx: &mut Tx, new: &TakeBack) -> Result<()> {
    tx.sql(
        "insert into oauth_take_back (id, oauth_app_id, provider, sealed, created_at) values ($1, $2, $3, $4, $5)
         on conflict (id) do nothing",
    )
    .bind(&new.id)
    .bind(&new.oauth_app_id)
    .bind(&new.provider)
    .bind(&new.sealed)
    .bind(&new.created_at)
    .execute()
    .await?;
    Ok(())
}

/// Keeps the tokens of some connections for their providers, but not those of accounts that others have connected too; answers
/// whose they are.
pub(in crate::connection) async fn insert_take_backs(
    tx: &mut Tx,
    ids: &List,
    now: DateTime<Utc>,
) -> Result<Vec<String>> {
    let kept = tx
        .sql(
            "insert into oauth_take_back (id, oauth_app_id, provider, sealed, created_at)
             select g.id, c.oauth_app_id, g.provider, g.sealed, cast($2 as timestamptz)
             from oauth_connection as c, integration_grant as g
             where c.id in list($1) and g.id = c.id and g.sealed is not null
               and (c.external_user_id = '' or not exists (
                   select 1 from oauth_connection as o
                   where o.oauth_app_id = c.oauth_app_id and o.external_user_id = c.external_user_id
                     and o.status not in ('pending', 'revoked') and o.id not in list($1)))
             on conflict (id) do nothing
             returning id",
        )
        .bind(ids)
        .bind(&now)
        .all::<(String,)>()
        .await?;
    Ok(kept.into_iter().map(|(id,)| id).collect())
}

pub(in crate::connection) async fn take_back(conn: &mut Conn, id: &str) -> Result<Option<TakeBack>> {
    conn.sql("select id, oauth_app_id, provider, sealed, created_at from oauth_take_back where id = $1")
        .bind(id)
        .optional()
        .await
}

pub(in crate::connection) async fn delete_take_back(tx: &mut Tx, id: &str) -> Result<u64> {
    tx.sql("delete from oauth_take_back where id = $1")
        .bind(id)
        .execute()
        .await
}

/// Some that no attempt brought back in time; the tokens end by themselves.
pub(in crate::connection) async fn delete_old_take_backs(
    tx: &mut Tx,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64> {
    tx.sql("delete from oauth_take_back where id in (select id from oauth_take_back where created_at < $1 limit $2)")
        .bind(&before)
        .bind(&limit)
        .execute()
        .await
}

/// Uses of a token in a second.
#[derive(Debug, Clone, PartialEq, Record, Serialize)]
pub(in crate::connection) struct Use {
    pub connection_id: String,
    pub caller: String,
    pub purpose: String,
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub second: DateTime<Utc>,
    pub uses: i64,
}

pub(in crate::connection) async fn add_uses(tx: &mut Tx, uses: &[Use]) -> Result<()> {
    tx.sql(
        "insert into oauth_connection_use (connection_id, caller, purpose, second, uses)
         select r.item ->> 'connection_id', r.item ->> 'caller', r.item ->> 'purpose', moment(r.item ->> 'second'),
                cast(r.item ->> 'uses' as bigint)
         from rows($1) as r
         where true
         on conflict (connection_id, second, caller, purpose) do update set uses = oauth_connection_use.uses + excluded.uses",
    )
    .bind(&Rows::of(uses))
    .execute()
    .await?;
    Ok(())
}

/// Uses of a connection, latest first, after a place: the second, and caller and purpose as one text.
pub(in crate::connection) async fn uses(
    conn: &mut Conn,
    connection_id: &str,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Vec<Use>> {
    let mut filter =
        Filter::new("select connection_id, caller, purpose, second, uses from oauth_connection_use where true");
    filter.and("connection_id = ?", connection_id);
    if let Some(after) = after {
        filter
            .and("(second, caller || ' ' || purpose) < (?,", &after.at)
            .with("?)", &after.id);
    }
    filter.push("order by second desc, caller || ' ' || purpose desc");
    filter.with("limit ?", &limit);
    conn.filter(filter).all().await
}

pub(in crate::connection) async fn delete_old_uses(tx: &mut Tx, before: DateTime<Utc>, limit: i64) -> Result<u64> {
    tx.sql(
        "delete from oauth_connection_use where (connection_id, second, caller, purpose) in
            (select connection_id, second, caller, purpose from oauth_connection_use where second < $1 limit $2)",
    )
    .bind(&before)
    .bind(&limit)
    .execute()
    .await
}
