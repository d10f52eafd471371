//! What was done to permissions.

use chrono::{DateTime, Utc};
use polity_kernel::{
    Record,
    db::{Conn, Cursor, Filter, Result, Rows, Tx},
};
use polity_ports::authorization::ResourceType;
use serde::Serialize;

use crate::authorization::model::Action;

/// Something that was done to a permission, or to a role.
#[derive(Debug, Clone, Record, Serialize)]
pub(in crate::authorization) struct Entry {
    pub id: String,
    pub user_id: String,
    /// A type of resources; `role` for a role.
    pub resource_type: String,
    pub resource_name: String,
    pub action: Action,
    pub old_access_level: Option<String>,
    pub new_access_level: Option<String>,
    pub performed_by_user_id: String,
    pub reason: Option<String>,
    pub success: bool,
    pub error_message: Option<String>,
    #[serde(skip)]
    pub created_at: DateTime<Utc>,
}

/// Adds entries of one moment.
pub(in crate::authorization) async fn insert(tx: &mut Tx, entries: &[Entry], now: DateTime<Utc>) -> Result<()> {
    tx.sql(
        "insert into permission_audit (id, user_id, resource_type, resource_name, action, old_access_level, new_access_level,
                                       performed_by_user_id, reason, success, error_message, created_at)
         select r.item ->> 'id', r.item ->> 'user_id', r.item ->> 'resource_type', r.item ->> 'resource_name',
                r.item ->> 'action', r.item ->> 'old_access_level', r.item ->> 'new_access_level',
                r.item ->> 'performed_by_user_id', r.item ->> 'reason', cast(r.item ->> 'success' as boolean),
                r.item ->> 'error_message', cast($2 as timestamptz)
         from rows($1) as r",
    )
    .bind(&Rows::of(entries))
    .bind(&now)
    .execute()
    .await?;
    Ok(())
}

/// Which entries are wanted.
#[derive(Debug, Clone, Default)]
pub(in crate::authorization) struct Wanted {
    pub user_id: Option<String>,
    pub resource_type: Option<ResourceType>,
    pub resource_name: Option<String>,
    pub action: Option<Action>,
    pub from: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
    pub after: Option<Cursor>,
}

/// Entries, newest first.
pub(in crate::authorization) async fn list(conn: &mut Conn, wanted: &Wanted, limit: i64) -> Result<Vec<Entry>> {
    let mut page = Filter::new(
        "select id, user_id, resource_type, resource_name, action, old_access_level, new_access_level, performed_by_user_id,
                reason, success, error_message, created_at
         from permission_audit where true",
    );
    page.and_some("user_id = ?", wanted.user_id.as_ref());
    page.and_some("resource_type = ?", wanted.resource_type.as_ref());
    page.and_some("resource_name = ?", wanted.resource_name.as_ref());
    page.and_some("action = ?", wanted.action.as_ref());
    page.and_some("created_at >= ?", wanted.from.as_ref());
    page.and_some("created_at < ?", wanted.until.as_ref());
    if let Some(Cursor { at, id }) = &wanted.after {
        page.and("created_at <= ?", at);
        page.with("and (created_at < ?", at).with("or id < ?)", id);
    }
    page.push("order by created_at desc, id desc");
    page.with("limit ?", &limit);
    conn.filter(page).all().await
}

pub(in crate::authorization) async fn delete_old(tx: &mut Tx, before: DateTime<Utc>, limit: i64) -> Result<u64> {
    tx.sql(
        "delete from permission_audit
         where id in (select id from permission_audit where created_at < $1 limit $2)",
    )
    .bind(&before)
    .bind(&limit)
    .execute()
    .await
}
