//! SQL and nothing else.

use polity_grants::{clock::Millis, grant::Grant};
use polity_kernel::{
    clock::Timestamp,
    db::{Conn, List, Result, Tx},
};

use super::row::{Row, Written, moment};

/// The grant of that id.
pub(super) async fn find(conn: &mut Conn, id: &str) -> Result<Option<Grant>> {
    conn.sql(
        "select id, provider, owner, account, status, sealed, scopes, version, expires_at, next_refresh_at,
                refresh_failures, last_error, fence, intent
         from integration_grant where id = $1",
    )
    .bind(id)
    .optional::<Row>()
    .await?
    .map(Row::into_grant)
    .transpose()
}

/// A new one; `false` if its id is taken.
pub(super) async fn insert(tx: &mut Tx, grant: &Grant, now: Timestamp) -> Result<bool> {
    let row = Written::of(grant);
    let inserted = tx
        .sql(
            "insert into integration_grant
                 (id, provider, owner, account, status, sealed, scopes, version, expires_at, next_refresh_at,
                  refresh_failures, last_error, fence, intent, lease_until, created_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
             on conflict (id) do nothing",
        )
        .bind(&grant.id)
        .bind(&grant.provider)
        .bind(&row.owner)
        .bind(&row.account)
        .bind(row.status)
        .bind(&grant.sealed)
        .bind(&row.scopes)
        .bind(&grant.version)
        .bind(&row.expires_at)
        .bind(&row.next_refresh_at)
        .bind(&grant.refresh_failures)
        .bind(&row.last_error)
        .bind(&grant.fence)
        .bind(&row.intent)
        .bind(&row.lease_until)
        .bind(&now)
        .execute()
        .await?;
    Ok(inserted == 1)
}

/// Everything of it but its tokens, which may get another key meanwhile.
pub(super) async fn save(tx: &mut Tx, grant: &Grant) -> Result<()> {
    let row = Written::of(grant);
    tx.sql(
        "update integration_grant
         set owner = $2, account = $3, status = $4, scopes = $5, version = $6, expires_at = $7, next_refresh_at = $8,
             refresh_failures = $9, last_error = $10, fence = $11, intent = $12, lease_until = $13
         where id = $1",
    )
    .bind(&grant.id)
    .bind(&row.owner)
    .bind(&row.account)
    .bind(row.status)
    .bind(&row.scopes)
    .bind(&grant.version)
    .bind(&row.expires_at)
    .bind(&row.next_refresh_at)
    .bind(&grant.refresh_failures)
    .bind(&row.last_error)
    .bind(&grant.fence)
    .bind(&row.intent)
    .bind(&row.lease_until)
    .execute()
    .await?;
    Ok(())
}

/// Its tokens; since when it has none, if it has none.
pub(super) async fn save_tokens(tx: &mut Tx, grant: &Grant, erased_at: Option<Timestamp>) -> Result<()> {
    tx.sql("update integration_grant set sealed = $2, erased_at = $3 where id = $1")
        .bind(&grant.id)
        .bind(&grant.sealed)
        .bind(&erased_at)
        .execute()
        .await?;
    Ok(())
}

/// Erases some: what [`Grant::revoke`] says of one.
pub(super) async fn revoke_all(tx: &mut Tx, ids: &List, now: Timestamp) -> Result<u64> {
    tx.sql(
        "update integration_grant
         set status = 'revoked', version = version + 1, sealed = null, intent = null, lease_until = null,
             next_refresh_at = null, expires_at = null, last_error = null, erased_at = $2
         where id in list($1) and status <> 'revoked'",
    )
    .bind(ids)
    .bind(&now)
    .execute()
    .await
}

/// Who holds its refresh.
pub(super) async fn save_claim(tx: &mut Tx, grant: &Grant) -> Result<()> {
    let row = Written::of(grant);
    tx.sql(
        "update integration_grant set fence = $2, intent = $3, lease_until = $4, next_refresh_at = $5 where id = $1",
    )
    .bind(&grant.id)
    .bind(&grant.fence)
    .bind(&row.intent)
    .bind(&row.lease_until)
    .bind(&row.next_refresh_at)
    .execute()
    .await?;
    Ok(())
}

/// Removes it; `false` if there was none.
pub(super) async fn delete(tx: &mut Tx, id: &str) -> Result<bool> {
    let deleted = tx
        .sql("delete from integration_grant where id = $1")
        .bind(id)
        .execute()
        .await?;
    Ok(deleted == 1)
}

/// Ids of those whose time comes within a span, and that nobody holds.
pub(super) async fn due(conn: &mut Conn, now: Millis, within: Millis, limit: i64) -> Result<Vec<(String,)>> {
    conn.sql(
        "select id from integration_grant
         where status = 'active' and next_refresh_at <= $1 and (lease_until is null or lease_until <= $2)
         order by next_refresh_at, id limit $3",
    )
    .bind(&moment(now.saturating_add(within)))
    .bind(&moment(now))
    .bind(&limit)
    .all()
    .await
}

/// Ids of those that another key than `key` sealed. The name of the key stands after two bytes of a sealed value.
pub(super) async fn sealed_by_others(conn: &mut Conn, key: &str, after: &str, limit: i64) -> Result<Vec<(String,)>> {
    conn.sql(
        "select id from integration_grant
         where id > $2 and sealed is not null and substr(sealed, 3, 9) <> $1
         order by id limit $3",
    )
    .bind(key.as_bytes())
    .bind(after)
    .bind(&limit)
    .all()
    .await
}

/// Keeps a pending authorization.
pub(super) async fn insert_pending(
    tx: &mut Tx,
    key: &str,
    browser: &str,
    sealed: &[u8],
    expires_at: Timestamp,
) -> Result<()> {
    tx.sql(
        "insert into integration_pending_authorization (id, browser, sealed, expires_at) values ($1, $2, $3, $4)
         on conflict (id) do update
         set browser = excluded.browser, sealed = excluded.sealed, expires_at = excluded.expires_at",
    )
    .bind(key)
    .bind(browser)
    .bind(sealed)
    .bind(&expires_at)
    .execute()
    .await?;
    Ok(())
}

/// Takes one that lasts and is of that browser.
pub(super) async fn take_pending(tx: &mut Tx, key: &str, browser: &str, now: Timestamp) -> Result<Option<Vec<u8>>> {
    let taken = tx
        .sql(
            "delete from integration_pending_authorization
             where id = $1 and browser = $2 and expires_at > $3
             returning sealed",
        )
        .bind(key)
        .bind(browser)
        .bind(&now)
        .optional::<(Vec<u8>,)>()
        .await?;
    Ok(taken.map(|(sealed,)| sealed))
}

/// Deletes one that nobody will come back with.
pub(super) async fn delete_pending(tx: &mut Tx, key: &str) -> Result<()> {
    tx.sql("delete from integration_pending_authorization where id = $1")
        .bind(key)
        .execute()
        .await?;
    Ok(())
}

/// How many rows are deleted in one transaction.
const AT_ONCE: i64 = 500;

/// Deletes some pending authorizations that ended.
pub(super) async fn delete_ended(tx: &mut Tx, now: Timestamp) -> Result<u64> {
    tx.sql(
        "delete from integration_pending_authorization
         where id in (select id from integration_pending_authorization where expires_at <= $1 limit $2)",
    )
    .bind(&now)
    .bind(&AT_ONCE)
    .execute()
    .await
}

/// Deletes some grants that were erased before a moment.
pub(super) async fn delete_erased(tx: &mut Tx, before: Timestamp) -> Result<u64> {
    tx.sql("delete from integration_grant where id in (select id from integration_grant where erased_at < $1 limit $2)")
        .bind(&before)
        .bind(&AT_ONCE)
        .execute()
        .await
}
