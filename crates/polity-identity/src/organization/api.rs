//! What the service answers, from top to bottom: bodies, conversions, handlers, routes.

mod admin;
mod archive;
mod context;
mod members;
mod sharing;

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::Caller,
    clock,
    http::{self, Given, Idempotency, Json, Path, Problem, Query, Reply, Result, Routes, State, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::credential;

use super::{
    Organizations,
    error::code,
    model::{Details, Kind, Organization, Plan, RateLimits, Role, Security, Status},
    service::{self, Actor, Change, New},
};

/// Who acts; what acts for nobody is not let in.
fn actor(caller: &Caller) -> Result<Actor> {
    Actor::of(caller).ok_or_else(|| Problem::unauthenticated("User authentication required"))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the validator hands its context over by reference"
)]
fn not_blank(text: &str, (): &()) -> garde::Result {
    if text.trim().is_empty() {
        return Err(garde::Error::new("must not be blank"));
    }
    Ok(())
}

/// An organization to make.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct OrgCreate {
    /// Its name.
    #[garde(length(chars, max = 100), custom(not_blank))]
    #[schemars(example = &"Analytical Engines", extend("pattern" = r"\S"))]
    name: String,
    /// Its domain.
    #[garde(length(chars, max = 255))]
    #[schemars(example = &"example.com")]
    domain: Option<String>,
    /// Where bills go.
    #[garde(custom(http::email))]
    #[schemars(example = &"billing@example.com", extend("format" = "email", "maxLength" = 254))]
    billing_email: String,
    /// What it pays for; it begins with free.
    #[garde(skip)]
    #[serde(default = "free")]
    plan: Plan,
    /// An open object of its own, at most 64 KB.
    #[garde(skip)]
    #[serde(default)]
    settings: Map<String, serde_json::Value>,
    /// What kind it is; never changes.
    #[garde(skip)]
    #[serde(rename = "type")]
    kind: Option<Kind>,
    /// Optional facts.
    #[garde(dive)]
    #[serde(flatten)]
    details: DetailsIn,
}

fn free() -> Plan {
    Plan::Free
}

/// Optional facts about an organization.
#[derive(Debug, Default, Deserialize, Validate, JsonSchema)]
struct DetailsIn {
    /// What it likes to be called by.
    #[garde(length(chars, max = 255))]
    display_name: Option<String>,
    /// What it does.
    #[garde(length(chars, max = 2_000))]
    description: Option<String>,
    /// In which industry.
    #[garde(length(chars, max = 100))]
    industry: Option<String>,
    /// How large it is.
    #[garde(length(chars, max = 50))]
    size: Option<String>,
    /// Where it is on the web.
    #[garde(length(chars, max = 500))]
    website: Option<String>,
    /// Its sign.
    #[garde(length(chars, max = 500))]
    logo_url: Option<String>,
}

impl From<DetailsIn> for Details {
    fn from(given: DetailsIn) -> Self {
        let DetailsIn {
            display_name,
            description,
            industry,
            size,
            website,
            logo_url,
        } = given;
        Self {
            display_name,
            description,
            industry,
            size,
            website,
            logo_url,
        }
    }
}

/// What is to change; what is left out stays.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct OrgUpdate {
    /// Its name.
    #[garde(length(chars, max = 100), inner(custom(not_blank)))]
    #[schemars(example = &"Analytical Engines", extend("pattern" = r"\S"))]
    name: Option<String>,
    /// Its domain; null: none.
    #[garde(skip)]
    #[serde(default)]
    domain: Given<String>,
    /// Where bills go.
    #[garde(inner(custom(http::email)))]
    #[schemars(example = &"billing@example.com", extend("format" = "email", "maxLength" = 254))]
    billing_email: Option<String>,
    /// What it pays for. Administrators of an organization may keep it or give it up; the rest is billing's.
    #[garde(skip)]
    plan: Option<Plan>,
    /// How it is; for services and administrators of the platform.
    #[garde(skip)]
    status: Option<Status>,
    /// An open object of its own, at most 64 KB; replaces what is there.
    #[garde(skip)]
    settings: Option<Map<String, serde_json::Value>>,
    /// What it demands of its members; replaces what is there.
    #[garde(skip)]
    security: Option<Security>,
    /// Optional facts; replace what is there.
    #[garde(dive)]
    details: Option<DetailsIn>,
}

/// An organization.
#[derive(Debug, Serialize, JsonSchema)]
struct OrganizationResponse {
    /// Its id.
    organization_id: String,
    /// Its name.
    name: String,
    /// Its domain.
    domain: Option<String>,
    /// Where bills go.
    billing_email: String,
    /// What it pays for.
    plan: Plan,
    /// How it is.
    status: Status,
    /// How many active members it has.
    member_count: i64,
    /// 0: there is no service that counts credits.
    credits_pool: i64,
    /// An open object of its own.
    settings: Map<String, serde_json::Value>,
    /// What it demands of its members.
    security: Security,
    /// What kind it is.
    #[serde(rename = "type")]
    kind: Option<Kind>,
    /// Optional facts.
    #[serde(flatten)]
    details: Details,
    /// Why it was suspended, or what somebody should look at.
    flag: Option<String>,
    /// When it was made.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
    /// When it was last changed.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    updated_at: DateTime<Utc>,
    /// What the caller is in it.
    user_role: Option<Role>,
}

