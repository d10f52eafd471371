//! What is used of what is shared.

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::Caller,
    clock,
    http::{self, FieldError, Idempotency, Json, Path, Problem, Query, Reply, Result, Routes, State, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::actor;
use crate::organization::{
    Organizations,
    error::code,
    model::sharing::{Object, Period, Permission, ResourceType},
    service::sharing::{self, Figures, Report, Use, Used},
};

/// What was used of a sharing until now.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SharingUsageStats")]
pub(super) struct UsageStats {
    /// The window that its quotas count in.
    quota_type: Period,
    /// What all may use together in a window; null: any amount.
    total_quota: Option<i64>,
    /// What all have used in the current one.
    quota_used: i64,
    /// The same in percent, 0 to 100; null if there is no quota for all.
    quota_utilization: Option<f64>,
    /// What all have used, ever.
    total_used: i64,
    /// How often.
    total_uses: i64,
}

impl From<Figures> for UsageStats {
    fn from(figures: Figures) -> Self {
        Self {
            quota_type: figures.period,
            total_quota: figures.quota,
            quota_used: figures.used,
            quota_utilization: figures.utilization(),
            total_used: figures.total_used,
            total_uses: figures.total_uses,
        }
    }
}

/// A use.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[schemars(rename = "SharingUseIn")]
struct UseIn {
    /// How much, in what the quotas of the sharing count. 0 asks whether it may be used, and counts a use of nothing.
    #[garde(range(min = 0_i64, max = 1_000_000_000_000_i64))]
    #[serde(default = "one")]
    #[schemars(example = &1)]
    amount: i64,
    /// Which permission it takes at least.
    #[garde(skip)]
    #[serde(default = "view_only")]
    permission: Permission,
    /// Who uses it, if a service asks; left out: whoever asks.
    #[garde(length(chars, min = 1, max = 255))]
    user_id: Option<String>,
}

fn one() -> i64 {
    1
}

fn view_only() -> Permission {
    Permission::ViewOnly
}

/// What came of a use.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SharingUseOut")]
struct UseOut {
    /// Of which sharing.
    sharing_id: String,
    /// By whom.
    user_id: String,
    /// What they may do.
    permission_level: Permission,
    /// What holds for them; whoever serves the thing sees to it.
    restrictions: Object,
    /// How much was used.
    amount: i64,
    /// The window that the quotas count in.
    quota_type: Period,
    /// What the member may use in a window; null: any amount.
    quota_allocated: Option<i64>,
    /// What they have used in the current one.
    quota_used: i64,
    /// What they may still use in it; null: any amount.
    quota_remaining: Option<i64>,
    /// What all may use together in a window; null: any amount.
    total_quota: Option<i64>,
    /// What all have used in the current one.
    total_used: i64,
}

impl UseOut {
    fn new(sharing_id: String, amount: i64, used: Used) -> Self {
        let (member_used, allocated) = used.member;
        let (total_used, total_quota) = used.all;
        Self {
            sharing_id,
            user_id: used.user_id,
            permission_level: used.level,
            restrictions: used.restrictions,
            amount,
            quota_type: used.period,
            quota_allocated: allocated,
            quota_used: member_used,
            quota_remaining: allocated.map(|most| (most - member_used).max(0)),
            total_quota,
            total_used,
        }
    }
}

/// Uses something shared: says whether the member may, and counts it against the quotas, both at once. For the member, and
/// for services that serve the thing. A quota that is used up answers 429 and names itself.
#[operation(
    "organization.use_sharing",
    errors(
        code::ORGANIZATION_NOT_FOUND,
        code::SHARING_NOT_FOUND,
        code::QUOTA_EXCEEDED,
        codes::BAD_REQUEST,
        codes::FORBIDDEN
    )
)]
async fn use_sharing(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path((organization_id, sharing_id)): Path<(String, String)>,
    body: Idempotency<UseIn>,
) -> Result<Reply<UseOut>> {
    let (body, key) = body.into_parts();
    let actor = actor(&caller)?;
    let ctx = &organizations.ctx;
    let mut tx = ctx.db.begin().await?;
    if let Some(answer) = http::replay(ctx, &mut tx, key.as_ref()).await? {
        return Ok(answer.into());
    }
    let wanted = Use {
        user_id: body.user_id,
        amount: body.amount,
        needs: body.permission,
    };
    let place = (organization_id.as_str(), sharing_id.as_str());
    let used = sharing::use_shared(&mut tx, &organizations, &actor, place, wanted).await?;
    let out = UseOut::new(sharing_id, body.amount, used);
    http::keep(ctx, &mut tx, key.as_ref(), 200, &out).await?;
    tx.commit().await?;
    Ok(Json(out).into())
}

