//! Sessions: opened by signing in, carried on by refresh tokens, ended for good (BR-SES-041 to 045).

use std::time::Duration;

use polity_kernel::{
    Ctx, TokenKind, TokenText,
    caller::Caller,
    db::{Json, Tx},
    secret::SealedColumn,
    wake::Topic,
};
use polity_ports::{
    Said,
    auth::{TokenRefreshed, TokenRevoked},
};
use serde_json::json;

use crate::{
    account::{self, AccountId, AdminRole},
    auth::{
        Auth, AuthSettings, Error,
        model::{Claims, Metadata, RefreshToken, Scope, Session},
        store,
    },
    organization,
};

/// Where successors wait for their grace to end.
pub(in crate::auth) const SUCCESSORS: SealedColumn = SealedColumn::new("refresh_token", "hash", "successor");
/// What keeps hashes of refresh tokens apart from others.
const PURPOSE: &str = "auth.refresh_token";

/// How many live sessions a person has at most; as many as are listed.
const MOST_SESSIONS: i64 = 200;

/// Where somebody signs in from.
#[derive(Debug, Clone, Default)]
pub(in crate::auth) struct Client {
    pub ip: String,
    pub user_agent: String,
}

/// What is given out when a session begins or goes on.
pub(in crate::auth) struct Opened {
    pub access_token: String,
    pub refresh_token: String,
    pub expires_in: i64,
    pub refresh_expires_in: i64,
    pub claims: Claims,
    pub provider: String,
}

/// For whom a session is opened.
pub(in crate::auth) struct Opening<'a> {
    pub user_id: &'a str,
    pub email: &'a str,
    pub scope: Scope,
    pub organization_id: Option<String>,
    pub permissions: Vec<String>,
    pub metadata: Metadata,
    pub client: Client,
}

impl Auth {
    fn refresh_ttl(&self, scope: Scope) -> Duration {
        let seconds = if scope == Scope::Admin {
            self.settings.admin_refresh_ttl
        } else {
            self.settings.refresh_ttl
        };
        Duration::from_secs(u64::from(seconds))
    }
}

/// Opens a session and issues its first pair of tokens.
pub(in crate::auth) async fn open(tx: &mut Tx, auth: &Auth, opening: Opening<'_>) -> Result<Opened, Error> {
    let now = auth.ctx.clock.now();
    let session = Session {
        id: auth.ctx.ids.new_id("ses_"),
        user_id: opening.user_id.to_owned(),
        scope: opening.scope,
        provider: "polity".to_owned(),
        organization_id: opening.organization_id,
        permissions: Json(opening.permissions),
        metadata: Json(opening.metadata),
        ip: opening.client.ip,
        user_agent: opening.client.user_agent,
        created_at: now,
        last_activity: now,
        expires_at: now + auth.refresh_ttl(opening.scope),
        invalidated_at: None,
    };
    store::session::insert(tx, &session).await?;
    end_oldest(tx, auth, opening.user_id).await?;
    let refresh_token = new_token(tx, auth, &session).await?;
    opened(auth, &session, opening.email, refresh_token)
}

/// Ends the oldest sessions of a person who has too many. Whoever opens them without end would else make it impossible to
/// end them all in one transaction, as a new password does.
async fn end_oldest(tx: &mut Tx, auth: &Auth, user_id: &str) -> Result<(), Error> {
    let ended = store::session::end_oldest(tx, user_id, MOST_SESSIONS, "too_many", auth.ctx.clock.now()).await?;
    for id in &ended {
        say_revoked(tx, &auth.ctx, &auth.settings, (user_id, id), "too_many").await?;
    }
    remember_revoked(tx, auth, ended);
    Ok(())
}

/// Stores a new refresh token of a session, hashed.
async fn new_token(tx: &mut Tx, auth: &Auth, session: &Session) -> Result<String, Error> {
    let kind = TokenKind::new("refresh").map_err(|error| Error::Internal(error.to_string()))?;
    let text = TokenText::generate(kind);
    let token = RefreshToken {
        hash: auth.ctx.secrets.hash(PURPOSE, text.expose()).as_str().to_owned(),
        session_id: session.id.clone(),
        expires_at: session.expires_at,
        used_at: None,
        successor: None,
    };
    store::session::insert_token(tx, &token, auth.ctx.clock.now()).await?;
    Ok(text.expose().to_owned())
}

