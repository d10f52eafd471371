//! API keys of organizations: made, listed, changed, rotated, revoked.

mod uses;
mod verify;

use chrono::{DateTime, Duration, Utc};
use garde::Validate;
use ipnet::IpNet;
use polity_kernel::{
    caller::Caller,
    clock,
    http::{self, Given, Idempotency, Json, Path, Problem, Query, Reply, Result, Routes, State, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Done, done};
use crate::{
    auth::Auth,
    credential::{
        self, Credential, Interval, Issued, KeyChange, Kind, NewKey, RateLimits, RateLimitsOut, code, is_network,
        networks,
    },
};

/// Who a key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OwnerType {
    /// The organization.
    Organization,
    /// One of its service accounts.
    ServiceAccount,
}

/// Uses that are counted down, whatever the time.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, JsonSchema)]
struct Credits {
    /// How many uses there are.
    #[garde(range(min = 0_i64, max = 1_000_000_000_000_i64))]
    #[schemars(example = &1000)]
    remaining: i64,
    /// To how many they are filled up at the beginning of every interval; left out: never.
    #[garde(range(min = 1_i64, max = 1_000_000_000_000_i64))]
    refill_amount: Option<i64>,
    /// How often.
    #[garde(skip)]
    refill_interval: Option<Interval>,
}

/// A key to make.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ApiKeyCreate {
    /// The organization, or a person for their personal one.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"usr_01a1fb4e7b4b73df93c4746cc8a8b943")]
    organization_id: String,
    /// What it is called.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"billing export")]
    name: String,
    /// What it may do; together with `scopes`. If both are empty it may do everything in its organization.
    #[garde(length(max = 200), inner(length(chars, min = 1, max = 200)), custom(is_brief))]
    #[serde(default)]
    permissions: Vec<String>,
    /// After how many days it ends; either this or `expires_at`.
    #[garde(range(min = 1, max = 365))]
    expires_days: Option<u32>,
    /// When it ends; either this or `expires_days`.
    #[garde(skip)]
    expires_at: Option<DateTime<Utc>>,
    /// The one project it is for.
    #[garde(length(chars, min = 1, max = 255))]
    project_id: Option<String>,
    /// Who it belongs to: organization or service_account.
    #[garde(length(chars, max = 50))]
    #[serde(default = "organization")]
    owner_type: String,
    /// The service account; needed for one.
    #[garde(length(chars, min = 1, max = 255))]
    service_account_id: Option<String>,
    /// Scopes such as `read:tasks`; together with `permissions`.
    #[garde(length(max = 200), inner(length(chars, min = 1, max = 200)), custom(is_brief))]
    #[serde(default)]
    scopes: Vec<String>,
    /// Addresses and networks it may be used from; empty: anywhere.
    #[garde(length(max = 100), inner(custom(is_network)))]
    #[serde(default)]
    #[schemars(example = ["192.0.2.0/24"])]
    ip_allowlist: Vec<String>,
    /// Its own limits: requests_per_second, requests_per_minute, requests_per_day, tokens_per_day. Null: no limit; left out:
    /// the organization's.
    #[garde(skip)]
    #[serde(default)]
    #[schemars(with = "RateLimitsOut")]
    rate_limits: RateLimits,
    /// How much may be spent with it. There is no billing that could say how much was, so that only null is taken.
    #[garde(skip)]
    spend_limit: Option<serde_json::Number>,
    /// Uses that are counted down.
    #[garde(dive)]
    credits: Option<Credits>,
}

fn organization() -> String {
    "organization".to_owned()
}

/// The most bytes that permissions may have in all, and scopes: every process remembers them, and a list shows a thousand.
const BRIEF: usize = 8 << 10;

/// A garde rule: texts that are not more than [`BRIEF`] together.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the validator hands its context over by reference"
)]
fn is_brief(texts: &[String], (): &()) -> garde::Result {
    if texts.iter().map(String::len).sum::<usize>() > BRIEF {
        return Err(garde::Error::new(format!("should have at most {BRIEF} bytes in all")));
    }
    Ok(())
}

fn bad(text: &'static str) -> Problem {
    Problem::new(codes::BAD_REQUEST, text)
}

impl ApiKeyCreate {
    /// When it is to end.
    fn end(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
        match (self.expires_days, self.expires_at) {
            (Some(_), Some(_)) => Err(bad("Give either expires_days or expires_at, not both")),
            (_, Some(at)) if at <= now => Err(bad("expires_at must be in the future")),
            (Some(days), None) => Ok(Some(now + Duration::days(i64::from(days)))),
            (None, at) => Ok(at),
        }
    }

