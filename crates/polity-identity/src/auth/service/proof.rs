//! Proving who one is with a password: compared outside of any transaction, because that takes long, and taken inside one for
//! what it is worth by then.

use std::time::Duration;

use polity_kernel::{Secret, db::Tx};

use super::lock_identity;
use crate::auth::{
    Auth, Error,
    model::{Identity, lock_out},
    store,
};

/// What keeps the hashes of addresses apart from others.
const PURPOSE: &str = "auth.login_failure";

/// A password that was compared with what was stored then.
pub(super) struct Guess {
    subject: String,
    found: Option<Identity>,
    right: bool,
}

impl Guess {
    /// Whose password it is, if it was right.
    pub(super) fn right(&self) -> Option<&Identity> {
        self.found.as_ref().filter(|_| self.right)
    }
}

/// Compares a password with that of whoever was `found` under an address: the same work if it is nobody.
pub(super) async fn guess(
    auth: &Auth,
    email: &str,
    found: Option<Identity>,
    password: &Secret,
) -> Result<Guess, Error> {
    let stored = found.as_ref().and_then(|identity| identity.password_hash.as_deref());
    let right = auth.ctx.passwords.verify(password, stored).await?;
    Ok(Guess {
        subject: auth.ctx.secrets.hash(PURPOSE, email).as_str().to_owned(),
        found,
        right,
    })
}

/// Takes a guess for what it is worth: whose password it is, or who has none, read anew and locked until the transaction ends.
///
/// `None` is to be committed: a wrong password was counted. It is also the answer while the address answers nobody, however
/// many guesses were under way when that began, and when the password was changed meanwhile.
pub(super) async fn prove(tx: &mut Tx, auth: &Auth, guess: &Guess) -> Result<Option<Identity>, Error> {
    if let Some(identity) = &guess.found {
        lock_identity(tx, &identity.user_id).await?;
    }
    tx.lock("auth.login", &guess.subject).await?;
    let now = auth.ctx.clock.now();
    let locked_until = store::locked_until(tx, &guess.subject).await?;
    if locked_until.is_some_and(|until| now < until) {
        return Ok(None);
    }
    let compared = guess.found.as_ref();
    let Some(compared) = compared.filter(|identity| guess.right || identity.password_hash.is_none()) else {
        count_failure(tx, auth, &guess.subject).await?;
        return Ok(None);
    };
    let found = store::find_identity(tx, &compared.user_id).await?;
    let found = found.filter(|identity| identity.password_version == compared.password_version);
    if found.is_some() {
        store::forget_failures(tx, &guess.subject).await?;
    }
    Ok(found)
}

/// Counts a wrong password; after some in a row the address answers nobody for a growing while.
async fn count_failure(tx: &mut Tx, auth: &Auth, subject: &str) -> Result<(), Error> {
    let now = auth.ctx.clock.now();
    let failures = store::count_failure(tx, subject, now).await?;
    let until = lock_out(failures).map(|seconds| now + Duration::from_secs(seconds));
    Ok(store::lock_subject(tx, subject, until).await?)
}