fn opened(auth: &Auth, session: &Session, email: &str, refresh_token: String) -> Result<Opened, Error> {
    let (access_token, claims) = auth.issue(session, email)?;
    Ok(Opened {
        access_token,
        refresh_token,
        expires_in: claims.exp - claims.iat,
        refresh_expires_in: (session.expires_at - auth.ctx.clock.now()).num_seconds(),
        claims,
        provider: session.provider.clone(),
    })
}

/// What came of a refresh. Revoking a family is an effect of its own, so it is committed and then refused.
pub(in crate::auth) enum Refreshed {
    Yes(Box<Opened>),
    No(Error),
}

/// Exchanges a refresh token: rotated on every use, the family ended when a used one comes back (BR-TOK-007, EC-012).
pub(in crate::auth) async fn refresh(auth: &Auth, text: &str) -> Result<Opened, Error> {
    let parsed = TokenText::parse(text).map_err(|_| Error::InvalidToken("Invalid refresh token"))?;
    if parsed.kind.as_str() != "refresh" {
        return Err(Error::InvalidToken("Invalid refresh token"));
    }
    let hash = auth.ctx.secrets.hash(PURPOSE, text).as_str().to_owned();
    let mut tx = auth.ctx.db.begin().await?;
    let known = store::session::find_token(&mut tx, &hash).await?;
    let Some(known) = known else {
        return Err(Error::InvalidToken("Invalid refresh token"));
    };
    tx.lock("auth.session", &known.session_id).await?;
    let done = exchange(&mut tx, auth, &hash).await?;
    tx.commit().await?;
    match done {
        Refreshed::Yes(opened) => Ok(*opened),
        Refreshed::No(error) => Err(error),
    }
}

async fn exchange(tx: &mut Tx, auth: &Auth, hash: &str) -> Result<Refreshed, Error> {
    let now = auth.ctx.clock.now();
    let refused = |text| Ok(Refreshed::No(Error::InvalidToken(text)));
    let Some(token) = store::session::find_token(tx, hash).await? else {
        return refused("Invalid refresh token");
    };
    let Some(mut session) = store::session::find(tx, &token.session_id).await? else {
        return refused("Invalid refresh token");
    };
    if session.invalidated_at.is_some() {
        return refused("Refresh token has been revoked");
    }
    if now >= token.expires_at {
        return refused("Refresh token has expired");
    }
    let Some(email) = still_welcome(tx, &mut session).await? else {
        revoke(tx, auth, &session.user_id, &session.id, "disabled").await?;
        return refused("Refresh token has been revoked");
    };
    if let Some(used_at) = token.used_at {
        let grace = Duration::from_secs(u64::from(auth.settings.refresh_grace));
        if let Some(successor) = token.successor.filter(|_| now < used_at + grace) {
            let opened_text = auth.ctx.secrets.open_sealed(SUCCESSORS, hash, &successor);
            let text = opened_text.map_err(|error| Error::Internal(error.to_string()))?;
            let text = String::from_utf8_lossy(&text).into_owned();
            return Ok(Refreshed::Yes(Box::new(opened(auth, &session, &email, text)?)));
        }
        revoke(tx, auth, &session.user_id, &session.id, "reuse").await?;
        return refused("Refresh token has been revoked");
    }
    session.expires_at = now + auth.refresh_ttl(session.scope);
    store::session::prolong(tx, &session.id, now, session.expires_at).await?;
    let successor = new_token(tx, auth, &session).await?;
    let sealed = auth.ctx.secrets.seal(SUCCESSORS, hash, successor.as_bytes());
    store::session::use_token(tx, hash, now, &sealed).await?;
    let opened = opened(auth, &session, &email, successor)?;
    let event = TokenRefreshed {
        user_id: session.user_id.clone(),
        session_id: session.id.clone(),
        jti: opened.claims.jti.clone(),
        reason: "refresh".to_owned(),
        timestamp: now,
    };
    auth.ctx.events.publish(tx, event.event()).await?;
    Ok(Refreshed::Yes(Box::new(opened)))
}

