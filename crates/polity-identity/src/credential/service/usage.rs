//! What credentials were used for: by span, by limit, entry by entry.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use polity_kernel::{caller::Caller, db::Conn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{keys::may_read, tokens::Workspace};
use crate::credential::{
    Credentials, Error,
    limits::{self, Field, RateLimits, Source},
    model::minute,
    store::{
        self,
        usage::{Entry, LogFilter, Span},
    },
    tenancy,
    usage::flush,
};

/// How uses are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Granularity {
    /// By the minute, for two days.
    Minute,
    /// By the hour, for ninety days.
    Hour,
    /// By the day, in UTC.
    Day,
}

impl Granularity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// The uses of a key, or of all keys and tokens of an organization, by span.
pub(crate) async fn spans(
    credentials: &Credentials,
    caller: &Caller,
    organization_id: &str,
    key_id: Option<&str>,
    granularity: Granularity,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Vec<Span>, Error> {
    flush(credentials).await;
    let mut read = credentials.ctx.db.read().await?;
    may_read(&mut read, caller, organization_id).await?;
    let grain = granularity.as_str();
    let key_id = key_id.unwrap_or_default();
    Ok(store::usage::spans(
        &mut read,
        organization_id,
        key_id,
        grain,
        from.timestamp(),
        to.timestamp(),
    )
    .await?)
}

/// A limit, and what of it is used.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub limit: Option<u64>,
    pub used: u64,
    pub source: Source,
    pub window_seconds: u64,
}

impl Item {
    /// What is left of it; `None` without a limit.
    pub(crate) fn remaining(&self) -> Option<u64> {
        self.limit.map(|limit| limit.saturating_sub(self.used))
    }

    /// How much of it is used, in hundredths of a percent, at most 10,000; `None` without a limit, or if it is 0.
    pub(crate) fn share(&self) -> Option<u64> {
        let limit = self.limit.filter(|limit| *limit > 0)?;
        let share = (u128::from(self.used) * 10_000 + u128::from(limit) / 2) / u128::from(limit);
        u64::try_from(share.min(10_000)).ok()
    }
}

/// The limits of an organization, and what of them is used.
pub(crate) struct UsageVsLimit {
    pub rate_limits: RateLimits,
    pub usage: BTreeMap<Field, Item>,
    pub warnings: Vec<String>,
}

/// What of an organization's limits is used (BR-API-USE). Counted over all its keys and tokens.
pub(crate) async fn usage_vs_limit(
    credentials: &Credentials,
    caller: &Caller,
    organization_id: &str,
) -> Result<UsageVsLimit, Error> {
    flush(credentials).await;
    let mut read = credentials.ctx.db.read().await?;
    may_read(&mut read, caller, organization_id).await?;
    let terms = tenancy::terms(&mut read, organization_id)
        .await?
        .ok_or(Error::OrganizationNotFound)?;
    let limits = terms.rate_limits.unwrap_or_default();
    let now = credentials.ctx.clock.now();
    let day = now.timestamp() - now.timestamp().rem_euclid(86_400);
    let (requests, tokens) = store::usage::used(&mut read, organization_id, "", "day", day).await?;
    let (in_minute, _) = store::usage::used(&mut read, organization_id, "", "minute", minute(now)).await?;
    drop(read);
    let in_second = in_this_second(credentials, organization_id, &limits).await;
    let mut usage = BTreeMap::new();
    let mut warnings = Vec::new();
    for field in Field::ALL {
        let used = match field {
            Field::RequestsPerSecond => in_second,
            Field::RequestsPerMinute => u64::try_from(in_minute).unwrap_or(0),
            Field::RequestsPerDay => u64::try_from(requests).unwrap_or(0),
            Field::TokensPerDay => u64::try_from(tokens).unwrap_or(0),
        };
        let limit = limits.get(&field).copied().flatten();
        let item = Item {
            limit,
            used,
            source: if limit.is_some() {
                Source::Organization
            } else {
                Source::Unset
            },
            window_seconds: field.seconds(),
        };
        if let Some(limit) = limit.filter(|limit| used.saturating_mul(100) >= limit.saturating_mul(80)) {
            let word = if used >= limit { "reached" } else { "nearly reached" };
            warnings.push(format!("{} is {word}: {used} of {limit}", field.as_str()));
        }
        usage.insert(field, item);
    }
    Ok(UsageVsLimit {
        rate_limits: limits,
        usage,
        warnings,
    })
}

