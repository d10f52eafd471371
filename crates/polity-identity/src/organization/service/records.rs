//! The record of an organization: made with its owner, changed by its administrators, deleted by an owner.

use polity_kernel::{
    db::{Conn, Json, Tx},
    http::Given,
};
use polity_ports::{
    Said,
    organization::{MemberAdded, OrganizationCreated, OrganizationDeleted, OrganizationUpdated, RoleAssigned},
};
use serde_json::{Map, json};

use super::{Actor, Error, administered, audit, changed, members, seen, sharing};
use crate::{
    changes,
    organization::{
        Organizations,
        model::{Details, Kind, MemberStatus, Membership, Organization, Plan, RateLimits, Role, Security, Status},
        store,
    },
};

/// An organization to make.
pub(in crate::organization) struct New {
    pub name: String,
    pub domain: Option<String>,
    pub billing_email: String,
    pub plan: Plan,
    pub kind: Option<Kind>,
    pub details: Details,
    pub settings: Map<String, serde_json::Value>,
}

/// The largest settings, in bytes.
const SETTINGS: usize = 64 << 10;

pub(in crate::organization) fn check_settings(settings: &Map<String, serde_json::Value>) -> Result<(), Error> {
    if serde_json::to_vec(settings).map_or(usize::MAX, |text| text.len()) > SETTINGS {
        return Err(Error::Invalid("settings", "may have at most 64 KB"));
    }
    Ok(())
}

/// Makes an organization with its owner, in one transaction (BR-ORG-003).
pub(in crate::organization) async fn create(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    new: New,
) -> Result<(Organization, Membership), Error> {
    let ctx = &organizations.ctx;
    let Actor::Person(owner) = actor else {
        return Err(Error::Refused(
            "Name the person whose organization it is to be in X-User-Id",
        ));
    };
    check_settings(&new.settings)?;
    // A plan is paid for; nobody gives themselves one (last section).
    if new.plan != Plan::Free {
        return Err(Error::Refused(
            "An organization begins with the plan free; another one is bought",
        ));
    }
    tx.lock("organization.owner", owner).await?;
    members::account_of(tx, owner).await?;
    // Those that others have given them do not count: nobody asks them for these.
    let most = organizations.settings.most_owned;
    if store::count_made(tx, owner).await? >= i64::from(most) {
        return Err(Error::Limit(format!("A person may make at most {most} organizations")));
    }
    let now = ctx.clock.now();
    let organization = Organization {
        organization_id: ctx.ids.new_id("org_"),
        name: new.name,
        domain: new.domain,
        billing_email: new.billing_email,
        plan: new.plan,
        status: Status::Active,
        kind: new.kind,
        details: Json(new.details),
        settings: Json(new.settings),
        security: Json(Security::default()),
        rate_limits: None,
        flag: None,
        member_count: 1,
        created_by: owner.clone(),
        created_at: now,
        updated_at: now,
    };
    let member = Membership {
        organization_id: organization.organization_id.clone(),
        user_id: owner.clone(),
        role: Role::Owner,
        status: MemberStatus::Active,
        permissions: Json(Vec::new()),
        department: None,
        title: None,
        is_founder: true,
        joined_at: now,
        last_active_at: None,
    };
    store::insert(tx, &organization).await?;
    store::put_member(tx, &member, now).await?;
    store::count_members(tx, &organization.organization_id).await?;
    changes::of_person(tx, ctx, owner).await?;
    say_created(tx, organizations, &organization, owner).await?;
    let place = (organization.organization_id.as_str(), owner.as_str());
    audit::note(
        tx,
        ctx,
        place,
        "organization.created",
        None,
        json!({ "name": organization.name }),
    )
    .await?;
    Ok((organization, member))
}

async fn say_created(
    tx: &mut Tx,
    organizations: &Organizations,
    organization: &Organization,
    owner: &str,
) -> Result<(), Error> {
    let ctx = &organizations.ctx;
    let timestamp = organization.created_at;
    let organization_id = organization.organization_id.clone();
    let created = OrganizationCreated {
        organization_id: organization_id.clone(),
        organization_name: organization.name.clone(),
        owner_user_id: owner.to_owned(),
        billing_email: organization.billing_email.clone(),
        plan: "free".to_owned(),
        timestamp,
    };
    let added = MemberAdded {
        organization_id: organization_id.clone(),
        user_id: owner.to_owned(),
        role: Role::Owner.as_str().to_owned(),
        added_by: owner.to_owned(),
        permissions: Vec::new(),
        timestamp,
    };
    let assigned = RoleAssigned {
        actor_user_id: owner.to_owned(),
        target_user_id: owner.to_owned(),
        scope: "organization".to_owned(),
        org_id: Some(organization_id),
        old_role: None,
        new_role: Some(Role::Owner.as_str().to_owned()),
        timestamp,
    };
    for event in [created.event(), added.event(), assigned.event()] {
        ctx.events.publish(tx, event).await?;
    }
    Ok(())
}

/// The organization, and what the caller is in it.
pub(in crate::organization) async fn get(
    read: &mut Conn,
    actor: &Actor,
    organization_id: &str,
) -> Result<(Organization, Option<Role>), Error> {
    seen(read, actor, organization_id).await
}

/// What is to change; what is not given stays.
#[derive(Default)]
pub(in crate::organization) struct Change {
    pub name: Option<String>,
    pub domain: Given<String>,
    pub billing_email: Option<String>,
    pub plan: Option<Plan>,
    pub status: Option<Status>,
    pub details: Option<Details>,
    pub settings: Option<Map<String, serde_json::Value>>,
    pub security: Option<Security>,
}

