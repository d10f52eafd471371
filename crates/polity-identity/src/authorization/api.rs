//! What the service answers, from top to bottom: bodies, conversions, handlers, routes.

mod catalogue;
mod grants;
mod listing;
mod roles;

use chrono::{DateTime, Datelike, NaiveDateTime, Utc};
use garde::Validate;
use polity_kernel::{
    VERSION,
    caller::{AdminOrService, Caller, Public},
    clock,
    db::{CursorError, Place},
    http::{Json, Problem, Result, Routes, State, codes},
    operation,
    service::ServiceInfo,
};
use polity_ports::authorization::{AccessLevel, Ask, ResourceType};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Value, json};

use super::{
    Authorization, SERVICE,
    engine::Decided,
    error::code,
    model::{Decision, LONGEST_NAME, Person, Source, Stage, Step, normal, plan},
    service::{self, Asked, Limited},
};

/// What the service can do.
#[operation("authorization.info")]
async fn info(_: Public) -> Json<ServiceInfo> {
    Json(SERVICE.info(
        "Who may use what, and why",
        [
            ("check_access", "/api/v1/authorization/check-access"),
            ("explain", "/api/v1/authorization/explain"),
            ("grant", "/api/v1/authorization/grant"),
            ("revoke", "/api/v1/authorization/revoke"),
            ("visible_resources", "/api/v1/authorization/visible-resources/{user_id}"),
        ],
    ))
}

/// Figures.
#[derive(Debug, Serialize, JsonSchema)]
struct Statistics {
    /// Permissions that people were given.
    total_permissions: i64,
    /// How many people have some.
    active_users: i64,
    /// Of how many types they are.
    resource_types: i64,
}

/// Figures of the service.
#[derive(Debug, Serialize, JsonSchema)]
struct Stats {
    /// Its name.
    service: &'static str,
    /// The version of the program.
    version: &'static str,
    /// `operational`.
    status: &'static str,
    /// How long this process has run, in seconds.
    uptime: i64,
    /// How many operations it has.
    endpoints_count: usize,
    /// What it keeps.
    statistics: Statistics,
}

/// Figures of the service. For administrators and services.
#[operation("authorization.stats", errors(codes::FORBIDDEN))]
async fn stats(_: AdminOrService, State(authorization): State<Authorization>) -> Result<Json<Stats>> {
    let (total_permissions, active_users, resource_types) = service::stats(&authorization).await?;
    Ok(Json(Stats {
        service: SERVICE.contract_name,
        version: VERSION,
        status: "operational",
        uptime: i64::try_from(authorization.opened.elapsed().as_secs()).unwrap_or(i64::MAX),
        endpoints_count: (SERVICE.describe)().len(),
        statistics: Statistics {
            total_permissions,
            active_users,
            resource_types,
        },
    }))
}

/// A moment; one without a time zone is in UTC (EC-002). Both databases keep whole microseconds of the years 1 to 9999.
fn moment<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<DateTime<Utc>>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else {
        return Ok(None);
    };
    let naive = || text.parse::<NaiveDateTime>().map(|naive| naive.and_utc());
    let moment = text.parse::<DateTime<Utc>>().or_else(|_| naive());
    let moment = moment.map_err(de::Error::custom)?;
    if !(1..=9999).contains(&moment.year()) {
        return Err(de::Error::custom("a moment is in the years 1 to 9999"));
    }
    Ok(Some(clock::from_micros(clock::micros(moment))))
}

/// A name that says something, of at most 255 characters, also as it is stored (BR-ACL-003, EC-013).
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "garde hands the context over by reference"
)]
fn name(text: &str, _: &()) -> garde::Result {
    if text.trim().is_empty() {
        return Err(garde::Error::new("must not be blank"));
    }
    if text.chars().count() > LONGEST_NAME || normal(text).chars().count() > LONGEST_NAME {
        return Err(garde::Error::new("may have at most 255 characters"));
    }
    Ok(())
}

