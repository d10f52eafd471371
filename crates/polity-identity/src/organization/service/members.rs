//! Members: added, changed, removed; there is always an owner (BR-MEM, BR-MUP, BR-MRM).

use polity_kernel::db::{Json, Tx};
use polity_ports::{
    Said,
    organization::{MemberAdded, MemberRemoved, MemberUpdated, RoleAssigned, RoleRevoked},
};
use serde_json::json;

use super::{Actor, Error, administered, audit, changed, seen, sharing};
use crate::{
    account::{self, Account, AccountId},
    changes,
    organization::{
        Organizations,
        model::{MemberStatus, Membership, Organization, Role, Status},
        store,
    },
};

/// Somebody to add.
pub(in crate::organization) struct NewMember {
    pub user_id: String,
    pub role: String,
    pub permissions: Vec<String>,
    pub department: Option<String>,
    pub title: Option<String>,
}

fn role_named(name: &str) -> Result<Role, Error> {
    name.parse().map_err(|_| Error::InvalidRole(name.to_owned()))
}

/// What a permission of the platform begins with.
const OF_THE_PLATFORM: &str = "auth.";

/// Nobody gives what is the platform's to give: `user-info` names permissions of the token and of the organization together,
/// and `auth.admin` is an administrator of the platform to whoever reads them.
pub(in crate::organization) fn check_permissions(permissions: &[String]) -> Result<(), Error> {
    let is_of_the_platform = |one: &String| one.trim().to_lowercase().starts_with(OF_THE_PLATFORM);
    if permissions.iter().any(is_of_the_platform) {
        return Err(Error::Invalid("permissions", "those of the platform begin with auth."));
    }
    Ok(())
}

fn may_assign(assigner: Role, role: Role) -> Result<(), Error> {
    assigner.may_assign(role).map_err(|rule| {
        Error::forbidden(format!(
            "Your role may not assign the role {} (rule: {rule})",
            role.as_str()
        ))
    })
}

/// Adds somebody. Who is a member already is answered as they are (BR-MEM-004); the shape of the role is looked at before who
/// asks.
pub(in crate::organization) async fn add(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    organization_id: &str,
    new: NewMember,
) -> Result<Membership, Error> {
    let role = role_named(&new.role)?;
    if role == Role::Owner {
        return Err(Error::OwnerAdded);
    }
    check_permissions(&new.permissions)?;
    let (organization, assigner) = administered(tx, actor, organization_id).await?;
    may_assign(assigner, role)?;
    let member = Membership {
        organization_id: organization_id.to_owned(),
        user_id: new.user_id,
        role,
        status: MemberStatus::Active,
        permissions: Json(new.permissions),
        department: new.department,
        title: new.title,
        is_founder: false,
        joined_at: organizations.ctx.clock.now(),
        last_active_at: None,
    };
    insert(tx, organizations, &organization, actor.id(), member).await
}

/// Adds somebody on the word of another service of this domain, as an owner too; who is a member already stays what they are.
///
/// # Errors
/// [`Error::NotFound`] if the organization is not there, [`Error::Refused`] if it may not be used, [`Error::Limit`] if it is
/// full.
pub async fn add_member(
    tx: &mut Tx,
    organizations: &Organizations,
    organization_id: &str,
    user_id: &str,
    role: Role,
    added_by: &str,
) -> Result<Membership, Error> {
    tx.lock("organization", organization_id).await?;
    let found = store::find(tx, organization_id).await?.ok_or(Error::NotFound)?;
    if found.status != Status::Active {
        return Err(Error::Refused("The organization is suspended"));
    }
    let member = Membership {
        organization_id: organization_id.to_owned(),
        user_id: user_id.to_owned(),
        role,
        status: MemberStatus::Active,
        permissions: Json(Vec::new()),
        department: None,
        title: None,
        is_founder: false,
        joined_at: organizations.ctx.clock.now(),
        last_active_at: None,
    };
    insert(tx, organizations, &found, added_by, member).await
}

