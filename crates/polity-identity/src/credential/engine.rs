//! Verifying credentials: the text is read without a database, the row is remembered, the limits are counted.
//!
//! What a process remembers of a credential is dropped when anything it rests on changes: the credential itself, its
//! organization, the person it acts for; see [`polity_kernel::cache`].

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName};
use polity_kernel::{
    Ctx, TokenText,
    cache::{Cache, Invalidations, Stale},
    caller::{Admitted, Answered, Caller, Grant, Identity, Kind as CallerKind, Presented},
    db::{Conn, Tx},
    http::Problem,
    limit::{Usage, Window},
};

use polity_ports::integration::Connected;

use super::{
    Error,
    limits::{self, Field, Limit},
    model::{Credential, Kind, Refusal, Use},
    settings::CredentialSettings,
    store, tenancy,
    usage::Tally,
};
use crate::{auth, changes};

/// What keeps hashes of credentials apart from others.
pub(super) const PURPOSE: &str = "credential";
/// What is told when credentials change.
const KIND: &str = "credential";

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Credentials(Arc<Inner>);

/// What an engine is made of.
pub struct Inner {
    pub(super) ctx: Ctx,
    pub(super) settings: CredentialSettings,
    pub(super) tally: Tally,
    /// Quotas of which it was told, as far as this process remembers.
    pub(super) told: moka::sync::Cache<String, ()>,
    remembered: Arc<Cache<String, Arc<Known>>>,
    /// Said when the service is mounted: connections are another domain's.
    pub(super) connected: OnceLock<Arc<dyn Connected>>,
}

impl std::ops::Deref for Credentials {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What is remembered of a credential: the row, and what follows from it.
pub(crate) struct Known {
    pub credential: Credential,
    pub caller: Caller,
    pub limits: Vec<Limit>,
    windows: Vec<Window>,
}

/// What is asked about a credential.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    /// For what it is used.
    pub asked: Use<'a>,
    /// How many requests this counts as.
    pub cost: u32,
    /// How many tokens are counted with it.
    pub tokens: u64,
    /// The one organization whose credentials are asked about; `None`: all.
    pub within: Option<&'a str>,
}

/// What became of a credential.
pub(crate) enum Verdict {
    /// It counts, and this is how much of its tightest limit is left.
    Valid(Arc<Known>, Option<(usize, Usage)>),
    /// It does not count.
    Refused(Refusal),
    /// It counts, but a limit is reached.
    Limited(Arc<Known>, Limited),
}

/// A limit that is reached.
#[derive(Debug, Clone)]
pub(crate) struct Limited {
    pub field: &'static str,
    pub source: &'static str,
    pub scope_id: String,
    pub limit: u64,
    pub used: u64,
    /// In how many seconds there is room again; `None`: never.
    pub retry_after: Option<u64>,
    pub headers: HeaderMap,
}

impl Credentials {
    /// The engine of a process.
    ///
    /// # Errors
    /// If its settings cannot be read.
    pub fn open(ctx: &Ctx) -> Result<Self, polity_kernel::config::ConfigError> {
        let settings: CredentialSettings = ctx.config.section("credential")?;
        let remembered = Cache::new(u64::from(settings.remembered), ctx.invalidations.clone(), rests_on);
        let remembered = Arc::new(remembered);
        listen(&ctx.invalidations, &remembered);
        Ok(Self(Arc::new(Inner {
            tally: Tally::new(ctx.clock.clone()),
            told: moka::sync::Cache::new(10_000),
            settings,
            remembered,
            connected: OnceLock::new(),
            ctx: ctx.clone(),
        })))
    }

    /// Judges the text of a credential, and counts the use against its limits.
    pub(crate) async fn verify(&self, text: &str, ask: Ask<'_>) -> Result<Verdict, Error> {
        let Some(known) = self.known(text).await? else {
            return Ok(Verdict::Refused(Refusal::Invalid));
        };
        if ask
            .within
            .is_some_and(|within| within != known.credential.organization_id)
        {
            return Ok(Verdict::Refused(Refusal::Invalid));
        }
        if let Err(refusal) = known.credential.check(&ask.asked, self.ctx.clock.now()) {
            return Ok(Verdict::Refused(refusal));
        }
        match self.count(&known, &ask).await? {
            Ok(usage) => {
                self.tally.used(&known, ask.cost, ask.tokens);
                Ok(Verdict::Valid(known, usage))
            }
            Err(limited) => {
                self.tally.refused(&known);
                Ok(Verdict::Limited(known, limited))
            }
        }
    }