/// What somebody wants to do with a resource.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct AccessRequest {
    /// Who.
    #[garde(custom(name))]
    #[schemars(length(min = 1, max = 255), extend("pattern" = r"\S"), example = &"usr_01a1fb4e7b4b73df93c4746cc8a8b943")]
    user_id: String,
    /// What kind of thing.
    #[garde(skip)]
    resource_type: ResourceType,
    /// Which.
    #[garde(custom(name))]
    #[schemars(length(min = 1, max = 255), extend("pattern" = r"\S"), example = &"weather_api")]
    resource_name: String,
    /// What for.
    #[garde(skip)]
    #[serde(default = "read_only")]
    required_access_level: AccessLevel,
    /// In which organization; left out: in the one they act in.
    #[garde(length(chars, max = 255))]
    organization_id: Option<String>,
    /// Anything; it decides nothing.
    #[garde(skip)]
    #[serde(default)]
    #[expect(dead_code, reason = "the contract accepts it, and lets it decide nothing")]
    context: Option<serde_json::Map<String, Value>>,
}

fn read_only() -> AccessLevel {
    AccessLevel::ReadOnly
}

impl AccessRequest {
    fn ask(&self) -> Ask<'_> {
        Ask {
            user_id: &self.user_id,
            resource_type: self.resource_type,
            resource_name: &self.resource_name,
            level: self.required_access_level,
            organization_id: self.organization_id.as_deref().filter(|id| !id.is_empty()),
        }
    }
}

/// Whether somebody may, and why.
#[derive(Debug, Serialize, JsonSchema)]
struct AccessResponse {
    /// Whether they may.
    has_access: bool,
    /// The level of what decided; `none` if they may not.
    user_access_level: AccessLevel,
    /// On what it rests; `system_default` if they may not.
    permission_source: Source,
    /// What they pay for.
    subscription_tier: Option<&'static str>,
    /// What the organization pays for that was named, or that they act in.
    organization_plan: Option<&'static str>,
    /// Why.
    reason: String,
    /// When that ends.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    expires_at: Option<DateTime<Utc>>,
    /// What the deciding entry of an organization or of the catalogue says.
    metadata: Option<Value>,
}

impl AccessResponse {
    fn new(person: &Person, decision: Decision, organization_id: Option<&str>) -> Self {
        let organization_id = organization_id.or(person.acts_in.as_deref());
        let standing = person
            .standings
            .iter()
            .find(|standing| organization_id == Some(standing.organization_id.as_str()));
        let organization = decision.organization.map(
            |(id, is, must)| json!({ "organization_id": id, "org_plan": is.as_str(), "plan_required": must.as_str() }),
        );
        let catalogue = decision
            .catalogue
            .map(|(tier, category)| json!({ "subscription_required": tier.as_str(), "resource_category": category }));
        Self {
            has_access: decision.is_granted,
            user_access_level: decision.level,
            permission_source: decision.source,
            subscription_tier: person.is_active.then(|| person.tier.as_str()),
            organization_plan: standing.map(|standing| plan(standing.plan).as_str()),
            reason: decision.reason,
            expires_at: decision.expires_at,
            metadata: organization.or(catalogue),
        }
    }

    /// What is answered when nothing could be decided: a refusal, and nothing of what is behind it.
    fn failed() -> Self {
        Self {
            has_access: false,
            user_access_level: AccessLevel::None,
            permission_source: Source::SystemDefault,
            subscription_tier: None,
            organization_plan: None,
            reason: "Access check failed: it cannot be decided now; please retry".to_owned(),
            expires_at: None,
            metadata: None,
        }
    }
}

/// Refuses who may not ask about a person: anybody but themselves, administrators and services.
fn check_asker(caller: &Caller, user_id: &str) -> Result<()> {
    if caller.may_act_for(user_id) {
        return Ok(());
    }
    let text = "You can only ask about yourself";
    Err(Problem::new(codes::FORBIDDEN, text))
}

/// Whether somebody may use a resource. Answers 200 also when they may not.
///
/// In this order: what an administrator gave them, what the organization has that was named or that they act in, what they pay
/// for, what else they were given; the first that suffices. For oneself, administrators and services.
#[operation("authorization.check_access", errors(codes::FORBIDDEN, codes::RATE_LIMITED))]
async fn check_access(
    caller: Caller,
    State(authorization): State<Authorization>,
    Json(body): Json<AccessRequest>,
) -> Result<Json<AccessResponse>> {
    check_asker(&caller, &body.user_id)?;
    service::limit(&authorization, &caller, Limited::Check, 1).await?;
    let ask = body.ask();
    Ok(Json(match authorization.decide(ask).await {
        Ok(Decided { person, decision }) => AccessResponse::new(&person, decision, ask.organization_id),
        Err(error) => {
            tracing::error!(error = %error, "access could not be decided, and is refused");
            AccessResponse::failed()
        }
    }))
}

