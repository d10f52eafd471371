//! How sharings end by themselves: their time is over, the thing is gone, the organization is.

use chrono::{DateTime, Duration, Utc};
use polity_kernel::db::{self, List, Tx};
use polity_ports::{
    Said,
    organization::{SharingDeleted, SharingExpired},
};

use super::{Error, Organizations, ResourceType, store};

/// How many rows are changed in one transaction.
const AT_ONCE: i64 = 200;
/// Who does what nobody does.
const NOBODY: &str = "polity";

/// Marks sharings whose time is over, and says so; says how many (BR-FSH-007).
pub(in crate::organization) async fn expire(organizations: &Organizations) -> Result<u64, Error> {
    let now = organizations.ctx.clock.now();
    let marked = organizations.ctx.db.in_batches(move |tx| {
        let organizations = organizations.clone();
        Box::pin(async move { expire_some(tx, &organizations, now).await })
    });
    Ok(marked.await?)
}

async fn expire_some(tx: &mut Tx, organizations: &Organizations, now: DateTime<Utc>) -> db::Result<u64> {
    let ended = store::expire(tx, now, AT_ONCE).await?;
    let count = ended.len() as u64;
    for (sharing_id, organization_id, resource_type, resource_id) in ended {
        let event = SharingExpired {
            organization_id,
            sharing_id,
            resource_type: resource_type.as_str().to_owned(),
            resource_id,
            actor: NOBODY.to_owned(),
            timestamp: now,
        };
        organizations.ctx.events.publish(tx, event.event()).await?;
    }
    Ok(count)
}

/// Revokes every sharing of a thing that is gone.
pub(in crate::organization) async fn forget_resource(
    tx: &mut Tx,
    organizations: &Organizations,
    types: &[ResourceType],
    resource_id: &str,
) -> Result<(), Error> {
    let now = organizations.ctx.clock.now();
    let types = List::of(types.iter().map(|one| one.as_str()));
    loop {
        let some = store::revoke_resource(tx, (&types, resource_id), now, AT_ONCE).await?;
        if some.is_empty() {
            return Ok(());
        }
        for (sharing_id, organization_id, resource_type, resource_id) in some {
            let event = SharingDeleted {
                organization_id,
                sharing_id,
                resource_type: resource_type.as_str().to_owned(),
                resource_id,
                actor: NOBODY.to_owned(),
                timestamp: now,
            };
            organizations.ctx.events.publish(tx, event.event()).await?;
        }
    }
}

/// Revokes what is shared in an organization that is gone (EC-012). `organization.deleted` says it for all of them.
pub(in crate::organization) async fn revoke_all(
    tx: &mut Tx,
    organization_id: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    Ok(store::revoke_all(tx, organization_id, now).await?)
}

/// Deletes what was used in days, weeks and months that are longer ago than they are kept; says how much.
pub(in crate::organization) async fn clean_up(organizations: &Organizations) -> Result<u64, Error> {
    let days = i64::from(organizations.settings.sharing_usage_retention_days);
    let before = (organizations.ctx.clock.now() - Duration::days(days)).timestamp();
    let deleted = organizations
        .ctx
        .db
        .in_batches(move |tx| Box::pin(store::usage::delete_usage(tx, before, AT_ONCE)));
    Ok(deleted.await?)
}
