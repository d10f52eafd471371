//! Connections end: by their owner, with the consent they rest on, with whoever had them, or because nobody finished.

use chrono::Duration;
use polity_kernel::db::{self, List, Tx};

use super::{locked, resting, revoke::revoke};
use crate::{
    connection::{
        Connections, Error,
        model::{Connection, Status, UNFINISHED},
        store,
    },
    consent::{self, By, Consent},
};

/// How many connections to end are read at a time.
const AT_ONCE: i64 = 50;
/// How long it is tried to tell a provider. Most access tokens have ended by then.
pub(in crate::connection) const TAKE_BACK_FOR: Duration = Duration::days(2);

/// Disconnects by the owner's wish: the consent goes too, unless another connection rests on it.
pub(in crate::connection) async fn disconnect(
    tx: &mut Tx,
    connections: &Connections,
    id: &str,
    by: &By,
    revoked_by: &str,
) -> Result<(), Error> {
    let ctx = &connections.ctx;
    let found = store::find(tx, id).await?.ok_or(Error::NotFound)?;
    let place = resting(&found);
    consent::hold(tx, &place, ctx.clock.now()).await?;
    if revoke(tx, connections, std::slice::from_ref(&found), "revoked", revoked_by).await? == 0 {
        return Err(Error::NotFound);
    }
    if store::resting(tx, &place).await?.is_empty() {
        consent::withdraw(tx, ctx, &place, by).await?;
    }
    Ok(())
}

/// The consent ended on which connections rest: they end with it, in its transaction.
pub(in crate::connection) async fn stop_resting(
    tx: &mut Tx,
    connections: &Connections,
    consent: &Consent,
    narrowed: Option<&Consent>,
    reason: &str,
) -> db::Result<u64> {
    let mut found = store::resting(tx, &consent.place()).await?;
    found.retain(|connection| {
        let scopes = connection.requested_scopes.0.iter().map(String::as_str);
        !narrowed.is_some_and(|now| now.allows(scopes))
    });
    revoke(tx, connections, &found, reason, &consent.user_id).await
}

/// Ends what somebody leaves behind, or a workspace; some in each transaction.
pub(in crate::connection) async fn end_all(
    connections: &Connections,
    user_id: Option<&str>,
    workspace_id: Option<&str>,
    reason: &str,
) -> Result<(), Error> {
    loop {
        let found = {
            let mut read = connections.ctx.db.read().await?;
            store::some_of(&mut read, user_id, workspace_id, AT_ONCE).await?
        };
        if found.is_empty() {
            return Ok(());
        }
        let mut tx = connections.ctx.db.begin().await?;
        revoke(&mut tx, connections, &found, reason, reason).await?;
        tx.commit().await?;
    }
}

/// A sign-in came to nothing. A connection that was there before stays what it was.
pub(super) async fn fail(connections: &Connections, waiting: &Connection, failed: &Error) -> Result<(), Error> {
    let ctx = &connections.ctx;
    let mut tx = ctx.db.begin().await?;
    let mut connection = locked(&mut tx, &waiting.id).await?;
    if connection.state_hash != waiting.state_hash || connection.status == Status::Revoked {
        return Ok(());
    }
    connection.stop_waiting();
    connection.updated_at = ctx.clock.now();
    connection.error = Some(failed.told().chars().take(500).collect());
    if let Error::ScopesMissing(missing) = failed {
        connection.missing_scopes.0.clone_from(missing);
    }
    if connection.status == Status::Pending {
        connection.status = Status::Error;
        connection.ended_at = Some(connection.updated_at);
    }
    store::update(&mut tx, &connection).await?;
    Ok(tx.commit().await?)
}

/// Ends the waiting for browsers that did not come in time; says whether there may be more.
pub(in crate::connection) async fn give_up(connections: &Connections) -> Result<bool, Error> {
    const SOME: i64 = 500;
    let ctx = &connections.ctx;
    let now = ctx.clock.now();
    let mut tx = ctx.db.begin().await?;
    let ids = store::unfinished(&mut tx, now, SOME).await?;
    store::give_up(&mut tx, &List::of(&ids), UNFINISHED, now).await?;
    tx.commit().await?;
    Ok(i64::try_from(ids.len()).unwrap_or(SOME) >= SOME)
}