/// Nothing is written by the second: only where there is a limit does anybody count.
async fn in_this_second(credentials: &Credentials, organization_id: &str, of: &RateLimits) -> u64 {
    let limits = limits::effective(&RateLimits::new(), "", Some(of), organization_id);
    let window = limits
        .iter()
        .find(|limit| limit.of == Some(Field::RequestsPerSecond))
        .map(|limit| limit.window(0));
    let Some(window) = window else { return 0 };
    let usages = credentials.ctx.limiter.take_each(&[window], organization_id, 0).await;
    usages.first().map_or(0, |usage| usage.used)
}

/// Which entries of the log are wanted.
pub(crate) struct LogQuery {
    pub token_id: Option<String>,
    pub status_code: Option<i64>,
    pub after: Option<(i64, String)>,
    pub limit: i64,
    pub offset: i64,
    /// Whether to count all of them.
    pub count: bool,
}

/// A page of the log.
pub(crate) struct Log {
    pub entries: Vec<Entry>,
    pub total: Option<i64>,
}

/// The log of a workspace, newest first: administrators see all of it, others what their own tokens did.
pub(crate) async fn log(credentials: &Credentials, workspace: &Workspace, query: LogQuery) -> Result<Log, Error> {
    flush(credentials).await;
    let wanted = LogFilter {
        organization_id: workspace.id.clone(),
        subject_id: (!workspace.role.is_admin()).then(|| workspace.user_id.clone()),
        credential_id: query.token_id,
        status_code: query.status_code,
        after: query.after,
    };
    let mut read = credentials.ctx.db.read().await?;
    let entries = store::usage::log(&mut read, &wanted, query.limit, query.offset).await?;
    let total = if query.count {
        Some(store::usage::count_log(&mut read, &wanted).await?)
    } else {
        None
    };
    Ok(Log { entries, total })
}

/// How often the keys and tokens of an organization were used, by whole days in UTC.
pub(crate) async fn calls(
    read: &mut Conn,
    organization_id: &str,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<i64, Error> {
    let from = from.timestamp() - from.timestamp().rem_euclid(86_400);
    Ok(store::usage::requests(read, organization_id, from, to.timestamp()).await?)
}

/// How often keys and tokens were used since midnight in UTC, and how long that took on the average, in milliseconds.
pub(crate) async fn calls_today(read: &mut Conn, now: DateTime<Utc>) -> Result<(i64, Option<i64>), Error> {
    let day = now.timestamp() - now.timestamp().rem_euclid(86_400);
    let requests = store::usage::all_requests(read, day).await?;
    Ok((requests, store::usage::mean_milliseconds(read, day).await?))
}

/// How a person's integrations in a workspace are.
pub(crate) struct Status {
    pub api_tokens_count: i64,
    pub oauth_connections_count: i64,
    pub api_requests_today: i64,
    pub rate_limit_remaining: u64,
    pub rate_limit_reset_at: DateTime<Utc>,
}

/// How a workspace's use of the API is: its live tokens, its requests since midnight, what is left of its tier.
pub(crate) async fn status(credentials: &Credentials, workspace: &Workspace) -> Result<Status, Error> {
    flush(credentials).await;
    let ctx = &credentials.ctx;
    let now = ctx.clock.now();
    let mut read = ctx.db.read().await?;
    let count = store::count_live(&mut read, &workspace.id, super::super::model::Kind::Token, None, now).await?;
    let connected = match credentials.connected.get() {
        Some(connections) => connections.count(&mut read, &workspace.id).await?,
        None => 0,
    };
    let day = now.timestamp() - now.timestamp().rem_euclid(86_400);
    let (requests, _) = store::usage::used(&mut read, &workspace.id, "", "day", day).await?;
    let terms = tenancy::terms(&mut read, &workspace.id).await?;
    let tier = terms.ok_or(Error::WorkspaceNotFound)?.tier;
    drop(read);
    let windows: Vec<_> = limits::tier(credentials.settings.tiers.per_minute(tier), "", &workspace.id)
        .iter()
        .filter(|limit| limit.scope_id == workspace.id)
        .map(|limit| limit.window(0))
        .collect();
    let usages = ctx.limiter.take_each(&windows, &workspace.id, 0).await;
    let (remaining, wait) = usages
        .first()
        .map_or((0, 0), |usage| (usage.remaining, usage.reset_seconds()));
    Ok(Status {
        api_tokens_count: count,
        oauth_connections_count: connected,
        api_requests_today: requests,
        rate_limit_remaining: remaining,
        rate_limit_reset_at: now + chrono::Duration::seconds(i64::try_from(wait).unwrap_or(0)),
    })
}