    /// The service account it belongs to, if it belongs to one.
    fn account(&self) -> Result<Option<String>> {
        match (self.owner_type.as_str(), &self.service_account_id) {
            ("organization", None) => Ok(None),
            ("organization", Some(_)) => Err(bad("service_account_id is only for owner_type service_account")),
            ("service_account", Some(id)) => Ok(Some(id.clone())),
            ("service_account", None) => Err(bad("service_account_id is required for owner_type service_account")),
            _ => Err(bad("owner_type must be organization or service_account")),
        }
    }

    fn into_new(self, now: DateTime<Utc>) -> Result<NewKey> {
        let (expires_at, service_account_id) = (self.end(now)?, self.account()?);
        if self.spend_limit.is_some() {
            let text = "There is no billing that could enforce a spend limit; leave it out";
            return Err(Problem::field(&["spend_limit"], text, "value_error"));
        }
        let refill = match &self.credits {
            Some(Credits {
                refill_amount: Some(amount),
                refill_interval: Some(interval),
                ..
            }) => Some((*amount, *interval)),
            Some(Credits {
                refill_amount: None,
                refill_interval: None,
                ..
            })
            | None => None,
            Some(_) => {
                let text = "refill_amount and refill_interval go together";
                return Err(Problem::field(&["credits"], text, "value_error"));
            }
        };
        Ok(NewKey {
            ip_allowlist: networks(&self.ip_allowlist),
            credits: self.credits.map(|credits| credits.remaining),
            organization_id: self.organization_id,
            name: self.name,
            permissions: self.permissions,
            scopes: self.scopes,
            service_account_id,
            project_id: self.project_id,
            rate_limits: self.rate_limits,
            refill,
            expires_at,
        })
    }
}

/// A key that was made.
#[derive(Debug, Serialize, JsonSchema)]
struct ApiKeyCreated {
    /// Always true.
    success: bool,
    /// The key itself. It is shown this once.
    api_key: String,
    /// Its id.
    key_id: String,
    /// What it is called.
    name: String,
    /// When it ends; null: never.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    expires_at: Option<DateTime<Utc>>,
    /// The one project it is for.
    project_id: Option<String>,
    /// Who it belongs to.
    owner_type: OwnerType,
    /// The service account.
    service_account_id: Option<String>,
    /// Scopes.
    scopes: Vec<String>,
    /// Addresses and networks it may be used from.
    ip_allowlist: Vec<String>,
    /// Its own limits.
    #[schemars(with = "RateLimitsOut")]
    rate_limits: RateLimits,
    /// Always null.
    spend_limit: Option<f64>,
    /// Uses that are left; null: they are not counted.
    credits: Option<i64>,
    /// Whose place it takes.
    rotated_from_id: Option<String>,
}

fn owner(kind: Kind) -> OwnerType {
    match kind {
        Kind::Service => OwnerType::ServiceAccount,
        _ => OwnerType::Organization,
    }
}

fn texts(nets: &[IpNet]) -> Vec<String> {
    // A single address is written as it was given.
    nets.iter()
        .map(|net| {
            if net.prefix_len() == net.max_prefix_len() {
                net.addr().to_string()
            } else {
                net.to_string()
            }
        })
        .collect()
}

impl From<Issued> for ApiKeyCreated {
    fn from(issued: Issued) -> Self {
        let text = issued.text;
        let Credential {
            id,
            kind,
            name,
            expires_at,
            project_id,
            subject_id,
            scopes,
            ip_allowlist,
            rate_limits,
            credits,
            rotated_from_id,
            ..
        } = issued.credential;
        Self {
            success: true,
            api_key: text.expose().to_owned(),
            key_id: id,
            name,
            expires_at,
            project_id,
            owner_type: owner(kind),
            service_account_id: subject_id,
            scopes: scopes.0,
            ip_allowlist: texts(&ip_allowlist.0),
            rate_limits: rate_limits.0,
            spend_limit: None,
            credits,
            rotated_from_id,
        }
    }
}

/// Makes an API key; its text is in this answer and nowhere else.
///
/// For administrators of the organization, and members with one of the permissions `auth.api_keys.create`,
/// `api_keys:create`, `api_key:create`, `keys:create`.
#[operation(
    "auth.create_api_key",
    errors(
        codes::FORBIDDEN,
        codes::BAD_REQUEST,
        code::ORGANIZATION_NOT_FOUND,
        code::TOO_MANY_CREDENTIALS
    )
)]
async fn create(
    caller: Caller,
    State(auth): State<Auth>,
    body: Idempotency<ApiKeyCreate>,
) -> Result<Reply<ApiKeyCreated>> {
    let (body, key) = body.into_parts();
    let ctx = &auth.ctx;
    let new = body.into_new(ctx.clock.now())?;
    let mut tx = ctx.db.begin().await?;
    if let Some(answer) = http::replay(ctx, &mut tx, key.as_ref()).await? {
        return Ok(answer.into());
    }
    let out = ApiKeyCreated::from(credential::create_key(&mut tx, &auth.credentials, &caller, new).await?);
    http::keep(ctx, &mut tx, key.as_ref(), 200, &out).await?;
    tx.commit().await?;
    Ok(Json(out).into())
}

