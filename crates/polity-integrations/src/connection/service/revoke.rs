//! Connections are taken back: their tokens are erased here, and their providers are told by jobs.

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

use super::KIND;
use crate::{
    connection::{
        Connections, Error, jobs,
        model::Connection,
        store::{self, rest},
    },
    grants,
};

/// How many tokens one job takes back.
const TOLD_AT_ONCE: usize = 10;

/// What is locked of an outside account.
pub(super) fn account_lock(app_id: &str, external_user_id: &str) -> String {
    format!("{app_id}/{external_user_id}")
}

/// Takes connections back, and says how many were live. Their providers are told by jobs, unless the same outside account is
/// connected elsewhere and would lose its tokens too (edge case 11).
///
/// However many there are, they end in one transaction, which may not last: apart from the locks, these are a few statements.
pub(super) async fn revoke(
    tx: &mut Tx,
    connections: &Connections,
    known: &[Connection],
    reason: &str,
    revoked_by: &str,
) -> db::Result<u64> {
    let ctx = &connections.ctx;
    lock(tx, known).await?;
    let found = store::live(tx, &ids_of(known)).await?;
    if found.is_empty() {
        return Ok(0);
    }
    let now = ctx.clock.now();
    let ids = ids_of(&found);
    let taken = rest::insert_take_backs(tx, &ids, now).await?;
    let plain: Vec<String> = found.iter().map(|one| one.id.clone()).collect();
    connections.grants.store().revoke_all_in(tx, &plain).await?;
    // Of who is gone, it is not kept either who they are there.
    store::revoke(tx, &ids, reason == "user_deleted", now).await?;
    for some in taken.chunks(TOLD_AT_ONCE) {
        enqueue(tx, connections, some).await?;
    }
    let said = found.into_iter().map(|connection| {
        let said = ConnectionRevoked {
            connection_id: connection.id,
            user_id: connection.user_id,
            workspace_id: connection.workspace_id,
            oauth_app_id: connection.oauth_app_id,
            revoked_by: revoked_by.to_owned(),
            reason: reason.to_owned(),
            timestamp: now,
        };
        said.event()
    });
    ctx.events.publish_all(tx, said.collect()).await?;
    let count = u64::try_from(plain.len()).unwrap_or(u64::MAX);
    ctx.invalidations.tell_each(tx, ctx, KIND, plain).await?;
    Ok(count)
}

fn ids_of(connections: &[Connection]) -> List {
    List::of(connections.iter().map(|one| &one.id))
}

/// All accounts before any connection, and each in one order: somebody else may be ending theirs with the same accounts.
async fn lock(tx: &mut Tx, known: &[Connection]) -> db::Result<()> {
    let accounts = known
        .iter()
        .map(|one| account_lock(&one.oauth_app_id, &one.external_user_id));
    let mut accounts: Vec<String> = accounts.collect();
    accounts.sort();
    accounts.dedup();
    for account in accounts {
        tx.lock("connection.account", &account).await?;
    }
    let mut ids: Vec<&str> = known.iter().map(|one| one.id.as_str()).collect();
    ids.sort_unstable();
    for id in ids {
        grants::lock(tx, id).await?;
    }
    Ok(())
}

/// Tells the provider by a job that tokens are not used any more, which are kept for that.
pub(super) async fn enqueue(tx: &mut Tx, connections: &Connections, ids: &[String]) -> db::Result<()> {
    let job = NewJob {
        max_attempts: 100,
        ..NewJob::new(jobs::TAKE_BACK, json!({ "ids": ids }))
    };
    connections.ctx.jobs.enqueue(tx, job).await?;
    Ok(())
}

/// Tells the provider of each. `Err`: some are to be tried again.
pub(in crate::connection) async fn take_back(connections: &Connections, ids: &[String]) -> Result<(), Error> {
    let mut failed = None;
    for id in ids {
        if let Err(error) = take_one_back(connections, id).await {
            failed = Some(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn take_one_back(connections: &Connections, id: &str) -> Result<(), Error> {
    let ctx = &connections.ctx;
    let found = rest::take_back(&mut *ctx.db.read().await?, id).await?;
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
    rest::delete_take_back(&mut tx, id).await?;
    Ok(tx.commit().await?)
}