/// One of many checks.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct OneCheck {
    /// What kind of thing.
    #[garde(skip)]
    resource_type: ResourceType,
    /// Which.
    #[garde(custom(name))]
    #[schemars(length(min = 1, max = 255), extend("pattern" = r"\S"))]
    resource_name: String,
    /// What for.
    #[garde(skip)]
    #[serde(default = "read_only")]
    required_access_level: AccessLevel,
}

/// What somebody wants to do with some resources.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct BatchRequest {
    /// Who.
    #[garde(custom(name))]
    #[schemars(length(min = 1, max = 255), extend("pattern" = r"\S"))]
    user_id: String,
    /// In which organization; left out: in the one they act in.
    #[garde(length(chars, max = 255))]
    organization_id: Option<String>,
    /// With which.
    #[garde(length(max = 100), dive)]
    checks: Vec<OneCheck>,
}

/// What became of one of many checks.
#[derive(Debug, Serialize, JsonSchema)]
struct OneAnswer {
    /// What kind of thing.
    resource_type: ResourceType,
    /// Which.
    resource_name: String,
    /// Whether they may, and why.
    #[serde(flatten)]
    answer: AccessResponse,
}

/// Whether somebody may use some resources.
#[derive(Debug, Serialize, JsonSchema)]
struct BatchResponse {
    /// Who.
    user_id: String,
    /// The answers, in the order of the checks.
    results: Vec<OneAnswer>,
}

/// Whether somebody may use each of some resources, in one call, which counts as that many. For oneself, administrators and
/// services.
#[operation("authorization.check_batch", errors(codes::FORBIDDEN, codes::RATE_LIMITED))]
async fn check_batch(
    caller: Caller,
    State(authorization): State<Authorization>,
    Json(body): Json<BatchRequest>,
) -> Result<Json<BatchResponse>> {
    check_asker(&caller, &body.user_id)?;
    let count = body.checks.len() as u64;
    service::limit(&authorization, &caller, Limited::Check, count).await?;
    let organization_id = body.organization_id.as_deref().filter(|id| !id.is_empty());
    let asked: Vec<(ResourceType, String, AccessLevel)> = body
        .checks
        .into_iter()
        .map(|check| (check.resource_type, check.resource_name, check.required_access_level))
        .collect();
    let decided = authorization.decide_all((&body.user_id, organization_id), &asked).await;
    let answers: Vec<AccessResponse> = match decided {
        Ok((person, decisions)) => decisions
            .into_iter()
            .map(|decision| AccessResponse::new(&person, decision, organization_id))
            .collect(),
        Err(error) => {
            tracing::error!(error = %error, "access could not be decided, and is refused");
            asked.iter().map(|_| AccessResponse::failed()).collect()
        }
    };
    let results = asked
        .into_iter()
        .zip(answers)
        .map(|((resource_type, resource_name, _), answer)| OneAnswer {
            resource_type,
            resource_name,
            answer,
        })
        .collect();
    Ok(Json(BatchResponse {
        user_id: body.user_id,
        results,
    }))
}

/// One step of a decision.
#[derive(Debug, Serialize, JsonSchema)]
struct StepOut {
    /// Which.
    stage: Stage,
    /// `granted`, or `passed` if it did not suffice.
    outcome: &'static str,
    /// Why.
    reason: String,
}

impl From<Step> for StepOut {
    fn from(step: Step) -> Self {
        Self {
            stage: step.stage,
            outcome: if step.is_granted { "granted" } else { "passed" },
            reason: step.reason,
        }
    }
}

/// Why somebody may use a resource, or may not.
#[derive(Debug, Serialize, JsonSchema)]
struct Explanation {
    /// What a check answers.
    #[serde(flatten)]
    answer: AccessResponse,
    /// The steps that were taken, in their order; the last one decided, or all were passed.
    stages: Vec<StepOut>,
    /// When.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    evaluated_at: DateTime<Utc>,
}

