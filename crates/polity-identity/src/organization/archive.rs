//! What of an organization stands in archives, and how an imported one comes to be there: hidden while it is written, and
//! shown in one transaction.

mod members;
mod record;
mod sharing;

use chrono::{DateTime, Duration, Utc};
use polity_kernel::{db::Tx, event::NewEvent};
use polity_ports::{
    Said,
    organization::{MemberAdded, OrganizationCreated, RoleAssigned},
};
use serde_json::json;

pub(crate) use members::{Audit, AuditRow, MemberRow, Members};
pub(crate) use record::{Itself, OrganizationRow};
pub(crate) use sharing::{AccessRow, Accesses, SharingRow, Sharings, UseRow, Uses};

use super::{Organizations, model::Role, service, store::archive as store};
use crate::{
    account,
    archive::{self, Error},
    changes,
};

pub(crate) use store::member_ids;

/// How long an import may be silent before another may take its place.
const SILENCE: Duration = Duration::seconds(60);

/// That somebody imports an organization: as long as the mark stands in its row, they go on.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// Which.
    pub organization_id: String,
    mark: String,
}

/// Claims the id of an organization that is not here, and hides a row under it.
///
/// # Errors
/// [`Error::Taken`] if it is here, was deleted, or is being imported.
pub(crate) async fn begin(
    organizations: &Organizations,
    organization_id: &str,
    record: &OrganizationRow,
) -> Result<Claim, Error> {
    let ctx = &organizations.ctx;
    let claim = Claim {
        organization_id: organization_id.to_owned(),
        mark: format!("{}{}", store::MARK, ctx.ids.new_id("imp_")),
    };
    let mut tx = ctx.db.begin().await?;
    tx.lock("organization", organization_id).await?;
    let now = ctx.clock.now();
    match store::find_claim(&mut tx, organization_id).await? {
        None => {
            store::hide(&mut tx, organization_id, record, &claim.mark, now).await?;
            tx.commit().await?;
            return Ok(claim);
        }
        Some((Some(_), since)) if since < now - SILENCE => {
            store::take_over(&mut tx, organization_id, &claim.mark, now).await?;
            tx.commit().await?;
        }
        Some((Some(_), _)) => {
            return Err(Error::Taken("The organization is being imported already".to_owned()));
        }
        Some((None, _)) => {
            return Err(Error::Taken(format!(
                "The organization {organization_id} is here already, or was deleted here"
            )));
        }
    }
    archive::clear(organizations, organization_id).await?;
    let mut tx = ctx.db.begin().await?;
    drop_claim(&mut tx, &claim).await?;
    store::hide(&mut tx, organization_id, record, &claim.mark, ctx.clock.now()).await?;
    tx.commit().await?;
    Ok(claim)
}

async fn drop_claim(tx: &mut Tx, claim: &Claim) -> Result<(), Error> {
    if store::forget(tx, &claim.organization_id, &claim.mark).await? {
        return Ok(());
    }
    Err(lost())
}

fn lost() -> Error {
    Error::Taken("Somebody else took over the import, as it was silent for too long".to_owned())
}

/// Says that the import goes on, in the transaction of a batch.
///
/// # Errors
/// [`Error::Taken`] if somebody else has taken over.
pub(crate) async fn renew(tx: &mut Tx, organizations: &Organizations, claim: &Claim) -> Result<(), Error> {
    let now = organizations.ctx.clock.now();
    if store::renew(tx, &claim.organization_id, &claim.mark, now).await? {
        return Ok(());
    }
    Err(lost())
}

/// Removes what was written under a claim.
///
/// # Errors
/// What the database says; what is left is then removed later.
pub(crate) async fn abandon(organizations: &Organizations, claim: &Claim) -> Result<(), Error> {
    let mut tx = organizations.ctx.db.begin().await?;
    renew(&mut tx, organizations, claim).await?;
    tx.commit().await?;
    archive::clear(organizations, &claim.organization_id).await?;
    let mut tx = organizations.ctx.db.begin().await?;
    drop_claim(&mut tx, claim).await?;
    Ok(tx.commit().await?)
}

