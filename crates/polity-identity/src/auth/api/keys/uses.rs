//! The limits of API keys, and what of them is used.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use garde::Validate;
use polity_kernel::{
    caller::Caller,
    clock,
    http::{Json, Path, Query, Result, Routes, State, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OrganizationQuery;
use crate::{
    auth::Auth,
    credential::{self, Field, Granularity, Item, RateLimits, RateLimitsOut, Source, code},
};

/// The limits of a key.
#[derive(Debug, Serialize, JsonSchema)]
struct KeyLimits {
    /// The limits.
    rate_limits: RateLimitsOut,
    /// `configured`, or `unset` if it has none of its own.
    source: &'static str,
}

impl KeyLimits {
    fn new(limits: &RateLimits) -> Json<Self> {
        Json(Self {
            rate_limits: RateLimitsOut::set(limits),
            source: if limits.is_empty() { "unset" } else { "configured" },
        })
    }
}

/// The limits of an API key. For members of the organization.
#[operation("auth.get_api_key_limits", errors(codes::FORBIDDEN, code::API_KEY_NOT_FOUND))]
async fn get_limits(
    caller: Caller,
    State(auth): State<Auth>,
    Path(key_id): Path<String>,
    Query(query): Query<OrganizationQuery>,
) -> Result<Json<KeyLimits>> {
    let mut read = auth.ctx.db.read().await?;
    let key = credential::key(&mut read, &caller, &query.organization_id, &key_id).await?;
    Ok(KeyLimits::new(&key.rate_limits.0))
}

/// New limits of a key.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(transparent)]
struct LimitsIn {
    /// Limits by name. Null: no limit; left out: the organization's.
    #[garde(skip)]
    #[schemars(with = "RateLimitsOut")]
    limits: RateLimits,
}

/// Replaces the limits of an API key. For administrators of the organization.
///
/// A limit that is null is none; one that is left out is the organization's; 0 refuses every request.
#[operation("auth.set_api_key_limits", errors(codes::FORBIDDEN, code::API_KEY_NOT_FOUND))]
async fn set_limits(
    caller: Caller,
    State(auth): State<Auth>,
    Path(key_id): Path<String>,
    Query(query): Query<OrganizationQuery>,
    Json(body): Json<LimitsIn>,
) -> Result<Json<KeyLimits>> {
    let place = (query.organization_id.as_str(), key_id.as_str());
    let mut tx = auth.ctx.db.begin().await?;
    let limits = credential::set_limits(&mut tx, &auth.credentials, &caller, place, body.limits).await?;
    tx.commit().await?;
    Ok(KeyLimits::new(&limits))
}

/// A limit, and what of it is used.
#[derive(Debug, Serialize, JsonSchema)]
struct UsageItem {
    /// How much; null: no limit.
    limit: Option<u64>,
    /// How much of it is used in the present window.
    used: u64,
    /// How much is left; null: no limit.
    remaining: Option<u64>,
    /// Who set the limit.
    source: Source,
    /// How long the window is.
    window_seconds: u64,
    /// How much of it is used, in percent with two digits, at most 100; null without a limit, or if it is 0.
    percentage: Option<f64>,
}

impl From<Item> for UsageItem {
    fn from(item: Item) -> Self {
        Self {
            remaining: item.remaining(),
            percentage: item
                .share()
                .and_then(|share| u32::try_from(share).ok())
                .map(|share| f64::from(share) / 100.0),
            limit: item.limit,
            used: item.used,
            source: item.source,
            window_seconds: item.window_seconds,
        }
    }
}

/// The limits of an organization, and what of them is used.
#[derive(Debug, Serialize, JsonSchema)]
struct UsageVsLimitOut {
    /// The organization.
    organization_id: String,
    /// Its limits.
    rate_limits: RateLimitsOut,
    /// What of them is used, by name.
    usage: BTreeMap<Field, UsageItem>,
    /// What is reached, or nearly.
    warnings: Vec<String>,
}

/// The limits of an organization, and what of them its keys and tokens have used. For its members.
#[operation("auth.usage_vs_limit", errors(codes::FORBIDDEN, code::ORGANIZATION_NOT_FOUND))]
async fn usage_vs_limit(
    caller: Caller,
    State(auth): State<Auth>,
    Query(query): Query<OrganizationQuery>,
) -> Result<Json<UsageVsLimitOut>> {
    let found = credential::usage_vs_limit(&auth.credentials, &caller, &query.organization_id).await?;
    Ok(Json(UsageVsLimitOut {
        organization_id: query.organization_id,
        rate_limits: RateLimitsOut::set(&found.rate_limits),
        usage: found
            .usage
            .into_iter()
            .map(|(field, item)| (field, item.into()))
            .collect(),
        warnings: found.warnings,
    }))
}

/// Which uses.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct UsageQuery {
    /// The organization.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"usr_01a1fb4e7b4b73df93c4746cc8a8b943")]
    organization_id: String,
    /// By minute (kept two days), hour (ninety) or day.
    #[garde(skip)]
    granularity: Granularity,
    /// From when; left out, a day before `to`.
    #[garde(skip)]
    from: Option<DateTime<Utc>>,
    /// Until when; left out, now.
    #[garde(skip)]
    to: Option<DateTime<Utc>>,
}

/// Uses in a span of time.
#[derive(Debug, Serialize, JsonSchema)]
struct UsageSpan {
    /// When it begins.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    start: DateTime<Utc>,
    /// Requests that were served.
    requests: i64,
    /// Tokens that were counted.
    tokens: i64,
    /// Requests that a limit refused.
    refused: i64,
}

/// Uses by span.
#[derive(Debug, Serialize, JsonSchema)]
struct UsageSpans {
    /// The spans that have any, oldest first, at most 1500.
    items: Vec<UsageSpan>,
}

/// The uses of an API key by span of time; `all` in place of the key is the whole organization. For its members.
#[operation("auth.api_key_usage", errors(codes::FORBIDDEN))]
async fn usage(
    caller: Caller,
    State(auth): State<Auth>,
    Path(key_id): Path<String>,
    Query(query): Query<UsageQuery>,
) -> Result<Json<UsageSpans>> {
    let to = query.to.unwrap_or_else(|| auth.ctx.clock.now());
    let day_before = || to.checked_sub_signed(Duration::days(1)).unwrap_or(to);
    let from = query.from.unwrap_or_else(day_before);
    let key = Some(key_id.as_str()).filter(|id| *id != "all");
    let granularity = query.granularity;
    let found = credential::spans(
        &auth.credentials,
        &caller,
        &query.organization_id,
        key,
        granularity,
        (from, to),
    )
    .await?;
    let items = found
        .into_iter()
        .map(|span| UsageSpan {
            start: DateTime::from_timestamp(span.start, 0).unwrap_or_default(),
            requests: span.requests,
            tokens: span.tokens,
            refused: span.refused,
        })
        .collect();
    Ok(Json(UsageSpans { items }))
}

pub(super) fn add(routes: Routes<Auth>) -> Routes<Auth> {
    routes
        .get("/api/v1/auth/api-keys/{id}/usage", usage())
        .get("/api/v1/auth/api-keys/{id}/rate-limits", get_limits())
        .put("/api/v1/auth/api-keys/{id}/rate-limits", set_limits())
        .get("/api/v1/auth/rate-limits/usage-vs-limit", usage_vs_limit())
}
