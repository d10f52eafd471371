//! One refresh: claim, call, record, and only then use.

use std::{sync::PoisonError, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{Error, Event, Flight, Inner, Landed, Manager, Read, Token, millis};
use crate::{
    client::App,
    clock::{Millis, SECOND, below},
    failure::Failure,
    grant::{Claim, Grant, Outcome, Status},
    provider::{Recovery, Refresh},
    token::TokenSet,
};

/// The first pause of who waits for another process, and the longest.
const POLL: Duration = Duration::from_millis(20);
const SLOWEST_POLL: Duration = Duration::from_secs(1);

/// The pause of a job between two refreshes of a grant whose tokens do not even last so long.
const SHORTEST: Millis = 5 * SECOND;

/// Why a refresh is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Somebody needs a token that lasts.
    Needed,
    /// Its time has come: the token need not be near its end, and nobody waits for other processes.
    Due,
    /// The token of that version was refused, however long it seems to last.
    Refused(i64),
}

impl Manager {
    /// The refresh of this grant that runs in this process, whatever for; one begins if none does.
    pub(super) fn flight(&self, id: &str, why: Why) -> Flight {
        let mut flights = self.inner.flights.lock().unwrap_or_else(PoisonError::into_inner);
        // One whose task was killed says nothing more.
        if let Some(flight) = flights.get(id).filter(|flight| flight.has_changed().is_ok()) {
            return flight.clone();
        }
        let (sender, flight) = watch::channel(None);
        flights.insert(id.to_owned(), flight.clone());
        let (inner, id) = (self.inner.clone(), id.to_owned());
        self.inner.parts.spawn.spawn(Box::pin(async move {
            let said = inner.refresh(&id, why).await;
            // First out of the list, then the word: who comes between begins anew and finds the new token.
            inner.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            sender.send_replace(Some(said));
        }));
        flight
    }

    /// What a flight says. If it was one that did not wait for another process, one is begun that does.
    pub(super) async fn landed(&self, mut flight: Flight, id: &str, why: Why) -> Result<Token, Error> {
        loop {
            match self.inner.said(flight).await {
                Landed::Done(result) => return result,
                Landed::Busy => flight = self.flight(id, why),
            }
        }
    }
}

impl Inner {
    /// What a flight says; waits for twice a lease at most.
    pub(super) async fn said(&self, mut flight: Flight) -> Landed {
        let most = (self.parts.client.timeout() + self.parts.settings.slack) * 2;
        let unavailable = |text: &str| Landed::Done(Err(Error::Unavailable(text.to_owned())));
        match timeout(most, flight.wait_for(Option::is_some)).await {
            Ok(Ok(said)) => said.clone().unwrap_or_else(|| unavailable("the refresh said nothing")),
            Ok(Err(_)) => unavailable("the refresh was stopped"),
            Err(_) => unavailable("the refresh takes too long"),
        }
    }

    async fn refresh(&self, id: &str, why: Why) -> Landed {
        match self.try_refresh(id, why).await {
            Ok(Some(token)) => Landed::Done(Ok(token)),
            Ok(None) => Landed::Busy,
            Err(error) => Landed::Done(Err(error)),
        }
    }

    /// Whether what was read is to be refreshed; `None`: not by this process now.
    async fn is_wanted(&self, read: &Read, why: Why) -> Result<Option<bool>, Error> {
        let lasts = read
            .tokens
            .lasts(self.parts.clock.now(), read.tokens.margin(self.margin()));
        match why {
            Why::Needed => Ok(Some(!lasts)),
            Why::Refused(version) => Ok(Some(!lasts || read.grant.version == version)),
            Why::Due => {
                let now = self.parts.store.now().await?;
                let is_free = !read.grant.is_held(now);
                Ok(is_free.then(|| !lasts || read.grant.is_due(now, 0)))
            }
        }
    }