/// Removes what imports left behind that never came to an end; says how many.
pub(super) async fn clean_up(organizations: &Organizations) -> Result<u64, Error> {
    let ctx = &organizations.ctx;
    let mut read = ctx.db.read().await?;
    let left = store::silent(&mut read, ctx.clock.now() - SILENCE).await?;
    drop(read);
    let mut removed = 0;
    for (organization_id, mark) in left {
        abandon(organizations, &Claim { organization_id, mark }).await?;
        removed += 1;
    }
    Ok(removed)
}

/// Shows an imported organization, and says of it and its active members what is said of any.
///
/// # Errors
/// [`Error::Taken`] if somebody else has taken over, or a member's account was deleted since it was imported.
pub(crate) async fn show(
    organizations: &Organizations,
    claim: &Claim,
    record: &OrganizationRow,
    actor_id: &str,
) -> Result<(), Error> {
    let ctx = &organizations.ctx;
    let organization_id = claim.organization_id.as_str();
    let internal = |text: String| Error::Internal(text);
    let mut tx = ctx.db.begin().await?;
    tx.lock("organization", organization_id).await?;
    renew(&mut tx, organizations, claim).await?;
    store::show(&mut tx, organization_id, record).await?;
    let members = store::active_members(&mut tx, organization_id).await?;
    let ids: Vec<&str> = members.iter().map(|(id, ..)| id.as_str()).collect();
    let here = account::existing(&mut tx, &ids).await;
    let here = here.map_err(|error| internal(error.to_string()))?;
    if let Some(gone) = ids.iter().find(|id| !here.contains(**id)) {
        return Err(Error::Taken(format!("The account of {gone} was deleted meanwhile")));
    }
    let events = news(record, &members, actor_id, ctx.clock.now());
    ctx.events.publish_all(&mut tx, events).await?;
    let place = (organization_id, actor_id);
    let data = json!({ "members": members.len() });
    let noted = service::note(&mut tx, ctx, place, "organization.imported", None, data).await;
    noted.map_err(|error| internal(error.to_string()))?;
    changes::of_organization(&mut tx, ctx, organization_id).await?;
    changes::of_people(&mut tx, ctx, members.into_iter().map(|(id, ..)| id).collect()).await?;
    Ok(tx.commit().await?)
}

/// What is said of an imported organization and of its active members.
fn news(record: &OrganizationRow, members: &[store::Active], by: &str, timestamp: DateTime<Utc>) -> Vec<NewEvent> {
    let organization_id = &record.organization_id;
    let owner = members.iter().find(|(_, role, _)| *role == Role::Owner);
    let created = OrganizationCreated {
        organization_id: organization_id.clone(),
        organization_name: record.name.clone(),
        owner_user_id: owner.map_or(&record.created_by, |(id, ..)| id).clone(),
        billing_email: record.billing_email.clone(),
        plan: record.plan.as_str().to_owned(),
        timestamp,
    };
    let of_members = members.iter().flat_map(|(user_id, role, permissions)| {
        let added = MemberAdded {
            organization_id: organization_id.clone(),
            user_id: user_id.clone(),
            role: role.as_str().to_owned(),
            added_by: by.to_owned(),
            permissions: permissions.0.clone(),
            timestamp,
        };
        let assigned = RoleAssigned {
            actor_user_id: by.to_owned(),
            target_user_id: user_id.clone(),
            scope: "organization".to_owned(),
            org_id: Some(organization_id.clone()),
            old_role: None,
            new_role: Some(role.as_str().to_owned()),
            timestamp,
        };
        [added.event(), assigned.event()]
    });
    std::iter::once(created.event()).chain(of_members).collect()
}
