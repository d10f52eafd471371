//! Passwords: changed, or reset by a mailed link that works once. Either ends the other sessions.

use std::time::Duration;

use polity_kernel::{
    Secret, TokenKind, TokenText,
    job::{JobCtx, NewJob},
    limit::Rule,
    mail::{Mail, Priority},
};

use serde_json::json;

use super::{
    lock_identity,
    proof::{guess, prove},
    revoke_sessions,
};
use crate::{
    account::fold_email,
    auth::{Auth, Error, store},
    post::post,
};

/// How long a reset lives.
const LIVES: Duration = Duration::from_hours(1);
/// How many mails an address gets in an hour, whoever asks for them.
const MAILS_AN_HOUR: u32 = 5;
/// What keeps hashes of resets apart from others.
const PURPOSE: &str = "auth.password_reset";

/// Changes a password; ends every session but the one that asks.
pub(in crate::auth) async fn change_password(
    auth: &Auth,
    user_id: &str,
    session_id: Option<&str>,
    current: &Secret,
    new: &Secret,
) -> Result<(), Error> {
    let ctx = &auth.ctx;
    let found = store::find_identity(&mut *ctx.db.read().await?, user_id).await?;
    let email = found.as_ref().map_or(user_id, |identity| &identity.email).to_owned();
    let guess = guess(auth, &email, found, current).await?;
    let hash = match guess.right() {
        Some(_) => Some(ctx.passwords.hash(new).await?),
        None => None,
    };
    let mut tx = ctx.db.begin().await?;
    let proven = prove(&mut tx, auth, &guess).await?;
    let (Some(identity), Some(hash)) = (proven, hash) else {
        tx.commit().await?;
        return Err(Error::InvalidCredentials);
    };
    store::set_password(&mut tx, &identity.user_id, &hash, ctx.clock.now()).await?;
    revoke_sessions(&mut tx, auth, user_id, session_id, None, "password_changed").await?;
    Ok(tx.commit().await?)
}

/// The job that looks for who has an address, and mails them a reset.
pub(in crate::auth) const REQUEST_RESET: &str = "auth.request_reset";

/// Asks for a reset. Whether the address is known is found out by a job: answer and work are the same for everybody.
pub(in crate::auth) async fn ask_for_reset(auth: &Auth, email: &str) -> Result<(), Error> {
    let email = fold_email(email);
    let key = auth.ctx.secrets.hash(PURPOSE, &email).as_str().to_owned();
    let rule = Rule::new("auth.reset", MAILS_AN_HOUR, Duration::from_hours(1), MAILS_AN_HOUR);
    if !auth.ctx.limiter.check(&rule, &key).await.allowed {
        // The last mail still works: whoever asks in somebody's name keeps nobody from a new password.
        return Ok(());
    }
    let job = NewJob {
        key: Some(key),
        ..NewJob::new(REQUEST_RESET, json!({ "email": email }))
    };
    let mut tx = auth.ctx.db.begin().await?;
    auth.ctx.jobs.enqueue(&mut tx, job).await?;
    Ok(tx.commit().await?)
}

/// Mails a reset to whoever has the address; nobody may. The job ends in the same transaction, so that nobody gets two.
pub(in crate::auth) async fn request_reset(auth: &Auth, job: &JobCtx, email: &str) -> Result<(), Error> {
    let ctx = &auth.ctx;
    let kind = TokenKind::new("reset").map_err(|error| Error::Internal(error.to_string()))?;
    let token = TokenText::generate(kind);
    let hash = ctx.secrets.hash(PURPOSE, token.expose()).as_str().to_owned();
    let mut tx = ctx.db.begin().await?;
    let found = store::find_identity_by_email(&mut tx, email)
        .await?
        .filter(|identity| identity.is_active);
    let Some(identity) = found else {
        return Ok(tx.rollback().await?);
    };
    // The address must still be theirs when the mail leaves.
    lock_identity(&mut tx, &identity.user_id).await?;
    let still = store::find_identity(&mut tx, &identity.user_id).await?;
    if still.is_none_or(|still| still.email != identity.email || !still.is_active) {
        return Ok(tx.rollback().await?);
    }
    store::put_reset(&mut tx, &hash, &identity.user_id, ctx.clock.now() + LIVES).await?;
    let mail = Mail {
        to: identity.email,
        subject: "Reset your password".to_owned(),
        text: format!(
            "Somebody, perhaps you, asked to reset your password. This token sets a new one, once, within an hour:\n\n\
             {}\n\nIf it was not you, you need do nothing.\n",
            token.expose()
        ),
        html: None,
        category: "password_reset".to_owned(),
        tags: vec!["password".to_owned()],
        priority: Priority::High,
    };
    post(&mut tx, ctx, &mail).await?;
    job.finish_in(&mut tx).await?;
    Ok(tx.commit().await?)
}

/// Sets a new password with a mailed token; ends every session.
pub(in crate::auth) async fn confirm_reset(auth: &Auth, token: &str, new: &Secret) -> Result<(), Error> {
    let ctx = &auth.ctx;
    let invalid = Error::InvalidToken("The reset token is wrong, spent, or has expired");
    if TokenText::parse(token).map_or(true, |parsed| parsed.kind.as_str() != "reset") {
        return Err(invalid);
    }
    let token_hash = ctx.secrets.hash(PURPOSE, token).as_str().to_owned();
    let found = store::find_reset(&mut *ctx.db.read().await?, &token_hash, ctx.clock.now()).await?;
    // Hashing is only for whoever has a token: it is dear.
    let Some(user_id) = found else {
        return Err(invalid);
    };
    let hash = ctx.passwords.hash(new).await?;
    let now = ctx.clock.now();
    let mut tx = ctx.db.begin().await?;
    lock_identity(&mut tx, &user_id).await?;
    if !store::take_reset(&mut tx, &token_hash, now).await? {
        return Err(invalid);
    }
    store::set_password(&mut tx, &user_id, &hash, now).await?;
    revoke_sessions(&mut tx, auth, &user_id, None, None, "password_changed").await?;
    Ok(tx.commit().await?)
}