impl OrganizationResponse {
    fn new(found: Organization, user_role: Option<Role>) -> Self {
        Self {
            organization_id: found.organization_id,
            name: found.name,
            domain: found.domain,
            billing_email: found.billing_email,
            plan: found.plan,
            status: found.status,
            member_count: found.member_count,
            credits_pool: 0,
            settings: found.settings.0,
            security: found.security.0,
            kind: found.kind,
            details: found.details.0,
            flag: found.flag,
            created_at: found.created_at,
            updated_at: found.updated_at,
            user_role,
        }
    }
}

/// Makes an organization; whoever asks is its owner.
#[operation("organization.create", errors(codes::BAD_REQUEST, code::LIMIT_REACHED))]
async fn create(
    caller: Caller,
    State(organizations): State<Organizations>,
    body: Idempotency<OrgCreate>,
) -> Result<Reply<OrganizationResponse>> {
    let (body, key) = body.into_parts();
    let actor = actor(&caller)?;
    let ctx = &organizations.ctx;
    let mut tx = ctx.db.begin().await?;
    if let Some(answer) = http::replay(ctx, &mut tx, key.as_ref()).await? {
        return Ok(answer.into());
    }
    let new = New {
        name: body.name.trim().to_owned(),
        domain: body.domain,
        billing_email: body.billing_email.trim().to_lowercase(),
        plan: body.plan,
        kind: body.kind,
        details: body.details.into(),
        settings: body.settings,
    };
    let (made, owner) = service::create(&mut tx, &organizations, &actor, new).await?;
    let out = OrganizationResponse::new(made, Some(owner.role));
    http::keep(ctx, &mut tx, key.as_ref(), 200, &out).await?;
    tx.commit().await?;
    Ok(Json(out).into())
}

/// Which part of a list.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct PageQuery {
    /// How many at most.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "hundred")]
    limit: i64,
    /// How many to leave out.
    #[garde(range(min = 0, max = 1_000_000_000))]
    #[serde(default)]
    offset: i64,
}

fn hundred() -> i64 {
    100
}

/// Organizations.
#[derive(Debug, Serialize, JsonSchema)]
struct OrganizationList {
    /// The organizations.
    organizations: Vec<OrganizationResponse>,
    /// How many there are in all.
    total: i64,
    /// How many were asked for.
    limit: i64,
    /// How many were left out.
    offset: i64,
}

async fn of_person(organizations: &Organizations, user_id: &str, query: &PageQuery) -> Result<Json<OrganizationList>> {
    let mut read = organizations.ctx.db.read().await?;
    let page = service::of_person(&mut read, user_id, (query.limit, query.offset)).await?;
    let items = page.items.into_iter();
    Ok(Json(OrganizationList {
        organizations: items
            .map(|(found, role)| OrganizationResponse::new(found, Some(role)))
            .collect(),
        total: page.total.unwrap_or_default(),
        limit: query.limit,
        offset: query.offset,
    }))
}

/// The organizations one is an active member of, newest membership first.
#[operation("organization.list")]
async fn list(
    caller: Caller,
    State(organizations): State<Organizations>,
    Query(query): Query<PageQuery>,
) -> Result<Json<OrganizationList>> {
    let user_id = caller
        .user_id()
        .ok_or_else(|| Problem::unauthenticated("User authentication required"))?;
    of_person(&organizations, user_id, &query).await
}

