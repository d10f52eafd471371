//! Figures and logs: of one organization for its administrators, of all for the platform's.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::{AdminOrService, Caller, Public},
    clock,
    db::{Cursor, cut},
    http::{FieldError, Json, Path, Problem, Query, Result, Routes, State, codes},
    operation,
    service::ServiceInfo,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OrganizationList, OrganizationResponse, actor, hundred};
use crate::{
    account::PlatformAdmin,
    credential,
    organization::{
        Organizations, SERVICE,
        error::code,
        model::{Plan, Status},
        service,
        store::{Entry, Wanted},
    },
};

/// What the service can do.
#[operation("organization.info")]
async fn info(_: Public) -> Json<ServiceInfo> {
    Json(SERVICE.info(
        "Organizations, their members and roles, and the context people act in",
        [
            ("organizations", SERVICE.base),
            ("context", "/api/v1/organization/organizations/context"),
        ],
    ))
}

/// Figures of the platform.
#[derive(Debug, Serialize, JsonSchema)]
struct PlatformStats {
    /// Organizations that are not deleted.
    total_organizations: i64,
    /// Active ones.
    active_organizations: i64,
    /// Active memberships.
    total_members: i64,
    /// Requests with keys and tokens since midnight in UTC.
    requests_today: i64,
    /// How long these took on the average, in milliseconds; null if there were none.
    average_response_time_ms: Option<i64>,
}

/// Figures of the platform. For administrators and services.
#[operation("organization.platform_stats", errors(codes::FORBIDDEN))]
async fn platform_stats(_: AdminOrService, State(organizations): State<Organizations>) -> Result<Json<PlatformStats>> {
    let mut read = organizations.ctx.db.read().await?;
    let (total, active, members) = service::platform_stats(&mut read).await?;
    let (requests, milliseconds) = credential::calls_today(&mut read, organizations.ctx.clock.now()).await?;
    Ok(Json(PlatformStats {
        total_organizations: total,
        active_organizations: active,
        total_members: members,
        requests_today: requests,
        average_response_time_ms: milliseconds,
    }))
}

/// Which organizations.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct AllQuery {
    /// How many at most.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "hundred")]
    limit: i64,
    /// How many to leave out.
    #[garde(range(min = 0, max = 1_000_000_000))]
    #[serde(default)]
    offset: i64,
    /// A part of name, domain or billing address.
    #[garde(length(chars, min = 1, max = 100))]
    search: Option<String>,
    /// Only those with this plan.
    #[garde(skip)]
    plan: Option<Plan>,
    /// Only those in this status.
    #[garde(skip)]
    status: Option<Status>,
}

/// Lists all organizations, newest first. For administrators of the platform.
#[operation("organization.admin_list", errors(codes::FORBIDDEN))]
async fn all(
    _: PlatformAdmin,
    State(organizations): State<Organizations>,
    Query(query): Query<AllQuery>,
) -> Result<Json<OrganizationList>> {
    let wanted = Wanted {
        search: query.search,
        plan: query.plan,
        status: query.status,
    };
    let mut read = organizations.ctx.db.read().await?;
    let page = service::all(&mut read, wanted, (query.limit, query.offset)).await?;
    Ok(Json(OrganizationList {
        organizations: page
            .items
            .into_iter()
            .map(|one| OrganizationResponse::new(one, None))
            .collect(),
        total: page.total.unwrap_or_default(),
        limit: query.limit,
        offset: query.offset,
    }))
}

/// Figures of an organization.
#[derive(Debug, Serialize, JsonSchema)]
struct OrgStats {
    /// Which.
    organization_id: String,
    /// Its name.
    name: String,
    /// What it pays for.
    plan: Plan,
    /// How it is.
    status: Status,
    /// How many active members it has.
    member_count: i64,
    /// The same.
    active_members: i64,
    /// 0: there is no service that counts credits.
    credits_pool: i64,
    /// 0, as above.
    credits_used_this_month: i64,
    /// 0: there is no service that counts storage.
    storage_used_gb: i64,
    /// Requests with its keys and tokens since the month began.
    api_calls_this_month: i64,
    /// When it was made.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
    /// Null: there is no service of subscriptions.
    subscription_expires_at: Option<DateTime<Utc>>,
}

/// Figures of an organization. For its members.
#[operation("organization.stats", errors(code::ORGANIZATION_NOT_FOUND, codes::FORBIDDEN))]
async fn stats(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path(organization_id): Path<String>,
) -> Result<Json<OrgStats>> {
    let mut read = organizations.ctx.db.read().await?;
    let (found, calls) = service::stats(&mut read, &organizations, &actor(&caller)?, &organization_id).await?;
    Ok(Json(OrgStats {
        organization_id: found.organization_id,
        name: found.name,
        plan: found.plan,
        status: found.status,
        member_count: found.member_count,
        active_members: found.member_count,
        credits_pool: 0,
        credits_used_this_month: 0,
        storage_used_gb: 0,
        api_calls_this_month: calls,
        created_at: found.created_at,
        subscription_expires_at: None,
    }))
}

