//! State of subjects in Redis 7 or Valkey, exact over all replicas. The time is Redis's, so clocks of replicas do not matter.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use fred::{
    clients::Client,
    interfaces::ClientLike,
    prelude::{Builder, Config, Error, ReconnectPolicy},
    types::scripts::Script,
};
use polity_seal::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Decision, Rule, Usage, Window};

/// Redis.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RedisSettings {
    /// Where it is: `redis://user:password@host:6379/0`, or `rediss://…`, `redis-cluster://…`. Not used if unset.
    #[schemars(with = "Option<String>", extend("x-secret" = true))]
    pub url: Option<Secret>,
    /// What keys begin with. Programs that share a server need prefixes of their own.
    pub prefix: String,
    /// How long an answer may take, in milliseconds, before each replica grants its own share.
    pub timeout_ms: u64,
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            url: None,
            prefix: "polity".to_owned(),
            timeout_ms: 100,
        }
    }
}

/// `redis.url` is not one.
#[derive(Debug, thiserror::Error)]
#[error("redis.url cannot be used: {0}")]
pub struct RedisError(String);

/// How long Redis is left alone after it did not answer.
const REST: Duration = Duration::from_secs(1);

/// A connection that renews itself.
pub(super) struct Redis {
    client: Client,
    prefix: String,
    rates: Script,
    windows: Script,
    rests_until: Mutex<Option<Instant>>,
    is_well: AtomicBool,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Redis {
    /// Begins to connect; a server that is not there yet is tried again and again.
    pub(super) fn open(url: &Secret, settings: &RedisSettings) -> Result<Self, RedisError> {
        let wrong = |error: Error| RedisError(error.details().to_owned());
        if !["redis", "valkey"]
            .iter()
            .any(|scheme| url.expose().starts_with(scheme))
        {
            return Err(RedisError("it does not begin with redis:// or rediss://".to_owned()));
        }
        let config = Config::from_url(url.expose()).map_err(wrong)?;
        let timeout = Duration::from_millis(settings.timeout_ms.max(1));
        let client = Builder::from_config(config)
            .with_performance_config(|performance| performance.default_command_timeout = timeout)
            .with_connection_config(|connection| {
                connection.connection_timeout = Duration::from_secs(2);
                connection.internal_command_timeout = Duration::from_secs(2);
                connection.max_command_attempts = 1;
                connection.auto_client_setname = false;
            })
            .set_policy(ReconnectPolicy::new_exponential(0, 50, 1_000, 2))
            .build()
            .map_err(wrong)?;
        // It runs until the client is dropped; what it has to say, `is_connected` says.
        drop(client.connect());
        Ok(Self {
            client,
            prefix: settings.prefix.clone(),
            rates: Script::from_lua(include_str!("rates.lua")),
            windows: Script::from_lua(include_str!("windows.lua")),
            rests_until: Mutex::new(None),
            is_well: AtomicBool::new(true),
        })
    }

    /// Whether it answers.
    pub(super) fn is_well(&self) -> bool {
        self.client.is_connected() && self.is_well.load(Ordering::Relaxed)
    }

    /// Counts a call under all rules; `None` if Redis does not answer.
    pub(super) async fn check(&self, rules: &[Rule], subject: &str) -> Option<Vec<Decision>> {
        let keys = self.keys("r", rules.iter().map(Rule::name), subject);
        let numbers = rules
            .iter()
            .flat_map(|rule| [rule.cost(), i64::from(rule.burst())])
            .collect();
        let (now, state) = self.run(&self.rates, keys, numbers).await?;
        let decide = |(rule, full_at): (&Rule, i64)| rule.step(full_at, now).0;
        Some(rules.iter().zip(state).map(decide).collect())
    }

    /// Counts units in all windows; `None` if Redis does not answer.
    pub(super) async fn take(&self, windows: &[Window], subject: &str, units: u64) -> Option<Vec<Usage>> {
        let keys = self.keys("w", windows.iter().map(Window::name), subject);
        let number = |of: u64| i64::try_from(of).unwrap_or(i64::MAX);
        let numbers = windows
            .iter()
            .flat_map(|window| [number(window.units(units)), window.micros(), number(window.limit())])
            .collect();
        let (now, state) = self.run(&self.windows, keys, numbers).await?;
        let decide = |(window, used): (&Window, i64)| window.decide(u64::try_from(used).unwrap_or(0), units, now);
        Some(windows.iter().zip(state).map(decide).collect())
    }

    /// Runs a script: the time, and for each key what stood there before.
    async fn run(&self, script: &Script, keys: Vec<String>, numbers: Vec<i64>) -> Option<(i64, Vec<i64>)> {
        if !self.client.is_connected() || self.rests() {
            return None;
        }
        let expected = keys.len() + 1;
        match script
            .evalsha_with_reload::<Vec<String>, _, _>(&self.client, keys, numbers)
            .await
        {
            Ok(texts) => {
                self.is_well.store(true, Ordering::Relaxed);
                let numbers: Vec<i64> = texts.iter().filter_map(|text| text.parse().ok()).collect();
                let (now, state) = numbers.split_first()?;
                (numbers.len() == expected).then(|| (*now, state.to_vec()))
            }
            Err(error) => {
                self.is_well.store(false, Ordering::Relaxed);
                *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
                tracing::warn!(error = %error, "Redis did not answer; this replica grants its share of the limits");
                None
            }
        }
    }

    fn rests(&self) -> bool {
        let until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// One key per name. Subjects are hashed: keys stay short whatever callers send, and nobody reads addresses in Redis.
    /// The braces keep a subject's keys on one node of a cluster.
    fn keys<'n>(&self, kind: &str, names: impl Iterator<Item = &'n str>, subject: &str) -> Vec<String> {
        let hash = digest::digest(&digest::SHA256, subject.as_bytes());
        let subject = hex::encode(hash.as_ref().get(..16).unwrap_or_default());
        names
            .map(|name| format!("{}:{kind}:{{{subject}}}:{name}", self.prefix))
            .collect()
    }
}
