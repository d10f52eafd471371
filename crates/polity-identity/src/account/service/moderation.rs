//! What administrators do: the active flag, moderation, roles, notes.

use polity_kernel::{
    Ctx,
    caller::Caller,
    db::{Conn, Json, Tx},
    event::NewEvent,
};
use polity_ports::{
    Said,
    account::{RoleAssigned, RoleRevoked, UserStatusChanged},
};
use serde_json::{Value, json};

use super::{keep_a_super_admin, lock_super_admins, locked};
use crate::{
    account::{
        Error,
        model::{Account, AccountId, AdminRole, Note, Status, StatusChange},
        store,
    },
    changes,
};

/// Who acts, and from where; for the audit.
#[derive(Debug, Clone)]
pub(in crate::account) struct Actor {
    pub caller: Caller,
    pub ip: String,
    pub user_agent: String,
}

impl Actor {
    /// The roles the token carries. Texts that are no roles any more count for nothing.
    fn roles(&self) -> Vec<AdminRole> {
        self.caller
            .admin_roles
            .iter()
            .filter_map(|role| role.parse().ok())
            .collect()
    }

    pub(super) fn id(&self) -> &str {
        self.caller.user_id().unwrap_or(&self.caller.id)
    }

    /// Says what an administrator did, before and after.
    pub(super) async fn audit(
        &self,
        tx: &mut Tx,
        ctx: &Ctx,
        action: &'static str,
        target: &AccountId,
        before: Value,
        after: Value,
    ) -> Result<(), Error> {
        let event = NewEvent {
            r#type: format!("account_service.admin.action.account.{action}").into(),
            source: "account_service".into(),
            key: target.0.clone(),
            data: json!({
                "admin_user_id": self.id(),
                "admin_email": self.caller.email,
                "action": action,
                "resource_type": "account",
                "resource_id": target,
                "changes": { "before": before, "after": after },
                "ip_address": self.ip,
                "user_agent": self.user_agent,
                "timestamp": ctx.clock.now(),
                "metadata": {},
            }),
            metadata: Value::Null,
        };
        ctx.events.publish(tx, event).await?;
        Ok(())
    }
}

/// Writes a status and says so (BR-STS-004, 005), also when it is what it was.
pub(super) async fn write_status(
    tx: &mut Tx,
    ctx: &Ctx,
    account: &mut Account,
    to: (bool, Status),
    reason: Option<String>,
    by: &str,
) -> Result<(), Error> {
    let now = ctx.clock.now();
    let changed = (account.is_active, account.status) != to;
    if account.is_acting_super_admin() && !to.0 {
        keep_a_super_admin(tx, account).await?;
    }
    (account.is_active, account.status) = to;
    account.status_reason.clone_from(&reason);
    account.mark_changed(now);
    store::update(tx, account).await?;
    record(tx, ctx, account, reason.clone(), by).await?;
    let event = UserStatusChanged {
        user_id: account.user_id.0.clone(),
        email: account.email.clone(),
        is_active: account.is_active,
        changed,
        reason,
        changed_at: now,
        changed_by: by.to_owned(),
    };
    ctx.events.publish(tx, event.event()).await?;
    Ok(())
}

/// Keeps what the status is now in its history (BR-STS-004); whoever remembers it looks it up anew.
pub(super) async fn record(
    tx: &mut Tx,
    ctx: &Ctx,
    account: &Account,
    reason: Option<String>,
    by: &str,
) -> Result<(), Error> {
    let change = StatusChange {
        id: ctx.ids.new_id("stc_"),
        user_id: account.user_id.clone(),
        is_active: account.is_active,
        status: account.status,
        reason,
        changed_by: by.to_owned(),
        changed_at: ctx.clock.now(),
    };
    store::insert_status_change(tx, &change).await?;
    Ok(changes::of_person(tx, ctx, &account.user_id.0).await?)
}

