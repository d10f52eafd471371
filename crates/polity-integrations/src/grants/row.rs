//! A grant as a row.

use polity_grants::{
    clock::Millis,
    grant::{Grant, Intent, Status},
};
use polity_kernel::{
    Record,
    clock::{Timestamp, from_micros},
    db::{Error, Json, Result},
};

/// The last moment of the year 9999: what a provider calls later than this, ends then.
const LAST: Millis = 253_402_300_799_999;

/// What is read of a grant.
#[derive(Debug, Record)]
pub(super) struct Row {
    id: String,
    provider: String,
    owner: String,
    account: Option<String>,
    status: String,
    sealed: Option<Vec<u8>>,
    scopes: Json<Vec<String>>,
    version: i64,
    expires_at: Option<Timestamp>,
    next_refresh_at: Option<Timestamp>,
    refresh_failures: u32,
    last_error: Option<String>,
    fence: i64,
    intent: Option<Json<Intent>>,
}

impl Row {
    pub(super) fn into_grant(self) -> Result<Grant> {
        Ok(Grant {
            status: status(&self.status)?,
            id: self.id,
            provider: self.provider,
            owner: self.owner,
            sealed: self.sealed,
            scopes: self.scopes.0,
            account: self.account,
            version: self.version,
            expires_at: self.expires_at.map(millis),
            next_refresh_at: self.next_refresh_at.map(millis),
            refresh_failures: self.refresh_failures,
            last_error: self.last_error,
            intent: self.intent.map(|intent| intent.0),
            fence: self.fence,
        })
    }
}

/// What is written of a grant.
pub(super) struct Written {
    pub(super) account: Option<String>,
    pub(super) owner: String,
    pub(super) status: &'static str,
    pub(super) scopes: Json<Vec<String>>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) next_refresh_at: Option<Timestamp>,
    pub(super) last_error: Option<String>,
    pub(super) intent: Option<Json<Intent>>,
    pub(super) lease_until: Option<Timestamp>,
}

impl Written {
    pub(super) fn of(grant: &Grant) -> Self {
        let intent = grant.intent.as_ref();
        Self {
            account: grant.account.as_deref().map(clean),
            owner: clean(&grant.owner),
            status: text(grant.status),
            scopes: Json(grant.scopes.iter().map(|scope| clean(scope)).collect()),
            expires_at: grant.expires_at.map(moment),
            next_refresh_at: grant.next_refresh_at.map(moment),
            last_error: grant.last_error.as_deref().map(clean),
            intent: intent.cloned().map(Json),
            lease_until: intent.map(|intent| moment(intent.lease_until)),
        }
    }
}

/// A provider may send what PostgreSQL does not store. Tokens that were spent for an answer are not lost for it.
fn clean(text: &str) -> String {
    text.replace('\0', "")
}

fn status(text: &str) -> Result<Status> {
    match text {
        "active" => Ok(Status::Active),
        "expired" => Ok(Status::Expired),
        "revoked" => Ok(Status::Revoked),
        "error" => Ok(Status::Error),
        other => Err(Error::Decode {
            column: "status".to_owned(),
            message: format!("{other:?} is no status of a grant"),
        }),
    }
}

pub(super) fn text(status: Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Expired => "expired",
        Status::Revoked => "revoked",
        Status::Error => "error",
    }
}

/// Whole milliseconds, as the library counts.
pub(super) fn millis(at: Timestamp) -> Millis {
    at.timestamp_millis()
}

pub(super) fn moment(at: Millis) -> Timestamp {
    from_micros(at.clamp(0, LAST).saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_as_they_were_and_end_somewhere() {
        for at in [0, 1, 1_700_000_000_123, LAST] {
            assert_eq!(millis(moment(at)), at);
        }
        assert_eq!(millis(moment(i64::MAX)), LAST);
        assert_eq!(millis(moment(i64::MIN)), 0);
    }

    #[test]
    fn every_status_is_read_as_it_is_written() {
        for one in [Status::Active, Status::Expired, Status::Revoked, Status::Error] {
            assert_eq!(status(text(one)).ok(), Some(one));
        }
        assert!(status("other").is_err());
    }

    #[test]
    fn what_cannot_be_stored_is_left_out() {
        assert_eq!(clean("re\0ad"), "read");
    }
}
