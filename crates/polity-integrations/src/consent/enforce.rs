//! What rests on consents, and is stopped with them.

use async_trait::async_trait;
use polity_kernel::db::{Result, Tx};

use super::model::{Consent, Ending};

/// Something that rests on consents. It is called in the transaction in which a consent changes, so that nothing goes on for
/// a moment without one; the server hands its implementations to [`super::mount`].
///
/// The lock of the person is held: an implementation takes its own locks after it. Calls to a provider are jobs of the same
/// transaction.
#[async_trait]
pub trait Enforced: Send + Sync {
    /// What is stopped, in a word for the history, such as `connection`.
    fn what(&self) -> &'static str;

    /// The consent does not count any more: stops what rests on it, and says how many that were.
    ///
    /// # Errors
    /// What the database says; the consent then stays as it was.
    async fn ended(&self, tx: &mut Tx, consent: &Consent, why: Ending) -> Result<u64>;

    /// A consent with fewer permissions has taken the place of another: cuts what rests on it down to them, or stops it, and
    /// says how many that were.
    ///
    /// # Errors
    /// As [`Enforced::ended`].
    async fn narrowed(&self, tx: &mut Tx, before: &Consent, after: &Consent) -> Result<u64>;
}