/// Sets the active flag (BR-STS-001 to 003). What moderation locked for good, only a super_admin opens.
pub(in crate::account) async fn set_active(
    tx: &mut Tx,
    ctx: &Ctx,
    actor: &Actor,
    user_id: &AccountId,
    is_active: bool,
    reason: Option<String>,
) -> Result<(), Error> {
    lock_super_admins(tx).await?;
    let mut account = locked(tx, user_id).await?;
    if is_active && account.status == Status::Banned && !actor.roles().contains(&AdminRole::SuperAdmin) {
        return Err(Error::Forbidden(
            "The account is banned; only a super_admin can lift that",
        ));
    }
    let status = if is_active { Status::Active } else { account.status };
    if is_active {
        account.deleted_at = None;
        account.erase_at = None;
    }
    let before = json!({ "is_active": account.is_active });
    write_status(tx, ctx, &mut account, (is_active, status), reason, actor.id()).await?;
    if actor.caller.is_admin() {
        actor
            .audit(
                tx,
                ctx,
                "set_active",
                user_id,
                before,
                json!({ "is_active": is_active }),
            )
            .await?;
    }
    Ok(())
}

/// Sets what moderation says. suspended and banned imply inactive, active implies active.
pub(in crate::account) async fn set_moderation(
    tx: &mut Tx,
    ctx: &Ctx,
    actor: &Actor,
    user_id: &AccountId,
    status: Status,
    reason: Option<String>,
) -> Result<(), Error> {
    lock_super_admins(tx).await?;
    let roles = actor.roles();
    if !Status::Active.can(Status::Suspended, &roles) {
        return Err(Error::Forbidden(
            "A super_admin, support_admin or compliance_admin is required",
        ));
    }
    let mut account = locked(tx, user_id).await?;
    if !account.status.can(status, &roles) {
        return Err(Error::Forbidden(
            "Only a super_admin can lift a ban, and only to active",
        ));
    }
    let before = json!({ "status": account.status, "is_active": account.is_active });
    if status == Status::Active {
        account.deleted_at = None;
        account.erase_at = None;
    }
    write_status(
        tx,
        ctx,
        &mut account,
        (status == Status::Active, status),
        reason,
        actor.id(),
    )
    .await?;
    let after = json!({ "status": account.status, "is_active": account.is_active });
    actor.audit(tx, ctx, "set_status", user_id, before, after).await
}

/// Who changes roles.
pub enum RoleActor<'a> {
    /// An administrator, over the API.
    Admin(&'a Caller, String, String),
    /// The program: the first administrator, or the command line of its owner.
    Program,
}

/// Sets the platform roles of a person. The order of the checks is the contract's: the texts, the caller, the account.
///
/// # Errors
/// [`Error::InvalidRoles`], [`Error::Forbidden`], [`Error::NotFound`], [`Error::LastSuperAdmin`].
pub async fn assign_roles(
    tx: &mut Tx,
    ctx: &Ctx,
    actor: RoleActor<'_>,
    user_id: &AccountId,
    roles: &[String],
) -> Result<Account, Error> {
    let roles = AdminRole::parse_all(roles).map_err(Error::invalid_roles)?;
    let actor = match actor {
        RoleActor::Program => None,
        RoleActor::Admin(caller, ip, user_agent) => Some(Actor {
            caller: caller.clone(),
            ip,
            user_agent,
        }),
    };
    if actor
        .as_ref()
        .is_some_and(|actor| !actor.roles().contains(&AdminRole::SuperAdmin))
    {
        return Err(Error::Forbidden(
            "only_super_admin_can_assign: platform roles are assigned by a super_admin",
        ));
    }
    lock_super_admins(tx).await?;
    let mut account = locked(tx, user_id).await?;
    let before = std::mem::replace(&mut account.admin_roles, Json(roles)).0;
    if before == account.admin_roles.0 {
        return Ok(account);
    }
    if !account.admin_roles.0.contains(&AdminRole::SuperAdmin) {
        keep_a_super_admin(
            tx,
            &Account {
                admin_roles: Json(before.clone()),
                ..account.clone()
            },
        )
        .await?;
    }
    account.mark_changed(ctx.clock.now());
    store::update(tx, &account).await?;
    let by = actor.as_ref().map_or("polity", |actor| actor.id()).to_owned();
    say_roles(tx, ctx, &account, &before, &by).await?;
    if let Some(actor) = actor {
        actor
            .audit(
                tx,
                ctx,
                "set_roles",
                user_id,
                json!(before),
                json!(account.admin_roles.0),
            )
            .await?;
    }
    Ok(account)
}

