//! What is shared, with whom, how far, how long and how much of it. Pure: no I/O, no clock.

mod quota;

use chrono::{DateTime, Utc};
use polity_kernel::{Record, Value, db::Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::organization::Error;

pub use quota::Period;
pub(in crate::organization) use quota::{Quota, UNLIMITED};

/// An open object.
pub(in crate::organization) type Object = Map<String, serde_json::Value>;

/// What can be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SharedResourceType")]
pub enum ResourceType {
    /// A subscription.
    Subscription,
    /// A device.
    Device,
    /// Storage.
    Storage,
    /// A wallet.
    Wallet,
    /// A media library.
    MediaLibrary,
    /// A calendar.
    Calendar,
    /// A shopping list.
    ShoppingList,
    /// A location.
    Location,
    /// An album.
    Album,
    /// A frame that shows pictures.
    SmartFrame,
}

/// How far somebody may go with what is shared; those that begin with `album` are for albums alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SharingPermission")]
pub enum Permission {
    /// It is theirs.
    Owner,
    /// Runs it.
    Admin,
    /// Everything that does not concern others' access.
    FullAccess,
    /// Uses and changes it.
    ReadWrite,
    /// Uses it.
    ReadOnly,
    /// Uses some of it.
    Limited,
    /// Looks at it.
    ViewOnly,
    /// As full access to an album.
    AlbumManager,
    /// As reading and writing an album.
    AlbumEditor,
    /// Sees an album and adds to it.
    AlbumContributor,
    /// Sees an album.
    AlbumViewer,
}

impl Permission {
    fn rank(self) -> u8 {
        match self {
            Self::Owner => 70,
            Self::Admin => 60,
            Self::FullAccess | Self::AlbumManager => 50,
            Self::ReadWrite | Self::AlbumEditor => 40,
            Self::AlbumContributor => 35,
            Self::ReadOnly | Self::AlbumViewer => 30,
            Self::Limited => 20,
            Self::ViewOnly => 10,
        }
    }

    /// Whether who has this may do what that is needed for (BR-FSH-005).
    #[must_use]
    pub fn includes(self, needed: Self) -> bool {
        self.rank() >= needed.rank()
    }

    /// Whether this can be said of such a thing.
    #[must_use]
    pub fn suits(self, resource: ResourceType) -> bool {
        let is_albums = matches!(
            self,
            Self::AlbumManager | Self::AlbumEditor | Self::AlbumContributor | Self::AlbumViewer
        );
        !is_albums || resource == ResourceType::Album
    }
}

/// How a sharing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SharingStatus {
    /// It holds.
    Active,
    /// It does not for a while; who may what is kept.
    Paused,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
    /// Nothing is, yet.
    Pending,
}

impl SharingStatus {
    /// Whether somebody may make it so. It expires by itself; what is revoked stays so.
    #[must_use]
    pub fn can(self, to: Self) -> bool {
        matches!(
            (self, to),
            (Self::Active | Self::Paused, Self::Active | Self::Paused | Self::Revoked) | (Self::Expired, Self::Revoked)
        )
    }
}

/// A sharing as it is stored.
#[derive(Debug, Clone, PartialEq, Record)]
#[expect(clippy::struct_field_names, reason = "the column and the contract call its id so")]
pub(in crate::organization) struct Sharing {
    pub sharing_id: String,
    pub organization_id: String,
    pub resource_type: ResourceType,
    pub resource_id: String,
    pub resource_name: Option<String>,
    pub created_by: String,
    pub share_with_all_members: bool,
    pub default_permission: Permission,
    pub status: SharingStatus,
    pub quota_settings: Json<Object>,
    pub restrictions: Json<Object>,
    pub metadata: Json<Object>,
    pub expires_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// How many have it besides its creator.
    pub total_members_shared: i64,
}