async fn insert(
    tx: &mut Tx,
    organizations: &Organizations,
    organization: &Organization,
    added_by: &str,
    member: Membership,
) -> Result<Membership, Error> {
    let ctx = &organizations.ctx;
    let before = store::find_member(tx, &member.organization_id, &member.user_id).await?;
    if let Some(before) = &before
        && matches!(before.status, MemberStatus::Active | MemberStatus::Suspended)
    {
        return Ok(before.clone());
    }
    admit(tx, organization, &member.user_id).await?;
    if before
        .as_ref()
        .is_none_or(|before| before.status != MemberStatus::Pending)
    {
        find_place(tx, organizations, organization).await?;
    }
    let member = Membership {
        is_founder: before.is_some_and(|before| before.is_founder),
        ..member
    };
    let now = ctx.clock.now();
    store::put_member(tx, &member, now).await?;
    store::count_members(tx, &member.organization_id).await?;
    sharing::include_member(tx, (&member.organization_id, &member.user_id), (added_by, now)).await?;
    let (organization_id, user_id) = (member.organization_id.clone(), member.user_id.clone());
    let role = member.role.as_str().to_owned();
    audit::note(
        tx,
        ctx,
        (&organization_id, added_by),
        "member.added",
        Some(&user_id),
        json!({ "role": role }),
    )
    .await?;
    let added = MemberAdded {
        organization_id: organization_id.clone(),
        user_id: user_id.clone(),
        role: role.clone(),
        added_by: added_by.to_owned(),
        permissions: member.permissions.0.clone(),
        timestamp: now,
    };
    let assigned = RoleAssigned {
        actor_user_id: added_by.to_owned(),
        target_user_id: user_id,
        scope: "organization".to_owned(),
        org_id: Some(organization_id.clone()),
        old_role: None,
        new_role: Some(role),
        timestamp: now,
    };
    ctx.events.publish(tx, added.event()).await?;
    ctx.events.publish(tx, assigned.event()).await?;
    changes::of_person(tx, ctx, &member.user_id).await?;
    Ok(member)
}

/// Sees to it that there is room for one more (BR-MEM-003).
async fn find_place(tx: &mut Tx, organizations: &Organizations, organization: &Organization) -> Result<(), Error> {
    let most = organizations.settings.members.of(organization.plan, organization.kind);
    if let Some(most) = most
        && store::count_places(tx, &organization.organization_id).await? >= i64::from(most)
    {
        return Err(Error::Limit(format!(
            "The organization may have at most {most} members"
        )));
    }
    Ok(())
}

/// The active account of somebody who is to be a member. Whoever deletes it at the same time waits, or is waited for: the
/// event that ends memberships finds the new one, or there is none.
pub(super) async fn account_of(tx: &mut Tx, user_id: &str) -> Result<Account, Error> {
    tx.lock("account", user_id).await?;
    let found = account::claims(tx, &AccountId(user_id.to_owned())).await?;
    let found = found.filter(|account| account.is_active);
    found.ok_or(Error::Refused("There is no active account with this user_id"))
}

/// Whether somebody may be a member at all: they have an account, and an address that the organization takes.
async fn admit(tx: &mut Tx, organization: &Organization, user_id: &str) -> Result<(), Error> {
    let account = account_of(tx, user_id).await?;
    if !organization.security.0.admits(&account.email) {
        return Err(Error::Refused(
            "The organization takes members with addresses of its domains only",
        ));
    }
    Ok(())
}

/// What is to change of a membership; what is `None` stays.
#[derive(Default)]
pub(in crate::organization) struct Change {
    pub role: Option<String>,
    pub status: Option<MemberStatus>,
    pub permissions: Option<Vec<String>>,
    pub department: Option<String>,
    pub title: Option<String>,
}

/// Changes a membership. Admins change neither owners nor admins; the last owner stays one (BR-MUP, EC-002).
pub(in crate::organization) async fn change(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    (organization_id, user_id): (&str, &str),
    change: Change,
) -> Result<Membership, Error> {
    let role = change.role.as_deref().map(role_named).transpose()?;
    if change.status == Some(MemberStatus::Pending) {
        return Err(Error::Refused("A membership is pending only while an invitation is"));
    }
    check_permissions(change.permissions.as_deref().unwrap_or_default())?;
    let (organization, assigner) = administered(tx, actor, organization_id).await?;
    let before = store::find_member(tx, organization_id, user_id).await?;
    let before = before.filter(|before| before.status != MemberStatus::Inactive);
    let before = before.ok_or(Error::MemberNotFound)?;
    may_assign(assigner, before.role)?;
    // Who is suspended has no place; else one could suspend, add, and reinstate without end.
    if before.status == MemberStatus::Suspended && change.status == Some(MemberStatus::Active) {
        find_place(tx, organizations, &organization).await?;
    }
    if let Some(role) = role {
        may_assign(assigner, role)?;
    }
    let mut after = before.clone();
    after.role = role.unwrap_or(after.role);
    after.status = change.status.unwrap_or(after.status);
    after.permissions = change.permissions.map_or(after.permissions, Json);
    after.department = change.department.or(after.department);
    after.title = change.title.or(after.title);
    if after != before {
        write(tx, organizations, actor, &before, &after).await?;
    }
    Ok(after)
}

