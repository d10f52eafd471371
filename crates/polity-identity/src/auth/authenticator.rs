//! Turning tokens into callers: verified once, remembered until they end or are revoked.
//!
//! Revocations are rows that every process reads a few times a second; one that could not read for a second asks the
//! database for every token instead of trusting its memory.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use chrono::DateTime;
use moka::sync::Cache;
use polity_kernel::{
    Ctx,
    caller::{Admitted, Answered, Authenticator, Caller, Identity, Kind, Pending, Presented},
    clock::Timestamp,
    http::Problem,
    wake::Topic,
};
use tokio::sync::watch;

use super::{
    Auth, Error,
    model::{Claims, Scope, TokenType},
    store::session,
    tokens::Refused,
};

/// How often revocations are read.
const EVERY: Duration = Duration::from_millis(190);
/// How soon after one reading another may follow.
const HURRIED: Duration = Duration::from_millis(10);
/// A process whose last reading is older than this does not trust its memory.
const STALE: Duration = Duration::from_secs(1);
/// How far each reading looks back. A row takes its place in the sequence before its transaction commits, and no
/// transaction is held longer than two seconds; no clock is compared with another machine's.
const OVERLAP: Duration = Duration::from_secs(5);
/// The sessions that have ended before their tokens did.
#[derive(Default)]
pub(super) struct Revocations {
    ended: RwLock<HashMap<String, Timestamp>>,
    read_at: RwLock<Option<Instant>>,
}

impl Revocations {
    /// Whether the session has ended.
    pub(super) async fn has(&self, ctx: &Ctx, session_id: &str) -> Result<bool, Error> {
        if self
            .ended
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(session_id)
        {
            return Ok(true);
        }
        let read_at = *self.read_at.read().unwrap_or_else(PoisonError::into_inner);
        if read_at.is_some_and(|at| at.elapsed() < STALE) {
            return Ok(false);
        }
        Ok(!session::is_live(&mut *ctx.db.read().await?, session_id).await?)
    }

    /// Remembers that a session has ended.
    pub(super) fn add(&self, session_id: String, expires_at: Timestamp) {
        self.ended
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(session_id, expires_at);
    }

    /// Reads what was revoked after a place in the sequence, and forgets what has expired anyway; returns the last place.
    async fn read(&self, ctx: &Ctx, after: i64) -> Result<i64, Error> {
        let begun = Instant::now();
        let fresh = session::revoked_after(&mut *ctx.db.read().await?, after).await?;
        let last = fresh.iter().map(|(seq, ..)| *seq).max().unwrap_or(after);
        let now = ctx.clock.now();
        let mut ended = self.ended.write().unwrap_or_else(PoisonError::into_inner);
        ended.extend(fresh.into_iter().map(|(_, id, expires_at)| (id, expires_at)));
        ended.retain(|_, expires_at| *expires_at > now);
        *self.read_at.write().unwrap_or_else(PoisonError::into_inner) = Some(begun);
        Ok(last)
    }
}

/// Keeps the revocations of this process up to date until the program stops.
pub(super) async fn follow_revocations(auth: Auth) {
    let ctx = &auth.ctx;
    // Where each recent reading ended: the next one starts where one ended that is old enough.
    let mut ends: VecDeque<(Instant, i64)> = VecDeque::new();
    let mut after = 0;
    let mut woken = ctx.wakes.listen(Topic::Revoked);
    loop {
        while ends.front().is_some_and(|(at, _)| at.elapsed() > OVERLAP) {
            after = ends.pop_front().map_or(after, |(_, end)| end);
        }
        match auth.revoked.read(ctx, after).await {
            Ok(end) => ends.push_back((Instant::now(), end)),
            Err(error) => tracing::warn!(error = %error, "revocations could not be read; every token is looked up"),
        }
        if ctx.stop.run_until_cancelled(next_reading(&mut woken)).await.is_none() {
            return;
        }
    }
}

/// Waits until it is time to read again, or somebody says that there is something to read.
async fn next_reading(woken: &mut watch::Receiver<u64>) {
    // However often it is said, others get their turn.
    tokio::time::sleep(HURRIED).await;
    tokio::select! {
        _ = woken.changed() => {}
        () = tokio::time::sleep(EVERY) => {}
    }
}

/// Verified tokens, by hash.
pub(super) type Remembered = Cache<[u8; 32], Arc<Known>>;

/// What is remembered of a token.
pub(super) struct Known {
    caller: Caller,
    exp: i64,
    session_id: Option<String>,
}

pub(super) fn remember_nothing(at_most: u32) -> Remembered {
    Cache::builder()
        .max_capacity(u64::from(at_most))
        .time_to_live(Duration::from_hours(1))
        .build()
}

impl Auth {
    async fn caller(&self, token: &str) -> Result<Caller, Problem> {
        let mut key = [0; 32];
        key.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        if let Some(known) = self.remembered.get(&key) {
            let expired = self.ctx.clock.now().timestamp() >= known.exp;
            let revoked = match &known.session_id {
                Some(id) => self.revoked.has(&self.ctx, id).await?,
                None => false,
            };
            if !expired && !revoked {
                return Ok(known.caller.clone());
            }
            self.remembered.invalidate(&key);
        }
        let claims = self.verify(token).await?.map_err(refuse)?;
        let (exp, session_id) = (claims.exp, claims.sid.clone());
        let caller = caller_of(claims)?;
        self.remembered.insert(
            key,
            Arc::new(Known {
                caller: caller.clone(),
                exp,
                session_id,
            }),
        );
        Ok(caller)
    }
}

fn refuse(refused: Refused) -> Problem {
    Error::InvalidToken(refused.text()).into()
}

/// The caller that claims prove. Access tokens of people prove one, and tokens of devices, which open only what says so
/// (EC-013).
fn caller_of(claims: Claims) -> Result<Caller, Problem> {
    let kind = match (claims.kind, claims.scope) {
        (TokenType::Access, Scope::User) => Kind::User,
        (TokenType::Access, Scope::Admin) => Kind::Admin,
        (TokenType::Device, Scope::Device) => Kind::Device,
        _ => return Err(refuse(Refused::Type)),
    };
    let admin_roles = claims.texts("admin_roles");
    Ok(Caller::new(Identity {
        kind,
        id: claims.sub,
        on_behalf_of: None,
        service_account_id: None,
        email: claims.email,
        organization_id: claims.organization_id,
        permissions: claims.permissions,
        admin_roles,
        session_id: claims.sid,
        expires_at: DateTime::from_timestamp(claims.exp, 0),
        grant: None,
    }))
}

impl Authenticator for Auth {
    fn bearer<'a>(&'a self, token: &'a str) -> Pending<'a, Result<Caller, Problem>> {
        Box::pin(self.caller(token))
    }

    fn api_credential<'a>(&'a self, presented: Presented<'a>) -> Pending<'a, Result<Admitted, Problem>> {
        Box::pin(self.credentials.admit(presented))
    }

    fn answered(&self, answered: Answered<'_>) {
        self.credentials.note(&answered);
    }
}