    /// A token that lasts: from another process's refresh, or from one of ours. `None`: another process is at it, and it
    /// is not waited for.
    async fn try_refresh(&self, id: &str, why: Why) -> Result<Option<Token>, Error> {
        let begun = Instant::now();
        let mut pause = POLL;
        loop {
            let read = self.read(id).await?;
            match self.is_wanted(&read, why).await? {
                None => return Ok(None),
                Some(false) => return self.remember(&read).map(Some),
                Some(true) => {}
            }
            let app = self.parts.apps.app(&read.grant).await?;
            if app.provider.refresh == Refresh::None || read.tokens.refresh.is_none() {
                return self.until_its_end(&read, why).await.map(Some);
            }
            let (_, lease) = self.times(&app);
            match self.claim(&read, lease).await? {
                Claim::Fresh { fence } => return self.call(&read, &app, fence, false).await.map(Some),
                Claim::Recover {
                    fence, begun_at, now, ..
                } => {
                    let age = now.saturating_sub(begun_at);
                    return self.recover(&read, &app, fence, age).await.map(Some);
                }
                Claim::Gone => return Err(Error::NotFound),
                Claim::Wait { .. } => {
                    let text = read.grant.last_error.unwrap_or_default();
                    return Err(Error::Unavailable(text));
                }
                Claim::Busy { .. } if why == Why::Due => return Ok(None),
                Claim::Busy { .. } if begun.elapsed() > lease + self.parts.settings.slack => {
                    return Err(Error::Unavailable("another process refreshes it".to_owned()));
                }
                Claim::Busy { .. } | Claim::Changed => {
                    sleep(pause).await;
                    pause = (pause * 2).min(SLOWEST_POLL);
                }
            }
        }
    }

    /// The total time-out of a call and the lease around it. Where a used token works again for a while only, both are
    /// so short that one recovery after a crash still falls into that time.
    fn times(&self, app: &App) -> (Duration, Duration) {
        let (total, slack) = (self.parts.client.timeout(), self.parts.settings.slack);
        match app.provider.recovery {
            Recovery::RetryWithin(seconds) => {
                let window = Duration::from_secs(u64::from(seconds));
                let total = total.min(window / 4);
                (total, total + slack.min(window / 4))
            }
            Recovery::Retry | Recovery::Reauthorize => (total, total + slack),
        }
    }

    /// After a call of unknown outcome: what the provider's rule says, and nothing else.
    async fn recover(&self, read: &Read, app: &App, fence: i64, age: Millis) -> Result<Token, Error> {
        let (total, _) = self.times(app);
        let may = match app.provider.recovery {
            Recovery::Retry => true,
            // The call itself has to arrive within the window.
            Recovery::RetryWithin(seconds) => age.saturating_add(millis(total)) <= Millis::from(seconds) * SECOND,
            Recovery::Reauthorize => false,
        };
        tracing::warn!(grant = %read.grant.id, age, retry = may, "a refresh of unknown outcome is recovered");
        if may {
            return self.call(read, app, fence, true).await;
        }
        let reason = "a refresh of unknown outcome".to_owned();
        self.failed(&read.grant.id, &read.grant, fence, Failure::Reauthorize { reason }, app)
            .await
    }

    async fn call(&self, read: &Read, app: &App, fence: i64, recovers: bool) -> Result<Token, Error> {
        let (total, _) = self.times(app);
        let id = &read.grant.id;
        let late = || Failure::Unknown {
            text: "it took longer than the time-out".to_owned(),
        };
        let answer = timeout(total, self.parts.client.refresh(app, &read.tokens)).await;
        let tokens = match answer.unwrap_or_else(|_| Err(late())) {
            Ok(tokens) => tokens,
            Err(failure) => return self.failed(id, &read.grant, fence, failure, app).await,
        };
        let outcome = Outcome::Tokens {
            sealed: tokens.seal(&self.parts.keyring, id),
            scopes: tokens.scopes.clone(),
            expires_at: tokens.expires_at,
            refresh_in: self.refresh_in(&tokens),
        };
        let (ticket, key) = (self.cache.ticket(), self.parts.keyring.current_id());
        if !self.record(id, fence, outcome).await? {
            return self.lost(id, app, &tokens).await;
        }
        let mut grant = read.grant.clone();
        grant.version += 1;
        if self.parts.keyring.current_id() != key {
            // The key changed while it was written: whoever reseals may have looked before, and thrown the old key away.
            let sealed = tokens.seal(&self.parts.keyring, id);
            self.parts.store.reseal(id, grant.version, sealed).await?;
        }
        let token = self.remember(&Read { grant, tokens, ticket });
        let grant = id.clone();
        self.say(if recovers {
            Event::Recovered { grant }
        } else {
            Event::Refreshed { grant }
        })
        .await;
        token
    }

