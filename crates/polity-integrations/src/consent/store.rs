//! SQL and nothing else. Whose it is comes first.

use polity_kernel::db::{Conn, Cursor, Filter, Result, Tx};

use super::model::{ConsentId, ConsentRow};

/// One of the owner's.
pub(super) async fn find(conn: &mut Conn, owner_id: &str, id: &ConsentId) -> Result<Option<ConsentRow>> {
    conn.sql("select id, owner_id, name, created_at from consent where owner_id = $1 and id = $2")
        .bind(owner_id)
        .bind(id)
        .optional()
        .await
}

/// A new one.
pub(super) async fn insert(tx: &mut Tx, row: &ConsentRow) -> Result<()> {
    tx.sql("insert into consent (id, owner_id, name, created_at) values ($1, $2, $3, $4)")
        .bind(&row.id)
        .bind(&row.owner_id)
        .bind(&row.name)
        .bind(&row.created_at)
        .execute()
        .await?;
    Ok(())
}

/// Some of the owner's, newest first, after a place.
pub(super) async fn list(
    conn: &mut Conn,
    owner_id: &str,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Vec<ConsentRow>> {
    let mut page = Filter::new("select id, owner_id, name, created_at from consent where true");
    page.and("owner_id = ?", owner_id);
    if let Some(Cursor { at, id }) = after {
        page.and("created_at <= ?", at);
        page.with("and (created_at < ?", at).with("or id < ?)", id);
    }
    page.push("order by created_at desc, id desc");
    page.with("limit ?", &limit);
    conn.filter(page).all().await
}

/// How many the owner has.
pub(super) async fn count(conn: &mut Conn, owner_id: &str) -> Result<i64> {
    let (count,) = conn
        .sql("select count(*) from consent where owner_id = $1")
        .bind(owner_id)
        .one::<(i64,)>()
        .await?;
    Ok(count)
}

/// Deletes some of the owner's; says how many.
pub(super) async fn delete_some(tx: &mut Tx, owner_id: &str, limit: i64) -> Result<u64> {
    tx.sql("delete from consent where id in (select id from consent where owner_id = $1 limit $2)")
        .bind(owner_id)
        .bind(&limit)
        .execute()
        .await
}
