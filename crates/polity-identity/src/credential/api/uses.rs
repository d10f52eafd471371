//! What tokens were used for, and what is left of their limits.

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    clock,
    db::{Cursor, cut},
    http::{Json, Query, Result, Routes, State, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WorkspaceQuery;
use crate::credential::{
    Credentials, Error,
    error::code,
    guard::{Token, WorkspaceViewer},
    limits,
    service::{self, LogQuery},
    settings::Tier,
    store::usage::Entry,
    tenancy,
};

/// Which part of the log.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct UsageQuery {
    /// The workspace; left out, the one the credential is bound to, else one's personal one.
    #[garde(length(chars, min = 1, max = 255))]
    workspace_id: Option<String>,
    /// Only what this token did.
    #[garde(length(chars, min = 1, max = 255))]
    token_id: Option<String>,
    /// Only what was answered with this status.
    #[garde(range(min = 100, max = 599))]
    status_code: Option<i64>,
    /// Which page, from 1.
    #[garde(range(min = 1, max = 1_000_000))]
    #[serde(default = "first_page")]
    page: i64,
    /// How many on a page.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "hundred")]
    page_size: i64,
    /// Where to go on: `next_cursor` of the part before, or nothing at the beginning. Then `page` does not count, and the
    /// answer has no `total`.
    #[garde(length(chars, max = 512))]
    cursor: Option<String>,
}

fn first_page() -> i64 {
    1
}

fn hundred() -> i64 {
    100
}

/// What a token did, in one minute and in one way.
#[derive(Debug, Serialize, JsonSchema)]
struct UsageLog {
    /// The id of the entry.
    id: String,
    /// The workspace.
    workspace_id: String,
    /// The token or key.
    api_token_id: String,
    /// The method.
    method: String,
    /// The route, as a template.
    endpoint: String,
    /// What was answered.
    status_code: i64,
    /// How long it took on the average, in milliseconds.
    response_time_ms: i64,
    /// How many requests of this minute were like this.
    request_count_in_minute: i64,
    /// From where, the first of them.
    ip_address: Option<String>,
    /// What the client said it was.
    user_agent: Option<String>,
    /// What the status says, if it is an error.
    error_message: Option<&'static str>,
    /// The minute.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    logged_at: DateTime<Utc>,
}

impl UsageLog {
    fn new(entry: Entry, workspace_id: &str) -> Self {
        let status = u16::try_from(entry.status_code)
            .ok()
            .and_then(|status| http::StatusCode::from_u16(status).ok());
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            id: entry.id,
            workspace_id: workspace_id.to_owned(),
            api_token_id: entry.credential_id,
            method: entry.method,
            endpoint: entry.endpoint,
            status_code: entry.status_code,
            response_time_ms: entry.milliseconds / entry.requests.max(1),
            request_count_in_minute: entry.requests,
            ip_address: said(entry.ip),
            user_agent: said(entry.user_agent),
            error_message: status
                .filter(|status| status.is_client_error() || status.is_server_error())
                .and_then(|status| status.canonical_reason()),
            logged_at: DateTime::from_timestamp(entry.minute, 0).unwrap_or_default(),
        }
    }
}

/// A part of the log.
#[derive(Debug, Serialize, JsonSchema)]
struct UsageList {
    /// The entries, newest first.
    items: Vec<UsageLog>,
    /// How many there are in all; not with a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<i64>,
    /// The page.
    page: i64,
    /// Its size.
    page_size: i64,
    /// Where the next part begins; null at the end.
    next_cursor: Option<String>,
}

/// What the tokens and keys of a workspace were used for, newest first.
///
/// Requests of one token, route and status are one entry per minute. Administrators of the workspace see all of it, others
/// what their own tokens did. Kept for ninety days.
#[operation(
    "integration.usage_logs",
    errors(code::WORKSPACE_NOT_FOUND, code::SCOPE_REQUIRED, codes::BAD_REQUEST)
)]
async fn usage_logs(
    viewer: WorkspaceViewer,
    State(credentials): State<Credentials>,
    Query(query): Query<UsageQuery>,
) -> Result<Json<UsageList>> {
    let mut read = credentials.ctx.db.read().await?;
    let workspace = service::workspace(&mut read, &viewer, query.workspace_id.as_deref()).await?;
    drop(read);
    let after = match query.cursor.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => {
            let cursor = Cursor::decode(text)?;
            Some((cursor.at.timestamp(), cursor.id))
        }
        None => None,
    };
    let wanted = LogQuery {
        token_id: query.token_id,
        status_code: query.status_code,
        after,
        limit: query.page_size + 1,
        offset: if query.cursor.is_some() {
            0
        } else {
            (query.page - 1) * query.page_size
        },
        count: query.cursor.is_none(),
    };
    let service::Log { mut entries, total } = service::log(&credentials, &workspace, wanted).await?;
    let next_cursor = cut(&mut entries, query.page_size).map(|last| {
        let at = DateTime::from_timestamp(last.minute, 0).unwrap_or_default();
        Cursor {
            at,
            id: last.id.clone(),
        }
        .encode()
    });
    Ok(Json(UsageList {
        items: entries
            .into_iter()
            .map(|entry| UsageLog::new(entry, &workspace.id))
            .collect(),
        total,
        page: query.page,
        page_size: query.page_size,
        next_cursor,
    }))
}

