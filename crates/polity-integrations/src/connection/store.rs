//! SQL and nothing else; apps, uses and what is to be taken back are in the files beside.

pub(super) mod apps;
pub(super) mod rest;

use chrono::{DateTime, Utc};
use polity_kernel::{
    db::{Conn, Cursor, Filter, Json, List, Result, Tx},
    secret::Sealed,
};

use super::model::{Connection, Status};
use crate::consent::Place;

macro_rules! connection {
    ($rest:literal) => {
        concat!(
            "select id, user_id, workspace_id, oauth_app_id, status, is_sync_enabled, is_shared, requested_scopes, granted_scopes,
                    missing_scopes, external_user_id, external_user_email, external_user_data, token_expires_at,
                    refresh_failures, error, last_verified_at, return_to, opener, ticket_hash, is_opened, state_hash,
                    waits_until, replaced_by, created_at, updated_at, ended_at
             from oauth_connection ",
            $rest
        )
    };
}

pub(super) async fn find(conn: &mut Conn, id: &str) -> Result<Option<Connection>> {
    conn.sql(connection!("where id = $1")).bind(id).optional().await
}

pub(super) async fn find_by_state(conn: &mut Conn, hash: &str) -> Result<Option<Connection>> {
    conn.sql(connection!("where state_hash = $1"))
        .bind(hash)
        .optional()
        .await
}

pub(super) async fn find_by_ticket(conn: &mut Conn, hash: &str) -> Result<Option<Connection>> {
    conn.sql(connection!("where ticket_hash = $1"))
        .bind(hash)
        .optional()
        .await
}

/// The connection of a person with an outside account in a workspace, if it is not taken back.
pub(super) async fn of_account(
    conn: &mut Conn,
    like: &Connection,
    external_user_id: &str,
) -> Result<Option<Connection>> {
    conn.sql(connection!(
        "where user_id = $1 and oauth_app_id = $2 and workspace_id = $3 and external_user_id = $4
           and status not in ('pending', 'revoked') and external_user_id <> ''"
    ))
    .bind(&like.user_id)
    .bind(&like.oauth_app_id)
    .bind(&like.workspace_id)
    .bind(external_user_id)
    .optional()
    .await
}

/// How many connections that hold tokens there are with an outside account, whoever has them.
pub(super) async fn count_of_account(conn: &mut Conn, app_id: &str, external_user_id: &str) -> Result<i64> {
    let (count,) = conn
        .sql(
            "select count(*) from oauth_connection
             where oauth_app_id = $1 and external_user_id = $2 and status not in ('pending', 'revoked')",
        )
        .bind(app_id)
        .bind(external_user_id)
        .one::<(i64,)>()
        .await?;
    Ok(count)
}

/// How many connections a person has that are not taken back, or did not fail for good.
pub(super) async fn count_of_person(conn: &mut Conn, user_id: &str) -> Result<i64> {
    let (count,) = conn
        .sql(
            "select count(*) from oauth_connection where user_id = $1
               and (status not in ('revoked', 'error') or (status = 'error' and waits_until is not null))",
        )
        .bind(user_id)
        .one::<(i64,)>()
        .await?;
    Ok(count)
}

/// How many active connections there are in a workspace.
pub(super) async fn count_active(conn: &mut Conn, workspace_id: &str) -> Result<i64> {
    let (count,) = conn
        .sql("select count(*) from oauth_connection where workspace_id = $1 and status = 'active'")
        .bind(workspace_id)
        .one::<(i64,)>()
        .await?;
    Ok(count)
}

/// Which connections are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub workspace_id: &'a str,
    /// Those of that person, or also what is shared in the workspace.
    pub user_id: Option<&'a str>,
    pub app_id: Option<&'a str>,
    pub status: Option<Status>,
}

impl Wanted<'_> {
    fn filter<'p>(&'p self, start: &'static str) -> Filter<'p> {
        let mut filter = Filter::new(start);
        filter.and("workspace_id = ?", self.workspace_id);
        filter.and_some("(user_id = ? or is_shared)", self.user_id.as_ref());
        filter.and_some("oauth_app_id = ?", self.app_id.as_ref());
        filter.and_some("status = ?", self.status.as_ref());
        filter
    }
}

/// A page, newest first, and how many there are.
pub(super) async fn list(
    conn: &mut Conn,
    wanted: Wanted<'_>,
    (page, page_size): (i64, i64),
) -> Result<(Vec<Connection>, i64)> {
    let offset = (page - 1) * page_size;
    let mut filter = wanted.filter(connection!("where true"));
    filter.push("order by created_at desc, id desc");
    filter.with("limit ?", &page_size).with("offset ?", &offset);
    let found = conn.filter(filter).all().await?;
    let (total,) = conn
        .filter(wanted.filter("select count(*) from oauth_connection where true"))
        .one::<(i64,)>()
        .await?;
    Ok((found, total))
}

