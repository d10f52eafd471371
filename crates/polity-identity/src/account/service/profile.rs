//! What people say about themselves.

use std::time::Duration;

use polity_kernel::{
    Ctx,
    caller::Caller,
    clock,
    db::{self, Conn, Tx},
    mail::{Mail, Priority},
};
use polity_ports::{Said, account::UserProfileUpdated};

use super::{check_not_reserved, check_self, locked_active};
use crate::{
    account::{
        AccountSettings, Error,
        model::{self, Account, AccountId, EmailChange, Preferences, fold_email},
        store,
    },
    changes,
    post::post,
};

/// The profile of an account, for those who may see it.
///
/// BR-STS-006: an inactive account is not found.
pub(in crate::account) async fn profile(
    conn: &mut Conn,
    caller: &Caller,
    user_id: &AccountId,
) -> Result<Account, Error> {
    check_self(caller, user_id)?;
    let found = store::find(conn, user_id).await?.filter(|account| account.is_active);
    found.ok_or_else(|| Error::NotFound(user_id.0.clone()))
}

/// What is to change in a profile; `None` keeps (BR-PRO-002, 005).
#[derive(Debug, Default)]
pub(in crate::account) struct Change {
    pub name: Option<String>,
    pub email: Option<String>,
    pub preferences: Option<Preferences>,
    /// The version the caller looked at.
    pub if_match: Option<String>,
}

/// The version of an account, for `ETag` and `If-Match`.
pub(in crate::account) fn version(account: &Account) -> String {
    format!("\"{}\"", clock::micros(account.updated_at))
}

/// Changes a profile. BR-PRO-001, 003, 004, 006; deleting wins over updating, for the account is looked at under its lock.
pub(in crate::account) async fn update(
    tx: &mut Tx,
    ctx: &Ctx,
    settings: &AccountSettings,
    caller: &Caller,
    user_id: &AccountId,
    change: Change,
) -> Result<Account, Error> {
    check_self(caller, user_id)?;
    let mut account = locked_active(tx, user_id).await?;
    if change
        .if_match
        .as_ref()
        .is_some_and(|wanted| wanted != "*" && *wanted != version(&account))
    {
        return Err(Error::Changed);
    }
    let mut changed = Vec::new();
    if let Some(name) = change.name.map(|name| name.trim().to_owned()) {
        if name.is_empty() {
            return Err(Error::Refused("name cannot be blank"));
        }
        if name != account.name {
            account.name = name;
            changed.push("name".to_owned());
        }
    }
    if let Some(preferences) = change.preferences {
        let before = account.preferences.0.clone();
        model::merge(&mut account.preferences.0, preferences).map_err(|what| Error::Invalid("preferences", what))?;
        if before != account.preferences.0 {
            changed.push("preferences".to_owned());
        }
    }
    if let Some(email) = change
        .email
        .map(|email| fold_email(&email))
        .filter(|email| *email != account.email)
    {
        check_free(tx, &email).await?;
        if settings.confirm_email_changes {
            ask_to_confirm(tx, ctx, user_id, email).await?;
        } else {
            set_email(tx, ctx, &mut account, email).await?;
            changed.push("email".to_owned());
        }
    }
    save(tx, ctx, &mut account, changed).await?;
    Ok(account)
}

async fn check_free(tx: &mut Tx, email: &str) -> Result<(), Error> {
    check_not_reserved(email)?;
    // Whoever wants the address at the same time waits here, and then finds it taken.
    tx.lock("account.email", email).await?;
    match store::find_by_email(tx, email).await? {
        Some(_) => Err(Error::EmailTaken(email.to_owned())),
        None => Ok(()),
    }
}

/// Changes the address; the old one is told, so that a theft does not go unnoticed.
async fn set_email(tx: &mut Tx, ctx: &Ctx, account: &mut Account, email: String) -> Result<(), Error> {
    let notice = Mail {
        to: std::mem::replace(&mut account.email, email),
        subject: "Your e-mail address was changed".to_owned(),
        text: format!(
            "The e-mail address of your account was changed to {}.\n\nIf that was not you, reset your password and contact \
             support at once.\n",
            account.email
        ),
        html: None,
        category: "email_changed".to_owned(),
        tags: vec!["account".to_owned()],
        priority: Priority::High,
    };
    Ok(post(tx, ctx, &notice).await?)
}