/// Whether the session's person may still sign in; their address. An administrator's roles are what they are now.
async fn still_welcome(tx: &mut Tx, session: &mut Session) -> Result<Option<String>, Error> {
    let account = account::claims(tx, &AccountId(session.user_id.clone())).await?;
    let Some(account) = account else {
        // A pair that was minted for somebody without an account here.
        let identity = store::find_identity(tx, &session.user_id).await?;
        let minted = session
            .metadata
            .0
            .get("email")
            .and_then(|email| email.as_str())
            .map(str::to_owned);
        return Ok(match identity {
            Some(identity) => identity.is_active.then_some(identity.email),
            None => minted,
        });
    };
    if !account.is_active {
        return Ok(None);
    }
    if let Some(id) = session.organization_id.clone() {
        // One that is gone, or was left, is not theirs to act in any more.
        let is_ours = id.starts_with("org_");
        if is_ours && organization::role(tx, &id, &session.user_id).await?.is_none() {
            session.organization_id = None;
        }
    }
    if session.scope == Scope::Admin {
        if account.admin_roles.0.is_empty() {
            return Ok(None);
        }
        session
            .metadata
            .0
            .insert("admin_roles".to_owned(), json!(account.admin_roles.0));
    }

    Ok(Some(account.email))
}

/// Ends one session: no refresh, and its access tokens open nothing any more, here at once and elsewhere within a second.
async fn revoke(tx: &mut Tx, auth: &Auth, user_id: &str, session_id: &str, reason: &str) -> Result<(), Error> {
    if store::session::end(tx, session_id, reason, auth.ctx.clock.now()).await? {
        say_revoked(tx, &auth.ctx, &auth.settings, (user_id, session_id), reason).await?;
        remember_revoked(tx, auth, vec![session_id.to_owned()]);
    }
    Ok(())
}

/// Keeps and publishes that a person's session has ended.
async fn say_revoked(
    tx: &mut Tx,
    ctx: &Ctx,
    settings: &AuthSettings,
    (user_id, session_id): (&str, &str),
    reason: &str,
) -> Result<(), Error> {
    let now = ctx.clock.now();
    store::session::revoke(tx, session_id, now + settings.longest_access()).await?;
    let event = TokenRevoked {
        user_id: user_id.to_owned(),
        session_id: session_id.to_owned(),
        jti: None,
        reason: reason.to_owned(),
        timestamp: now,
    };
    ctx.events.publish(tx, event.event()).await?;
    Ok(())
}

/// Lets this process know at once what it would read soon.
pub(super) fn remember_revoked(tx: &mut Tx, auth: &Auth, ids: Vec<String>) {
    let (auth, until) = (auth.clone(), auth.ctx.clock.now() + auth.settings.longest_access());
    tx.on_commit(move || {
        for id in ids {
            auth.revoked.add(id, until);
        }
        auth.ctx.wakes.wake(Topic::Revoked);
    });
}

/// Nobody else opens a person's sessions with a password, or ends all of them, until the transaction ends: a session is
/// either opened by what counts afterwards, or seen by whoever ends it. Taken before the identity is read or changed.
pub(in crate::auth) async fn lock_identity(tx: &mut Tx, user_id: &str) -> Result<(), Error> {
    Ok(tx.lock("auth.identity", user_id).await?)
}

/// Ends the sessions of a person, `but` one, of one scope or all.
pub(in crate::auth) async fn revoke_sessions(
    tx: &mut Tx,
    auth: &Auth,
    user_id: &str,
    but: Option<&str>,
    scope: Option<Scope>,
    reason: &str,
) -> Result<usize, Error> {
    let ended = end_sessions(tx, &auth.ctx, &auth.settings, user_id, but, scope, reason).await?;
    let count = ended.len();
    remember_revoked(tx, auth, ended);
    Ok(count)
}

