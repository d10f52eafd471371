//! Registration with a mailed code (BR-REG-011 to 020). Whether an address is known shows nowhere: not in the answer, and
//! not in the work that is done.

use std::time::Duration;

use polity_kernel::{
    Secret,
    mail::{Mail, Priority},
    secret::{SealedColumn, random_code},
};
use polity_ports::{Said, auth::UserRegistered};

use super::{Client, Opened, login::user_opening, open};
use crate::{
    account::{self, AccountId, NewAccount, fold_email},
    auth::{
        Auth, Error,
        model::{CODE_ATTEMPTS, CODE_RESENDS, Identity, Pending},
        store,
    },
    post::post,
};

/// How long a code lives.
const LIVES: Duration = Duration::from_mins(10);
/// What keeps hashes of codes apart from others.
const PURPOSE: &str = "auth.registration_code";
/// Where development keeps the code in a form that can be read.
pub(in crate::auth) const DEV_CODES: SealedColumn = SealedColumn::new("pending_registration", "id", "dev_code");

/// What a registration answers.
pub(in crate::auth) struct Registered {
    pub id: String,
    pub expires_at: polity_kernel::clock::Timestamp,
}

/// Begins a registration.
pub(in crate::auth) async fn register(
    auth: &Auth,
    email: &str,
    password: &Secret,
    name: Option<&str>,
) -> Result<Registered, Error> {
    let ctx = &auth.ctx;
    let email = fold_email(email);
    // Hashed before anything is known about the address, so that the work is the same.
    let password_hash = ctx.passwords.hash(password).await?;
    let name = name.map(str::trim).filter(|name| !name.is_empty());
    let name = name
        .unwrap_or_else(|| email.split('@').next().unwrap_or_default())
        .to_owned();
    let id = ctx.ids.new_id("");
    let code = random_code(6);
    let expires_at = ctx.clock.now() + LIVES;
    let mut tx = ctx.db.begin().await?;
    tx.lock("auth.registration", &email).await?;
    let known = store::find_identity_by_email(&mut tx, &email).await?.is_some();
    let pending = Pending {
        code_hash: hash(auth, &id, &code),
        dev_code: dev_code(auth, &id, &code),
        id,
        email,
        name,
        password_hash,
        known,
        attempts: 0,
        resends: 0,
        expires_at,
    };
    store::put_pending(&mut tx, &pending).await?;
    post(&mut tx, ctx, &letter(&pending, &code)).await?;
    tx.commit().await?;
    Ok(Registered {
        id: pending.id,
        expires_at,
    })
}

fn hash(auth: &Auth, id: &str, code: &str) -> String {
    auth.ctx
        .secrets
        .hash(PURPOSE, &format!("{id}\0{code}"))
        .as_str()
        .to_owned()
}

fn dev_code(auth: &Auth, id: &str, code: &str) -> Option<polity_kernel::secret::Sealed> {
    auth.ctx
        .core
        .environment
        .is_development()
        .then(|| auth.ctx.secrets.seal(DEV_CODES, id, code.as_bytes()))
}

/// The mail with the code; to a known address, one that says so, to its owner alone.
fn letter(pending: &Pending, code: &str) -> Mail {
    let text = if pending.known {
        "Somebody, perhaps you, tried to register with this address, which already has an account.\n\nIf it was you, sign \
         in instead, or reset your password. If not, you need do nothing.\n"
            .to_owned()
    } else {
        format!(
            "Your verification code is {code}\n\nIt works until {} (UTC). If you did not register, you need \
             do nothing.\n",
            pending.expires_at.format("%H:%M")
        )
    };
    Mail {
        to: pending.email.clone(),
        subject: if pending.known {
            "You already have an account"
        } else {
            "Your verification code"
        }
        .to_owned(),
        text,
        html: None,
        category: "user_registration".to_owned(),
        tags: vec!["registration".to_owned(), "verification".to_owned()],
        priority: Priority::High,
    }
}