/// Writes what changed, and says exactly that; nothing changed, nothing said.
async fn save(tx: &mut Tx, ctx: &Ctx, account: &mut Account, changed: Vec<String>) -> Result<(), Error> {
    if changed.is_empty() {
        return Ok(());
    }
    account.mark_changed(ctx.clock.now());
    if changed.iter().any(|field| field != "preferences") {
        let written = store::update_name_and_email(tx, account).await;
        written.map_err(|error| match error {
            db::Error::Unique(_) => Error::EmailTaken(account.email.clone()),
            error => error.into(),
        })?;
    }
    if changed.iter().any(|field| field == "email") {
        // Organizations take members with addresses of their domains.
        changes::of_person(tx, ctx, &account.user_id.0).await?;
    }
    store::update(tx, account).await?;
    let event = UserProfileUpdated {
        user_id: account.user_id.0.clone(),
        email: account.email.clone(),
        name: account.name.clone(),
        updated_fields: changed,
        updated_at: account.updated_at,
    };
    ctx.events.publish(tx, event.event()).await?;
    Ok(())
}

/// How long a code for a new address lives.
const CODE_LIVES: Duration = Duration::from_mins(30);
/// How many codes may be tried.
const CODE_ATTEMPTS: i64 = 5;
/// What keeps these codes apart from others.
const CODE_PURPOSE: &str = "account.email_change";

async fn ask_to_confirm(tx: &mut Tx, ctx: &Ctx, user_id: &AccountId, email: String) -> Result<(), Error> {
    let code = polity_kernel::secret::random_code(6);
    let mail = Mail {
        to: email.clone(),
        subject: "Confirm your new e-mail address".to_owned(),
        text: format!("The code that confirms this address is {code}. It works for 30 minutes.\n"),
        html: None,
        category: "email_confirmation".to_owned(),
        tags: vec!["account".to_owned(), "verification".to_owned()],
        priority: Priority::High,
    };
    let change = EmailChange {
        email,
        code_hash: ctx
            .secrets
            .hash(CODE_PURPOSE, &format!("{user_id}\0{code}"))
            .as_str()
            .to_owned(),
        attempts: 0,
        expires_at: ctx.clock.now() + CODE_LIVES,
    };
    store::put_email_change(tx, user_id, &change).await?;
    Ok(post(tx, ctx, &mail).await?)
}

/// What came of a confirmation.
pub(in crate::account) enum Confirmed {
    /// The address is in force.
    Yes(Box<Account>),
    /// The code was wrong; the attempt is counted, so the transaction is to be committed.
    No,
}

/// Puts a new address in force.
pub(in crate::account) async fn confirm_email(
    tx: &mut Tx,
    ctx: &Ctx,
    caller: &Caller,
    user_id: &AccountId,
    code: &str,
) -> Result<Confirmed, Error> {
    check_self(caller, user_id)?;
    let mut account = locked_active(tx, user_id).await?;
    let waiting = store::find_email_change(tx, user_id)
        .await?
        .ok_or(Error::InvalidConfirmation)?;
    if ctx.clock.now() >= waiting.expires_at || waiting.attempts >= CODE_ATTEMPTS {
        return Err(Error::InvalidConfirmation);
    }
    if !ctx
        .secrets
        .verify(CODE_PURPOSE, &format!("{user_id}\0{}", code.trim()), &waiting.code_hash)
    {
        store::count_email_attempt(tx, user_id).await?;
        return Ok(Confirmed::No);
    }
    check_free(tx, &waiting.email).await?;
    store::delete_email_change(tx, user_id).await?;
    set_email(tx, ctx, &mut account, waiting.email).await?;
    save(tx, ctx, &mut account, vec!["email".to_owned()]).await?;
    Ok(Confirmed::Yes(Box::new(account)))
}

/// Merges preferences (BR-PRF-001 to 005). Two at once both survive: the second reads under the lock what the first wrote.
pub(in crate::account) async fn set_preferences(
    tx: &mut Tx,
    ctx: &Ctx,
    settings: &AccountSettings,
    caller: &Caller,
    user_id: &AccountId,
    preferences: Preferences,
) -> Result<(), Error> {
    let change = Change {
        preferences: Some(preferences),
        ..Change::default()
    };
    update(tx, ctx, settings, caller, user_id, change).await.map(drop)
}

/// The most characters of custom instructions.
const INSTRUCTIONS: usize = 4_000;

/// Keeps what assistants should know about a person.
pub(in crate::account) async fn set_instructions(
    tx: &mut Tx,
    ctx: &Ctx,
    user_id: &AccountId,
    instructions: String,
) -> Result<Account, Error> {
    if instructions.chars().count() > INSTRUCTIONS {
        return Err(Error::Refused("instructions may have at most 4000 characters"));
    }
    let mut account = locked_active(tx, user_id).await?;
    account.custom_instructions = instructions;
    account.mark_changed(ctx.clock.now());
    store::update(tx, &account).await?;
    Ok(account)
}
