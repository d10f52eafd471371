//! Connections rest on consents: they end with them, in the same transaction.

use std::sync::Weak;

use async_trait::async_trait;
use polity_kernel::db::{Error, Result, Tx};

use super::{Connections, Parts, service};
use crate::consent::{Consent, Ending, Enforced, EntityType, Purpose, SubjectKind};

/// Ends connections with the consents they rest on.
///
/// Connections ask for consents, which hold this: it does not hold connections in turn.
pub(super) struct Resting(pub Weak<Parts>);

impl Resting {
    fn connections(&self) -> Result<Connections> {
        let gone = || Error::Unavailable("connections are closed".to_owned());
        Ok(Connections(self.0.upgrade().ok_or_else(gone)?))
    }
}

/// Whether connections rest on such a consent.
fn carries(consent: &Consent) -> bool {
    consent.purpose == Purpose::ThirdParty
        && consent.subject_kind == SubjectKind::OauthConnection
        && consent.entity_type == EntityType::OauthApp
}

#[async_trait]
impl Enforced for Resting {
    fn what(&self) -> &'static str {
        "connection"
    }

    async fn ended(&self, tx: &mut Tx, consent: &Consent, why: Ending) -> Result<u64> {
        if !carries(consent) {
            return Ok(0);
        }
        let reason = match why {
            Ending::UserDeleted => "user_deleted",
            Ending::MemberRemoved => "member_removed",
            Ending::OrganizationDeleted => "organization_deleted",
            _ => "consent_ended",
        };
        service::stop_resting(tx, &self.connections()?, consent, None, reason).await
    }

    async fn narrowed(&self, tx: &mut Tx, _: &Consent, after: &Consent) -> Result<u64> {
        if !carries(after) {
            return Ok(0);
        }
        service::stop_resting(tx, &self.connections()?, after, Some(after), "consent_ended").await
    }
}
