//! How a sharing is changed: paused, continued, revoked, shared with more people, deleted.

use chrono::{DateTime, Utc};
use polity_kernel::{
    db::{Json, Tx},
    http::Given,
};
use serde_json::json;

use super::{
    Actor, Error, Object, Organizations, People, Permission, Sharing, SharingStatus, check, check_end, found, managed,
    say_deleted, say_updated, share, store,
};

/// What is to change of a sharing; what is `None` stays.
#[derive(Default)]
pub(in crate::organization) struct SharingChange {
    pub default_permission: Option<Permission>,
    pub expires_at: Given<DateTime<Utc>>,
    pub share_with_all_members: Option<bool>,
    pub quota_settings: Option<Object>,
    pub restrictions: Option<Object>,
    pub metadata: Option<Object>,
    pub status: Option<SharingStatus>,
    pub people: People,
}

impl SharingChange {
    fn over(self, before: &Sharing, now: DateTime<Utc>) -> (Sharing, People) {
        let mut after = before.clone();
        after.default_permission = self.default_permission.unwrap_or(after.default_permission);
        after.expires_at = self.expires_at.over(after.expires_at);
        after.share_with_all_members = self.share_with_all_members.unwrap_or(after.share_with_all_members);
        after.quota_settings = self.quota_settings.map_or(after.quota_settings, Json);
        after.restrictions = self.restrictions.map_or(after.restrictions, Json);
        after.metadata = self.metadata.map_or(after.metadata, Json);
        after.status = self.status.unwrap_or(after.status);
        after.updated_at = now;
        (after, self.people)
    }
}

/// Whether the status may become so, or anything may change at all.
fn check_step(status: SharingStatus, to: Option<SharingStatus>) -> Result<(), Error> {
    if status.can(to.unwrap_or(status)) {
        return Ok(());
    }
    Err(Error::Refused(match status {
        SharingStatus::Expired => "An expired sharing can only be revoked",
        SharingStatus::Revoked => "A revoked sharing cannot be changed",
        _ => "A sharing can be made active, paused or revoked",
    }))
}

/// Changes a sharing. People named in a change get access besides those who have it; it is taken by [`super::revoke`].
pub(in crate::organization) async fn update(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    (organization_id, sharing_id): (&str, &str),
    change: SharingChange,
) -> Result<Sharing, Error> {
    let before = managed(tx, actor, organization_id, sharing_id).await?;
    let now = organizations.ctx.clock.now();
    check_step(before.status_at(now), change.status)?;
    let shares_anew = change.share_with_all_members == Some(true);
    let moves_end = change.expires_at != Given::Nothing;
    let (after, people) = change.over(&before, now);
    let quota = check(&after, &people)?;
    if moves_end {
        check_end(after.expires_at, now)?;
    }
    if !store::update(tx, &after, quota.period, before.status).await? {
        return Err(Error::Changed);
    }
    if shares_anew || !people.default.is_empty() || !people.custom.is_empty() {
        let sharing = Sharing {
            share_with_all_members: shares_anew,
            ..after.clone()
        };
        share(tx, actor, &sharing, &people, now).await?;
    }
    if after.status == SharingStatus::Revoked {
        say_deleted(tx, organizations, actor.id(), &after).await?;
    } else {
        say_updated(
            tx,
            organizations,
            actor,
            &after,
            json!({ "status": after.status.as_str() }),
        )
        .await?;
    }
    found(tx, organization_id, sharing_id).await
}

/// Takes a sharing back for good: it is revoked, and there for nobody any more.
pub(in crate::organization) async fn delete(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    (organization_id, sharing_id): (&str, &str),
) -> Result<(), Error> {
    let sharing = managed(tx, actor, organization_id, sharing_id).await?;
    store::delete(tx, sharing_id, organizations.ctx.clock.now()).await?;
    if sharing.status != SharingStatus::Revoked {
        say_deleted(tx, organizations, actor.id(), &sharing).await?;
    }
    Ok(())
}
