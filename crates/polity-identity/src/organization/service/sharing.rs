//! What is shared: made, looked at, changed, taken back (BR-FSH).

mod access;
mod change;
mod ends;
mod says;
mod usage;

use chrono::{DateTime, Datelike, Utc};
use polity_kernel::db::{Conn, Json, List, Tx};

pub(in crate::organization) use access::{NewAccess, drop_member, grant, include_member, revoke, shared_with};
pub(in crate::organization) use change::{SharingChange, delete, update};
pub(in crate::organization) use ends::{clean_up, expire, forget_resource, revoke_all};
pub(in crate::organization) use usage::{Figures, Report, Use, Used, figures, report, use_shared};

use says::{say_created, say_deleted, say_updated};

use super::{Actor, Error, Role, administered, audit, changed, listing::Page, seen};
use crate::organization::{
    Organizations,
    model::sharing::{Access, Object, Permission, Quota, ResourceType, Sharing, SharingStatus},
    store::sharing::{self as store, Wanted, access::Given as Granted},
};

/// The largest metadata, and the largest settings of quotas or restrictions, which are answered many at a time; in bytes.
const METADATA: usize = 64 << 10;
const SETTINGS: usize = 16 << 10;
/// How many of those who are no members are named.
const NAMED: i64 = 20;

/// Something to share.
pub(in crate::organization) struct NewSharing {
    pub resource_type: ResourceType,
    pub resource_id: String,
    pub resource_name: Option<String>,
    pub default_permission: Permission,
    pub expires_at: Option<DateTime<Utc>>,
    pub share_with_all_members: bool,
    pub quota_settings: Object,
    pub restrictions: Object,
    pub metadata: Object,
    pub people: People,
}

impl NewSharing {
    fn sharing(self, sharing_id: String, organization_id: &str, by: &str, now: DateTime<Utc>) -> (Sharing, People) {
        let sharing = Sharing {
            sharing_id,
            organization_id: organization_id.to_owned(),
            resource_type: self.resource_type,
            resource_id: self.resource_id,
            resource_name: self.resource_name,
            created_by: by.to_owned(),
            share_with_all_members: self.share_with_all_members,
            default_permission: self.default_permission,
            status: SharingStatus::Active,
            quota_settings: Json(self.quota_settings),
            restrictions: Json(self.restrictions),
            metadata: Json(self.metadata),
            expires_at: self.expires_at,
            created_at: now,
            updated_at: now,
            total_members_shared: 0,
        };
        (sharing, self.people)
    }
}

/// With whom it is shared: with the default permission, or with one of their own.
#[derive(Default)]
pub(in crate::organization) struct People {
    pub default: Vec<String>,
    pub custom: Vec<(String, Permission)>,
}

/// The sharing, if the organization has it.
async fn found(conn: &mut Conn, organization_id: &str, sharing_id: &str) -> Result<Sharing, Error> {
    store::find(conn, organization_id, sharing_id)
        .await?
        .ok_or(Error::SharingNotFound)
}

/// Whether a sharing is theirs to change: its creator's, and administrators'.
fn manages(actor: &Actor, role: Role, sharing: &Sharing) -> bool {
    role.is_admin() || actor.id() == sharing.created_by
}

/// The sharing for a change, for whoever may make one.
async fn managed(tx: &mut Tx, actor: &Actor, organization_id: &str, sharing_id: &str) -> Result<Sharing, Error> {
    let (_, role) = changed(tx, actor, organization_id).await?;
    let sharing = found(tx, organization_id, sharing_id).await?;
    if !manages(actor, role, &sharing) {
        return Err(Error::forbidden(
            "Only the creator of a sharing and administrators can change it",
        ));
    }
    Ok(sharing)
}

fn check_size(path: &'static str, object: &Object, most: usize) -> Result<(), Error> {
    if serde_json::to_vec(object).map_or(usize::MAX, |text| text.len()) > most {
        let text = if most == METADATA {
            "may have at most 64 KB"
        } else {
            "may have at most 16 KB"
        };
        return Err(Error::Invalid(path, text));
    }
    Ok(())
}

/// What must be true of every sharing; the quota it says.
fn check(sharing: &Sharing, people: &People) -> Result<Quota, Error> {
    check_size("quota_settings", &sharing.quota_settings.0, SETTINGS)?;
    check_size("restrictions", &sharing.restrictions.0, SETTINGS)?;
    check_size("metadata", &sharing.metadata.0, METADATA)?;
    let resource = sharing.resource_type;
    if !sharing.default_permission.suits(resource) {
        return Err(Error::Invalid("default_permission", "is for albums only"));
    }
    if people.custom.iter().any(|(_, level)| !level.suits(resource)) {
        return Err(Error::Invalid(
            "custom_permissions",
            "has permissions that are for albums only",
        ));
    }
    sharing.quota()
}

