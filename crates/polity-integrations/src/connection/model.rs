//! What apps and connections are. Pure: no I/O, no clock.

use chrono::{DateTime, Utc};
use polity_kernel::{Record, Value, db::Json, secret::Sealed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It waits for somebody to sign in at the provider.
    Pending,
    /// It has a token, or can get one.
    Active,
    /// Its owner paused it.
    Inactive,
    /// The provider ended it: its owner has to sign in again.
    Expired,
    /// It was taken back. Its tokens are erased.
    Revoked,
    /// It did not come to be, or lacks scopes.
    Error,
}

impl Status {
    /// Whether a connection may go from here to there.
    #[must_use]
    pub fn can(self, to: Self) -> bool {
        match self {
            Self::Pending => matches!(to, Self::Active | Self::Error | Self::Revoked),
            Self::Active => to != Self::Pending && to != Self::Active,
            Self::Inactive => matches!(to, Self::Active | Self::Expired | Self::Revoked),
            Self::Expired | Self::Error => matches!(to, Self::Active | Self::Revoked),
            Self::Revoked => false,
        }
    }

    /// The word for it, as in answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Error => "error",
        }
    }
}

/// A client registered at a provider.
#[derive(Debug, Clone, PartialEq, Record)]
pub(crate) struct OauthApp {
    pub id: String,
    pub name: String,
    pub provider: String,
    pub display_name: String,
    pub description: Option<String>,
    pub version: String,
    pub client_id: String,
    pub client_secret: Option<Sealed>,
    pub redirect_uri: Option<String>,
    pub required_scopes: Json<Vec<String>>,
    pub is_enabled: bool,
    pub is_deprecated: bool,
    pub icon_url: Option<String>,
    pub documentation_url: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl OauthApp {
    /// Whether connections with it may be begun.
    pub fn is_open(&self) -> bool {
        self.is_enabled && !self.is_deprecated
    }
}

/// A connection as it is stored.
#[derive(Debug, Clone, PartialEq, Record)]
pub(crate) struct Connection {
    pub id: String,
    pub user_id: String,
    pub workspace_id: String,
    pub oauth_app_id: String,
    pub status: Status,
    pub is_sync_enabled: bool,
    pub is_shared: bool,
    pub requested_scopes: Json<Vec<String>>,
    pub granted_scopes: Json<Vec<String>>,
    pub missing_scopes: Json<Vec<String>>,
    pub external_user_id: String,
    pub external_user_email: Option<String>,
    pub external_user_data: Option<Sealed>,
    pub token_expires_at: Option<DateTime<Utc>>,
    pub refresh_failures: i64,
    pub error: Option<String>,
    pub last_verified_at: Option<DateTime<Utc>>,
    pub return_to: Option<String>,
    pub opener: Option<String>,
    pub ticket_hash: Option<String>,
    pub is_opened: bool,
    pub state_hash: Option<String>,
    pub waits_until: Option<DateTime<Utc>>,
    pub replaced_by: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
}

/// What is said of a sign-in that nobody finished.
pub(crate) const UNFINISHED: &str = "Nobody finished the sign-in in time";

impl Connection {
    /// How it is now: the clock counts at once, a job only writes down what it said.
    pub fn status_at(&self, now: DateTime<Utc>) -> Status {
        if self.status == Status::Pending && !self.waits(now) {
            return Status::Error;
        }
        self.status
    }

    /// Whether it waits for a browser.
    pub fn waits(&self, now: DateTime<Utc>) -> bool {
        self.waits_until.is_some_and(|until| now < until)
    }

    /// Nothing waits for a browser any more.
    pub fn stop_waiting(&mut self) {
        self.ticket_hash = None;
        self.state_hash = None;
        self.waits_until = None;
        self.return_to = None;
        self.opener = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_revoked_stays_so_and_nothing_becomes_pending() {
        use Status::{Active, Error, Expired, Inactive, Pending, Revoked};
        let all = [Pending, Active, Inactive, Expired, Revoked, Error];
        assert!(all.iter().all(|to| !Revoked.can(*to)));
        assert!(all.iter().all(|from| !from.can(Pending) && !from.can(*from)));
        assert!(
            all.iter()
                .filter(|from| **from != Revoked)
                .all(|from| from.can(Revoked))
        );
        // A pause is the owner's: only they end it.
        assert!(Inactive.can(Active) && Active.can(Inactive) && !Expired.can(Inactive) && !Error.can(Inactive));
    }
}