/// Which keys of an organization.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct KeysQuery {
    /// Only those for this project.
    #[garde(length(chars, min = 1, max = 255))]
    project_id: Option<String>,
    /// How many at most.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "thousand")]
    limit: i64,
    /// How many to leave out.
    #[garde(range(min = 0, max = 1_000_000_000))]
    #[serde(default)]
    offset: i64,
}

fn thousand() -> i64 {
    1_000
}

/// A key, without its text.
#[derive(Debug, Serialize, JsonSchema)]
struct ApiKeyInfo {
    /// Its id.
    key_id: String,
    /// What it is called.
    name: String,
    /// What it may do; empty together with `scopes`: everything in its organization.
    permissions: Vec<String>,
    /// When it was made.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
    /// By whom.
    created_by: String,
    /// When it ends; null: never.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    expires_at: Option<DateTime<Utc>>,
    /// Whether it may be used now.
    is_active: bool,
    /// Since when it is revoked.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    last_used: Option<DateTime<Utc>>,
    /// From where.
    last_used_ip: Option<String>,
    /// What it begins with, and its last characters.
    key_preview: String,
    /// The one project it is for.
    project_id: Option<String>,
    /// Who it belongs to.
    owner_type: OwnerType,
    /// The service account.
    service_account_id: Option<String>,
    /// Scopes.
    scopes: Vec<String>,
    /// Addresses and networks it may be used from.
    ip_allowlist: Vec<String>,
    /// Its own limits.
    #[schemars(with = "RateLimitsOut")]
    rate_limits: RateLimits,
    /// Always null.
    spend_limit: Option<f64>,
    /// Uses that were left when this was read; null: they are not counted.
    credits: Option<i64>,
    /// Whose place it took.
    rotated_from_id: Option<String>,
}

impl ApiKeyInfo {
    fn new(key: Credential, now: DateTime<Utc>) -> Self {
        Self {
            is_active: key.is_enabled && !key.is_over(now),
            permissions: key.permissions.0,
            key_id: key.id,
            name: key.name,
            created_at: key.created_at,
            created_by: key.created_by,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at.or(key.retires_at.filter(|at| now >= *at)),
            last_used: key.last_used_at,
            last_used_ip: key.last_used_ip.filter(|ip| !ip.is_empty()),
            key_preview: key.preview,
            project_id: key.project_id,
            owner_type: owner(key.kind),
            service_account_id: key.subject_id,
            scopes: key.scopes.0,
            ip_allowlist: texts(&key.ip_allowlist.0),
            rate_limits: key.rate_limits.0,
            spend_limit: None,
            credits: key.credits,
            rotated_from_id: key.rotated_from_id,
        }
    }
}

/// Keys of an organization.
#[derive(Debug, Serialize, JsonSchema)]
struct ApiKeyList {
    /// Always true.
    success: bool,
    /// The keys, newest first.
    api_keys: Vec<ApiKeyInfo>,
    /// How many there are in all.
    total: i64,
}

/// Lists the API keys of an organization, newest first, revoked ones included. For its members.
#[operation("auth.list_api_keys", errors(codes::FORBIDDEN))]
async fn list(
    caller: Caller,
    State(auth): State<Auth>,
    Path(organization_id): Path<String>,
    Query(query): Query<KeysQuery>,
) -> Result<Json<ApiKeyList>> {
    let mut read = auth.ctx.db.read().await?;
    let page = (query.limit, query.offset);
    let project = query.project_id.as_deref();
    let (found, total) = credential::keys(&mut read, &caller, &organization_id, project, page).await?;
    let now = auth.ctx.clock.now();
    Ok(Json(ApiKeyList {
        success: true,
        api_keys: found.into_iter().map(|key| ApiKeyInfo::new(key, now)).collect(),
        total,
    }))
}

/// Which organization a key is of.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct OrganizationQuery {
    /// The organization.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"usr_01a1fb4e7b4b73df93c4746cc8a8b943")]
    organization_id: String,
}

/// What the contract answers with 400 where others answer 404.
fn absent_is_400(error: credential::Error) -> Problem {
    match error {
        credential::Error::KeyNotFound => Problem::new(code::NO_SUCH_API_KEY, "API key not found"),
        other => other.into(),
    }
}

