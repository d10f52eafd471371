//! Who has to know of a change in its own transaction.

use async_trait::async_trait;
use polity_grants::grant::Grant;
use polity_kernel::db::{Error, Tx};

/// Sees every change of a grant before it is kept: of its status, tokens, scopes, account and failures. What it writes
/// is of the same commit; if it fails, nothing was changed.
///
/// It does not see who holds a refresh, nor the same tokens under another master key.
#[async_trait]
pub trait Watch: Send + Sync {
    /// The grant as it was, and as it is.
    async fn changed(&self, tx: &mut Tx, before: &Grant, after: &Grant) -> Result<(), Error>;
}

/// Nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoWatch;

#[async_trait]
impl Watch for NoWatch {
    async fn changed(&self, _: &mut Tx, _: &Grant, _: &Grant) -> Result<(), Error> {
        Ok(())
    }
}

/// Whether a change is one that [`Watch`] sees.
pub(super) fn is_seen(before: &Grant, after: &Grant) -> bool {
    let seen = |grant: &Grant| (grant.version, grant.status, grant.refresh_failures, grant.expires_at);
    let texts = |grant: &Grant| {
        (
            grant.last_error.clone(),
            grant.account.clone(),
            grant.owner.clone(),
            grant.scopes.clone(),
        )
    };
    seen(before) != seen(after) || texts(before) != texts(after)
}
