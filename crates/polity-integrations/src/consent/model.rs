//! What a consent is. Pure: no I/O, no clock.

use chrono::{DateTime, Utc};
use polity_kernel::{Record, Value, db::Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What for somebody consents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Their data are used.
    DataUsage,
    /// Their data go to somebody else.
    ThirdParty,
    /// What they do is measured.
    Analytics,
    /// They are written to.
    Marketing,
}

/// What rests on a consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// A connection with an outside account.
    OauthConnection,
    /// A plugin in a workspace.
    PluginInstallation,
    /// A token of a program.
    ApiToken,
}

/// What somebody consents to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntityType {
    /// An application of an outside provider.
    OauthApp,
    /// A plugin.
    Plugin,
    /// Any other integration.
    Integration,
}

/// How a consent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It was given.
    Granted,
    /// It was taken back, or whoever gave it is gone.
    Revoked,
    /// It was given for an older policy, or another one has taken its place.
    Superseded,
    /// Its time is over.
    Expired,
}

impl Status {
    /// Whether a consent may go from here to there. To be granted again is another consent.
    #[must_use]
    pub fn can(self, to: Self) -> bool {
        match self {
            Self::Granted => to != Self::Granted,
            // What was superseded is not asked for again once it is revoked.
            Self::Superseded => matches!(to, Self::Revoked | Self::Expired),
            Self::Revoked | Self::Expired => false,
        }
    }
}

/// Why nothing may rest on a consent any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It was taken back.
    Revoked,
    /// What rested on it was ended, and the consent with it.
    Disconnected,
    /// It was for an older policy, and the time to renew it is over.
    Superseded,
    /// Another one has taken its place: processing goes on under that one.
    Replaced,
    /// Its time is over.
    Expired,
    /// The account of whoever gave it was deleted.
    UserDeleted,
    /// They left the organization.
    MemberRemoved,
    /// The organization is gone.
    OrganizationDeleted,
}

impl Ending {
    /// How a consent is that ended so.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::Superseded | Self::Replaced => Status::Superseded,
            Self::Expired => Status::Expired,
            Self::Revoked
            | Self::Disconnected
            | Self::UserDeleted
            | Self::MemberRemoved
            | Self::OrganizationDeleted => Status::Revoked,
        }
    }
}

/// Whose consent to what: of these there is one active consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The person.
    pub user_id: &'a str,
    /// The workspace in which it counts.
    pub workspace_id: &'a str,
    /// What for.
    pub purpose: Purpose,
    /// What rests on it.
    pub subject_kind: SubjectKind,
    /// What it is to.
    pub entity_type: EntityType,
    /// Which one; empty: all of that type.
    pub entity_id: &'a str,
}

/// A consent as it is stored.
#[derive(Debug, Clone, PartialEq, Record, Serialize)]
pub struct Consent {
    /// Its id.
    pub id: String,
    /// Whose.
    pub user_id: String,
    /// In which workspace.
    pub workspace_id: String,
    /// What for.
    pub purpose: Purpose,
    /// What rests on it.
    pub subject_kind: SubjectKind,
    /// What it is to.
    pub entity_type: EntityType,
    /// Which one; empty: all of that type.
    pub entity_id: String,
    /// What they were shown.
    pub description: String,
    /// What was asked for.
    pub requested_permissions: Json<Vec<String>>,
    /// What they gave of it.
    pub granted_permissions: Json<Vec<String>>,
    /// How it is.
    pub status: Status,
    /// Whether something may rest on it, as far as the clock has been heard; see [`Consent::counts`].
    pub is_active: bool,
    /// When it was given.
    pub granted_at: DateTime<Utc>,
    /// When it was taken back.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// Since when it is for an older policy.
    pub superseded_at: Option<DateTime<Utc>>,
    /// Until when it may be renewed then.
    pub grace_ends_at: Option<DateTime<Utc>>,
    /// When it stopped to count.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why.
    pub end_reason: Option<Ending>,
    /// Which one has taken its place.
    pub replaced_by: Option<String>,
    /// From where it was given.
    pub ip_address: Option<String>,
    /// With what.
    pub user_agent: Option<String>,
    /// In which language.
    pub locale: Option<String>,
    /// The SHA-256 of the text that was shown, in hexadecimal digits.
    pub text_hash: String,
    /// Under which policy.
    pub policy_version: i64,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Consent {
    /// Whether something may rest on it now. The clock counts at once, not when a job has heard it.
    #[must_use]
    pub fn counts(&self, now: DateTime<Utc>) -> bool {
        self.due(now).is_none() && self.is_active
    }

    /// Why it is to be ended now, if it is.
    #[must_use]
    pub fn due(&self, now: DateTime<Utc>) -> Option<Ending> {
        let over = |at: Option<DateTime<Utc>>| at.is_some_and(|at| at <= now);
        match self {
            _ if !self.is_active => None,
            _ if over(self.expires_at) => Some(Ending::Expired),
            _ if over(self.grace_ends_at) => Some(Ending::Superseded),
            _ => None,
        }
    }

    /// How it is now, and under which policy things are done now.
    #[must_use]
    pub fn status_at(&self, now: DateTime<Utc>, policy_version: i64) -> Status {
        match self.due(now) {
            Some(ending) => ending.status(),
            None if self.is_outdated(policy_version) => Status::Superseded,
            None => self.status,
        }
    }

    /// Whether it is active for an older policy.
    #[must_use]
    pub fn is_outdated(&self, policy_version: i64) -> bool {
        self.is_active && self.policy_version < policy_version
    }

    /// Whether all of these permissions were given.
    #[must_use]
    pub fn allows<'a>(&self, permissions: impl IntoIterator<Item = &'a str>) -> bool {
        let granted = &self.granted_permissions.0;
        permissions
            .into_iter()
            .all(|wanted| granted.iter().any(|held| held == wanted))
    }

    /// Whose consent to what it is.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        Place {
            user_id: &self.user_id,
            workspace_id: &self.workspace_id,
            purpose: self.purpose,
            subject_kind: self.subject_kind,
            entity_type: self.entity_type,
            entity_id: &self.entity_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consent_that_has_ended_stays_so() {
        use Status::{Expired, Granted, Revoked, Superseded};
        let all = [Granted, Revoked, Superseded, Expired];
        let ways: Vec<(Status, Status)> = all
            .into_iter()
            .flat_map(|from| all.map(|to| (from, to)))
            .filter(|(from, to)| from.can(*to))
            .collect();
        assert_eq!(
            ways,
            [
                (Granted, Revoked),
                (Granted, Superseded),
                (Granted, Expired),
                (Superseded, Revoked),
                (Superseded, Expired)
            ]
        );
    }
}
