//! Connections end: by their owner, with the consent they rest on, with whoever had them, or because nobody finished.

use chrono::Duration;
use polity_grants::{
    failure::Failure,
    grant::{Grant, Status as GrantStatus},
};
use polity_kernel::{
    db::{self, List, Tx},
    job::NewJob,
};
use polity_ports::{Said, integration::ConnectionRevoked};
use serde_json::json;

use super::{KIND, locked, resting};
use crate::{
    connection::{
        Connections, Error, jobs,
        model::{Connection, OauthApp, Status, UNFINISHED},
        store::{self, rest::TakeBack},
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
) -> Result<Connection, Error> {
    let ctx = &connections.ctx;
    let found = store::find(tx, id).await?.ok_or(Error::NotFound)?;
    let place = resting(&found);
    consent::hold(tx, &place, ctx.clock.now()).await?;
    let ended = revoke(tx, connections, id, "revoked", revoked_by).await?;
    if store::resting(tx, &place).await?.is_empty() {
        consent::withdraw(tx, ctx, &place, by).await?;
    }
    Ok(ended)
}

/// What is locked of the outside account of a connection.
fn account_of(connection: &Connection) -> String {
    account_lock(&connection.oauth_app_id, &connection.external_user_id)
}

/// What is locked of an outside account.
pub(super) fn account_lock(app_id: &str, external_user_id: &str) -> String {
    format!("{app_id}/{external_user_id}")
}

/// Takes a connection back: its tokens are erased here, and the provider is told by a job, unless the same outside account is
/// connected elsewhere and would lose its tokens too (edge case 11).
async fn revoke(
    tx: &mut Tx,
    connections: &Connections,
    id: &str,
    reason: &str,
    revoked_by: &str,
) -> Result<Connection, Error> {
    let ctx = &connections.ctx;
    let known = store::find(tx, id).await?.ok_or(Error::NotFound)?;
    tx.lock("connection.account", &account_of(&known)).await?;
    let mut connection = locked(tx, id).await?;
    if connection.status == Status::Revoked {
        return Err(Error::NotFound);
    }
    let mut before: Option<Grant> = None;
    let mut change = |grant: &mut Grant, _| {
        before = Some(grant.clone());
        grant.revoke();
        true
    };
    connections.grants.store().update_in(tx, id, &mut change).await?;
    let is_shared = !connection.external_user_id.is_empty()
        && store::count_of_account(tx, &connection.oauth_app_id, &connection.external_user_id).await? > 1;
    if let (Some(sealed), false) = (before.and_then(|grant| grant.sealed), is_shared) {
        let app = store::apps::find(tx, &connection.oauth_app_id).await?;
        if let Some(app) = app {
            enqueue(tx, connections, id, &app, sealed).await?;
        }
    }
    connection.stop_waiting();
    connection.status = Status::Revoked;
    connection.granted_scopes.0.clear();
    connection.external_user_email = None;
    if reason == "user_deleted" {
        // Of who is gone, it is not kept either who they are there.
        connection.external_user_id.clear();
    }
    connection.external_user_data = None;
    connection.token_expires_at = None;
    connection.error = None;
    connection.updated_at = ctx.clock.now();
    connection.ended_at = Some(connection.updated_at);
    store::update(tx, &connection).await?;
    let said = ConnectionRevoked {
        connection_id: connection.id.clone(),
        user_id: connection.user_id.clone(),
        workspace_id: connection.workspace_id.clone(),
        oauth_app_id: connection.oauth_app_id.clone(),
        revoked_by: revoked_by.to_owned(),
        reason: reason.to_owned(),
        timestamp: connection.updated_at,
    };
    ctx.events.publish(tx, said.event()).await?;
    ctx.invalidations.tell(tx, ctx, KIND, id).await?;
    Ok(connection)
}

/// Tells the provider by a job that tokens are not used any more; they are sealed for `id`.
pub(super) async fn enqueue(
    tx: &mut Tx,
    connections: &Connections,
    id: &str,
    app: &OauthApp,
    sealed: Vec<u8>,
) -> Result<(), Error> {
    let ctx = &connections.ctx;
    let new = TakeBack {
        id: id.to_owned(),
        oauth_app_id: app.id.clone(),
        provider: app.provider.clone(),
        sealed,
        created_at: ctx.clock.now(),
    };
    store::rest::insert_take_back(tx, &new).await?;
    let job = NewJob {
        key: Some(id.to_owned()),
        max_attempts: 100,
        ..NewJob::new(jobs::TAKE_BACK, json!({ "id": id }))
    };
    ctx.jobs.enqueue(tx, job).await?;
    Ok(())
}

/// Tells the provider. `Err`: to be tried again.
pub(in crate::connection) async fn take_back(connections: &Connections, id: &str) -> Result<(), Error> {
    let ctx = &connections.ctx;
    let found = store::rest::take_back(&mut *ctx.db.read().await?, id).await?;
    let Some(found) = found else { return Ok(()) };
    let grant = Grant {
        id: found.id,
        provider: found.provider,
        owner: found.oauth_app_id,
        sealed: Some(found.sealed),
        status: GrantStatus::Revoked,
        scopes: Vec::new(),
        account: None,
        version: 1,
        expires_at: None,
        next_refresh_at: None,
        refresh_failures: 0,
        last_error: None,
        intent: None,
        fence: 0,
    };
    match connections.grants.manager().take_back(&grant).await {
        Ok(_) => {}
        Err(Failure::Transient { text, .. } | Failure::Unknown { text }) => return Err(Error::Unavailable(text)),
        Err(failure) => {
            tracing::warn!(connection.id = id, error = %failure, "a provider did not take tokens back");
        }
    }
    let mut tx = ctx.db.begin().await?;
    store::rest::delete_take_back(&mut tx, id).await?;
    Ok(tx.commit().await?)
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
    // All accounts before any connection, and in one order: somebody else may be ending theirs with the same accounts.
    let mut accounts: Vec<String> = found.iter().map(account_of).collect();
    accounts.sort();
    accounts.dedup();
    for account in accounts {
        tx.lock("connection.account", &account).await?;
    }
    let mut stopped = 0;
    for connection in found {
        match revoke(tx, connections, &connection.id, reason, &consent.user_id).await {
            Ok(_) => stopped += 1,
            Err(Error::NotFound) => {}
            Err(Error::Db(error)) => return Err(error),
            Err(error) => return Err(db::Error::Unavailable(error.to_string())),
        }
    }
    Ok(stopped)
}

/// Ends what somebody leaves behind, or a workspace; each in a transaction of its own.
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
        for connection in found {
            let mut tx = connections.ctx.db.begin().await?;
            match revoke(&mut tx, connections, &connection.id, reason, reason).await {
                Ok(_) => tx.commit().await?,
                Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
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
