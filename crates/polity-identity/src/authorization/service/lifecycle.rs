//! What happens to permissions by themselves: they end, are cleaned up, and go with people and organizations.

use chrono::{DateTime, Duration, Utc};
use polity_kernel::{
    db::{List, Tx},
    event::NewEvent,
};
use polity_ports::Said;
use serde::{Deserialize, Serialize};

use super::grants::revoked;
use crate::authorization::{
    Authorization, Error,
    model::{Action, Permission},
    settings::LEAST_RETENTION,
    store::{self, audit},
};

/// How many rows are changed in one transaction.
const AT_ONCE: i64 = 500;
/// How many people's ended permissions are removed in one transaction, at most: each is waited for.
const PEOPLE_AT_ONCE: i64 = 100;
/// Who does what nobody does.
const NOBODY: &str = "polity";

/// Who or what is gone, and whose permissions therefore are: the payload of a job.
///
/// They count no more from the moment that account or organizations say so; what is left to do is to remove the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::authorization) enum Gone {
    /// A person whose account is deleted. What they were given since, having been restored, stays; without a moment nothing
    /// does.
    Person {
        user_id: String,
        #[serde(default)]
        deleted_at: Option<DateTime<Utc>>,
    },
    /// A member who left. What they were given since, having come back, stays.
    Member {
        organization_id: String,
        user_id: String,
        left_at: DateTime<Utc>,
    },
    /// An organization.
    Organization { organization_id: String },
}

/// Removes the permissions of who or what is gone, some in each transaction: begun again, it goes on where it was.
pub(in crate::authorization) async fn forget(authorization: &Authorization, gone: &Gone) -> Result<(), Error> {
    while !authorization.ctx.stop.is_cancelled() {
        let mut tx = authorization.ctx.db.begin().await?;
        let (some, reason) = match gone {
            Gone::Person { user_id, deleted_at } => {
                tx.lock("permission", user_id).await?;
                store::forget_checks(&mut tx, user_id).await?;
                (
                    store::belongings(&mut tx, user_id, None, *deleted_at, AT_ONCE).await?,
                    "user_deleted",
                )
            }
            Gone::Member {
                organization_id,
                user_id,
                left_at,
            } => {
                tx.lock("permission", user_id).await?;
                let place = Some(organization_id.as_str());
                (
                    store::belongings(&mut tx, user_id, place, Some(*left_at), AT_ONCE).await?,
                    "member_removed",
                )
            }
            Gone::Organization { organization_id } => {
                tx.lock("organization", organization_id).await?;
                store::delete_organization_permissions(&mut tx, organization_id, AT_ONCE).await?;
                let some = store::belongings_of_organization(&mut tx, organization_id, AT_ONCE).await?;
                (some, "organization_deleted")
            }
        };
        store::delete_permissions(&mut tx, &List::of(some.iter().map(|one| &one.id))).await?;
        note(&mut tx, authorization, &some, reason).await?;
        tx.commit().await?;
        if some.is_empty() && !leaves_any(authorization, gone).await? {
            return Ok(());
        }
    }
    Err(Error::Internal(
        "the program stops; the rest is done when it runs again".to_owned(),
    ))
}

/// Whether what a deleted organization has is still there.
async fn leaves_any(authorization: &Authorization, gone: &Gone) -> Result<bool, Error> {
    let Gone::Organization { organization_id } = gone else {
        return Ok(false);
    };
    let mut read = authorization.ctx.db.read().await?;
    let left = store::list_organization_permissions(&mut read, organization_id, None, 1).await?;
    Ok(!left.is_empty())
}

/// Writes into the audit that permissions are gone, says so, and makes everybody decide anew.
async fn note(tx: &mut Tx, authorization: &Authorization, gone: &[Permission], reason: &str) -> Result<(), Error> {
    if gone.is_empty() {
        return Ok(());
    }
    let ctx = &authorization.ctx;
    let now = ctx.clock.now();
    let entries: Vec<audit::Entry> = gone
        .iter()
        .map(|one| audit::Entry {
            id: ctx.ids.new_id("pad_"),
            user_id: one.user_id.clone(),
            resource_type: one.resource_type.as_str().to_owned(),
            resource_name: one.resource_name.clone(),
            action: Action::Revoke,
            old_access_level: Some(one.access_level.as_str().to_owned()),
            new_access_level: None,
            performed_by_user_id: NOBODY.to_owned(),
            reason: Some(reason.to_owned()),
            success: true,
            error_message: None,
            created_at: now,
        })
        .collect();
    audit::insert(tx, &entries, now).await?;
    let events: Vec<NewEvent> = gone
        .iter()
        .map(|one| revoked(one, NOBODY, Some(reason.to_owned()), now).event())
        .collect();
    ctx.events.publish_all(tx, events).await?;
    let mut people: Vec<String> = gone.iter().map(|one| one.user_id.clone()).collect();
    people.sort_unstable();
    people.dedup();
    authorization.tell(tx, people).await
}

/// Removes what has ended; says how much. What is given anew at this moment stays (EC-016).
pub(in crate::authorization) async fn remove_ended(authorization: &Authorization) -> Result<u64, Error> {
    let ctx = &authorization.ctx;
    let mut removed = 0;
    loop {
        let people = store::people_with_ended(&mut *ctx.db.read().await?, ctx.clock.now(), PEOPLE_AT_ONCE).await?;
        if people.is_empty() {
            return Ok(removed);
        }
        let mut tx = ctx.db.begin().await?;
        // In the order in which who gives takes them: else both wait for one another's rows.
        for (person,) in &people {
            tx.lock("permission", person).await?;
        }
        let people = List::of(people.iter().map(|(person,)| person));
        let some = store::take_ended(&mut tx, &people, ctx.clock.now(), AT_ONCE).await?;
        note(&mut tx, authorization, &some, "expired").await?;
        tx.commit().await?;
        removed += some.len() as u64;
    }
}

/// Removes what has ended, and entries of the audit that are older than they are kept; says how much.
pub(in crate::authorization) async fn clean_up(authorization: &Authorization) -> Result<u64, Error> {
    let removed = remove_ended(authorization).await?;
    let days = authorization.settings.audit_retention_days.max(LEAST_RETENTION);
    let before = authorization.ctx.clock.now() - Duration::days(i64::from(days));
    let ctx = &authorization.ctx;
    let deleted = ctx
        .db
        .in_batches(move |tx| Box::pin(audit::delete_old(tx, before, AT_ONCE)))
        .await?;
    Ok(removed + deleted)
}
