//! The rules, named by the contract. No HTTP here.

use polity_kernel::{
    Ctx,
    db::{Conn, Cursor, Tx},
};
use polity_ports::{Said, consent::ConsentCreated};

use super::{
    Consent, Error,
    model::{ConsentId, ConsentRow},
    store,
};

/// How many rows are deleted in one transaction.
const AT_ONCE: i64 = 500;

/// Creates one; the event is written in the same transaction.
pub(super) async fn create(tx: &mut Tx, state: &Consent, owner_id: &str, name: &str) -> Result<ConsentRow, Error> {
    let ctx = &state.ctx;
    // What is counted and then written is counted by one at a time.
    tx.lock("consent.owner", owner_id).await?;
    let most = state.settings.most_per_owner;
    if store::count(tx, owner_id).await? >= i64::from(most) {
        return Err(Error::TooMany(most));
    }
    let id = ConsentId(ctx.ids.new_id("consent_"));
    let row = ConsentRow {
        id,
        owner_id: owner_id.to_owned(),
        name: name.to_owned(),
        created_at: ctx.clock.now(),
    };
    store::insert(tx, &row).await?;
    let created = ConsentCreated {
        consent_id: row.id.0.clone(),
        owner_id: row.owner_id.clone(),
        name: row.name.clone(),
        timestamp: row.created_at,
    };
    ctx.events.publish(tx, created.event()).await?;
    Ok(row)
}

/// One of the owner's; another's answers like one that does not exist.
pub(super) async fn get(conn: &mut Conn, owner_id: &str, id: &ConsentId) -> Result<ConsentRow, Error> {
    store::find(conn, owner_id, id).await?.ok_or(Error::NotFound)
}

/// Some of the owner's, newest first, after a place.
pub(super) async fn list(
    conn: &mut Conn,
    owner_id: &str,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Vec<ConsentRow>, Error> {
    Ok(store::list(conn, owner_id, after, limit).await?)
}

/// Removes what belongs to somebody who is gone, some in each transaction; says how much.
pub(super) async fn forget(ctx: &Ctx, owner_id: &str) -> Result<u64, Error> {
    let owner_id = owner_id.to_owned();
    let done = ctx.db.in_batches(move |tx| {
        let owner_id = owner_id.clone();
        Box::pin(async move { store::delete_some(tx, &owner_id, AT_ONCE).await })
    });
    Ok(done.await?)
}