/// The same for a program that may serve none itself; those that do read it within a second. Returns their ids.
pub(super) async fn end_sessions(
    tx: &mut Tx,
    ctx: &Ctx,
    settings: &AuthSettings,
    user_id: &str,
    but: Option<&str>,
    scope: Option<Scope>,
    reason: &str,
) -> Result<Vec<String>, Error> {
    lock_identity(tx, user_id).await?;
    let ended = store::session::end_all(tx, user_id, but, scope.map(Scope::as_str), reason, ctx.clock.now()).await?;
    for id in &ended {
        say_revoked(tx, ctx, settings, (user_id, id), reason).await?;
    }
    Ok(ended)
}

/// Signs out: by refresh token, or by the session of an access token. What is not valid is simply not signed in.
pub(in crate::auth) async fn log_out(auth: &Auth, refresh: Option<&str>, claims: Option<&Claims>) -> Result<(), Error> {
    let mut tx = auth.ctx.db.begin().await?;
    let by_refresh = match refresh.filter(|text| TokenText::parse(text).is_ok()) {
        Some(text) => {
            let hash = auth.ctx.secrets.hash(PURPOSE, text).as_str().to_owned();
            store::session::find_token(&mut tx, &hash)
                .await?
                .map(|token| token.session_id)
        }
        None => None,
    };
    let by_access = claims.and_then(|claims| claims.sid.clone());
    for id in [by_refresh, by_access].into_iter().flatten() {
        tx.lock("auth.session", &id).await?;
        let Some(session) = store::session::find(&mut tx, &id).await? else {
            continue;
        };
        if session.invalidated_at.is_none() {
            revoke(&mut tx, auth, &session.user_id, &id, "logout").await?;
            super::login::say_logged_out(&mut tx, auth, &session.user_id).await?;
        }
    }
    Ok(tx.commit().await?)
}

/// Ends all sessions of a person; says how many.
pub(in crate::auth) async fn log_out_everywhere(auth: &Auth, user_id: &str) -> Result<usize, Error> {
    let mut tx = auth.ctx.db.begin().await?;
    let ended = revoke_sessions(&mut tx, auth, user_id, None, None, "logout").await?;
    super::login::say_logged_out(&mut tx, auth, user_id).await?;
    tx.commit().await?;
    Ok(ended)
}

/// The live sessions of a person.
pub(in crate::auth) async fn list_sessions(auth: &Auth, user_id: &str) -> Result<Vec<Session>, Error> {
    let mut read = auth.ctx.db.read().await?;
    Ok(store::session::list_live(&mut read, user_id, auth.ctx.clock.now()).await?)
}

/// Ends one of a person's sessions; another's answers like one that does not exist.
pub(in crate::auth) async fn end_session(auth: &Auth, user_id: &str, session_id: &str) -> Result<(), Error> {
    let mut tx = auth.ctx.db.begin().await?;
    tx.lock("auth.session", session_id).await?;
    let found = store::session::find(&mut tx, session_id).await?;
    let theirs = found.is_some_and(|session| session.user_id == user_id && session.invalidated_at.is_none());
    if !theirs {
        return Err(Error::SessionNotFound);
    }
    revoke(&mut tx, auth, user_id, session_id, "logout").await?;
    Ok(tx.commit().await?)
}

/// A pair of tokens for somebody, on the word of an administrator or a service: for nobody who may not sign in, and on no
/// lesser administrator's word for an administrator, in whose name their address and then their password could be changed.
pub(in crate::auth) async fn mint(
    tx: &mut Tx,
    auth: &Auth,
    caller: &Caller,
    opening: Opening<'_>,
) -> Result<Opened, Error> {
    lock_identity(tx, opening.user_id).await?;
    let account = account::claims(tx, &AccountId(opening.user_id.to_owned())).await?;
    if account.as_ref().is_some_and(|account| !account.is_active) {
        return Err(Error::NoPair("The account is disabled"));
    }
    let is_admin = account.is_some_and(|account| !account.admin_roles.0.is_empty());
    let highest = AdminRole::SuperAdmin.as_str();
    let may = caller.is_service() || caller.id == opening.user_id || caller.admin_roles.iter().any(|r| r == highest);
    if is_admin && !may {
        return Err(Error::NoPair("Only a super_admin may have tokens for an administrator"));
    }
    let mut opening = opening;
    // There may be no account and no identity here to take the address from when the pair is refreshed.
    opening.metadata.insert("email".to_owned(), opening.email.into());
    open(tx, auth, opening).await
}
