//! A grant, and every way it can change.
//!
//! The changes are plain functions on a [`Grant`] with a time: a store only has to apply one atomically. So all stores
//! behave alike, whether they hold a lock, a transaction or a compare-and-set.
//!
//! Before a refresh token is sent, an [`Intent`] is stored. Its fence grows with every claim: who comes back with a lower
//! one has lost the grant, and nothing of theirs is recorded.

use serde::{Deserialize, Serialize};

use crate::clock::Millis;

mod bytes;
#[cfg(test)]
mod tests;

/// What a grant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It has tokens, or can get them.
    Active,
    /// It ended: its owner has to sign in again.
    Expired,
    /// It was taken back. Its tokens are erased, and it never works again.
    Revoked,
    /// It cannot be used as it is, such as with scopes missing.
    Error,
}

/// A refresh that may have begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Who may record the outcome: the holder of this number.
    pub fence: i64,
    /// Which process, for people who look.
    pub holder: String,
    /// Until when nobody else may claim, in the store's time.
    pub lease_until: Millis,
    /// When the refresh token was first used, in the store's time.
    pub begun_at: Millis,
    /// How often it was claimed after a call whose outcome is unknown.
    pub recoveries: u32,
    /// The holder said that the outcome is unknown; otherwise it says nothing yet.
    pub unknown: bool,
}

/// What a provider granted, with its tokens sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its id. The seal is bound to it.
    pub id: String,
    /// The provider's name in the catalogue.
    pub provider: String,
    /// Whose it is, in the words of whoever uses the library.
    pub owner: String,
    /// The tokens, as [`crate::token::TokenSet::seal`] makes them; none once revoked.
    #[serde(with = "bytes")]
    pub sealed: Option<Vec<u8>>,
    /// What it is.
    pub status: Status,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Whose account it is at the provider.
    pub account: Option<String>,
    /// Counts the changes of its tokens, from 1.
    pub version: i64,
    /// When the access token ends, in unix milliseconds.
    pub expires_at: Option<Millis>,
    /// When it is to be refreshed, in the store's time; absent: not by itself.
    pub next_refresh_at: Option<Millis>,
    /// Refreshes that failed since the last that did not.
    pub refresh_failures: u32,
    /// How the last one failed. Holds no secret.
    pub last_error: Option<String>,
    /// The refresh that may have begun.
    pub intent: Option<Intent>,
    /// The last fence given.
    pub fence: i64,
}

/// What a claim brought. Times are the store's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The refresh token may be used: nobody used it before.
    Fresh {
        /// What the outcome is recorded with.
        fence: i64,
    },
    /// It may have been used before: only the provider's recovery rule says what may be done.
    Recover {
        /// What the outcome is recorded with.
        fence: i64,
        /// When it was first used.
        begun_at: Millis,
        /// When this claim was made.
        now: Millis,
        /// How many claims like this one there were, with it.
        recoveries: u32,
    },
    /// Someone else is at it, until then at most.
    Busy {
        /// The end of their lease.
        until: Millis,
    },
    /// A call failed lately: not before then.
    Wait {
        /// When to try again.
        until: Millis,
    },
    /// The grant is not what it was when it was read: read it again.
    Changed,
    /// There is no such grant.
    Gone,
}

/// How a claimed refresh ended. Pauses and margins are milliseconds from the moment it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// New tokens.
    Tokens {
        /// Sealed for this grant.
        sealed: Vec<u8>,
        /// What they may do.
        scopes: Vec<String>,
        /// When the access token ends, in unix milliseconds.
        expires_at: Option<Millis>,
        /// After which pause to refresh again; absent: never.
        refresh_in: Option<Millis>,
    },
    /// The refresh token was not spent by this call: not sent, or refused for now.
    Transient {
        /// Nobody tries before it is over.
        pause: Millis,
        /// What happened.
        error: String,
    },
    /// The refresh token may be spent.
    Unknown {
        /// Nobody recovers before it is over.
        pause: Millis,
        /// What was seen.
        error: String,
    },
    /// The grant ended.
    Reauthorize {
        /// Why.
        error: String,
    },
}

impl Grant {
    /// Whether somebody holds the grant at `now`.
    pub fn is_held(&self, now: Millis) -> bool {
        self.intent.as_ref().is_some_and(|intent| intent.lease_until > now)
    }

    /// Whether a job should refresh it: its time comes within `within` milliseconds, and nobody holds it.
    pub fn is_due(&self, now: Millis, within: Millis) -> bool {
        let comes = self.next_refresh_at.is_some_and(|at| at <= now.saturating_add(within));
        self.status == Status::Active && comes && !self.is_held(now)
    }