/// Sends a new code for a registration that waits; the old one is worth nothing from now on.
pub(in crate::auth) async fn resend(auth: &Auth, id: &str) -> Result<Registered, Error> {
    let ctx = &auth.ctx;
    let mut tx = ctx.db.begin().await?;
    let known = store::find_pending(&mut tx, id)
        .await?
        .ok_or(Error::RegistrationEnded)?;
    // A new registration of the same address replaces this one; a verification may be ending it.
    tx.lock("auth.registration", &known.email).await?;
    tx.lock("auth.pending", id).await?;
    let pending = store::find_pending(&mut tx, id)
        .await?
        .ok_or(Error::RegistrationEnded)?;
    if ctx.clock.now() >= pending.expires_at || pending.resends >= CODE_RESENDS || pending.attempts >= CODE_ATTEMPTS {
        return Err(Error::RegistrationEnded);
    }
    let code = random_code(6);
    let fresh = Pending {
        code_hash: hash(auth, id, &code),
        dev_code: dev_code(auth, id, &code),
        resends: pending.resends + 1,
        expires_at: ctx.clock.now() + LIVES,
        ..pending
    };
    store::put_pending(&mut tx, &fresh).await?;
    post(&mut tx, ctx, &letter(&fresh, &code)).await?;
    tx.commit().await?;
    Ok(Registered {
        id: fresh.id,
        expires_at: fresh.expires_at,
    })
}

/// What came of a verification; the texts are the contract's.
pub(in crate::auth) enum Verified {
    Yes(Box<Opened>),
    No(&'static str),
}

/// Ends a registration with its code: identity, account, session and events in one transaction, so that a failure leaves
/// none of them and the code still works (BR-REG-017, EC-004, EC-015).
pub(in crate::auth) async fn verify(auth: &Auth, id: &str, code: &str, client: Client) -> Result<Verified, Error> {
    let ctx = &auth.ctx;
    let mut tx = ctx.db.begin().await?;
    tx.lock("auth.pending", id).await?;
    let Some(pending) = store::find_pending(&mut tx, id).await? else {
        return Ok(Verified::No("Invalid pending registration"));
    };
    // Expired beats wrong (EC-006).
    if ctx.clock.now() >= pending.expires_at {
        store::delete_pending(&mut tx, id).await?;
        tx.commit().await?;
        return Ok(Verified::No("Verification expired"));
    }
    if pending.attempts >= CODE_ATTEMPTS {
        return Ok(Verified::No("Verification expired"));
    }
    let right = ctx
        .secrets
        .verify(PURPOSE, &format!("{id}\0{}", code.trim()), &pending.code_hash);
    if !right || pending.known {
        // The attempt counts even though the answer is no.
        store::count_attempt(&mut tx, id).await?;
        tx.commit().await?;
        return Ok(Verified::No("Invalid verification code"));
    }
    let identity = Identity {
        user_id: ctx.ids.new_id("usr_"),
        email: pending.email.clone(),
        name: pending.name.clone(),
        password_hash: Some(pending.password_hash.clone()),
        password_version: 1,
        is_active: true,
    };
    if !store::insert_identity(&mut tx, &identity, true, ctx.clock.now()).await? {
        return Ok(Verified::No("Account creation failed"));
    }
    let new = NewAccount {
        user_id: AccountId(identity.user_id.clone()),
        email: identity.email.clone(),
        name: identity.name.clone(),
    };
    match account::ensure(&mut tx, ctx, new).await {
        Ok(_) => {}
        Err(account::Error::EmailTaken(_)) => return Ok(Verified::No("Account creation failed")),
        Err(error) => return Err(error.into()),
    }
    store::delete_pending(&mut tx, id).await?;
    let registered = UserRegistered {
        user_id: identity.user_id.clone(),
        email: identity.email.clone(),
        timestamp: ctx.clock.now(),
    };
    ctx.events.publish(&mut tx, registered.event()).await?;
    let opened = open(&mut tx, auth, user_opening(&identity, "registration", client)).await?;
    super::login::say_logged_in(&mut tx, auth, &opened).await?;
    tx.commit().await?;
    Ok(Verified::Yes(Box::new(opened)))
}

/// A registration as development may see it, with its code.
pub(in crate::auth) async fn dev_look(auth: &Auth, id: &str) -> Result<Option<(Pending, Option<String>)>, Error> {
    let found = store::find_pending(&mut *auth.ctx.db.read().await?, id).await?;
    let Some(pending) = found else { return Ok(None) };
    let code = match &pending.dev_code {
        Some(sealed) => {
            let opened = auth.ctx.secrets.open_sealed(DEV_CODES, id, sealed);
            let text = opened.map_err(|error| Error::Internal(error.to_string()))?;
            Some(String::from_utf8_lossy(&text).into_owned())
        }
        None => None,
    };
    Ok(Some((pending, code)))
}