/// How the integrations of a workspace are.
#[derive(Debug, Serialize, JsonSchema)]
struct StatusOut {
    /// Live tokens.
    api_tokens_count: i64,
    /// Webhooks; there are none yet, see `warnings`.
    active_webhooks_count: i64,
    /// Active connections with outside accounts.
    oauth_connections_count: i64,
    /// Plugins; there are none yet, see `warnings`.
    installed_plugins_count: i64,
    /// Requests with tokens and keys since midnight in UTC.
    api_requests_today: i64,
    /// What is left of the workspace's requests in this minute.
    rate_limit_remaining: u64,
    /// When the minute ends.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    rate_limit_reset_at: DateTime<Utc>,
    /// What is not counted, because this program does not have it.
    warnings: Vec<&'static str>,
}

/// How the integrations of a workspace are.
#[operation("integration.status", errors(code::WORKSPACE_NOT_FOUND, code::SCOPE_REQUIRED))]
async fn status(
    viewer: WorkspaceViewer,
    State(credentials): State<Credentials>,
    Query(query): Query<WorkspaceQuery>,
) -> Result<Json<StatusOut>> {
    let mut read = credentials.ctx.db.read().await?;
    let workspace = service::workspace(&mut read, &viewer, query.workspace_id.as_deref()).await?;
    drop(read);
    let found = service::status(&credentials, &workspace).await?;
    Ok(Json(StatusOut {
        api_tokens_count: found.api_tokens_count,
        active_webhooks_count: 0,
        oauth_connections_count: found.oauth_connections_count,
        installed_plugins_count: 0,
        api_requests_today: found.api_requests_today,
        rate_limit_remaining: found.rate_limit_remaining,
        rate_limit_reset_at: found.rate_limit_reset_at,
        warnings: vec!["webhooks_unavailable", "plugins_unavailable"],
    }))
}

/// What is left of the limits of the token that asks.
#[derive(Debug, Serialize, JsonSchema)]
struct RateLimitOut {
    /// The tier of its workspace.
    tier: Tier,
    /// Requests per minute of this token.
    limit: u64,
    /// What is left of them.
    remaining: u64,
    /// Requests per minute of the whole workspace.
    workspace_limit: u64,
    /// What is left of them.
    workspace_remaining: u64,
    /// When the minute ends.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    reset_at: DateTime<Utc>,
}

/// What is left of the limits of the token that asks; this request counts.
#[operation("integration.rate_limit", errors(code::WORKSPACE_NOT_FOUND))]
async fn rate_limit(token: Token, State(credentials): State<Credentials>) -> Result<Json<RateLimitOut>> {
    let workspace_id = token.organization_id.as_deref().unwrap_or_default();
    let mut read = credentials.ctx.db.read().await?;
    let terms = tenancy::terms(&mut read, workspace_id).await?;
    let tier = terms.ok_or(Error::WorkspaceNotFound)?.tier;
    drop(read);
    let ctx = &credentials.ctx;
    let limits = limits::tier(credentials.settings.tiers.per_minute(tier), &token.id, workspace_id);
    let windows: Vec<_> = limits.iter().map(|limit| limit.window(0)).collect();
    let usages = ctx.limiter.take_each(&windows, workspace_id, 0).await;
    let at = |index: usize| usages.get(index).map_or((0, 0), |usage| (usage.limit, usage.remaining));
    let wait = usages.first().map_or(0, polity_kernel::limit::Usage::reset_seconds);
    let ((limit, remaining), (workspace_limit, workspace_remaining)) = (at(0), at(1));
    Ok(Json(RateLimitOut {
        tier,
        limit,
        remaining,
        workspace_limit,
        workspace_remaining,
        reset_at: ctx.clock.now() + chrono::Duration::seconds(i64::try_from(wait).unwrap_or(0)),
    }))
}

pub(super) fn add(routes: Routes<Credentials>) -> Routes<Credentials> {
    routes
        .get("/api/v1/integration/tokens/usage-logs", usage_logs())
        .get("/api/v1/integration/status", status())
        .get("/api/v1/integration/rate-limit", rate_limit())
}