    /// The caller a request with a credential is by; the use counts.
    pub(crate) async fn admit(&self, presented: Presented<'_>) -> Result<Admitted, Problem> {
        let ask = Ask {
            asked: Use {
                project_id: None,
                ip: Some(presented.from.ip),
            },
            cost: 1,
            tokens: 0,
            within: None,
        };
        match self.verify(presented.text, ask).await? {
            Verdict::Valid(known, tightest) => {
                self.tally.seen_at(&known, presented.from.ip);
                let headers = tightest.and_then(|(at, usage)| {
                    let limit = known.limits.get(at)?;
                    Some(usage.headers(limit.field))
                });
                Ok(Admitted {
                    caller: known.caller.clone(),
                    headers: headers.unwrap_or_default(),
                })
            }
            Verdict::Refused(refusal) => Err(Problem::unauthenticated(refusal.to_string())),
            Verdict::Limited(known, limited) => {
                let caller = &known.caller;
                self.note(&Answered {
                    caller,
                    from: presented.from,
                    status: 429,
                    took: Duration::ZERO,
                });
                Err(limited.into())
            }
        }
    }

    /// Notes from where a credential is used, as whoever verifies it says.
    pub(crate) fn seen_at(&self, known: &Arc<Known>, ip: std::net::IpAddr) {
        self.tally.seen_at(known, ip);
    }

    /// Notes how a request was answered that was made with a credential.
    pub(crate) fn note(&self, answered: &Answered<'_>) {
        self.tally.log(answered);
    }

    /// The credential with that text, remembered or looked up; `None` if there is none, which a wrong checksum tells
    /// without looking.
    async fn known(&self, text: &str) -> Result<Option<Arc<Known>>, Error> {
        let Ok(parsed) = TokenText::parse(text) else {
            return Ok(None);
        };
        let is_key = [Kind::User, Kind::Service, Kind::Token]
            .iter()
            .any(|kind| kind.of_text() == parsed.kind);
        if !is_key {
            return Ok(None);
        }
        let hash = self.ctx.secrets.hash(PURPOSE, text).as_str().to_owned();
        if let Some(known) = self.remembered.get(&hash) {
            return Ok(Some(known));
        }
        let ticket = self.remembered.ticket();
        let mut read = self.ctx.db.read().await?;
        let found = store::find_by_hash(&mut read, &hash).await?;
        let Some(credential) = found.filter(|found| found.kind.of_text() == parsed.kind) else {
            return Ok(None);
        };
        let Some(known) = self.load(&mut read, credential).await? else {
            return Ok(None);
        };
        let known = Arc::new(known);
        self.remembered.put(ticket, hash, Arc::clone(&known));
        Ok(Some(known))
    }

    /// What follows from a row: what the credential may do today, and its limits.
    async fn load(&self, read: &mut Conn, credential: Credential) -> Result<Option<Known>, Error> {
        let terms = tenancy::terms(read, &credential.organization_id).await?;
        let Some(terms) = terms.filter(|terms| terms.is_active) else {
            return Ok(None);
        };
        let mut grant = credential.grant();
        let limits = if credential.kind == Kind::Token {
            let Some(held) = self.held(read, &credential).await? else {
                return Ok(None);
            };
            grant = held;
            let per_minute = self.settings.tiers.per_minute(terms.tier);
            limits::tier(per_minute, &credential.id, &credential.organization_id)
        } else {
            limits::effective(
                &credential.rate_limits.0,
                &credential.id,
                terms.rate_limits.as_ref(),
                &credential.organization_id,
            )
        };
        let windows: Vec<Window> = limits.iter().map(|limit| limit.window(0)).collect();
        self.recall(read, &credential.organization_id, &limits, &windows)
            .await?;
        Ok(Some(Known {
            caller: caller_of(&credential, grant),
            limits,
            windows,
            credential,
        }))
    }