/// The organizations of a person; for themselves, administrators and services.
#[operation("organization.list_of_user", errors(codes::FORBIDDEN))]
async fn list_of_user(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path(user_id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<OrganizationList>> {
    if !caller.may_act_for(&user_id) {
        return Err(Problem::new(
            codes::FORBIDDEN,
            "You can only see your own organizations",
        ));
    }
    of_person(&organizations, &user_id, &query).await
}

/// An organization. For its members, services and administrators of the platform; to others it is not there.
#[operation("organization.get", errors(code::ORGANIZATION_NOT_FOUND, codes::FORBIDDEN))]
async fn get(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path(organization_id): Path<String>,
) -> Result<Json<OrganizationResponse>> {
    let mut read = organizations.ctx.db.read().await?;
    let (found, role) = service::get(&mut read, &actor(&caller)?, &organization_id).await?;
    Ok(Json(OrganizationResponse::new(found, role)))
}

/// Changes an organization. For its administrators.
#[operation(
    "organization.update",
    errors(code::ORGANIZATION_NOT_FOUND, codes::FORBIDDEN, codes::BAD_REQUEST)
)]
async fn update(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path(organization_id): Path<String>,
    Json(body): Json<OrgUpdate>,
) -> Result<Json<OrganizationResponse>> {
    if body.domain.value().is_some_and(|domain| domain.chars().count() > 255) {
        return Err(Problem::field(
            &["domain"],
            "String should have at most 255 characters",
            "string_too_long",
        ));
    }
    if let Some(security) = &body.security
        && (security.allowed_email_domains.len() > 100
            || security.allowed_email_domains.iter().any(|one| one.len() > 255))
    {
        let text = "may name at most 100 domains of at most 255 characters";
        return Err(Problem::field(&["security", "allowed_email_domains"], text, "too_long"));
    }
    let change = Change {
        name: body.name.map(|name| name.trim().to_owned()),
        domain: body.domain,
        billing_email: body.billing_email.map(|email| email.trim().to_lowercase()),
        plan: body.plan,
        status: body.status,
        details: body.details.map(Details::from),
        settings: body.settings,
        security: body.security,
    };
    let actor = actor(&caller)?;
    let mut tx = organizations.ctx.db.begin().await?;
    let (changed, role) = service::update(&mut tx, &organizations, &actor, &organization_id, change).await?;
    tx.commit().await?;
    Ok(Json(OrganizationResponse::new(changed, role)))
}

/// A sentence that says what was done.
#[derive(Debug, Serialize, JsonSchema)]
struct Message {
    /// The sentence.
    message: &'static str,
}

/// Deletes an organization for good: it is hidden everywhere, and its memberships end. For an owner.
#[operation("organization.delete", errors(code::ORGANIZATION_NOT_FOUND, codes::FORBIDDEN))]
async fn delete(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path(organization_id): Path<String>,
) -> Result<Json<Message>> {
    let actor = actor(&caller)?;
    let mut tx = organizations.ctx.db.begin().await?;
    service::delete(&mut tx, &organizations, &actor, &organization_id).await?;
    tx.commit().await?;
    Ok(Json(Message {
        message: "Organization deleted successfully",
    }))
}

/// The limits of an organization.
#[derive(Debug, Serialize, JsonSchema)]
struct Limits {
    /// The limits, for keys that have none of their own.
    rate_limits: credential::RateLimitsOut,
    /// `configured`, or `unset` if nobody set any.
    source: &'static str,
}

impl Limits {
    fn new(limits: Option<RateLimits>) -> Json<Self> {
        let set = credential::RateLimitsOut::set(&limits.clone().unwrap_or_default());
        Json(Self {
            rate_limits: set,
            source: if limits.is_some() { "configured" } else { "unset" },
        })
    }
}

/// The limits of an organization. For its members.
#[operation("organization.get_limits", errors(code::ORGANIZATION_NOT_FOUND, codes::FORBIDDEN))]
async fn get_limits(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path(organization_id): Path<String>,
) -> Result<Json<Limits>> {
    let mut read = organizations.ctx.db.read().await?;
    Ok(Limits::new(
        service::limits(&mut read, &actor(&caller)?, &organization_id).await?,
    ))
}

/// New limits of an organization.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(transparent)]
struct LimitsIn {
    /// Null or left out: no limit.
    #[garde(skip)]
    #[schemars(with = "credential::RateLimitsOut")]
    limits: RateLimits,
}

/// Replaces all four limits of an organization. For its administrators.
#[operation("organization.set_limits", errors(code::ORGANIZATION_NOT_FOUND, codes::FORBIDDEN))]
async fn set_limits(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path(organization_id): Path<String>,
    Json(body): Json<LimitsIn>,
) -> Result<Json<Limits>> {
    let actor = actor(&caller)?;
    let mut tx = organizations.ctx.db.begin().await?;
    let limits = service::set_limits(&mut tx, &organizations, &actor, &organization_id, body.limits).await?;
    tx.commit().await?;
    Ok(Limits::new(Some(limits)))
}

/// The operations.
pub(super) fn routes() -> Routes<Organizations> {
    let routes = Routes::new("organization")
        .post("/api/v1/organization/organizations", create())
        .get("/api/v1/organization/organizations", list())
        .get("/api/v1/organization/organizations/users/{user_id}", list_of_user())
        .get("/api/v1/organization/organizations/{organization_id}", get())
        .put("/api/v1/organization/organizations/{organization_id}", update())
        .delete("/api/v1/organization/organizations/{organization_id}", delete())
        .get(
            "/api/v1/organization/organizations/{organization_id}/rate-limits",
            get_limits(),
        )
        .put(
            "/api/v1/organization/organizations/{organization_id}/rate-limits",
            set_limits(),
        );
    archive::add(sharing::add(admin::add(context::add(members::add(routes)))))
}