/// Gives a member another role on the word of a sibling service, with the authority the assigner has; says what they were.
///
/// # Errors
/// As changing a member.
pub(crate) async fn assign_role(
    tx: &mut Tx,
    organizations: &Organizations,
    assigner_id: &str,
    (organization_id, user_id): (&str, &str),
    role: Role,
) -> Result<Role, Error> {
    let before = store::standing(tx, organization_id, user_id).await?;
    let (before, _) = before.ok_or(Error::MemberNotFound)?;
    let to = Change {
        role: Some(role.as_str().to_owned()),
        ..Change::default()
    };
    let assigner = Actor::Person(assigner_id.to_owned());
    change(tx, organizations, &assigner, (organization_id, user_id), to).await?;
    Ok(before)
}

/// Writes a changed membership, says so, and sees to it that there is an owner left.
pub(super) async fn write(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    before: &Membership,
    after: &Membership,
) -> Result<(), Error> {
    let ctx = &organizations.ctx;
    let (organization_id, user_id) = (after.organization_id.as_str(), after.user_id.as_str());
    if before.is_acting_owner() && !after.is_acting_owner() && store::count_owners(tx, organization_id).await? <= 1 {
        return Err(Error::LastOwner);
    }
    let now = ctx.clock.now();
    store::put_member(tx, after, now).await?;
    store::count_members(tx, organization_id).await?;
    if after.status != MemberStatus::Active {
        store::reset_context(tx, user_id, Some(organization_id)).await?;
    }
    let event = MemberUpdated {
        organization_id: organization_id.to_owned(),
        user_id: user_id.to_owned(),
        old_role: before.role.as_str().to_owned(),
        new_role: after.role.as_str().to_owned(),
        old_status: before.status.as_str().to_owned(),
        new_status: after.status.as_str().to_owned(),
        updated_by: actor.id().to_owned(),
        timestamp: now,
    };
    let data = json!({ "role": event.new_role, "status": event.new_status });
    ctx.events.publish(tx, event.event()).await?;
    audit::note(
        tx,
        ctx,
        (organization_id, actor.id()),
        "member.updated",
        Some(user_id),
        data,
    )
    .await?;
    if before.role != after.role {
        let assigned = RoleAssigned {
            actor_user_id: actor.id().to_owned(),
            target_user_id: user_id.to_owned(),
            scope: "organization".to_owned(),
            org_id: Some(organization_id.to_owned()),
            old_role: Some(before.role.as_str().to_owned()),
            new_role: Some(after.role.as_str().to_owned()),
            timestamp: now,
        };
        ctx.events.publish(tx, assigned.event()).await?;
    }
    if after.status == MemberStatus::Inactive {
        sharing::drop_member(tx, organization_id, user_id).await?;
        say_removed(tx, organizations, actor.id(), before, None).await?;
    }
    Ok(changes::of_person(tx, ctx, user_id).await?)
}

/// Ends a membership: an administrator's word, or one's own. Who leaves may be added again.
pub(in crate::organization) async fn remove(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    (organization_id, user_id): (&str, &str),
    reason: Option<&str>,
) -> Result<(), Error> {
    let is_self = *actor == Actor::Person(user_id.to_owned());
    if is_self {
        // One may leave a suspended organization too.
        tx.lock("organization", organization_id).await?;
        seen(tx, actor, organization_id).await?;
    } else {
        let (_, role) = changed(tx, actor, organization_id).await?;
        if !role.is_admin() {
            return Err(Error::forbidden("Members can only remove themselves"));
        }
    }
    let before = store::find_member(tx, organization_id, user_id).await?;
    let before = before.filter(|before| before.status != MemberStatus::Inactive);
    let before = before.ok_or(Error::MemberNotFound)?;
    if !is_self && before.role.is_admin() && acting_role(tx, actor, organization_id).await? != Role::Owner {
        return Err(Error::forbidden("Admins cannot remove owners or other admins"));
    }
    end(tx, organizations, actor.id(), &before, reason).await
}