/// Changes an organization (BR-UPD). Status, and a plan other than free, are for services and administrators of the platform.
pub(in crate::organization) async fn update(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    organization_id: &str,
    change: Change,
) -> Result<(Organization, Option<Role>), Error> {
    let (before, role) = administered(tx, actor, organization_id).await?;
    let is_above = matches!(actor, Actor::Above(_));
    let bought = change
        .plan
        .is_some_and(|plan| plan != before.plan && plan != Plan::Free);
    if !is_above && bought {
        return Err(Error::forbidden("A plan is bought, not set; ask billing"));
    }
    if !is_above && change.status.is_some_and(|status| status != before.status) {
        return Err(Error::forbidden(
            "Only the platform suspends and reinstates organizations",
        ));
    }
    if change.status == Some(Status::Deleted) {
        return Err(Error::Refused("An organization is deleted by its owner"));
    }
    // One that lost its last owner has to be somebody's first.
    let reinstated = change.status == Some(Status::Active) && before.status != Status::Active;
    if reinstated && store::count_owners(tx, organization_id).await? == 0 {
        return Err(Error::Refused("The organization has no owner; make a member one first"));
    }
    if let Some(settings) = &change.settings {
        check_settings(settings)?;
    }
    let mut after = before.clone();
    after.name = change.name.unwrap_or(after.name);
    after.domain = change.domain.over(after.domain);
    after.billing_email = change.billing_email.unwrap_or(after.billing_email);
    after.plan = change.plan.unwrap_or(after.plan);
    after.status = change.status.unwrap_or(after.status);
    after.details = change.details.map_or(after.details, Json);
    after.settings = change.settings.map_or(after.settings, Json);
    after.security = change.security.map_or(after.security, Json);
    if after.status == Status::Active {
        after.flag = None;
    }
    let fields = differences(&before, &after);
    if !fields.is_empty() {
        after.updated_at = organizations.ctx.clock.now();
        store::update(tx, &after, after.updated_at).await?;
        say_updated(tx, organizations, actor, &after, fields).await?;
    }
    Ok((after, (!is_above).then_some(role)))
}

/// Exactly the fields that differ, by name.
fn differences(before: &Organization, after: &Organization) -> Vec<String> {
    [
        ("name", before.name != after.name),
        ("domain", before.domain != after.domain),
        ("billing_email", before.billing_email != after.billing_email),
        ("plan", before.plan != after.plan),
        ("status", before.status != after.status),
        ("details", before.details != after.details),
        ("settings", before.settings != after.settings),
        ("security", before.security != after.security),
    ]
    .into_iter()
    .filter(|(_, differs)| *differs)
    .map(|(name, _)| name.to_owned())
    .collect()
}

/// Says that an organization was changed, notes it, and makes everybody look it up anew.
pub(super) async fn say_updated(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    after: &Organization,
    fields: Vec<String>,
) -> Result<(), Error> {
    let ctx = &organizations.ctx;
    let place = (after.organization_id.as_str(), actor.id());
    audit::note(
        tx,
        ctx,
        place,
        "organization.updated",
        None,
        json!({ "fields": fields }),
    )
    .await?;
    let event = OrganizationUpdated {
        organization_id: after.organization_id.clone(),
        organization_name: after.name.clone(),
        updated_by: actor.id().to_owned(),
        updated_fields: fields,
        timestamp: ctx.clock.now(),
    };
    ctx.events.publish(tx, event.event()).await?;
    Ok(changes::of_organization(tx, ctx, &after.organization_id).await?)
}

/// Deletes an organization: memberships end, nobody acts in it any more, all in one transaction (BR-DEL).
pub(in crate::organization) async fn delete(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    organization_id: &str,
) -> Result<(), Error> {
    let ctx = &organizations.ctx;
    // A suspended one may be deleted all the same.
    tx.lock("organization", organization_id).await?;
    let (mut found, role) = seen(tx, actor, organization_id).await?;
    if role.is_some_and(|role| role != Role::Owner) {
        return Err(Error::forbidden("Only an owner can delete the organization"));
    }
    let now = ctx.clock.now();
    found.status = Status::Deleted;
    store::update(tx, &found, now).await?;
    store::end_all(tx, organization_id, now).await?;
    sharing::revoke_all(tx, organization_id, now).await?;
    audit::note(
        tx,
        ctx,
        (organization_id, actor.id()),
        "organization.deleted",
        None,
        json!({}),
    )
    .await?;
    let event = OrganizationDeleted {
        organization_id: organization_id.to_owned(),
        organization_name: found.name,
        deleted_by: actor.id().to_owned(),
        reason: None,
        timestamp: now,
    };
    ctx.events.publish(tx, event.event()).await?;
    Ok(changes::of_organization(tx, ctx, organization_id).await?)
}

/// The limits of an organization; `None`: nobody set any.
pub(in crate::organization) async fn limits(
    read: &mut Conn,
    actor: &Actor,
    organization_id: &str,
) -> Result<Option<RateLimits>, Error> {
    let (found, _) = seen(read, actor, organization_id).await?;
    Ok(found.rate_limits.map(|limits| limits.0))
}

/// Replaces the limits of an organization.
pub(in crate::organization) async fn set_limits(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    organization_id: &str,
    limits: RateLimits,
) -> Result<RateLimits, Error> {
    let (found, role) = changed(tx, actor, organization_id).await?;
    if !role.is_admin() {
        return Err(Error::forbidden("Admin access required to update rate limits"));
    }
    let limits = Json(limits);
    store::set_limits(tx, organization_id, &limits, organizations.ctx.clock.now()).await?;
    say_updated(tx, organizations, actor, &found, vec!["rate_limits".to_owned()]).await?;
    Ok(limits.0)
}