    /// Claims the refresh of what was read as `version`, for `lease` milliseconds.
    pub fn claim(&mut self, version: i64, holder: &str, lease: Millis, now: Millis) -> Claim {
        if self.version != version || self.status != Status::Active {
            return Claim::Changed;
        }
        if let Some(intent) = self.intent.as_ref().filter(|intent| intent.lease_until > now) {
            return Claim::Busy {
                until: intent.lease_until,
            };
        }
        if let Some(until) = self.next_refresh_at.filter(|at| self.refresh_failures > 0 && *at > now) {
            return Claim::Wait { until };
        }
        self.fence += 1;
        let before = self.intent.take();
        let (begun_at, recoveries) = match &before {
            Some(intent) => (intent.begun_at, intent.recoveries.saturating_add(1)),
            None => (now, 0),
        };
        let fence = self.fence;
        let lease_until = now.saturating_add(lease);
        self.intent = Some(Intent {
            fence,
            holder: holder.to_owned(),
            lease_until,
            begun_at,
            recoveries,
            unknown: false,
        });
        // If the holder dies, the job finds the grant at the end of the lease, however late it was due.
        self.next_refresh_at = Some(self.next_refresh_at.map_or(lease_until, |at| at.min(lease_until)));
        match before {
            None => Claim::Fresh { fence },
            Some(_) => Claim::Recover {
                fence,
                begun_at,
                now,
                recoveries,
            },
        }
    }

    /// Records how the refresh of that fence ended; `false` if the fence is lost. A lease that ran out loses nothing as
    /// long as nobody else claimed.
    pub fn record(&mut self, fence: i64, outcome: Outcome, now: Millis) -> bool {
        if self.intent.as_ref().is_none_or(|intent| intent.fence != fence) {
            return false;
        }
        match outcome {
            Outcome::Tokens {
                sealed,
                scopes,
                expires_at,
                refresh_in,
            } => {
                self.renew(sealed, scopes, expires_at, refresh_in, now);
            }
            Outcome::Transient { pause, error } => {
                // After an earlier call of unknown outcome the doubt stays: this one only says nothing about it.
                let doubt = self.intent.take().filter(|intent| intent.recoveries > 0);
                self.intent = doubt.map(|intent| Intent {
                    lease_until: now,
                    ..intent
                });
                self.back_off(pause, error, now);
            }
            Outcome::Unknown { pause, error } => {
                let kept = self.intent.take();
                self.intent = kept.map(|intent| Intent {
                    lease_until: now,
                    unknown: true,
                    ..intent
                });
                self.back_off(pause, error, now);
            }
            Outcome::Reauthorize { error } => self.end(Status::Expired, Some(error)),
        }
        true
    }

    /// Takes new tokens, from a refresh or because its owner signed in again.
    pub fn renew(
        &mut self,
        sealed: Vec<u8>,
        scopes: Vec<String>,
        expires_at: Option<Millis>,
        refresh_in: Option<Millis>,
        now: Millis,
    ) {
        self.end(Status::Active, None);
        self.sealed = Some(sealed);
        self.scopes = scopes;
        self.expires_at = expires_at;
        self.next_refresh_at = refresh_in.map(|pause| now.saturating_add(pause));
        self.refresh_failures = 0;
    }

    /// Ends it because it can be refreshed no more.
    pub fn expire(&mut self, error: String) {
        self.end(Status::Expired, Some(error));
    }

    /// Takes it back for good: the tokens are erased, and whoever refreshes has lost the fence.
    pub fn revoke(&mut self) {
        self.end(Status::Revoked, None);
        self.sealed = None;
        self.expires_at = None;
    }

    /// Puts the same tokens there under another key, if nothing changed since `version` was read.
    pub fn reseal(&mut self, version: i64, sealed: Vec<u8>) -> bool {
        let same = self.version == version && self.sealed.is_some();
        if same {
            self.sealed = Some(sealed);
        }
        same
    }

    /// Looks at it again after `pause`, without a word on the refresh token: nothing was tried, so that whoever needs a
    /// token may try before.
    pub fn postpone(&mut self, pause: Millis, error: String, now: Millis) {
        self.next_refresh_at = Some(now.saturating_add(pause));
        self.last_error = Some(error);
    }

    fn back_off(&mut self, pause: Millis, error: String, now: Millis) {
        self.next_refresh_at = Some(now.saturating_add(pause));
        self.refresh_failures = self.refresh_failures.saturating_add(1);
        self.last_error = Some(error);
    }

    fn end(&mut self, status: Status, error: Option<String>) {
        self.status = status;
        self.version += 1;
        self.intent = None;
        self.next_refresh_at = None;
        self.last_error = error;
    }
}