/// Which period.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct PeriodQuery {
    /// From when.
    #[garde(skip)]
    period_start: DateTime<Utc>,
    /// Until when.
    #[garde(skip)]
    period_end: DateTime<Utc>,
}

/// What was used.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SharingUsageSum")]
struct Usage {
    /// How much.
    amount: i64,
    /// How often.
    uses: i64,
}

/// What a member used.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SharingMemberUsage")]
struct MemberUsage {
    /// Who.
    user_id: String,
    /// How much.
    amount: i64,
    /// How often.
    uses: i64,
}

/// What was used of a sharing in a period.
#[derive(Debug, Serialize, JsonSchema)]
struct SharingUsage {
    /// The sharing.
    sharing_id: String,
    /// What kind of thing.
    resource_type: ResourceType,
    /// Which.
    resource_id: String,
    /// How many have access, besides its creator.
    total_members: i64,
    /// How many used it in the period.
    active_members: i64,
    /// What all used in the period.
    total_usage: Usage,
    /// What each used, most first; the first thousand.
    member_usage: Vec<MemberUsage>,
    /// How much of the quota for all is used in its current window, in percent, 0 to 100; null if there is none.
    quota_utilization: Option<f64>,
    /// From when.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    period_start: DateTime<Utc>,
    /// Until when.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    period_end: DateTime<Utc>,
}

impl SharingUsage {
    fn new(report: Report, query: &PeriodQuery) -> Self {
        let members = report.members.into_iter();
        Self {
            sharing_id: report.sharing.sharing_id,
            resource_type: report.sharing.resource_type,
            resource_id: report.sharing.resource_id,
            total_members: report.sharing.total_members_shared,
            active_members: report.active_members,
            total_usage: Usage {
                amount: report.used,
                uses: report.uses,
            },
            member_usage: members
                .map(|(user_id, amount, uses)| MemberUsage { user_id, amount, uses })
                .collect(),
            quota_utilization: report.figures.utilization(),
            period_start: query.period_start,
            period_end: query.period_end,
        }
    }
}

/// What was used of a sharing in a period, by whole days in UTC. For its creator and administrators.
#[operation(
    "organization.sharing_usage",
    errors(code::ORGANIZATION_NOT_FOUND, code::SHARING_NOT_FOUND, codes::FORBIDDEN)
)]
async fn usage(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path((organization_id, sharing_id)): Path<(String, String)>,
    Query(query): Query<PeriodQuery>,
) -> Result<Json<SharingUsage>> {
    if query.period_start > query.period_end {
        let text = "must not be after period_end";
        let error = FieldError::new("query", &["period_start"], text, "value_error");
        return Err(Problem::validation(vec![error]));
    }
    let place = (organization_id.as_str(), sharing_id.as_str());
    let period = (query.period_start, query.period_end);
    let now = organizations.ctx.clock.now();
    let mut read = organizations.ctx.db.read().await?;
    let report = sharing::report(&mut read, &actor(&caller)?, place, period, now).await?;
    Ok(Json(SharingUsage::new(report, &query)))
}

pub(super) fn add(routes: Routes<Organizations>) -> Routes<Organizations> {
    routes
        .post(
            "/api/v1/organization/organizations/{organization_id}/sharing/{sharing_id}/use",
            use_sharing(),
        )
        .get(
            "/api/v1/organization/organizations/{organization_id}/sharing/{sharing_id}/usage",
            usage(),
        )
}
