//! What was done in an organization, for its administrators.

use chrono::Duration;
use polity_kernel::{
    Ctx,
    db::{Conn, Cursor, Tx},
};
use serde_json::Value;

use super::{Actor, Error, seen};
use crate::organization::{Organizations, store, store::Entry};

/// How many rows are deleted in one transaction.
const AT_ONCE: i64 = 500;

/// Notes what was done, in its transaction.
pub(in crate::organization) async fn note(
    tx: &mut Tx,
    ctx: &Ctx,
    (organization_id, actor_id): (&str, &str),
    action: &str,
    target_id: Option<&str>,
    data: Value,
) -> Result<(), Error> {
    let entry = Entry {
        id: ctx.ids.new_id("oad_"),
        actor_id: actor_id.to_owned(),
        action: action.to_owned(),
        target_id: target_id.map(str::to_owned),
        data,
        created_at: ctx.clock.now(),
    };
    Ok(store::insert_audit(tx, organization_id, &entry).await?)
}

/// What was done in an organization, newest first; for its administrators.
pub(in crate::organization) async fn trail(
    read: &mut Conn,
    actor: &Actor,
    organization_id: &str,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Vec<Entry>, Error> {
    let (_, role) = seen(read, actor, organization_id).await?;
    if role.is_some_and(|role| !role.is_admin()) {
        return Err(Error::forbidden("Admin access required"));
    }
    Ok(store::list_audit(read, organization_id, after, limit).await?)
}

/// Writes what members are searched by who have nothing to be searched by yet; says how many.
pub(in crate::organization) async fn fill_search(organizations: &Organizations) -> Result<u64, Error> {
    let db = &organizations.ctx.db;
    Ok(db.in_batches(|tx| Box::pin(store::fill_search(tx, AT_ONCE))).await?)
}

/// Deletes entries that are older than they are kept; says how many.
pub(in crate::organization) async fn clean_up(organizations: &Organizations) -> Result<u64, Error> {
    let ctx = &organizations.ctx;
    let days = i64::from(organizations.settings.audit_retention_days);
    let before = ctx.clock.now() - Duration::days(days);
    Ok(ctx
        .db
        .in_batches(move |tx| Box::pin(store::delete_audit(tx, before, AT_ONCE)))
        .await?)
}
