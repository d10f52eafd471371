//! What the provider knows: grants, their tokens, and what was done with them.

use std::collections::{HashMap, HashSet, VecDeque};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{CLIENT_ID, CLIENT_SECRET, Endpoint, Fault, Settings, device::Device};

/// An access token and a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// What calls carry.
    pub access: String,
    /// What brings the next pair.
    pub refresh: String,
}

/// What one account granted one client.
pub(super) struct Family {
    pub(super) account: String,
    pub(super) client: String,
    pub(super) scopes: Vec<String>,
    pub(super) is_ended: bool,
    /// The only refresh token that works.
    pub(super) current: String,
    /// When its newest access token ends; 0: it had none yet.
    pub(super) lasts_until: u64,
    /// How long it was without an access token that lasts, at most.
    pub(super) late: u64,
    /// How often it was refreshed, replays not counted.
    pub(super) refreshed: u64,
    /// How often a refresh token of it came that had been replaced, and was not answered.
    pub(super) reuses: u64,
}

/// An access token.
pub(super) struct Access {
    /// Whose; `None` is the client's own.
    pub(super) family: Option<usize>,
    pub(super) scopes: Vec<String>,
    pub(super) expires_at: u64,
    pub(super) is_ended: bool,
}

/// A refresh token.
#[derive(Default)]
pub(super) struct Refresh {
    pub(super) family: usize,
    /// How often it came, whatever was done then.
    pub(super) calls: u64,
    /// When it was replaced, and by what.
    pub(super) replaced: Option<(u64, Pair)>,
}

/// A code.
pub(super) struct Code {
    pub(super) account: String,
    pub(super) client: String,
    pub(super) redirect_uri: String,
    pub(super) scopes: Vec<String>,
    pub(super) challenge: Option<String>,
    pub(super) expires_at: u64,
    /// The grant that it was traded for.
    pub(super) family: Option<usize>,
}

/// Everything, behind one lock: each call is done in one moment.
pub(super) struct State {
    pub(super) clients: HashMap<String, Option<String>>,
    pub(super) account: String,
    pub(super) families: Vec<Family>,
    pub(super) access: HashMap<String, Access>,
    pub(super) refresh: HashMap<String, Refresh>,
    pub(super) codes: HashMap<String, Code>,
    pub(super) devices: HashMap<String, Device>,
    pub(super) faults: HashMap<Endpoint, VecDeque<Fault>>,
    pub(super) seen: Seen,
    /// When the first access token of every new grant ends, if not after its life.
    pub(super) first_end: Option<u64>,
    access_life: u64,
    drawn: u64,
}

/// What was seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) calls: HashMap<Endpoint, u64>,
    pub(super) last: HashMap<Endpoint, HashMap<String, String>>,
    pub(super) refreshed: u64,
    pub(super) reuses: u64,
    pub(super) replays: u64,
    pub(super) ended: HashSet<usize>,
    pub(super) taken_back: Vec<String>,
}

impl State {
    pub(super) fn new(settings: &Settings) -> Self {
        let own = (CLIENT_ID.to_owned(), Some(CLIENT_SECRET.to_owned()));
        Self {
            clients: settings.clients.iter().cloned().chain([own]).collect(),
            account: "user-1".to_owned(),
            families: Vec::new(),
            access: HashMap::new(),
            refresh: HashMap::new(),
            codes: HashMap::new(),
            devices: HashMap::new(),
            faults: HashMap::new(),
            seen: Seen::default(),
            first_end: None,
            access_life: u64::try_from(settings.access_life.as_millis()).unwrap_or(u64::MAX / 2),
            drawn: 0,
        }
    }

    /// A text that nobody guesses by accident, the same in every run: 43 characters after its kind.
    pub(super) fn draw(&mut self, kind: &str) -> String {
        self.drawn += 1;
        let text = digest(&SHA256, format!("{kind} {}", self.drawn).as_bytes());
        format!("{kind}_{}", URL_SAFE_NO_PAD.encode(text))
    }

    /// A new grant, without tokens.
    pub(super) fn family(&mut self, account: &str, client: &str, scopes: Vec<String>) -> usize {
        self.families.push(Family {
            account: account.to_owned(),
            client: client.to_owned(),
            scopes,
            is_ended: false,
            current: String::new(),
            lasts_until: 0,
            late: 0,
            refreshed: 0,
            reuses: 0,
        });
        self.families.len() - 1
    }

    /// A new pair, whose refresh token is the only one of its grant that works from now on.
    pub(super) fn pair(&mut self, family: usize, now: u64) -> Pair {
        let scopes = self.families[family].scopes.clone();
        let access = self.access(Some(family), scopes, now);
        let refresh = self.draw("rt");
        let fresh = Refresh {
            family,
            ..Refresh::default()
        };
        self.refresh.insert(refresh.clone(), fresh);
        self.families[family].current.clone_from(&refresh);
        Pair { access, refresh }
    }

    /// A new access token.
    pub(super) fn access(&mut self, family: Option<usize>, scopes: Vec<String>, now: u64) -> String {
        let text = self.draw("at");
        let mut expires_at = now + self.access_life;
        if let Some(family) = family.and_then(|family| self.families.get_mut(family)) {
            let is_first = family.lasts_until == 0;
            expires_at = self.first_end.filter(|_| is_first).unwrap_or(expires_at);
            if !is_first {
                family.late = family.late.max(now.saturating_sub(family.lasts_until));
            }
            family.lasts_until = expires_at;
        }
        let access = Access {
            family,
            scopes,
            expires_at,
            is_ended: false,
        };
        self.access.insert(text.clone(), access);
        text
    }

    /// The grant of an access token or a refresh token.
    pub(super) fn family_of(&self, token: &str) -> Option<usize> {
        let refresh = self.refresh.get(token).map(|refresh| refresh.family);
        refresh.or_else(|| self.access.get(token)?.family)
    }

    /// Ends a grant, and with it all its tokens.
    pub(super) fn end(&mut self, family: usize) {
        self.families[family].is_ended = true;
        self.seen.ended.insert(family);
    }

    /// Whether an access token works.
    pub(super) fn works(&self, access: &Access, now: u64) -> bool {
        let has_ended = access.family.is_some_and(|family| self.families[family].is_ended);
        !access.is_ended && !has_ended && access.expires_at > now
    }

    /// Whether that client is known, and says so rightly.
    pub(super) fn knows(&self, id: &str, secret: Option<&str>) -> bool {
        self.clients.get(id).is_some_and(|known| known.as_deref() == secret)
    }
}
