//! What an organization is, who is in it, and who may make whom what. Pure: no I/O, no clock.

pub(super) mod sharing;

use chrono::{DateTime, Utc};
use polity_kernel::{Record, Value, db::Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::credential;

/// What an organization pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// Nothing.
    Free,
    /// A little.
    Starter,
    /// More.
    Professional,
    /// What was agreed.
    Enterprise,
}

/// How an organization is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It may be used.
    Active,
    /// Nobody uses it.
    Inactive,
    /// Its members may look at it and change nothing.
    Suspended,
    /// It is gone, and hidden everywhere.
    Deleted,
}

/// What kind of organization it is; never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A business.
    Business,
    /// A family.
    Family,
    /// A team.
    Team,
    /// An enterprise.
    Enterprise,
}

/// What somebody is in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks in from outside; as a viewer.
    Guest,
    /// Sees and changes nothing.
    Viewer,
    /// Works in it.
    Member,
    /// Runs it.
    Admin,
    /// It is theirs.
    Owner,
}

impl Role {
    /// Whether they run the organization: owners and admins.
    #[must_use]
    pub fn is_admin(self) -> bool {
        self >= Self::Admin
    }

    /// Whether somebody in this role may give or take that role: owners any, admins those below them, others none.
    ///
    /// # Errors
    /// The name of the rule that forbids it.
    pub fn may_assign(self, role: Self) -> Result<(), &'static str> {
        match self {
            Self::Admin if role.is_admin() => Err("admin_cannot_assign_admin_or_owner"),
            Self::Owner | Self::Admin => Ok(()),
            _ => Err("non_admin_cannot_assign"),
        }
    }
}

/// How a membership is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberStatus {
    /// It counts.
    Active,
    /// It has ended; it may begin again.
    Inactive,
    /// They were asked and have not answered.
    Pending,
    /// It does not count for a while.
    Suspended,
}

/// Limits of an organization; null: no limit.
pub type RateLimits = credential::RateLimits;

/// What an organization demands of its members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Security {
    /// Whether members are to sign in with a second factor. Kept for clients: there is no second factor here yet.
    pub mfa_required: bool,
    /// Domains of the addresses that members may have; empty: any.
    pub allowed_email_domains: Vec<String>,
}

impl Security {
    /// Whether it does not take every address.
    pub(crate) fn is_particular(&self) -> bool {
        !self.allowed_email_domains.is_empty()
    }

    /// Whether somebody with that address may be a member.
    pub(crate) fn admits(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').map_or("", |(_, domain)| domain);
        let allowed = &self.allowed_email_domains;
        allowed.is_empty() || allowed.iter().any(|one| one.eq_ignore_ascii_case(domain))
    }
}

/// Optional facts about an organization.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Details {
    /// What it likes to be called by.
    pub display_name: Option<String>,
    /// What it does.
    pub description: Option<String>,
    /// In which industry.
    pub industry: Option<String>,
    /// How large it is.
    pub size: Option<String>,
    /// Where it is on the web.
    pub website: Option<String>,
    /// Its sign.
    pub logo_url: Option<String>,
}

/// An organization as it is stored.
#[derive(Debug, Clone, Record)]
#[expect(clippy::struct_field_names, reason = "the column and the contract call its id so")]
pub struct Organization {
    /// Its id.
    pub organization_id: String,
    /// Its name.
    pub name: String,
    /// Its domain.
    pub domain: Option<String>,
    /// Where bills go.
    pub billing_email: String,
    /// What it pays for.
    pub plan: Plan,
    /// How it is.
    pub status: Status,
    /// What kind it is.
    pub kind: Option<Kind>,
    /// Optional facts.
    pub details: Json<Details>,
    /// An open object of its own.
    pub settings: Json<Map<String, serde_json::Value>>,
    /// What it demands of its members.
    pub security: Json<Security>,
    /// Its limits; `None`: nobody set any.
    pub rate_limits: Option<Json<RateLimits>>,
    /// Why it was suspended, or what somebody should look at.
    pub flag: Option<String>,
    /// How many active members it has.
    pub member_count: i64,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Organization {
    /// What it is searched by.
    pub(super) fn search_text(&self) -> String {
        let domain = self.domain.as_deref().unwrap_or_default();
        format!("{}\n{domain}\n{}", self.name, self.billing_email).to_lowercase()
    }
}

/// Somebody in an organization.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct Membership {
    /// The organization.
    pub organization_id: String,
    /// Who.
    pub user_id: String,
    /// What they are in it.
    pub role: Role,
    /// How the membership is.
    pub status: MemberStatus,
    /// What else they may do; opaque here.
    pub permissions: Json<Vec<String>>,
    /// Where they work.
    pub department: Option<String>,
    /// What they are called there.
    pub title: Option<String>,
    /// Whether they were there first.
    pub is_founder: bool,
    /// Since when.
    pub joined_at: DateTime<Utc>,
    /// When they last acted in it.
    pub last_active_at: Option<DateTime<Utc>>,
}

/// The text a member is searched by.
pub(super) fn member_text(department: Option<&str>, title: Option<&str>, user_id: &str) -> String {
    let (department, title) = (department.unwrap_or_default(), title.unwrap_or_default());
    format!("{department}\n{title}\n{user_id}").to_lowercase()
}

impl Membership {
    /// Whether the organization cannot do without them, if they are its last.
    pub(super) fn is_acting_owner(&self) -> bool {
        self.role == Role::Owner && self.status == MemberStatus::Active
    }
}

/// What decides whether a person may act in an organization, and as what.
#[derive(Debug, Clone, Record)]
pub(super) struct Acting {
    pub name: String,
    pub status: Status,
    pub security: Json<Security>,
    pub role: Role,
    pub member_status: MemberStatus,
    pub permissions: Json<Vec<String>>,
}

/// What a person is in one of their organizations, and how that one is.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct Standing {
    /// The organization.
    pub organization_id: String,
    /// What they are in it.
    pub role: Role,
    /// What it pays for.
    pub plan: Plan,
    /// Whether it may be used.
    pub is_usable: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_make_whom_what() {
        for role in Role::ALL.iter().copied() {
            assert!(Role::Owner.may_assign(role).is_ok());
            assert_eq!(Role::Admin.may_assign(role).is_ok(), !role.is_admin());
            for other in [Role::Member, Role::Viewer, Role::Guest] {
                assert_eq!(other.may_assign(role), Err("non_admin_cannot_assign"));
            }
            assert_eq!(role.as_str().parse::<Role>().ok(), Some(role));
        }
        for other in ["Owner", "service", "super_admin", "", "editor", " member"] {
            assert!(other.parse::<Role>().is_err());
        }
    }

    #[test]
    fn domains_are_whole_and_in_any_case() {
        let security = Security {
            allowed_email_domains: vec!["Example.com".to_owned()],
            ..Security::default()
        };
        assert!(security.admits("ada@example.COM") && Security::default().admits("ada@anywhere.test"));
        assert!(!security.admits("ada@sub.example.com") && !security.admits("ada@notexample.com"));
    }
}
