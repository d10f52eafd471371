//! Connections rest on consents: they end with them, in the same transaction.

use async_trait::async_trait;
use polity_kernel::db::{Result, Tx};

use super::{Connections, service};
use crate::consent::{Consent, Ending, Enforced, EntityType, Purpose, SubjectKind};

/// Ends connections with the consents they rest on.
pub(super) struct Resting(pub Connections);

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
        service::stop_resting(tx, &self.0, consent, None, reason).await
    }

    async fn narrowed(&self, tx: &mut Tx, _: &Consent, after: &Consent) -> Result<u64> {
        if !carries(after) {
            return Ok(0);
        }
        service::stop_resting(tx, &self.0, after, Some(after), "consent_ended").await
    }
}