/// Revokes an API key for good; a second later it opens nothing anywhere. For administrators of the organization.
#[operation("auth.revoke_api_key", errors(codes::FORBIDDEN, code::NO_SUCH_API_KEY))]
async fn revoke(
    caller: Caller,
    State(auth): State<Auth>,
    Path(key_id): Path<String>,
    Query(query): Query<OrganizationQuery>,
) -> Result<Json<Done>> {
    let mut tx = auth.ctx.db.begin().await?;
    credential::revoke_key(&mut tx, &auth.credentials, &caller, &query.organization_id, &key_id)
        .await
        .map_err(absent_is_400)?;
    tx.commit().await?;
    Ok(done("API key revoked"))
}

/// What is to change; what is left out stays.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ApiKeyPatch {
    /// What it is called.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"billing export")]
    name: Option<String>,
    /// Whether it may be used.
    #[garde(skip)]
    is_active: Option<bool>,
    /// Addresses and networks it may be used from; empty: anywhere.
    #[garde(inner(length(max = 100), inner(custom(is_network))))]
    ip_allowlist: Option<Vec<String>>,
    /// When it ends; null: never.
    #[garde(skip)]
    #[serde(default)]
    expires_at: Given<DateTime<Utc>>,
}

/// Renames, disables or enables an API key, or says from where and until when it may be used.
///
/// For administrators of the organization. What was revoked or has expired stays so.
#[operation(
    "auth.update_api_key",
    errors(codes::FORBIDDEN, code::API_KEY_NOT_FOUND, code::CREDENTIAL_OVER)
)]
async fn update(
    caller: Caller,
    State(auth): State<Auth>,
    Path(key_id): Path<String>,
    Query(query): Query<OrganizationQuery>,
    Json(body): Json<ApiKeyPatch>,
) -> Result<Json<ApiKeyInfo>> {
    let now = auth.ctx.clock.now();
    if body.expires_at.value().is_some_and(|at| *at <= now) {
        return Err(bad("expires_at must be in the future"));
    }
    let change = KeyChange {
        name: body.name,
        is_active: body.is_active,
        ip_allowlist: body.ip_allowlist.as_deref().map(networks),
        expires_at: body.expires_at,
    };
    let place = (query.organization_id.as_str(), key_id.as_str());
    let mut tx = auth.ctx.db.begin().await?;
    let changed = credential::change_key(&mut tx, &auth.credentials, &caller, place, change).await?;
    tx.commit().await?;
    Ok(Json(ApiKeyInfo::new(changed, now)))
}

/// How a key is to be replaced.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct RotateKeyIn {
    /// How long the old one goes on, in seconds: at most seven days; left out, a day. A key with credits ends at once.
    #[garde(range(min = 0, max = 604_800))]
    #[schemars(example = &3600)]
    grace_seconds: Option<u32>,
}

/// Replaces an API key; the old one goes on for a while. For administrators of the organization.
#[operation(
    "auth.rotate_api_key",
    errors(
        codes::FORBIDDEN,
        code::API_KEY_NOT_FOUND,
        code::CREDENTIAL_OVER,
        code::TOO_MANY_CREDENTIALS
    )
)]
async fn rotate(
    caller: Caller,
    State(auth): State<Auth>,
    Path(key_id): Path<String>,
    Query(query): Query<OrganizationQuery>,
    body: Idempotency<RotateKeyIn>,
) -> Result<Reply<ApiKeyCreated>> {
    let (body, key) = body.into_parts();
    let ctx = &auth.ctx;
    let mut tx = ctx.db.begin().await?;
    if let Some(answer) = http::replay(ctx, &mut tx, key.as_ref()).await? {
        return Ok(answer.into());
    }
    let place = (query.organization_id.as_str(), key_id.as_str());
    let grace = body.grace_seconds.map(|seconds| Duration::seconds(i64::from(seconds)));
    let out = ApiKeyCreated::from(credential::rotate_key(&mut tx, &auth.credentials, &caller, place, grace).await?);
    http::keep(ctx, &mut tx, key.as_ref(), 200, &out).await?;
    tx.commit().await?;
    Ok(Json(out).into())
}

pub(super) fn add(routes: Routes<Auth>) -> Routes<Auth> {
    let routes = routes
        .post("/api/v1/auth/api-keys", create())
        .get("/api/v1/auth/api-keys/{id}", list())
        .patch("/api/v1/auth/api-keys/{id}", update())
        .delete("/api/v1/auth/api-keys/{id}", revoke())
        .post("/api/v1/auth/api-keys/{id}/rotate", rotate());
    uses::add(verify::add(routes))
}
