//! API keys verified for somebody else: a gateway, a service.

use std::{collections::BTreeMap, net::IpAddr};

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::{Grant, Kind as CallerKind},
    clock,
    http::{Json, Problem, Result, Routes, State, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OwnerType, owner, texts};
use crate::{
    auth::Auth,
    credential::{Ask, Field, Kind, Known, RateLimits, RateLimitsOut, Refusal, Use, Verdict, Verifier},
};

/// A key to verify.
#[derive(Deserialize, Validate, JsonSchema)]
struct VerifyIn {
    /// The key. At most a kilobyte is looked at; what is longer is no key.
    #[garde(skip)]
    api_key: String,
    /// The project it is used for; a key for one project counts there alone.
    #[garde(length(chars, max = 255))]
    project_id: Option<String>,
    /// Where its user is; a key with an allow-list counts from there alone.
    #[garde(length(chars, max = 64))]
    #[schemars(example = &"192.0.2.1")]
    ip_address: Option<String>,
    /// As how many requests this counts.
    #[garde(range(min = 1, max = 1_000_000))]
    #[serde(default = "one")]
    cost: u32,
    /// How many tokens are counted with it, against tokens_per_day.
    #[garde(range(min = 0, max = 1_000_000_000))]
    #[serde(default)]
    tokens: u64,
}

fn one() -> u32 {
    1
}

/// What a key proves.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct ApiKeyVerification {
    /// Whether it counts.
    valid: bool,
    /// Its id.
    key_id: Option<String>,
    /// The organization it acts in, and in no other.
    organization_id: Option<String>,
    /// What it is called.
    name: Option<String>,
    /// What it may do; empty together with `scopes`: everything in its organization.
    permissions: Vec<String>,
    /// The one project it is for.
    project_id: Option<String>,
    /// Who it belongs to.
    owner_type: Option<OwnerType>,
    /// The service account.
    service_account_id: Option<String>,
    /// The person a token acts for.
    user_id: Option<String>,
    /// Scopes; of a token those that its person's role carries.
    scopes: Vec<String>,
    /// When it ends; null: never.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    expires_at: Option<DateTime<Utc>>,
    /// Addresses and networks it may be used from.
    ip_allowlist: Vec<String>,
    /// Its own limits.
    #[schemars(with = "RateLimitsOut")]
    rate_limits: RateLimits,
    /// Always null.
    spend_limit: Option<f64>,
    /// The limits in force, its own or its organization's.
    effective_rate_limits: BTreeMap<Field, u64>,
    /// Of the limit that has least left: its name, how much there is, how much is used and left, in how many seconds it is
    /// counted anew.
    rate_limit: Option<RateLimitState>,
    /// Why it does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A limit and what is left of it.
#[derive(Debug, Serialize, JsonSchema)]
struct RateLimitState {
    /// What is limited.
    field: &'static str,
    /// How much.
    limit: u64,
    /// How much of it is used, this request included.
    used: u64,
    /// How much is left.
    remaining: u64,
    /// In how many seconds it is counted anew.
    reset_after: u64,
}

impl ApiKeyVerification {
    fn refused(error: String) -> Self {
        Self {
            error: Some(error),
            ..Self::default()
        }
    }

    fn of(known: &Known, rate_limit: Option<RateLimitState>) -> Self {
        let key = &known.credential;
        let is_token = key.kind == Kind::Token;
        let scopes = match &known.caller.grant {
            Some(Grant::Only(scopes)) if is_token => scopes.iter().cloned().collect(),
            _ => key.scopes.0.clone(),
        };
        let effective = known.limits.iter().filter_map(|limit| Some((limit.of?, limit.most)));
        Self {
            valid: true,
            key_id: Some(key.id.clone()),
            organization_id: Some(key.organization_id.clone()),
            name: Some(key.name.clone()),
            permissions: key.permissions.0.clone(),
            project_id: key.project_id.clone(),
            owner_type: Some(owner(key.kind)),
            service_account_id: key.subject_id.clone().filter(|_| key.kind == Kind::Service),
            user_id: key.subject_id.clone().filter(|_| is_token),
            scopes,
            expires_at: key.expires_at,
            ip_allowlist: texts(&key.ip_allowlist.0),
            rate_limits: key.rate_limits.0.clone(),
            spend_limit: None,
            effective_rate_limits: effective.collect(),
            rate_limit,
            error: None,
        }
    }
}

/// Verifies an API key for somebody else: a gateway, a service. The use counts against its limits.
///
/// 200 whether it counts or not: `valid` says so, `error` why not. 429 if it counts and a limit is reached. A key of a
/// service account with the scope `auth.api_keys.verify` learns of its own organization's keys alone.
#[operation("auth.verify_api_key", errors(codes::FORBIDDEN, codes::RATE_LIMITED))]
async fn verify(
    verifier: Verifier,
    State(auth): State<Auth>,
    Json(body): Json<VerifyIn>,
) -> Result<Json<ApiKeyVerification>> {
    let ip = match body.ip_address.as_deref().map(|text| text.trim().parse::<IpAddr>()) {
        Some(Err(_)) => {
            let text = "Input should be an IP address";
            return Err(Problem::field(&["ip_address"], text, "value_error"));
        }
        Some(Ok(ip)) => Some(ip),
        None => None,
    };
    let within = verifier
        .organization_id
        .as_deref()
        .filter(|_| verifier.kind == CallerKind::ApiCredential);
    let ask = Ask {
        asked: Use {
            project_id: body.project_id.as_deref(),
            ip,
        },
        cost: body.cost,
        tokens: body.tokens,
        within,
    };
    let verification = match auth.credentials.verify(&body.api_key, ask).await? {
        // Without permissions and scopes a key may do everything; a token whose person's role carries none of them, nothing.
        Verdict::Valid(known, _) if matches!(&known.caller.grant, Some(Grant::Only(held)) if held.is_empty()) => {
            ApiKeyVerification::refused(Refusal::Invalid.to_string())
        }
        Verdict::Valid(known, tightest) => {
            if let Some(ip) = ip {
                auth.credentials.seen_at(&known, ip);
            }
            let state = tightest.and_then(|(at, usage)| {
                let limit = known.limits.get(at)?;
                Some(RateLimitState {
                    field: limit.field,
                    limit: usage.limit,
                    used: usage.used,
                    remaining: usage.remaining,
                    reset_after: usage.reset_seconds(),
                })
            });
            ApiKeyVerification::of(&known, state)
        }
        Verdict::Refused(refusal) => ApiKeyVerification::refused(refusal.to_string()),
        Verdict::Limited(_, limited) => return Err(limited.into()),
    };
    Ok(Json(verification))
}

pub(super) fn add(routes: Routes<Auth>) -> Routes<Auth> {
    routes.post("/api/v1/auth/verify-api-key", verify())
}