/// Why somebody may use a resource, or may not, step by step; decided anew. For administrators and services.
#[operation("authorization.explain", errors(codes::FORBIDDEN))]
async fn explain(
    _: AdminOrService,
    State(authorization): State<Authorization>,
    Json(body): Json<AccessRequest>,
) -> Result<Json<Explanation>> {
    let ask = body.ask();
    let (Decided { person, decision }, steps) = authorization.explain(ask).await?;
    Ok(Json(Explanation {
        answer: AccessResponse::new(&person, decision, ask.organization_id),
        stages: steps.into_iter().map(StepOut::from).collect(),
        evaluated_at: authorization.ctx.clock.now(),
    }))
}

/// What somebody wants to do with a project.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ProjectCheck {
    /// Who.
    #[garde(custom(name))]
    #[schemars(length(min = 1, max = 255), extend("pattern" = r"\S"))]
    user_id: String,
    /// `project`.
    #[garde(length(chars, max = 64))]
    #[serde(default = "project")]
    #[schemars(example = &"project")]
    resource_type: String,
    /// Which.
    #[garde(custom(name))]
    #[schemars(length(min = 1, max = 255), extend("pattern" = r"\S"))]
    resource_id: String,
    /// read, write or admin.
    #[garde(length(chars, max = 64))]
    #[schemars(example = &"read")]
    action: String,
}

fn project() -> String {
    "project".to_owned()
}

/// Whether somebody may.
#[derive(Debug, Serialize, JsonSchema)]
struct ProjectAnswer {
    /// Whether they may.
    allowed: bool,
    /// Why not.
    reason: Option<String>,
}

/// Whether somebody may read, write or run a project, by the shares they accepted. For oneself, administrators and services.
#[operation(
    "authorization.check",
    errors(codes::BAD_REQUEST, codes::FORBIDDEN, codes::RATE_LIMITED)
)]
async fn check(
    caller: Caller,
    State(authorization): State<Authorization>,
    Json(body): Json<ProjectCheck>,
) -> Result<Json<ProjectAnswer>> {
    check_asker(&caller, &body.user_id)?;
    service::limit(&authorization, &caller, Limited::Check, 1).await?;
    if body.resource_type != "project" {
        let text = format!("unsupported resource_type '{}'; expected project", body.resource_type);
        return Err(Problem::new(codes::BAD_REQUEST, text));
    }
    let asked: Asked = body.action.parse().map_err(|_| {
        let text = format!("invalid action '{}'; expected one of read | write | admin", body.action);
        Problem::new(codes::BAD_REQUEST, text)
    })?;
    let reason = service::check_project(&authorization, &body.user_id, &body.resource_id, asked).await;
    Ok(Json(ProjectAnswer {
        allowed: reason.is_none(),
        reason,
    }))
}

/// What was done.
#[derive(Debug, Serialize, JsonSchema)]
struct Message {
    /// In words.
    message: &'static str,
}

impl Message {
    fn new(message: &'static str) -> Self {
        Self { message }
    }
}

fn hundred() -> i64 {
    100
}

/// The place a cursor names, of two texts; an empty one is the beginning.
fn place(cursor: Option<&str>) -> Result<Option<Place>> {
    let cursor = cursor.filter(|text| !text.is_empty());
    Ok(cursor.map(|text| Place::decode(text, 2)).transpose()?)
}

/// The same of a resource: its type and its name.
fn resource_place(cursor: Option<&str>) -> Result<Option<Place>> {
    let place = place(cursor)?;
    let names_a_type = |place: &Place| place.0.first().is_some_and(|of| of.parse::<ResourceType>().is_ok());
    if place.as_ref().is_some_and(|place| !names_a_type(place)) {
        return Err(CursorError.into());
    }
    Ok(place)
}

pub(super) fn routes() -> Routes<Authorization> {
    let routes = Routes::new("authorization")
        .get("/api/v1/authorization/info", info())
        .get("/api/v1/authorization/stats", stats())
        .post("/api/v1/authorization/check-access", check_access())
        .post("/api/v1/authorization/check-access/batch", check_batch())
        .post("/api/v1/authorization/check", check())
        .post("/api/v1/authorization/explain", explain());
    let routes = grants::add(routes);
    let routes = listing::add(routes);
    let routes = catalogue::add(routes);
    roles::add(routes)
}