/// Some, newest first, after a place.
pub(super) async fn list_after(
    conn: &mut Conn,
    wanted: Wanted<'_>,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Vec<Connection>> {
    let mut filter = wanted.filter(connection!("where true"));
    if let Some(after) = after {
        filter.and("(created_at, id) < (?,", &after.at).with("?)", &after.id);
    }
    filter.push("order by created_at desc, id desc");
    filter.with("limit ?", &limit);
    conn.filter(filter).all().await
}

/// Some live connections that somebody's leaving, or a workspace's end, takes along.
pub(super) async fn some_of(
    conn: &mut Conn,
    user_id: Option<&str>,
    workspace_id: Option<&str>,
    limit: i64,
) -> Result<Vec<Connection>> {
    let mut filter = Filter::new(connection!("where true"));
    filter.push("and status <> 'revoked'");
    filter.and_some("user_id = ?", user_id.as_ref());
    filter.and_some("workspace_id = ?", workspace_id.as_ref());
    filter.push("order by id");
    filter.with("limit ?", &limit);
    conn.filter(filter).all().await
}

/// The live connections that rest on the consent of a place, by id. There are no more of them than somebody may have: all of
/// them end with it.
pub(super) async fn resting(conn: &mut Conn, place: &Place<'_>) -> Result<Vec<Connection>> {
    let mut filter = Filter::new(connection!("where true"));
    // Those that failed have nothing that could be used, and there may be any number of them.
    filter.push("and status not in ('revoked', 'error')");
    filter.and("user_id = ?", place.user_id);
    filter.and("workspace_id = ?", place.workspace_id);
    let app = Some(place.entity_id).filter(|id| !id.is_empty());
    filter.and_some("oauth_app_id = ?", app.as_ref());
    filter.push("order by id");
    conn.filter(filter).all().await
}

/// Of some, those that are not taken back.
pub(super) async fn live(conn: &mut Conn, ids: &List) -> Result<Vec<Connection>> {
    conn.sql(connection!("where id in list($1) and status <> 'revoked' order by id"))
        .bind(ids)
        .all()
        .await
}

/// Takes some back: what they hold of others is erased, and nothing waits for a browser.
pub(super) async fn revoke(tx: &mut Tx, ids: &List, forgets: bool, now: DateTime<Utc>) -> Result<u64> {
    tx.sql(
        "update oauth_connection
         set status = 'revoked', granted_scopes = $2, external_user_email = null, external_user_data = null,
             external_user_id = case when $3 then '' else external_user_id end, token_expires_at = null, error = null,
             return_to = null, opener = null, ticket_hash = null, state_hash = null, waits_until = null,
             updated_at = $4, ended_at = $4
         where id in list($1)",
    )
    .bind(ids)
    .bind(&Json(Vec::<String>::new()))
    .bind(&forgets)
    .bind(&now)
    .execute()
    .await
}

pub(super) async fn insert(tx: &mut Tx, new: &Connection) -> Result<()> {
    tx.sql(
        "insert into oauth_connection (id, user_id, workspace_id, oauth_app_id, status, is_sync_enabled, is_shared,
                requested_scopes, granted_scopes, missing_scopes, external_user_id, refresh_failures, return_to, opener,
                ticket_hash, is_opened, state_hash, waits_until, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $19)",
    )
    .bind(&new.id)
    .bind(&new.user_id)
    .bind(&new.workspace_id)
    .bind(&new.oauth_app_id)
    .bind(&new.status)
    .bind(&new.is_sync_enabled)
    .bind(&new.is_shared)
    .bind(&new.requested_scopes)
    .bind(&new.granted_scopes)
    .bind(&new.missing_scopes)
    .bind(&new.external_user_id)
    .bind(&new.refresh_failures)
    .bind(&new.return_to)
    .bind(&new.opener)
    .bind(&new.ticket_hash)
    .bind(&new.is_opened)
    .bind(&new.state_hash)
    .bind(&new.waits_until)
    .bind(&new.created_at)
    .execute()
    .await?;
    Ok(())
}