/// Which period.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct UsageQuery {
    /// From when; left out, from the first of the month of `end_date`.
    #[garde(skip)]
    start_date: Option<DateTime<Utc>>,
    /// Until when; left out, until now.
    #[garde(skip)]
    end_date: Option<DateTime<Utc>>,
}

/// What was used in an organization.
#[derive(Debug, Serialize, JsonSchema)]
struct OrgUsage {
    /// The organization.
    organization_id: String,
    /// From when.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    period_start: DateTime<Utc>,
    /// Until when.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    period_end: DateTime<Utc>,
    /// 0: there is no service that counts credits.
    credits_consumed: i64,
    /// Requests with its keys and tokens.
    api_calls: i64,
    /// 0: there is no service that counts storage.
    storage_gb_hours: i64,
    /// Null: nothing counts by person yet.
    active_users: Option<i64>,
    /// Empty, as above.
    top_users: Vec<String>,
    /// Requests by service.
    usage_by_service: BTreeMap<&'static str, i64>,
}

/// What was used in an organization in a period. For its administrators.
#[operation("organization.usage", errors(code::ORGANIZATION_NOT_FOUND, codes::FORBIDDEN))]
async fn usage(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path(organization_id): Path<String>,
    Query(query): Query<UsageQuery>,
) -> Result<Json<OrgUsage>> {
    let mut read = organizations.ctx.db.read().await?;
    let period = (query.start_date, query.end_date);
    if let (Some(start), Some(end)) = period
        && start > end
    {
        let error = FieldError::new("query", &["start_date"], "must not be after end_date", "value_error");
        return Err(Problem::validation(vec![error]));
    }
    let found = service::usage(&mut read, &organizations, &actor(&caller)?, &organization_id, period).await?;
    Ok(Json(OrgUsage {
        organization_id,
        period_start: found.period_start,
        period_end: found.period_end,
        credits_consumed: 0,
        api_calls: found.api_calls,
        storage_gb_hours: 0,
        active_users: None,
        top_users: Vec::new(),
        usage_by_service: found.by_service,
    }))
}

/// Which part of the log.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct AuditQuery {
    /// How many at most.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "hundred")]
    limit: i64,
    /// Where to go on: `next_cursor` of the part before.
    #[garde(length(chars, max = 512))]
    cursor: Option<String>,
}

/// Something that was done in an organization.
#[derive(Debug, Serialize, JsonSchema)]
struct AuditEntry {
    /// The id of the entry.
    id: String,
    /// Who did it.
    actor_id: String,
    /// What.
    action: String,
    /// To whom.
    target_id: Option<String>,
    /// More about it.
    data: serde_json::Value,
    /// When.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
}

/// What was done in an organization.
#[derive(Debug, Serialize, JsonSchema)]
struct AuditList {
    /// The entries, newest first.
    items: Vec<AuditEntry>,
    /// Where the next part begins; null at the end.
    next_cursor: Option<String>,
}

/// What was done in an organization, newest first. For its administrators.
#[operation(
    "organization.audit",
    errors(code::ORGANIZATION_NOT_FOUND, codes::FORBIDDEN, codes::BAD_REQUEST)
)]
async fn audit(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path(organization_id): Path<String>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<AuditList>> {
    let after = query.cursor.as_deref().filter(|text| !text.is_empty());
    let after = after.map(Cursor::decode).transpose()?;
    let mut read = organizations.ctx.db.read().await?;
    let wanted = (organization_id.as_str(), after.as_ref());
    let mut found = service::trail(&mut read, &actor(&caller)?, wanted.0, wanted.1, query.limit + 1).await?;
    let next_cursor = cut(&mut found, query.limit).map(|last| {
        let (at, id) = (last.created_at, last.id.clone());
        Cursor { at, id }.encode()
    });
    let entry = |entry: Entry| AuditEntry {
        id: entry.id,
        actor_id: entry.actor_id,
        action: entry.action,
        target_id: entry.target_id,
        data: entry.data,
        created_at: entry.created_at,
    };
    Ok(Json(AuditList {
        items: found.into_iter().map(entry).collect(),
        next_cursor,
    }))
}

pub(super) fn add(routes: Routes<Organizations>) -> Routes<Organizations> {
    routes
        .get("/api/v1/organization/info", info())
        .get("/api/v1/organization/stats", platform_stats())
        .get("/api/v1/organization/admin/organizations", all())
        .get("/api/v1/organization/organizations/{organization_id}/stats", stats())
        .get("/api/v1/organization/organizations/{organization_id}/usage", usage())
        .get("/api/v1/organization/organizations/{organization_id}/audit", audit())
}
