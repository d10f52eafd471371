//! Assigning roles: the shape is looked at before who asks, who asks is looked up where the role is kept, and the role is
//! given there, in the same transaction.

use polity_kernel::{caller::Caller, db::Tx};
use polity_ports::{
    Said,
    authorization::{RoleAssigned, RoleRevoked},
};

use super::Actor;
use crate::{
    account::{self, AccountId, AdminRole, RoleActor},
    authorization::{Authorization, Error, model::Action, store::audit},
    organization::{self, Role},
};

/// A role to assign.
pub(in crate::authorization) struct Assignment {
    pub assigner_user_id: String,
    pub assigner_role: String,
    pub assignee_user_id: String,
    pub assignee_role: String,
    pub scope: String,
    pub organization_id: Option<String>,
    pub reason: Option<String>,
}

/// Who asks, and from where.
pub(in crate::authorization) struct Asking<'a> {
    pub caller: &'a Caller,
    pub ip: String,
    pub user_agent: String,
}

/// What a role was, and is.
struct Changed {
    old: Option<String>,
    new: String,
}

/// Where the roles are described.
const TAXONOMY: &str = "docs/role-taxonomy.md";
const NOT_AUTHORIZED: &str = "assigner_not_authorized";

fn forbidden(text: impl Into<String>) -> Error {
    Error::RoleForbidden(NOT_AUTHORIZED, text.into())
}

/// A role in an organization, by its name; editors of earlier clients are members.
fn organization_role(name: &str) -> Result<Role, Error> {
    let name = if name == "editor" { "member" } else { name };
    name.parse().map_err(|_| {
        let text =
            format!("'{name}' is no role in an organization: owner, admin, member, viewer, guest; see {TAXONOMY}");
        Error::Role("invalid_org_role", text)
    })
}

fn platform_role(name: &str) -> Result<AdminRole, Error> {
    name.parse().map_err(|_| {
        let text = format!(
            "'{name}' is no role of the platform: super_admin, billing_admin, product_admin, support_admin, \
             compliance_admin; see {TAXONOMY}"
        );
        Error::Role("invalid_platform_role", text)
    })
}

/// Assigns a role; says what it is called. That it may not be assigned is in the audit too, in a transaction of its own.
pub(in crate::authorization) async fn assign_role(
    authorization: &Authorization,
    asking: &Asking<'_>,
    wanted: &Assignment,
) -> Result<&'static str, Error> {
    let ctx = &authorization.ctx;
    let mut tx = ctx.db.begin().await?;
    let done = assign(&mut tx, authorization, asking, wanted).await;
    if let Err(Error::RoleForbidden(_, text)) = &done {
        drop(tx);
        tx = ctx.db.begin().await?;
        let by = asking.caller.user_id().unwrap_or(&wanted.assigner_user_id);
        let entry = audit::Entry {
            new_access_level: Some(wanted.assignee_role.clone()),
            success: false,
            error_message: Some(text.clone()),
            ..entry(authorization, by, wanted)
        };
        audit::insert(&mut tx, &[entry], ctx.clock.now()).await?;
    }
    if matches!(done, Ok(_) | Err(Error::RoleForbidden(..))) {
        tx.commit().await?;
    }
    done
}

/// An entry of the audit about a role to assign.
fn entry(authorization: &Authorization, by: &str, wanted: &Assignment) -> audit::Entry {
    let ctx = &authorization.ctx;
    audit::Entry {
        id: ctx.ids.new_id("pad_"),
        user_id: wanted.assignee_user_id.clone(),
        resource_type: "role".to_owned(),
        resource_name: wanted.organization_id.clone().unwrap_or_else(|| wanted.scope.clone()),
        action: Action::AssignRole,
        old_access_level: None,
        new_access_level: None,
        performed_by_user_id: by.to_owned(),
        reason: wanted.reason.clone(),
        success: true,
        error_message: None,
        created_at: ctx.clock.now(),
    }
}

async fn assign(
    tx: &mut Tx,
    authorization: &Authorization,
    asking: &Asking<'_>,
    wanted: &Assignment,
) -> Result<&'static str, Error> {
    let changed = match wanted.scope.as_str() {
        "organization" => in_organization(tx, authorization, asking, wanted).await?,
        "platform" => on_platform(tx, authorization, asking, wanted).await?,
        "app" => {
            let text = "Roles in applications are the applications' own";
            return Err(Error::RoleForbidden("app_scope_not_assignable", text.to_owned()));
        }
        other => {
            let text = format!("'{other}' is no scope: organization, platform, app");
            return Err(Error::Role("unknown_scope", text));
        }
    };
    let actor = actor(asking, wanted)?;
    let name = changed.1;
    say(tx, authorization, actor.id(), wanted, changed.0).await?;
    Ok(name)
}

/// Who assigns: the caller, or whom a service names.
fn actor(asking: &Asking<'_>, wanted: &Assignment) -> Result<Actor, Error> {
    Actor::of(asking.caller, Some(&wanted.assigner_user_id)).map_err(|error| forbidden(error.to_string()))
}

/// Whether the role the body claims for the assigner is the one they have; a service may claim what it likes, since nothing
/// rests on it.
fn check_claim(asking: &Asking<'_>, claimed: &str, is: &str) -> Result<(), Error> {
    let claimed = if claimed == "editor" { "member" } else { claimed };
    if asking.caller.is_service() || claimed == is {
        return Ok(());
    }
    Err(forbidden("You do not have the role that assigner_role names"))
}