    /// What cannot be refreshed is looked at again when it ends, so that its owner is told then and not at the next use.
    async fn until_its_end(&self, read: &Read, why: Why) -> Result<Token, Error> {
        let now = self.parts.clock.now();
        if why == Why::Due && read.tokens.lasts(now, 0) {
            let version = read.grant.version;
            let left = read.tokens.expires_at.map(|end| end.saturating_sub(now));
            let mut change = |grant: &mut Grant, now: Millis| {
                let same = grant.version == version;
                if same {
                    grant.next_refresh_at = left.map(|left| now.saturating_add(left));
                }
                same
            };
            self.parts.store.update(&read.grant.id, &mut change).await?;
        }
        self.without_refresh(read).await
    }

    /// When a job refreshes these: before the margin begins, and not all at once. A token shorter than the margin is
    /// refreshed at half its life; one that cannot be refreshed is looked at when it ends.
    pub(super) fn refresh_in(&self, tokens: &TokenSet) -> Option<Millis> {
        let life = tokens.expires_at?.saturating_sub(self.parts.clock.now()).max(0);
        if tokens.refresh.is_none() {
            return Some(life);
        }
        let jitter = below(
            &*self.parts.random,
            self.parts.settings.jitter.as_millis().try_into().unwrap_or(0),
        );
        let early = self.margin().saturating_add(i64::try_from(jitter).unwrap_or(0));
        // A provider whose tokens last no time at all is not asked without end.
        let lasts = tokens.expires_at?.saturating_sub(tokens.obtained_at);
        let least = if lasts < SHORTEST { SHORTEST } else { 0 };
        Some(life.saturating_sub(early).max(life / 2).max(least))
    }

    /// Records, again and again while the store does not answer: the answer exists nowhere else.
    async fn record(&self, id: &str, fence: i64, mut outcome: Outcome) -> Result<bool, Error> {
        let begun = Instant::now();
        let mut pause = POLL;
        let keep = matches!(outcome, Outcome::Tokens { .. });
        loop {
            self.under_current_key(id, &mut outcome);
            match self.parts.store.record(id, fence, outcome.clone()).await {
                Ok(held) => return Ok(held || self.is_recorded(id, &outcome).await),
                Err(error) if !keep || begun.elapsed() > self.parts.settings.patience => {
                    tracing::error!(grant = %id, %error, "the outcome of a refresh could not be recorded");
                    return Err(error.into());
                }
                Err(_) => sleep(pause).await,
            }
            pause = (pause * 2).min(SLOWEST_POLL);
        }
    }

    /// While a store does not answer, the master key may be changed, and the old one retired.
    fn under_current_key(&self, id: &str, outcome: &mut Outcome) {
        if let Outcome::Tokens { sealed, .. } = outcome
            && let Ok(Some(fresh)) = TokenSet::reseal(&self.parts.keyring, id, sealed)
        {
            *sealed = fresh;
        }
    }

    /// Whether an earlier try did record it: a store that fails may have written.
    async fn is_recorded(&self, id: &str, outcome: &Outcome) -> bool {
        let Outcome::Tokens { sealed, .. } = outcome else {
            return false;
        };
        let open = |sealed: &[u8]| TokenSet::open(&self.parts.keyring, id, sealed).ok();
        let Ok(Some(grant)) = self.parts.store.get(id).await else {
            return false;
        };
        let found = grant.sealed.as_deref().and_then(open);
        found.is_some() && found == open(sealed)
    }

