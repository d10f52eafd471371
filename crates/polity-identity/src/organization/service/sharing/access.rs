//! Who may do what with something shared: granted, taken, listed; it comes and goes with membership.

use chrono::{DateTime, Utc};
use polity_kernel::db::{Conn, Json, List, Tx};
use serde_json::json;

use super::{
    Access, Actor, Error, Granted, NAMED, Object, Organizations, Page, Permission, SETTINGS, SharingStatus, Wanted,
    changed, check_size, found, managed, manages, say_updated, seen, store,
};

/// Whether a permission opens the thing now (BR-FSH-007, BR-FSH-008, EC-010).
pub(super) fn check_holds(access: &Access, now: DateTime<Utc>) -> Result<(), Error> {
    if access.holds_at(now) {
        return Ok(());
    }
    let status = crate::organization::model::sharing::status_at(access.status, access.expires_at, now);
    Err(Error::forbidden(format!("The sharing is {}", status.as_str())))
}

/// What somebody is to have.
pub(in crate::organization) struct NewAccess {
    pub user_id: String,
    pub level: Permission,
    pub quota: Option<i64>,
    pub restrictions: Option<Object>,
}

/// Gives a member a permission in place of the one they have.
pub(in crate::organization) async fn grant(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    (organization_id, sharing_id): (&str, &str),
    new: NewAccess,
) -> Result<Access, Error> {
    let sharing = managed(tx, actor, organization_id, sharing_id).await?;
    let now = organizations.ctx.clock.now();
    if !matches!(sharing.status_at(now), SharingStatus::Active | SharingStatus::Paused) {
        return Err(Error::Refused("The sharing has ended"));
    }
    if !new.level.suits(sharing.resource_type) {
        return Err(Error::Invalid("permission_level", "is for albums only"));
    }
    if let Some(restrictions) = &new.restrictions {
        check_size("restrictions_override", restrictions, SETTINGS)?;
    }
    if new.user_id == sharing.created_by {
        return Err(Error::forbidden("The creator of a sharing has all of it"));
    }
    let person = List::of([&new.user_id]);
    if !store::access::strangers(tx, organization_id, &person, NAMED)
        .await?
        .is_empty()
    {
        let text = format!("Not an active member of the organization: {}", new.user_id);
        return Err(Error::NotMembers(text));
    }
    let place = (sharing_id, new.user_id.as_str());
    let given = [Granted {
        user_id: &new.user_id,
        level: new.level,
    }];
    store::access::give(tx, &sharing, &given, (actor.id(), now)).await?;
    let restrictions = new.restrictions.map(Json);
    store::access::set_own(tx, place, new.quota, restrictions.as_ref()).await?;
    let data = json!({ "user_id": new.user_id, "permission_level": new.level.as_str() });
    say_updated(tx, organizations, actor, &sharing, data).await?;
    let made = store::access::find(tx, place, &store::access::starts(now)).await?;
    made.ok_or(Error::MemberNotFound)
}

/// Takes somebody's access: a word of whoever runs the sharing, or their own. The creator's stays (BR-FSH-009).
pub(in crate::organization) async fn revoke(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    (organization_id, sharing_id, user_id): (&str, &str, &str),
) -> Result<(), Error> {
    let (_, role) = changed(tx, actor, organization_id).await?;
    let sharing = found(tx, organization_id, sharing_id).await?;
    if !manages(actor, role, &sharing) && actor.id() != user_id {
        return Err(Error::forbidden(
            "Only the creator of a sharing and administrators can take others' access",
        ));
    }
    if user_id == sharing.created_by {
        return Err(Error::forbidden(
            "The access of the creator of a sharing cannot be taken",
        ));
    }
    if !store::access::take(tx, sharing_id, user_id).await? {
        return Err(Error::MemberNotFound);
    }
    let data = json!({ "user_id": user_id, "permission_level": null });
    say_updated(tx, organizations, actor, &sharing, data).await
}

/// What is shared with a member; for themselves and administrators.
pub(in crate::organization) async fn shared_with(
    read: &mut Conn,
    actor: &Actor,
    place: (&str, &str),
    wanted: &Wanted,
    page: (i64, i64),
) -> Result<Page<Access>, Error> {
    let (_, role) = seen(read, actor, place.0).await?;
    if role.is_some_and(|role| !role.is_admin()) && actor.id() != place.1 {
        return Err(Error::forbidden("You can only see what is shared with you"));
    }
    let (items, total) = store::access::list_shared(read, place, wanted, page).await?;
    Ok(Page {
        items,
        total: Some(total),
    })
}

/// Gives a new member what is shared with whoever becomes one (BR-FSH-003).
pub(in crate::organization) async fn include_member(
    tx: &mut Tx,
    (organization_id, user_id): (&str, &str),
    by: (&str, DateTime<Utc>),
) -> Result<(), Error> {
    Ok(store::access::include_member(tx, organization_id, user_id, by).await?)
}

/// Takes from somebody who is no member any more what was shared with them.
pub(in crate::organization) async fn drop_member(
    tx: &mut Tx,
    organization_id: &str,
    user_id: &str,
) -> Result<(), Error> {
    Ok(store::access::drop_member(tx, organization_id, user_id).await?)
}