/// How a sharing is at a time: one whose time is over has expired, marked or not (BR-FSH-007).
pub(in crate::organization) fn status_at(
    status: SharingStatus,
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> SharingStatus {
    match status {
        SharingStatus::Active | SharingStatus::Paused if expires_at.is_some_and(|at| at <= now) => {
            SharingStatus::Expired
        }
        status => status,
    }
}

impl Sharing {
    pub(in crate::organization) fn status_at(&self, now: DateTime<Utc>) -> SharingStatus {
        status_at(self.status, self.expires_at, now)
    }

    pub(in crate::organization) fn quota(&self) -> Result<Quota, Error> {
        Quota::read(&self.quota_settings.0)
    }

    /// Whether who becomes a member later has it too.
    pub(in crate::organization) fn is_auto_included(&self) -> bool {
        self.share_with_all_members && self.metadata.0.get("auto_include") == Some(&true.into())
    }
}

/// What somebody may do with something shared, with what concerns it of the sharing.
#[derive(Debug, Clone, Record)]
pub(in crate::organization) struct Access {
    pub user_id: String,
    pub sharing_id: String,
    pub resource_type: ResourceType,
    pub resource_id: String,
    pub resource_name: Option<String>,
    pub permission_level: Permission,
    pub is_active: bool,
    pub quota_override: Option<i64>,
    /// What was used in the current window of the quota.
    pub quota_used: i64,
    pub restrictions: Json<Object>,
    pub granted_at: DateTime<Utc>,
    pub last_accessed_at: Option<DateTime<Utc>>,
    pub created_by: String,
    pub status: SharingStatus,
    pub expires_at: Option<DateTime<Utc>>,
    pub quota_settings: Json<Object>,
}

impl Access {
    /// Whether it opens the thing now.
    pub(in crate::organization) fn holds_at(&self, now: DateTime<Utc>) -> bool {
        self.is_active && status_at(self.status, self.expires_at, now) == SharingStatus::Active
    }

    /// How much they may use; `None`: any amount.
    pub(in crate::organization) fn quota_allocated(&self) -> Option<i64> {
        let quota = Quota::read(&self.quota_settings.0).ok()?;
        quota.of_member(self.quota_override, self.user_id == self.created_by)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    #[test]
    fn br_fsh_005_higher_levels_include_lower_ones() {
        use Permission::{Admin, FullAccess, Limited, Owner, ReadOnly, ReadWrite, ViewOnly};
        let descending = [Owner, Admin, FullAccess, ReadWrite, ReadOnly, Limited, ViewOnly];
        for (at, level) in descending.iter().enumerate() {
            for (other, needed) in descending.iter().enumerate() {
                assert_eq!(level.includes(*needed), at <= other, "{level:?} {needed:?}");
            }
        }
        let albums = [
            Permission::AlbumManager,
            Permission::AlbumEditor,
            Permission::AlbumContributor,
            Permission::AlbumViewer,
        ];
        for pair in albums.windows(2) {
            assert!(pair[0].includes(pair[1]) && !pair[1].includes(pair[0]));
            assert!(pair[0].suits(ResourceType::Album) && !pair[0].suits(ResourceType::Wallet));
        }
        assert!(Owner.suits(ResourceType::Wallet));
    }

    #[test]
    fn what_has_ended_never_holds_again() {
        use SharingStatus::{Active, Expired, Paused, Pending, Revoked};
        for to in SharingStatus::ALL.iter().copied() {
            assert!(!Revoked.can(to) && !Pending.can(to));
            assert_eq!(Expired.can(to), to == Revoked);
            for from in [Active, Paused] {
                assert_eq!(from.can(to), matches!(to, Active | Paused | Revoked));
            }
        }
        let now = Utc.timestamp_opt(1_000, 0).unwrap();
        assert_eq!(status_at(Paused, Some(now), now), Expired);
        assert_eq!(status_at(Revoked, Some(now), now), Revoked);
        assert_eq!(status_at(Active, Some(now + chrono::Duration::seconds(1)), now), Active);
        assert_eq!(status_at(Active, None, now), Active);
    }
}