fn check_end(expires_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<(), Error> {
    match expires_at {
        Some(at) if at <= now => Err(Error::Invalid("expires_at", "must be in the future")),
        Some(at) if at.year() > 9_999 => Err(Error::Invalid("expires_at", "must be before the year 10000")),
        _ => Ok(()),
    }
}

/// Shares something: the sharing, who may do what with it, and what is said of it, in one transaction (BR-FSH-001 to 004, 010).
pub(in crate::organization) async fn create(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    organization_id: &str,
    new: NewSharing,
) -> Result<Sharing, Error> {
    administered(tx, actor, organization_id).await?;
    let ctx = &organizations.ctx;
    let now = ctx.clock.now();
    let (sharing, people) = new.sharing(ctx.ids.new_id("shr_"), organization_id, actor.id(), now);
    let quota = check(&sharing, &people)?;
    check_end(sharing.expires_at, now)?;
    make_room(tx, organizations, actor, &sharing).await?;
    store::insert(tx, &sharing, quota.period).await?;
    // A service is no member, nor need an administrator of the platform be.
    let creator = List::of([actor.id()]);
    if store::access::strangers(tx, organization_id, &creator, 1)
        .await?
        .is_empty()
    {
        let owner = [Granted {
            user_id: actor.id(),
            level: Permission::Owner,
        }];
        store::access::give(tx, &sharing, &owner, (actor.id(), now)).await?;
    }
    share(tx, actor, &sharing, &people, now).await?;
    let made = found(tx, organization_id, &sharing.sharing_id).await?;
    say_created(tx, organizations, actor, &made).await?;
    Ok(made)
}

/// Sees to it that the thing is not shared yet and that there is room. A sharing of it that has expired gives way.
async fn make_room(tx: &mut Tx, organizations: &Organizations, actor: &Actor, new: &Sharing) -> Result<(), Error> {
    let thing = (new.resource_type, new.resource_id.as_str());
    if let Some(mut there) = store::find_resource(tx, &new.organization_id, thing).await? {
        if there.status_at(new.created_at) != SharingStatus::Expired {
            return Err(Error::AlreadyShared);
        }
        let before = there.status;
        there.status = SharingStatus::Revoked;
        there.updated_at = new.created_at;
        let period = there.quota()?.period;
        if !store::update(tx, &there, period, before).await? {
            return Err(Error::Changed);
        }
        say_deleted(tx, organizations, actor.id(), &there).await?;
    }
    let most = organizations.settings.most_sharings;
    if store::count_kept(tx, &new.organization_id).await? >= i64::from(most) {
        return Err(Error::Limit(format!(
            "An organization may have at most {most} sharings"
        )));
    }
    Ok(())
}

/// Gives people what they are to have; all of them are active members (EC-009), and the creator stays the owner.
async fn share(
    tx: &mut Tx,
    actor: &Actor,
    sharing: &Sharing,
    people: &People,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let custom = people.custom.iter().map(|(user_id, _)| user_id);
    let named = List::of(people.default.iter().chain(custom));
    let strangers = store::access::strangers(tx, &sharing.organization_id, &named, NAMED).await?;
    if !strangers.is_empty() {
        let names = strangers.join(", ");
        return Err(Error::NotMembers(format!(
            "Not active members of the organization: {names}"
        )));
    }
    let custom: Vec<Granted<'_>> = people
        .custom
        .iter()
        .filter(|(user_id, _)| *user_id != sharing.created_by)
        .map(|(user_id, level)| Granted { user_id, level: *level })
        .collect();
    let by = (actor.id(), now);
    store::access::give(tx, sharing, &custom, by).await?;
    let default = List::of(&people.default);
    store::access::include(tx, sharing, (sharing.share_with_all_members, &default), by).await?;
    Ok(())
}

/// The sharings of an organization, newest first: all of them for administrators, for others what they made or may open.
pub(in crate::organization) async fn list(
    read: &mut Conn,
    actor: &Actor,
    organization_id: &str,
    wanted: &Wanted,
    page: (i64, i64),
) -> Result<Vec<Sharing>, Error> {
    let (_, role) = seen(read, actor, organization_id).await?;
    let person = role.filter(|role| !role.is_admin()).map(|_| actor.id());
    Ok(store::list(read, organization_id, person, wanted, page).await?)
}

/// A sharing, who may do what with it, and its figures.
pub(in crate::organization) struct Details {
    pub sharing: Sharing,
    /// Of somebody who does not run it, their own only.
    pub access: Vec<Access>,
    pub figures: Figures,
}

/// A sharing, for its creator, administrators, and those who may open it now (EC-010).
pub(in crate::organization) async fn get(
    read: &mut Conn,
    actor: &Actor,
    (organization_id, sharing_id): (&str, &str),
    page: (i64, i64),
    now: DateTime<Utc>,
) -> Result<Details, Error> {
    let (_, role) = seen(read, actor, organization_id).await?;
    let sharing = found(read, organization_id, sharing_id).await?;
    let starts = store::access::starts(now);
    let access = if manages(actor, role.unwrap_or(Role::Owner), &sharing) {
        store::access::list(read, sharing_id, &starts, page).await?
    } else {
        let own = store::access::find(read, (sharing_id, actor.id()), &starts).await?;
        let own = own.ok_or_else(|| Error::forbidden("This is not shared with you"))?;
        access::check_holds(&own, now)?;
        vec![own]
    };
    let figures = figures(read, &sharing, now).await?;
    Ok(Details {
        sharing,
        access,
        figures,
    })
}
