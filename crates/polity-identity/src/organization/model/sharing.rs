//! What is shared, with whom, how far, how long and how much of it. Pure: no I/O, no clock.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use polity_kernel::{Record, Value, db::Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::organization::Error;

/// An open object.
pub(in crate::organization) type Object = Map<String, serde_json::Value>;

/// What can be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
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
        match (self, to) {
            (Self::Active | Self::Paused, Self::Active | Self::Paused | Self::Revoked)
            | (Self::Expired, Self::Revoked) => true,
            _ => false,
        }
    }
}

/// In which spans usage is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// Days in UTC.
    Daily,
    /// Weeks from Monday.
    Weekly,
    /// Months.
    Monthly,
    /// Ever.
    Total,
}

fn midnight(day: NaiveDate) -> i64 {
    day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp()
}

impl Period {
    /// When the span began that a moment is in, in seconds since 1970.
    pub(in crate::organization) fn start(self, at: DateTime<Utc>) -> i64 {
        let day = at.date_naive();
        match self {
            Self::Daily => midnight(day),
            Self::Weekly => {
                let since = u64::from(day.weekday().num_days_from_monday());
                midnight(day.checked_sub_days(Days::new(since)).unwrap_or(day))
            }
            Self::Monthly => midnight(day.with_day(1).unwrap_or(day)),
            Self::Total => 0,
        }
    }

    /// In how many seconds the next span begins; `None`: never.
    pub(in crate::organization) fn ends_in(self, at: DateTime<Utc>) -> Option<u64> {
        let start = DateTime::from_timestamp(self.start(at), 0)?.date_naive();
        let next = match self {
            Self::Daily => start.checked_add_days(Days::new(1)),
            Self::Weekly => start.checked_add_days(Days::new(7)),
            Self::Monthly => start.checked_add_months(Months::new(1)),
            Self::Total => None,
        };
        u64::try_from(midnight(next?) - at.timestamp()).ok()
    }
}

/// The largest quota, and what stands for none: far above what amounts can come to without leaving the integers.
pub(in crate::organization) const UNLIMITED: i64 = 9_000_000_000_000_000_000;
/// The largest quota that every reader of JSON keeps exactly.
pub(in crate::organization) const LARGEST: i64 = (1 << 53) - 1;

/// How much may be used of a sharing; `None`: any amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::organization) struct Quota {
    pub period: Period,
    /// False: nothing is limited, whatever the numbers are.
    pub is_limited: bool,
    /// By all members together.
    pub total: Option<i64>,
    /// By each, unless they have a quota of their own.
    pub per_member: Option<i64>,
}

impl Quota {
    /// What the settings of a sharing say: `quota_type`, `total_quota` and `per_member_quota`; the rest is the clients'.
    pub(in crate::organization) fn read(settings: &Object) -> Result<Self, Error> {
        let (period, is_limited) = match settings.get("quota_type") {
            None | Some(serde_json::Value::Null) => (Period::Total, true),
            Some(kind) if kind == "unlimited" => (Period::Total, false),
            Some(kind) => (kind.as_str().and_then(|kind| kind.parse().ok()).ok_or(Error::Invalid(
                "quota_settings.quota_type",
                "must be unlimited, daily, weekly, monthly or total",
            ))?, true),
        };
        Ok(Self {
            period,
            is_limited,
            total: amount(settings, "total_quota", "quota_settings.total_quota")?,
            per_member: amount(settings, "per_member_quota", "quota_settings.per_member_quota")?,
        })
    }

    /// How much a member may use; the creator has no quota of their own, nor has anybody where nothing is limited.
    pub(in crate::organization) fn of_member(&self, own: Option<i64>, is_creator: bool) -> Option<i64> {
        own.or(self.per_member).filter(|_| self.is_limited && !is_creator)
    }

    /// How much all may use together.
    pub(in crate::organization) fn of_all(&self) -> Option<i64> {
        self.total.filter(|_| self.is_limited)
    }
}

fn amount(settings: &Object, name: &str, path: &'static str) -> Result<Option<i64>, Error> {
    match settings.get(name) {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(value) => match value.as_i64() {
            Some(amount) if (0..=LARGEST).contains(&amount) => Ok(Some(amount)),
            _ => Err(Error::Invalid(path, "must be a whole number from 0 to 9007199254740991")),
        },
    }
}

/// A sharing as it is stored.
#[derive(Debug, Clone, PartialEq, Record)]
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
    use chrono::{TimeZone, Timelike};
    use serde_json::json;

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

    #[test]
    fn quotas_are_whole_numbers() {
        let read = |value: serde_json::Value| Quota::read(value.as_object().unwrap());
        let quota = read(json!({ "quota_type": "daily", "total_quota": 5, "per_member_quota": 2, "note": 0.5 })).unwrap();
        assert_eq!((quota.period, quota.of_all()), (Period::Daily, Some(5)));
        assert_eq!(quota.of_member(None, false), Some(2));
        assert_eq!((quota.of_member(Some(0), false), quota.of_member(None, true)), (Some(0), None));
        let free = read(json!({ "quota_type": "unlimited", "total_quota": 5 })).unwrap();
        assert_eq!((free.of_all(), free.of_member(Some(1), false)), (None, None));
        assert_eq!(read(json!({})).unwrap().of_all(), None);
        for wrong in [
            json!({ "quota_type": "hourly" }),
            json!({ "quota_type": 1 }),
            json!({ "total_quota": -1 }),
            json!({ "total_quota": 1.5 }),
            json!({ "per_member_quota": "2" }),
            json!({ "per_member_quota": 9_007_199_254_740_992_i64 }),
        ] {
            assert!(matches!(read(wrong.clone()), Err(Error::Invalid(..))), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_moment_is_in_the_span_it_is_counted_in(seconds in 0i64..4_000_000_000) {
            let at = Utc.timestamp_opt(seconds, 0).unwrap();
            for period in [Period::Daily, Period::Weekly, Period::Monthly] {
                let start = period.start(at);
                let ends_in = i64::try_from(period.ends_in(at).unwrap()).unwrap();
                proptest::prop_assert!(start <= seconds && ends_in > 0);
                let next = Utc.timestamp_opt(seconds + ends_in, 0).unwrap();
                proptest::prop_assert_eq!(next.num_seconds_from_midnight(), 0);
                proptest::prop_assert_eq!(period.start(next), seconds + ends_in);
                let last = Utc.timestamp_opt(seconds + ends_in - 1, 0).unwrap();
                proptest::prop_assert_eq!(period.start(last), start);
            }
            proptest::prop_assert_eq!((Period::Total.start(at), Period::Total.ends_in(at)), (0, None));
        }
    }
}