/// Gives a person one more platform role than they have.
///
/// # Errors
/// As [`assign_roles`].
pub(crate) async fn add_role(
    tx: &mut Tx,
    ctx: &Ctx,
    actor: RoleActor<'_>,
    user_id: &AccountId,
    role: AdminRole,
) -> Result<Account, Error> {
    // Locked before they are read: another role may be given at the same time.
    lock_super_admins(tx).await?;
    let account = locked(tx, user_id).await?;
    if account.deleted_at.is_some() {
        return Err(Error::NotFound(user_id.0.clone()));
    }
    let mut roles: Vec<String> = account
        .admin_roles
        .0
        .iter()
        .map(|role| role.as_str().to_owned())
        .collect();
    roles.push(role.as_str().to_owned());
    assign_roles(tx, ctx, actor, user_id, &roles).await
}

/// One event for each role given or taken.
async fn say_roles(tx: &mut Tx, ctx: &Ctx, account: &Account, before: &[AdminRole], by: &str) -> Result<(), Error> {
    let (actor_user_id, target_user_id, timestamp) = (by.to_owned(), account.user_id.0.clone(), ctx.clock.now());
    let after = &account.admin_roles.0;
    for role in before.iter().filter(|role| !after.contains(role)) {
        let revoked = RoleRevoked {
            actor_user_id: actor_user_id.clone(),
            target_user_id: target_user_id.clone(),
            scope: "platform".to_owned(),
            org_id: None,
            app_id: None,
            old_role: Some(role.as_str().to_owned()),
            new_role: None,
            timestamp,
        };
        ctx.events.publish(tx, revoked.event()).await?;
    }
    for role in after.iter().filter(|role| !before.contains(role)) {
        let assigned = RoleAssigned {
            actor_user_id: actor_user_id.clone(),
            target_user_id: target_user_id.clone(),
            scope: "platform".to_owned(),
            org_id: None,
            app_id: None,
            old_role: None,
            new_role: Some(role.as_str().to_owned()),
            timestamp,
        };
        ctx.events.publish(tx, assigned.event()).await?;
    }
    Ok(())
}

/// Adds a note; notes are only ever added.
pub(in crate::account) async fn add_note(
    tx: &mut Tx,
    ctx: &Ctx,
    actor: &Actor,
    user_id: &AccountId,
    text: String,
) -> Result<Note, Error> {
    locked(tx, user_id).await?;
    let uuid = ctx.ids.new_id("");
    let note = Note {
        // The contract's ids have twelve digits: the random end of a longer one.
        note_id: format!("note_{}", &uuid[uuid.len() - 12..]),
        user_id: user_id.clone(),
        author_id: actor.id().to_owned(),
        note: text,
        created_at: ctx.clock.now(),
    };
    store::insert_note(tx, &note).await?;
    actor
        .audit(
            tx,
            ctx,
            "add_note",
            user_id,
            Value::Null,
            json!({ "note_id": note.note_id }),
        )
        .await?;
    Ok(note)
}

/// Everything an administrator sees of an account, inactive ones included.
pub(in crate::account) async fn detail(conn: &mut Conn, user_id: &AccountId) -> Result<(Account, Vec<Note>), Error> {
    let account = store::find(conn, user_id)
        .await?
        .ok_or_else(|| Error::NotFound(user_id.0.clone()))?;
    let notes = store::list_notes(conn, user_id).await?;
    Ok((account, notes))
}

/// The changes of status of an account, newest first.
pub(in crate::account) async fn history(conn: &mut Conn, user_id: &AccountId) -> Result<Vec<StatusChange>, Error> {
    store::find(conn, user_id)
        .await?
        .ok_or_else(|| Error::NotFound(user_id.0.clone()))?;
    Ok(store::list_status_changes(conn, user_id).await?)
}
