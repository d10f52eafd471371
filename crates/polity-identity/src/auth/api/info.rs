//! What the service says about itself.

use std::collections::BTreeMap;

use polity_kernel::{
    VERSION,
    caller::Public,
    http::{Json, Routes, State},
    operation,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::auth::Auth;

/// What the service can do.
#[derive(Debug, Serialize, JsonSchema)]
struct Info {
    /// The name.
    service: &'static str,
    /// The version of the program.
    version: &'static str,
    /// What it is for.
    description: &'static str,
    /// What it can do.
    capabilities: Capabilities,
    /// Where.
    endpoints: BTreeMap<&'static str, &'static str>,
}

/// What the service can do.
#[derive(Debug, Serialize, JsonSchema)]
struct Capabilities {
    /// Whose tokens it verifies.
    jwt_verification: Vec<&'static str>,
    /// Whether it manages API keys.
    api_key_management: bool,
    /// Whether it issues tokens.
    token_generation: bool,
    /// Whether devices can sign in.
    device_authentication: bool,
    /// Whether it grants OAuth client credentials.
    oauth2_client_credentials: bool,
}

fn endpoints() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("register", "/api/v1/auth/register"),
        ("verify", "/api/v1/auth/verify"),
        ("login", "/api/v1/auth/login"),
        ("refresh", "/api/v1/auth/refresh"),
        ("logout", "/api/v1/auth/logout"),
        ("verify_token", "/api/v1/auth/verify-token"),
        ("user_info", "/api/v1/auth/user-info"),
        ("sessions", "/api/v1/auth/sessions"),
        ("api_keys", "/api/v1/auth/api-keys"),
        ("verify_api_key", "/api/v1/auth/verify-api-key"),
        ("devices", "/api/v1/auth/device/list"),
        ("device_authenticate", "/api/v1/auth/device/authenticate"),
        ("jwks", "/.well-known/jwks.json"),
    ])
}

/// What this service can do, and where.
#[operation("auth.info")]
async fn info(_: Public) -> Json<Info> {
    Json(Info {
        service: "auth_microservice",
        version: VERSION,
        description: "Identity authority: registration, sign-in, tokens, sessions, API keys and devices",
        capabilities: Capabilities {
            jwt_verification: vec!["polity", "isa_user"],
            api_key_management: true,
            token_generation: true,
            device_authentication: true,
            oauth2_client_credentials: false,
        },
        endpoints: endpoints(),
    })
}

/// Figures of this process.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the names are the contract's")]
struct Stats {
    /// The name.
    service: &'static str,
    /// The version of the program.
    version: &'static str,
    /// `operational`.
    status: &'static str,
    /// Whose tokens it verifies.
    capabilities: BTreeMap<&'static str, Vec<&'static str>>,
    /// The figures.
    stats: Figures,
}

/// The figures.
#[derive(Debug, Serialize, JsonSchema)]
struct Figures {
    /// For how long this process has been running, in seconds.
    uptime: i64,
    /// How many endpoints there are.
    endpoints_count: usize,
}

/// How long this process has been running, and what it offers.
#[operation("auth.stats")]
async fn stats(_: Public, State(auth): State<Auth>) -> Json<Stats> {
    Json(Stats {
        service: "auth_microservice",
        version: VERSION,
        status: "operational",
        capabilities: BTreeMap::from([("jwt_providers", vec!["polity", "isa_user"])]),
        stats: Figures {
            uptime: (auth.ctx.clock.now() - auth.started).num_seconds(),
            endpoints_count: endpoints().len(),
        },
    })
}

/// The public keys that verify our tokens, as a JWK set (RFC 7517).
#[operation("auth.jwks")]
async fn jwks(_: Public, State(auth): State<Auth>) -> Json<serde_json::Value> {
    Json(auth.keys.jwks().await)
}

pub(super) fn add(routes: Routes<Auth>) -> Routes<Auth> {
    routes
        .get("/api/v1/auth/info", info())
        .get("/api/v1/auth/stats", stats())
        .get("/.well-known/jwks.json", jwks())
}
