//! What a credential is. Pure: no I/O, no clock.

use std::net::IpAddr;

use chrono::{DateTime, Datelike, Duration, TimeZone, Timelike, Utc};
use ipnet::IpNet;
use polity_kernel::{Record, TokenKind, Value, caller::Grant, db::Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::RateLimits;

/// Who a credential is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A key of an organization.
    User,
    /// A key of a service account.
    Service,
    /// The secret of a device.
    Device,
    /// A person's token for integrations.
    Token,
}

impl Kind {
    /// What stands in the text.
    pub(super) fn of_text(self) -> TokenKind<'static> {
        match self {
            Self::User => TokenKind::USER,
            Self::Service => TokenKind::SERVICE,
            Self::Device => TokenKind::DEVICE,
            Self::Token => TokenKind::TOKEN,
        }
    }
}

/// How often credits are filled up, at the beginning of each period in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    /// Every full hour.
    Hourly,
    /// Every midnight.
    Daily,
    /// Every first day of a month.
    Monthly,
}

impl Interval {
    /// When the period that `now` is in began, in seconds since 1970.
    pub(super) fn period(self, now: DateTime<Utc>) -> i64 {
        match self {
            Self::Hourly => now.timestamp() - now.timestamp().rem_euclid(3_600),
            Self::Daily => now.timestamp() - now.timestamp().rem_euclid(86_400),
            Self::Monthly => first_of_month(now).map_or(0, |at| at.timestamp()),
        }
    }

    /// How long it is until the next period, in seconds; at least 1.
    pub(super) fn until_next(self, now: DateTime<Utc>) -> i64 {
        let next = match self {
            Self::Hourly => self.period(now) + 3_600,
            Self::Daily => self.period(now) + 86_400,
            Self::Monthly => {
                first_of_month(now + Duration::days(i64::from(32 - now.day()))).map_or(i64::MAX, |at| at.timestamp())
            }
        };
        (next - now.timestamp()).max(1)
    }
}

fn first_of_month(at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    Utc.with_ymd_and_hms(at.year(), at.month(), 1, 0, 0, 0).single()
}

/// A credential as it is stored.
#[derive(Debug, Clone, Record)]
pub struct Credential {
    /// Its id.
    pub id: String,
    /// Who it is for.
    pub kind: Kind,
    /// The keyed hash of its text.
    pub hash: String,
    /// The organization it acts in, and in no other.
    pub organization_id: String,
    /// Who acts with it.
    pub subject_id: Option<String>,
    /// The one project it is for.
    pub project_id: Option<String>,
    /// What people call it.
    pub name: String,
    /// What it can be recognised by.
    pub preview: String,
    /// Whether it may do everything in its organization.
    pub grant_all: bool,
    /// What it may do, as whoever made it said; opaque here.
    pub permissions: Json<Vec<String>>,
    /// Scopes.
    pub scopes: Json<Vec<String>>,
    /// Addresses it may be used from; empty: all.
    pub ip_allowlist: Json<Vec<IpNet>>,
    /// Its own limits.
    pub rate_limits: Json<RateLimits>,
    /// Uses that are left; `None`: they are not counted.
    pub credits: Option<i64>,
    /// How many there are when it is full.
    pub credit_amount: Option<i64>,
    /// How often.
    pub credit_interval: Option<Interval>,
    /// For which period that was done last.
    pub credit_period: Option<i64>,
    /// Whether it may be used at present.
    pub is_enabled: bool,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it ends because another has taken its place.
    pub retires_at: Option<DateTime<Utc>>,
    /// Since when it is worth nothing any more.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Whose place it took.
    pub rotated_from_id: Option<String>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// From where.
    pub last_used_ip: Option<String>,
}

/// Why a credential does not count. The texts are the contract's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none like it, or it was disabled or revoked: not told apart.
    #[error("Invalid API key")]
    Invalid,
    /// Its time is over.
    #[error("API key has expired")]
    Expired,
    /// It is for another project.
    #[error("API key is not scoped to project {0}")]
    Project(String),
    /// It may not be used from there.
    #[error("IP address is not allowed for this API key")]
    Address,
}

/// For what a credential is presented.
#[derive(Debug, Clone, Copy, Default)]
pub struct Use<'a> {
    /// The project it concerns.
    pub project_id: Option<&'a str>,
    /// From where.
    pub ip: Option<IpAddr>,
}

impl Credential {
    /// Whether it is worth nothing any more, whatever happens.
    #[must_use]
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_some() || self.retires_at.is_some_and(|at| now >= at) || self.has_expired(now)
    }

    /// Whether its time is over; at the second of its end it is.
    #[must_use]
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|at| now >= at)
    }

    /// Whether it counts now, for this use (BR-API-034 to 036). A restricted one is refused where the verifier does not say
    /// what it is restricted by.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, asked: &Use<'_>, now: DateTime<Utc>) -> Result<(), Refusal> {
        if self.revoked_at.is_some() || !self.is_enabled || self.retires_at.is_some_and(|at| now >= at) {
            return Err(Refusal::Invalid);
        }
        if self.has_expired(now) {
            return Err(Refusal::Expired);
        }
        if let Some(project) = &self.project_id
            && asked.project_id != Some(project)
        {
            return Err(Refusal::Project(asked.project_id.unwrap_or("(none given)").to_owned()));
        }
        let nets = &self.ip_allowlist.0;
        let is_inside = |ip: IpAddr| nets.iter().any(|net| net.contains(&ip.to_canonical()));
        if !nets.is_empty() && !asked.ip.is_some_and(is_inside) {
            return Err(Refusal::Address);
        }
        Ok(())
    }

    /// What it may do.
    #[must_use]
    pub fn grant(&self) -> Grant {
        if self.grant_all {
            return Grant::All;
        }
        Grant::only(self.permissions.0.iter().chain(&self.scopes.0).cloned())
    }
}

/// An entry of an allow-list: an address or a network. An IPv4 address mapped into IPv6 is the IPv4 address, and so is a
/// network of them; host bits beyond the prefix are dropped.
fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(IpNet::from(ip.to_canonical()));
    }
    let net = text.parse::<IpNet>().ok()?;
    match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 && v6.addr().to_ipv4_mapped().is_some() => {
            let ip = v6.addr().to_ipv4_mapped()?;
            ipnet::Ipv4Net::new(ip, v6.prefix_len() - 96)
                .ok()
                .map(|net| IpNet::V4(net.trunc()))
        }
        net => Some(net.trunc()),
    }
}

/// A garde rule: an entry of an allow-list is an address or a network.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the validator hands its context over by reference"
)]
pub(crate) fn is_network(text: &str, (): &()) -> garde::Result {
    network(text).map(drop).ok_or_else(|| {
        garde::Error::new("Input should be an IP address or a network such as 192.0.2.0/24 or 2001:db8::/32")
    })
}

/// The networks of an allow-list that was validated.
pub(crate) fn networks(texts: &[String]) -> Vec<IpNet> {
    texts.iter().filter_map(|text| network(text)).collect()
}

/// A moment as the beginning of its minute, in seconds since 1970.
pub(super) fn minute(now: DateTime<Utc>) -> i64 {
    now.timestamp() - i64::from(now.second())
}
