//! Health, figures and the API reference: what every process answers at its root, and every service at its base path.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aide::{OperationOutput, generate::GenContext, openapi};
use axum::{
    extract::{FromRef, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use polity_macros::operation;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    Ctx,
    caller::Public,
    http::{Json, Problem, Routes, codes, docs_page, docs_script, docs_style},
    service::Service,
};

/// What the probes of a process, or of one service in it, need.
#[derive(Clone)]
pub(crate) struct Probe {
    ctx: Ctx,
    service: Option<&'static Service>,
    document: Arc<str>,
}

impl Probe {
    pub(crate) fn new(ctx: Ctx, service: Option<&'static Service>, document: String) -> Self {
        Self {
            ctx,
            service,
            document: document.into(),
        }
    }
}

impl FromRef<Probe> for Ctx {
    fn from_ref(probe: &Probe) -> Self {
        probe.ctx.clone()
    }
}

/// How a process or a service is.
#[derive(Debug, Serialize, JsonSchema)]
struct Health {
    /// `healthy`, `degraded` or `unhealthy`.
    status: &'static str,
    /// Whose health this is.
    service: &'static str,
    /// The port of the service in a split deployment; the configured one for the whole program.
    port: u16,
    /// The version of the program.
    version: &'static str,
    /// When this was found, RFC 3339.
    timestamp: String,
    /// What it depends on.
    dependencies: BTreeMap<&'static str, Dependency>,
    /// What it can do.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    capabilities: BTreeMap<&'static str, bool>,
    /// How many processes share the database, this one included; in the detailed answer only.
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<u32>,
    /// Whether the database answered; in the detailed answer only.
    #[serde(skip_serializing_if = "Option::is_none")]
    database_connected: Option<bool>,
}

/// How something is that a service depends on.
#[derive(Debug, Serialize, JsonSchema)]
struct Dependency {
    /// `healthy` or `unhealthy`.
    status: &'static str,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

/// 200 or 503 with the same body.
struct Report(StatusCode, Health);

impl IntoResponse for Report {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

impl OperationOutput for Report {
    type Inner = Health;

    fn operation_response(ctx: &mut GenContext, operation: &mut openapi::Operation) -> Option<openapi::Response> {
        Json::<Health>::operation_response(ctx, operation)
    }
}

/// How long the database may take to answer a probe.
const PATIENCE: Duration = Duration::from_secs(2);

impl Probe {
    async fn look(&self, detailed: bool) -> Report {
        let found = tokio::time::timeout(PATIENCE, self.ctx.db.ping()).await;
        let connected = matches!(found, Ok(Ok(())));
        if let Ok(Err(error)) = &found {
            tracing::warn!(error = %error, "the database did not answer a probe");
        }
        let dependencies = self.dependencies(connected);
        let whole = dependencies.values().all(|dependency| dependency.error.is_none());
        let health = Health {
            status: match (connected, whole) {
                (true, true) => "healthy",
                (true, false) => "degraded",
                (false, _) => "unhealthy",
            },
            service: self.service.map_or("polity", |service| service.contract_name),
            port: self.service.map_or(self.ctx.http.port, |service| service.port),
            version: crate::VERSION,
            timestamp: crate::clock::rfc3339(self.ctx.clock.now()),
            dependencies,
            capabilities: self
                .service
                .map(|service| service.capabilities.iter().map(|name| (*name, true)).collect())
                .unwrap_or_default(),
            processes: detailed.then(|| self.ctx.cluster.processes()),
            database_connected: detailed.then_some(connected),
        };
        Report(
            if connected {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            },
            health,
        )
    }

    /// The database, without which nothing goes, and what things go slower or less exactly without.
    fn dependencies(&self, connected: bool) -> BTreeMap<&'static str, Dependency> {
        let database = Dependency::new(connected, "the database does not answer");
        let mut all = BTreeMap::from([("database", database)]);
        if let Some(nats) = &self.ctx.nats {
            let error = "NATS does not answer; copies of events and wake-ups wait for it";
            all.insert("nats", Dependency::new(nats.is_connected(), error));
        }
        if let Some(well) = self.ctx.limiter.redis_is_well() {
            let error = "Redis does not answer; each replica grants its share of the limits";
            all.insert("redis", Dependency::new(well, error));
        }
        all
    }
}

impl Dependency {
    fn new(well: bool, error: &'static str) -> Self {
        Self {
            status: if well { "healthy" } else { "unhealthy" },
            error: (!well).then_some(error),
        }
    }
}

/// How it is.
///
/// 503 when the database does not answer.
#[operation("health")]
async fn health(_: Public, State(probe): State<Probe>) -> Report {
    probe.look(false).await
}

/// How it is, with what it depends on.
///
/// 503 when the database does not answer.
#[operation("health_detailed")]
async fn health_detailed(_: Public, State(probe): State<Probe>) -> Report {
    probe.look(true).await
}

/// Whether it takes requests: not while it drains, and not without its database.
#[operation("health_ready")]
async fn health_ready(_: Public, State(probe): State<Probe>) -> Result<Report, Problem> {
    if probe.ctx.draining.is_cancelled() || probe.ctx.stop.is_cancelled() {
        return Err(Problem::unavailable("This process is shutting down.", 1));
    }
    Ok(probe.look(false).await)
}

/// What this is.
#[derive(Debug, Serialize, JsonSchema)]
struct About {
    /// The name of the program, or of the one service it serves.
    service: &'static str,
    /// Its version.
    version: &'static str,
    /// `operational`.
    status: &'static str,
    /// Where the API reference is.
    documentation: &'static str,
}

/// What this is, and where to read more.
#[operation("about")]
async fn about(_: Public, State(probe): State<Probe>) -> Json<About> {
    Json(About {
        service: probe.service.map_or("polity", |service| service.contract_name),
        version: crate::VERSION,
        status: "operational",
        documentation: "/docs",
    })
}

/// The figures of this process, in the text format of Prometheus.
#[operation("metrics")]
async fn metrics(_: Public, State(probe): State<Probe>) -> Text {
    Text(
        (
            [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
            probe.ctx.metrics.render(),
        )
            .into_response(),
    )
}

/// This API as an OpenAPI 3.1 document.
#[operation("openapi")]
async fn openapi_json(_: Public, State(probe): State<Probe>) -> Text {
    Text(([(header::CONTENT_TYPE, "application/json")], probe.document.to_string()).into_response())
}

/// The API reference, a page that needs nothing from outside.
#[operation("docs")]
async fn docs(_: Public) -> Text {
    Text(docs_page())
}

/// A part of the API reference.
#[operation("docs_part", errors(codes::NOT_FOUND))]
async fn docs_part(_: Public, crate::http::Path(part): crate::http::Path<String>) -> Result<Text, Problem> {
    match part.as_str() {
        "docs.js" => Ok(Text(docs_script())),
        "docs.css" => Ok(Text(docs_style())),
        _ => Err(Problem::new(codes::NOT_FOUND, "The API reference has no such part.")),
    }
}

/// An answer that is not JSON, or is already written.
struct Text(Response);

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        self.0
    }
}

impl OperationOutput for Text {
    type Inner = String;

    fn operation_response(_: &mut GenContext, _: &mut openapi::Operation) -> Option<openapi::Response> {
        Some(openapi::Response {
            description: "The document".to_owned(),
            ..Default::default()
        })
    }
}

/// What every process answers.
pub(crate) fn root_routes() -> Routes<Probe> {
    Routes::new("operations")
        .get("/", about())
        .get("/health", health())
        .get("/health/ready", health_ready())
        .get("/health/detailed", health_detailed())
        .get("/metrics", metrics())
        .get("/openapi.json", openapi_json())
        .get("/docs", docs())
        .get("/docs/{part}", docs_part())
}

/// What every service answers at its base path.
pub(crate) fn service_routes(service: &Service) -> Routes<Probe> {
    let Service { name, base, .. } = service;
    Routes::new("operations")
        .get(format!("{base}/health"), health().named(format!("{name}.health")))
        .get(
            format!("{base}/health/detailed"),
            health_detailed().named(format!("{name}.health_detailed")),
        )
}