    /// What a token may do today: its scopes, as far as its person's role still carries them. `None` if the person is gone
    /// or not a member any more.
    async fn held(&self, read: &mut Conn, credential: &Credential) -> Result<Option<Grant>, Error> {
        let person = credential.subject_id.as_deref().unwrap_or_default();
        if !auth::is_active(read, person).await? {
            return Ok(None);
        }
        let role = tenancy::role(read, &credential.organization_id, person).await?;
        Ok(role.map(|role| {
            let scopes = credential.scopes.0.iter().filter(|scope| tenancy::carries(role, scope));
            Grant::only(scopes.cloned())
        }))
    }

    /// What was used of the long windows before this process began to count.
    async fn recall(
        &self,
        read: &mut Conn,
        organization_id: &str,
        limits: &[Limit],
        windows: &[Window],
    ) -> Result<(), Error> {
        let now = self.ctx.clock.now().timestamp();
        let day = now - now.rem_euclid(86_400);
        for (limit, window) in limits.iter().zip(windows) {
            if !limit.of.is_some_and(Field::is_long) {
                continue;
            }
            let (requests, tokens) = if limit.scope_id == organization_id {
                let common = store::usage::Common {
                    organization_id: organization_id.to_owned(),
                    field: limit.field,
                    day,
                };
                let used = store::usage::used_of_organizations(read, &[common]).await?;
                used.first().map_or((0, 0), |used| (used.requests, used.tokens))
            } else {
                store::usage::used(read, organization_id, &limit.scope_id, "day", day).await?
            };
            let used = if limit.of == Some(Field::TokensPerDay) {
                tokens
            } else {
                requests
            };
            self.ctx
                .limiter
                .recall(window, organization_id, u64::try_from(used).unwrap_or(0));
        }
        Ok(())
    }

    /// Counts a use against all limits and the credits, or against none of them: what is refused costs nothing.
    async fn count(&self, known: &Known, ask: &Ask<'_>) -> Result<Result<Option<(usize, Usage)>, Limited>, Error> {
        let (credential, limiter) = (&known.credential, &self.ctx.limiter);
        if credential.credits.is_none() {
            return Ok(self.count_limits(known, ask).await);
        }
        // Before a row is changed for it, whether there is room at all.
        let room = limiter.take_each(&known.windows, &credential.organization_id, 0).await;
        if let Err(limited) = tightest(known, room) {
            return Ok(Err(*limited));
        }
        if let Err(limited) = self.take_credits(credential, ask.cost).await? {
            return Ok(Err(limited));
        }
        let counted = self.count_limits(known, ask).await;
        if counted.is_err() {
            let mut tx = self.ctx.db.begin().await?;
            store::give_credits_back(&mut tx, &credential.id, i64::from(ask.cost)).await?;
            tx.commit().await?;
        }
        Ok(counted)
    }

    /// Counts a use against all limits or none.
    async fn count_limits(&self, known: &Known, ask: &Ask<'_>) -> Result<Option<(usize, Usage)>, Limited> {
        let organization = &known.credential.organization_id;
        let limiter = &self.ctx.limiter;
        let usages = if known.windows.is_empty() {
            Vec::new()
        } else if ask.tokens == 0 && ask.cost == 1 {
            limiter.take_each(&known.windows, organization, 1).await
        } else {
            let weigh = |limit: &Limit| match limit.of {
                Some(Field::TokensPerDay) => limit.window(ask.tokens),
                _ => limit.window(0).weighing(u64::from(ask.cost)),
            };
            let windows: Vec<Window> = known.limits.iter().map(weigh).collect();
            limiter.take_each(&windows, organization, 1).await
        };
        tightest(known, usages).map_err(|limited| *limited)
    }

    /// Takes credits, which are filled up first if a new period has begun. Exact: the row decides.
    async fn take_credits(&self, credential: &Credential, cost: u32) -> Result<Result<(), Limited>, Error> {
        let now = self.ctx.clock.now();
        let id = &credential.id;
        let mut tx = self.ctx.db.begin().await?;
        if let Some(interval) = credential.credit_interval {
            store::fill_credits(&mut tx, id, interval.period(now)).await?;
        }
        let taken = store::take_credits(&mut tx, id, i64::from(cost)).await?;
        let left = match taken {
            Some(left) => left,
            None => store::credits_left(&mut tx, id).await?,
        };
        if taken.is_some() {
            super::service::tell_credits(&mut tx, self, credential, left, now).await?;
        }
        tx.commit().await?;
        if taken.is_some() {
            return Ok(Ok(()));
        }
        Ok(Err(Limited::out_of_credits(credential, left, now)))
    }

