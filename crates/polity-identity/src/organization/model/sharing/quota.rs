//! How much may be used of what is shared, and in which spans it is counted.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use polity_kernel::Value;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Object;
use crate::organization::Error;

/// In which spans usage is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SharingPeriod")]
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
const LARGEST: i64 = (1 << 53) - 1;

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
            Some(kind) => (
                kind.as_str().and_then(|kind| kind.parse().ok()).ok_or(Error::Invalid(
                    "quota_settings.quota_type",
                    "must be unlimited, daily, weekly, monthly or total",
                ))?,
                true,
            ),
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
            _ => Err(Error::Invalid(
                path,
                "must be a whole number from 0 to 9007199254740991",
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Timelike};
    use serde_json::json;

    use super::*;

    #[test]
    fn quotas_are_whole_numbers() {
        let read = |value: serde_json::Value| Quota::read(value.as_object().unwrap());
        let quota =
            read(json!({ "quota_type": "daily", "total_quota": 5, "per_member_quota": 2, "note": 0.5 })).unwrap();
        assert_eq!((quota.period, quota.of_all()), (Period::Daily, Some(5)));
        assert_eq!(quota.of_member(None, false), Some(2));
        assert_eq!(
            (quota.of_member(Some(0), false), quota.of_member(None, true)),
            (Some(0), None)
        );
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
