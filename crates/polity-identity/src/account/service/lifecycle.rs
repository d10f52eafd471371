//! Being seen, deleted, exported and erased.

use std::time::Duration;

use polity_kernel::{
    Ctx,
    caller::Caller,
    clock::Timestamp,
    db::{Conn, Db, Json, Tx},
};
use polity_ports::{
    Said,
    account::{UserDeleted, UserErased},
};
use serde_json::{Value, json};

use super::{
    Actor, check_self, keep_a_super_admin, lock_super_admins, locked,
    moderation::{record, write_status},
};
use crate::account::{
    AccountSettings, Error,
    model::{Account, AccountId, Preferences, Status, erased_email},
    store,
};

/// How far apart two marks of the same person are.
const SEEN_EVERY: Duration = Duration::from_mins(5);

/// Marks that somebody signed in.
pub(in crate::account) async fn seen(tx: &mut Tx, user_id: &AccountId, at: Timestamp) -> Result<(), Error> {
    Ok(store::touch(tx, user_id, at, at - SEEN_EVERY).await?)
}

/// Deletes an account softly (BR-STS-002). Deleting what is not there, or not any more, succeeds and says nothing.
pub(in crate::account) async fn delete(
    tx: &mut Tx,
    ctx: &Ctx,
    caller: &Caller,
    user_id: &AccountId,
    reason: Option<String>,
) -> Result<(), Error> {
    check_self(caller, user_id)?;
    lock_super_admins(tx).await?;
    match locked(tx, user_id).await {
        Ok(mut account) => mark_deleted(tx, ctx, caller, &mut account, reason).await,
        Err(Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn mark_deleted(
    tx: &mut Tx,
    ctx: &Ctx,
    caller: &Caller,
    account: &mut Account,
    reason: Option<String>,
) -> Result<(), Error> {
    if account.deleted_at.is_some() {
        return Ok(());
    }
    keep_a_super_admin(tx, account).await?;
    let now = ctx.clock.now();
    account.is_active = false;
    account.deleted_at = Some(now);
    account.mark_changed(now);
    store::update(tx, account).await?;
    let by = caller.user_id().unwrap_or(&caller.id);
    record(tx, ctx, account, reason.clone(), by).await?;
    let (user_id, email) = (account.user_id.0.clone(), account.email.clone());
    ctx.events
        .publish(
            tx,
            UserDeleted {
                user_id,
                email,
                reason,
                deleted_at: now,
            }
            .event(),
        )
        .await?;
    Ok(())
}

/// Deletes an account now and erases its personal data when the grace period is over; says when that is.
pub(in crate::account) async fn schedule_erasure(
    tx: &mut Tx,
    ctx: &Ctx,
    settings: &AccountSettings,
    caller: &Caller,
    user_id: &AccountId,
) -> Result<Timestamp, Error> {
    check_self(caller, user_id)?;
    lock_super_admins(tx).await?;
    let mut account = locked(tx, user_id).await?;
    if let Some(at) = account.erase_at {
        return Ok(at);
    }
    let at = ctx.clock.now() + Duration::from_hours(24 * u64::from(settings.erasure_grace_days));
    account.erase_at = Some(at);
    mark_deleted(tx, ctx, caller, &mut account, Some("erasure requested".to_owned())).await?;
    store::update(tx, &account).await?;
    Ok(at)
}

/// Takes a deletion back, if it has not been erased yet.
pub(in crate::account) async fn cancel_erasure(
    tx: &mut Tx,
    ctx: &Ctx,
    actor: &Actor,
    user_id: &AccountId,
) -> Result<Account, Error> {
    let mut account = locked(tx, user_id).await?;
    if account.deleted_at.is_none() {
        return Ok(account);
    }
    let before = json!({ "deleted_at": account.deleted_at, "erase_at": account.erase_at });
    account.deleted_at = None;
    account.erase_at = None;
    let to = (account.status == Status::Active, account.status);
    let reason = Some("restored".to_owned());
    write_status(tx, ctx, &mut account, to, reason, actor.id()).await?;
    let after = json!({ "deleted_at": null, "erase_at": null });
    actor.audit(tx, ctx, "restore", user_id, before, after).await?;
    Ok(account)
}

/// How many accounts one round erases.
const ERASED_AT_ONCE: i64 = 50;

/// Erases the accounts whose time has come; says how many.
pub(in crate::account) async fn erase_due(db: &Db, ctx: &Ctx) -> Result<u32, Error> {
    let due = store::list_due_for_erasure(&mut *db.read().await?, ctx.clock.now(), ERASED_AT_ONCE).await?;
    let mut erased = 0;
    for account in due {
        let mut tx = db.begin().await?;
        // Between the list and the lock it may have been restored, or erased by another worker.
        match locked(&mut tx, &account.user_id).await {
            Ok(account) if account.erase_at.is_some_and(|at| at <= ctx.clock.now()) => {
                erase(&mut tx, ctx, account).await?;
                erased += 1;
            }
            Ok(_) | Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        tx.commit().await?;
    }
    Ok(erased)
}

/// Blanks what is about the person; the id stays, so that what refers to it still means nobody in particular.
async fn erase(tx: &mut Tx, ctx: &Ctx, mut account: Account) -> Result<(), Error> {
    let now = ctx.clock.now();
    account.email = erased_email(&account.user_id);
    "Erased".clone_into(&mut account.name);
    account.preferences = Json(Preferences::new());
    account.custom_instructions = String::new();
    account.status_reason = None;
    account.admin_roles = Json(Vec::new());
    account.erase_at = None;
    account.erased_at = Some(now);
    account.mark_changed(now);
    store::update_name_and_email(tx, &account).await?;
    store::update(tx, &account).await?;
    store::delete_belongings(tx, &account.user_id).await?;
    let user_id = account.user_id.0;
    ctx.events
        .publish(
            tx,
            UserErased {
                user_id,
                erased_at: now,
            }
            .event(),
        )
        .await?;
    Ok(())
}

/// Everything this service holds about a person.
pub(in crate::account) async fn export(conn: &mut Conn, caller: &Caller, user_id: &AccountId) -> Result<Value, Error> {
    check_self(caller, user_id)?;
    let account = store::find(conn, user_id)
        .await?
        .ok_or_else(|| Error::NotFound(user_id.0.clone()))?;
    let changes = store::list_status_changes(conn, user_id).await?;
    let notes = store::list_notes(conn, user_id).await?;
    let pending = store::find_email_change(conn, user_id).await?;
    Ok(json!({
        "account": {
            "user_id": account.user_id, "email": account.email, "name": account.name, "is_active": account.is_active,
            "account_status": account.status, "status_reason": account.status_reason,
            "admin_roles": account.admin_roles.0, "preferences": account.preferences.0,
            "custom_instructions": account.custom_instructions, "created_at": account.created_at,
            "updated_at": account.updated_at, "deleted_at": account.deleted_at, "erase_at": account.erase_at,
            "erased_at": account.erased_at, "last_seen_at": account.last_seen_at,
            "pending_email": pending.map(|change| change.email),
        },
        "status_history": changes.iter().map(status_change_json).collect::<Vec<_>>(),
        "notes": notes.iter().map(|n| json!({ "note": n.note, "created_at": n.created_at })).collect::<Vec<_>>(),
    }))
}

fn status_change_json(change: &crate::account::model::StatusChange) -> Value {
    json!({
        "is_active": change.is_active, "status": change.status, "reason": change.reason, "changed_at": change.changed_at,
    })
}