/// Writes everything about a connection that can change, but for what is sealed: that is kept or erased, and never written as
/// it was read, since a new master key may seal it again at the same time.
pub(super) async fn update(tx: &mut Tx, now: &Connection) -> Result<()> {
    tx.sql(
        "update oauth_connection
         set status = $2, is_sync_enabled = $3, is_shared = $4, requested_scopes = $5, granted_scopes = $6,
             missing_scopes = $7, external_user_id = $8, external_user_email = $9,
             external_user_data = case when $10 then external_user_data end,
             token_expires_at = $11, refresh_failures = $12, error = $13, last_verified_at = $14, return_to = $15,
             opener = $16, ticket_hash = $17, is_opened = $18, state_hash = $19, waits_until = $20, replaced_by = $21,
             updated_at = $22, ended_at = $23
         where id = $1",
    )
    .bind(&now.id)
    .bind(&now.status)
    .bind(&now.is_sync_enabled)
    .bind(&now.is_shared)
    .bind(&now.requested_scopes)
    .bind(&now.granted_scopes)
    .bind(&now.missing_scopes)
    .bind(&now.external_user_id)
    .bind(&now.external_user_email)
    .bind(&now.external_user_data.is_some())
    .bind(&now.token_expires_at)
    .bind(&now.refresh_failures)
    .bind(&now.error)
    .bind(&now.last_verified_at)
    .bind(&now.return_to)
    .bind(&now.opener)
    .bind(&now.ticket_hash)
    .bind(&now.is_opened)
    .bind(&now.state_hash)
    .bind(&now.waits_until)
    .bind(&now.replaced_by)
    .bind(&now.updated_at)
    .bind(&now.ended_at)
    .execute()
    .await?;
    Ok(())
}

/// Writes what a provider says of an account.
pub(super) async fn save_account(tx: &mut Tx, id: &str, sealed: &Sealed) -> Result<()> {
    tx.sql("update oauth_connection set external_user_data = $2 where id = $1")
        .bind(id)
        .bind(sealed)
        .execute()
        .await?;
    Ok(())
}

/// What a grant says of a connection, and nothing else of it.
#[derive(Debug, Clone)]
pub(super) struct Follows<'a> {
    pub id: &'a str,
    pub granted_scopes: Json<Vec<String>>,
    pub token_expires_at: Option<DateTime<Utc>>,
    pub refresh_failures: i64,
    pub error: Option<&'a str>,
    pub verified_at: Option<DateTime<Utc>>,
    pub has_ended: bool,
    pub now: DateTime<Utc>,
}

/// Answers whose it is.
pub(super) async fn follow(tx: &mut Tx, grant: &Follows<'_>) -> Result<Option<(String, String)>> {
    tx.sql(
        "update oauth_connection
         set granted_scopes = $2, token_expires_at = $3, refresh_failures = $4, error = $5,
             last_verified_at = coalesce(cast($6 as timestamptz), last_verified_at),
             status = case when $7 then 'expired' else status end, updated_at = $8
         where id = $1 and status <> 'revoked'
         returning user_id, workspace_id",
    )
    .bind(grant.id)
    .bind(&grant.granted_scopes)
    .bind(&grant.token_expires_at)
    .bind(&grant.refresh_failures)
    .bind(&grant.error)
    .bind(&grant.verified_at)
    .bind(&grant.has_ended)
    .bind(&grant.now)
    .optional()
    .await
}

/// The ids of some sign-ins that nobody finished in time.
pub(super) async fn unfinished(conn: &mut Conn, now: DateTime<Utc>, limit: i64) -> Result<Vec<String>> {
    let found = conn
        .sql("select id from oauth_connection where waits_until <= $1 order by waits_until limit $2")
        .bind(&now)
        .bind(&limit)
        .all::<(String,)>()
        .await?;
    Ok(found.into_iter().map(|(id,)| id).collect())
}

/// Ends the waiting of these; those that never were a connection become errors.
pub(super) async fn give_up(tx: &mut Tx, ids: &List, error: &str, now: DateTime<Utc>) -> Result<u64> {
    tx.sql(
        "update oauth_connection
         set error = case when status = 'pending' then $2 else error end,
             ended_at = case when status = 'pending' then $3 else ended_at end,
             status = case when status = 'pending' then 'error' else status end,
             ticket_hash = null, state_hash = null, waits_until = null, return_to = null, opener = null, updated_at = $3
         where id in list($1) and waits_until <= $3",
    )
    .bind(ids)
    .bind(error)
    .bind(&now)
    .execute()
    .await
}

/// Some that ended before then, for good.
pub(super) async fn delete_ended(tx: &mut Tx, before: DateTime<Utc>, limit: i64) -> Result<u64> {
    tx.sql(
        "delete from oauth_connection where id in
            (select id from oauth_connection where ended_at < $1 and status in ('revoked', 'error') limit $2)",
    )
    .bind(&before)
    .bind(&limit)
    .execute()
    .await
}