async fn acting_role(tx: &mut Tx, actor: &Actor, organization_id: &str) -> Result<Role, Error> {
    let (_, role) = seen(tx, actor, organization_id).await?;
    Ok(role.unwrap_or(Role::Owner))
}

/// Ends a membership, unless it is the last owner's.
pub(super) async fn end(
    tx: &mut Tx,
    organizations: &Organizations,
    by: &str,
    before: &Membership,
    reason: Option<&str>,
) -> Result<(), Error> {
    let organization_id = before.organization_id.as_str();
    if before.is_acting_owner() && store::count_owners(tx, organization_id).await? <= 1 {
        return Err(Error::LastOwner);
    }
    end_for_good(tx, organizations, by, before, reason).await
}

/// Ends a membership, whosever it is.
pub(super) async fn end_for_good(
    tx: &mut Tx,
    organizations: &Organizations,
    by: &str,
    before: &Membership,
    reason: Option<&str>,
) -> Result<(), Error> {
    let ctx = &organizations.ctx;
    let organization_id = before.organization_id.as_str();
    let after = Membership {
        status: MemberStatus::Inactive,
        ..before.clone()
    };
    store::put_member(tx, &after, ctx.clock.now()).await?;
    store::count_members(tx, organization_id).await?;
    store::reset_context(tx, &before.user_id, Some(organization_id)).await?;
    sharing::drop_member(tx, organization_id, &before.user_id).await?;
    let data = json!({ "reason": reason });
    audit::note(
        tx,
        ctx,
        (organization_id, by),
        "member.removed",
        Some(&before.user_id),
        data,
    )
    .await?;
    say_removed(tx, organizations, by, before, reason).await?;
    Ok(changes::of_person(tx, ctx, &before.user_id).await?)
}

async fn say_removed(
    tx: &mut Tx,
    organizations: &Organizations,
    by: &str,
    before: &Membership,
    reason: Option<&str>,
) -> Result<(), Error> {
    let ctx = &organizations.ctx;
    let timestamp = ctx.clock.now();
    let removed = MemberRemoved {
        organization_id: before.organization_id.clone(),
        user_id: before.user_id.clone(),
        removed_by: by.to_owned(),
        reason: reason.map(str::to_owned),
        timestamp,
    };
    let revoked = RoleRevoked {
        actor_user_id: by.to_owned(),
        target_user_id: before.user_id.clone(),
        scope: "organization".to_owned(),
        org_id: Some(before.organization_id.clone()),
        old_role: Some(before.role.as_str().to_owned()),
        new_role: None,
        timestamp,
    };
    ctx.events.publish(tx, removed.event()).await?;
    ctx.events.publish(tx, revoked.event()).await?;
    Ok(())
}

/// Makes another active member the owner; the one who was becomes an admin. For an owner, in one step.
pub(in crate::organization) async fn transfer(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    (organization_id, user_id): (&str, &str),
) -> Result<Membership, Error> {
    let (_, role) = changed(tx, actor, organization_id).await?;
    if role != Role::Owner {
        return Err(Error::forbidden("Only an owner can transfer the ownership"));
    }
    let before = store::find_member(tx, organization_id, user_id).await?;
    let before = before.filter(|before| before.status == MemberStatus::Active);
    let before = before.ok_or(Error::MemberNotFound)?;
    let after = Membership {
        role: Role::Owner,
        ..before.clone()
    };
    if before.role != Role::Owner {
        write(tx, organizations, actor, &before, &after).await?;
    }
    if let Actor::Person(owner) = actor
        && owner != user_id
        && let Some(mine) = store::find_member(tx, organization_id, owner).await?
    {
        let demoted = Membership {
            role: Role::Admin,
            ..mine.clone()
        };
        write(tx, organizations, actor, &mine, &demoted).await?;
    }
    Ok(after)
}