    /// Says, in the transaction of a change, that the credential with that hash is to be forgotten.
    pub(super) async fn tell(&self, tx: &mut Tx, hash: &str) -> Result<(), Error> {
        Ok(self.ctx.invalidations.tell(tx, &self.ctx, KIND, hash).await?)
    }
}

/// The limit that has least left, or the one that is reached.
fn tightest(known: &Known, usages: Vec<Usage>) -> Result<Option<(usize, Usage)>, Box<Limited>> {
    let tightest = usages.into_iter().enumerate().min_by_key(|(_, usage)| {
        (
            usage.allowed,
            if usage.allowed {
                usage.remaining
            } else {
                u64::MAX - usage.reset_seconds()
            },
        )
    });
    if let Some((at, usage)) = &tightest
        && !usage.allowed
        && let Some(limit) = known.limits.get(*at)
    {
        return Err(Box::new(Limited::by(limit, usage)));
    }
    Ok(tightest)
}

/// What is remembered of a credential rests on its organization and on who acts with it. A person is their personal
/// organization too.
fn rests_on(known: &Arc<Known>, name: &mut dyn FnMut(&str)) {
    name(&known.credential.organization_id);
    if let Some(person) = &known.credential.subject_id {
        name(person);
    }
}

fn listen(invalidations: &Invalidations, remembered: &Arc<Cache<String, Arc<Known>>>) {
    changes::forget_with(invalidations, remembered);
    let remembered = Arc::clone(remembered);
    invalidations.listen(KIND, move |stale| match stale {
        Stale::Everything => remembered.clear(),
        Stale::Subject(hash) => remembered.forget(&hash.to_owned()),
    });
}

/// The caller a credential proves. Its permissions are in the grant alone: nothing an administrator's token carries can be
/// had by writing it into a key.
fn caller_of(credential: &Credential, grant: Grant) -> Caller {
    let acts_for_person = credential.kind == Kind::Token;
    Caller::new(Identity {
        kind: CallerKind::ApiCredential,
        id: credential.id.clone(),
        on_behalf_of: credential.subject_id.clone().filter(|_| acts_for_person),
        service_account_id: credential
            .subject_id
            .clone()
            .filter(|_| credential.kind == Kind::Service),
        email: None,
        organization_id: Some(credential.organization_id.clone()),
        permissions: Vec::new(),
        admin_roles: Vec::new(),
        session_id: None,
        expires_at: credential.expires_at,
        grant: Some(grant),
    })
}

impl Limited {
    fn by(limit: &Limit, usage: &Usage) -> Self {
        Self {
            field: limit.field,
            source: limit.source.as_str(),
            scope_id: limit.scope_id.clone(),
            limit: usage.limit,
            used: usage.used,
            retry_after: Some(usage.reset_seconds().max(1)),
            headers: usage.headers(limit.field),
        }
    }

    fn out_of_credits(credential: &Credential, left: i64, now: DateTime<Utc>) -> Self {
        let limit = credential.credit_amount.or(credential.credits).unwrap_or(0);
        let wait = credential.credit_interval.map(|interval| interval.until_next(now));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-ratelimit-limit", limit.max(0)),
            ("x-ratelimit-remaining", left.max(0)),
        ] {
            headers.insert(HeaderName::from_static(name), value.into());
        }
        if let Some(wait) = wait {
            headers.insert(http::header::RETRY_AFTER, wait.into());
            headers.insert(HeaderName::from_static("x-ratelimit-reset"), wait.into());
        }
        Self {
            field: "credits",
            source: "api_key",
            scope_id: credential.id.clone(),
            limit: u64::try_from(limit).unwrap_or(0),
            used: u64::try_from(limit - left).unwrap_or(0),
            retry_after: wait.and_then(|wait| u64::try_from(wait).ok()),
            headers,
        }
    }
}
