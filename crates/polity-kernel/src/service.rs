//! Services: the plain struct each fills in, and what the server makes of them all.

use aide::openapi::OpenApi;
use axum::{Router, extract::FromRef};

use crate::{
    Ctx,
    config::Section,
    db::{Migration, Migrations},
    event::{self, Consumer},
    health::{self, Probe},
    http::{self, Described, Routes},
    job::{self, Cron, JobKind},
    secret::{HASH_KEYS, SealedColumn},
};

/// What is always true of a service. One `const` per service, held in one list in the server.
pub struct Service {
    /// The name in paths and settings, such as `account`.
    pub name: &'static str,
    /// The name its contract gives it in health answers and event sources, such as `account_service`.
    pub contract_name: &'static str,
    /// The port its contract gives it in a split deployment.
    pub port: u16,
    /// The base path of its API.
    pub base: &'static str,
    /// What it can do, for its health answer.
    pub capabilities: &'static [&'static str],
    /// Its tables.
    pub migrations: Migrations,
    /// Its sealed columns.
    pub sealed: &'static [SealedColumn],
    /// Its settings.
    pub settings: fn() -> Vec<Section>,
    /// Its operations, without a state, for the OpenAPI document.
    pub describe: fn() -> Vec<Described>,
}

/// A service with its state: what it answers, hears and does.
pub struct Mounted {
    /// What is always true of it.
    pub service: &'static Service,
    /// Its operations.
    pub router: Router,
    /// What it hears.
    pub consumers: Vec<Consumer>,
    /// The jobs it does.
    pub jobs: Vec<JobKind>,
    /// What it does by the clock.
    pub crons: Vec<Cron>,
}

impl Mounted {
    /// A service that answers; consumers and jobs are added to its fields.
    #[must_use]
    pub fn new<S: Clone + Send + Sync + 'static>(service: &'static Service, routes: Routes<S>, state: S) -> Self
    where
        Ctx: FromRef<S>,
    {
        Self {
            service,
            router: routes.mount(state).0,
            consumers: Vec::new(),
            jobs: Vec::new(),
            crons: Vec::new(),
        }
    }
}

/// The kernel's own tables.
pub const MIGRATIONS: Migrations = Migrations {
    set: "kernel",
    list: &[
        Migration {
            version: 1,
            name: "secrets and idempotency",
            sql: include_str!("tables.sql"),
        },
        Migration {
            version: 2,
            name: "events",
            sql: event::TABLES,
        },
        Migration {
            version: 3,
            name: "jobs",
            sql: job::TABLES,
        },
    ],
};

/// The kernel's own sealed columns.
pub const SEALED: &[SealedColumn] = &[HASH_KEYS, http::ANSWERS];

/// Every table of these services, the kernel's first.
#[must_use]
pub fn migrations(services: &[&Service]) -> Vec<Migrations> {
    std::iter::once(MIGRATIONS)
        .chain(services.iter().map(|service| service.migrations))
        .collect()
}

/// Every sealed column of these services and the kernel.
#[must_use]
pub fn sealed_columns(services: &[&Service]) -> Vec<SealedColumn> {
    SEALED
        .iter()
        .chain(services.iter().flat_map(|service| service.sealed))
        .copied()
        .collect()
}

/// The OpenAPI document of these services.
///
/// # Errors
/// A sentence that names an operation that states no requirement, or is there twice.
pub fn openapi(services: &[&'static Service]) -> Result<(OpenApi, Vec<Described>), String> {
    http::document(crate::VERSION, || {
        let mut all = health::root_routes().describe();
        for service in services {
            all.extend(health::service_routes(service).describe());
            all.extend((service.describe)());
        }
        all
    })
}

/// One router for all of them, with the layers around it.
///
/// # Errors
/// As [`openapi`].
pub fn compose(ctx: &Ctx, mounted: &[Mounted]) -> Result<Router, String> {
    let services: Vec<&'static Service> = mounted.iter().map(|one| one.service).collect();
    let (document, _) = openapi(&services)?;
    let document = serde_json::to_string(&document).map_err(|error| error.to_string())?;
    let only = if let [one] = services.as_slice() {
        Some(*one)
    } else {
        None
    };
    let mut router = health::root_routes().mount(Probe::new(ctx.clone(), only, document)).0;
    for one in mounted {
        router = router.merge(
            health::service_routes(one.service)
                .mount(Probe::new(ctx.clone(), Some(one.service), String::new()))
                .0,
        );
        router = router.merge(one.router.clone());
    }
    Ok(http::wrap(router, ctx))
}