    /// The fence is lost: the answer is not used. If the grant was revoked meanwhile, the new tokens are taken back too.
    async fn lost(&self, id: &str, app: &App, tokens: &TokenSet) -> Result<Token, Error> {
        let grant = self.parts.store.get(id).await?;
        if grant.is_none_or(|grant| grant.status == Status::Revoked) {
            self.take_arrived_back(id, app, tokens).await;
            return Err(Error::Revoked);
        }
        Err(Error::Unavailable("another process took the refresh over".to_owned()))
    }

    /// Takes back what came too late. It is stored nowhere, so a provider that cannot be told now is told again, for a while.
    async fn take_arrived_back(&self, id: &str, app: &App, tokens: &TokenSet) {
        let (id, app, tokens, client) = (id.to_owned(), app.clone(), tokens.clone(), self.parts.client.clone());
        let mut taken = client.revoke(&app, &tokens).await;
        let again = async move {
            for seconds in [1, 2, 4, 8] {
                if !matches!(taken, Err(Failure::Transient { .. } | Failure::Unknown { .. })) {
                    break;
                }
                sleep(Duration::from_secs(seconds)).await;
                taken = client.revoke(&app, &tokens).await;
            }
            match taken {
                Ok(taken) => {
                    tracing::warn!(grant = %id, taken, "tokens of a revoked grant arrived and were taken back");
                }
                Err(error) => tracing::error!(grant = %id, %error, "tokens of a revoked grant arrived and still work"),
            }
        };
        self.parts.spawn.spawn(Box::pin(again));
    }

    async fn failed(&self, id: &str, grant: &Grant, fence: i64, failure: Failure, app: &App) -> Result<Token, Error> {
        let error = failure.to_string();
        tracing::warn!(grant = %id, provider = %app.provider.name, %error, "a refresh failed");
        let pause = self.pause(grant.refresh_failures, &failure, app);
        let held = self.record(id, fence, outcome(&failure, pause)).await?;
        let grant = id.to_owned();
        match failure {
            _ if !held => Err(Error::Unavailable("another process took the refresh over".to_owned())),
            Failure::Reauthorize { reason } => {
                self.cache.forget(id);
                self.say(Event::NeedsReauthorization {
                    grant,
                    reason: reason.clone(),
                })
                .await;
                Err(Error::NeedsReauthorization(reason))
            }
            Failure::Misconfigured { reason } => {
                self.say(Event::Misconfigured {
                    grant,
                    reason: reason.clone(),
                })
                .await;
                Err(Error::Misconfigured(reason))
            }
            Failure::Transient { .. } | Failure::Unknown { .. } => Err(Error::Unavailable(error)),
        }
    }

    /// The pause after a failure: doubled each time and shortened by up to a quarter at random. A recovery that has to
    /// fall into a window begins at once.
    fn pause(&self, failures: u32, failure: &Failure, app: &App) -> Millis {
        let settings = &self.parts.settings;
        let longest = millis(settings.longest_pause);
        let doubled = millis(settings.pause)
            .saturating_mul(1_i64.checked_shl(failures.min(20)).unwrap_or(1))
            .min(longest);
        let jitter = below(&*self.parts.random, (doubled / 4).unsigned_abs());
        let pause = doubled.saturating_sub(i64::try_from(jitter).unwrap_or(0));
        match failure {
            Failure::Transient { retry_after, .. } => pause.max(retry_after.unwrap_or(0)),
            Failure::Misconfigured { .. } => longest,
            Failure::Unknown { .. } => match app.provider.recovery {
                Recovery::RetryWithin(seconds) => pause.min(Millis::from(seconds) * SECOND / 8),
                Recovery::Reauthorize => 0,
                Recovery::Retry => pause,
            },
            Failure::Reauthorize { .. } => 0,
        }
    }
}

/// How a failure is recorded.
fn outcome(failure: &Failure, pause: Millis) -> Outcome {
    let error = failure.to_string();
    match failure {
        Failure::Transient { .. } | Failure::Misconfigured { .. } => Outcome::Transient { pause, error },
        Failure::Unknown { .. } => Outcome::Unknown { pause, error },
        Failure::Reauthorize { reason } => Outcome::Reauthorize { error: reason.clone() },
    }
}