async fn in_organization(
    tx: &mut Tx,
    authorization: &Authorization,
    asking: &Asking<'_>,
    wanted: &Assignment,
) -> Result<(Changed, &'static str), Error> {
    let role = organization_role(&wanted.assignee_role)?;
    let organization_id = wanted.organization_id.as_deref();
    let organization_id = organization_id.ok_or(Error::Invalid("organization_id", "Field required"))?;
    let actor = actor(asking, wanted)?;
    tx.lock("organization", organization_id).await?;
    // A stranger hears the same of an organization that is there and of one that is not; so does a service that names
    // somebody who may not act.
    let assigner = account::claims(tx, &AccountId(actor.id().to_owned())).await?;
    let may_act = assigner.is_some_and(|account| account.is_active && account.deleted_at.is_none());
    let held = if may_act {
        organization::role(tx, organization_id, actor.id()).await?
    } else {
        None
    };
    let held = held.ok_or_else(|| forbidden("The assigner has no role in this organization"))?;
    check_claim(asking, &wanted.assigner_role, held.as_str())?;
    held.may_assign(role).map_err(|rule| {
        let text = format!(
            "The role {} may not assign the role {} ({rule})",
            held.as_str(),
            role.as_str()
        );
        forbidden(text)
    })?;
    let place = (organization_id, wanted.assignee_user_id.as_str());
    let given = organization::assign_role(tx, &authorization.organizations, actor.id(), place, role).await;
    let before = given.map_err(|error| match error {
        organization::Error::Forbidden(text) => forbidden(text),
        organization::Error::MemberNotFound => Error::Role(
            "assignee_not_a_member",
            "The assignee is not a member of the organization; add or invite them first".to_owned(),
        ),
        organization::Error::LastOwner => Error::Refused(error.to_string()),
        other => other.into(),
    })?;
    let changed = Changed {
        old: Some(before.as_str().to_owned()),
        new: role.as_str().to_owned(),
    };
    Ok((changed, role.as_str()))
}

async fn on_platform(
    tx: &mut Tx,
    authorization: &Authorization,
    asking: &Asking<'_>,
    wanted: &Assignment,
) -> Result<(Changed, &'static str), Error> {
    let role = platform_role(&wanted.assignee_role)?;
    if !matches!(actor(asking, wanted)?, Actor::SuperAdmin(_)) {
        return Err(forbidden(
            "Roles of the platform are assigned by a super_admin, with a token of their own",
        ));
    }
    check_claim(asking, &wanted.assigner_role, AdminRole::SuperAdmin.as_str())?;
    let assignee = AccountId(wanted.assignee_user_id.clone());
    let actor = RoleActor::Admin(asking.caller, asking.ip.clone(), asking.user_agent.clone());
    account::add_role(tx, &authorization.ctx, actor, &assignee, role)
        .await
        .map_err(|error| match error {
            account::Error::Forbidden(text) => forbidden(text),
            account::Error::NotFound(_) => Error::UserNotFound,
            other => other.into(),
        })?;
    let changed = Changed {
        old: None,
        new: role.as_str().to_owned(),
    };
    Ok((changed, role.as_str()))
}

async fn say(
    tx: &mut Tx,
    authorization: &Authorization,
    actor_id: &str,
    wanted: &Assignment,
    changed: Changed,
) -> Result<(), Error> {
    let ctx = &authorization.ctx;
    let now = ctx.clock.now();
    let entry = audit::Entry {
        old_access_level: changed.old.clone(),
        new_access_level: Some(changed.new.clone()),
        ..entry(authorization, actor_id, wanted)
    };
    audit::insert(tx, &[entry], now).await?;
    let assigned = RoleAssigned {
        actor_user_id: actor_id.to_owned(),
        target_user_id: wanted.assignee_user_id.clone(),
        scope: wanted.scope.clone(),
        org_id: wanted.organization_id.clone(),
        app_id: None,
        old_role: changed.old.clone(),
        new_role: Some(changed.new.clone()),
        timestamp: now,
    };
    let mut events = vec![assigned.event()];
    if let Some(old) = changed.old.filter(|old| *old != changed.new) {
        let revoked = RoleRevoked {
            actor_user_id: actor_id.to_owned(),
            target_user_id: wanted.assignee_user_id.clone(),
            scope: wanted.scope.clone(),
            org_id: wanted.organization_id.clone(),
            app_id: None,
            old_role: Some(old),
            new_role: Some(changed.new),
            timestamp: now,
        };
        events.insert(0, revoked.event());
    }
    Ok(ctx.events.publish_all(tx, events).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_no_roles_say_where_the_roles_are_described() {
        assert_eq!(organization_role("editor").ok(), Some(Role::Member));
        for name in ["Owner", "service", "super_admin", "", "consumer", "ｏwner"] {
            let error = organization_role(name).unwrap_err();
            assert!(matches!(error, Error::Role("invalid_org_role", _)));
            assert!(error.to_string().contains("role-taxonomy.md"));
        }
        for name in ["owner", "service", "admin", ""] {
            let error = platform_role(name).unwrap_err();
            assert!(matches!(error, Error::Role("invalid_platform_role", _)));
            assert!(error.to_string().contains("role-taxonomy.md"));
        }
    }
}
