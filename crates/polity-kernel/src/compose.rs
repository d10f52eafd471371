//! What the server makes of all services: their tables, their sealed columns, one document, one router.

use aide::openapi::OpenApi;
use axum::Router;

use crate::{
    Ctx, cache, cluster,
    db::{Migration, Migrations},
    event,
    health::{self, Probe},
    http::{self, Described},
    job,
    secret::{HASH_KEYS, SealedColumn},
    service::{Mounted, Service},
};

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
        Migration {
            version: 4,
            name: "processes",
            sql: cluster::TABLES,
        },
        Migration {
            version: 5,
            name: "consumers that nobody is any more",
            sql: event::SEEN,
        },
        Migration {
            version: 6,
            name: "invalidations",
            sql: cache::TABLES,
        },
        Migration {
            version: 7,
            name: "how many invalidations are deleted",
            sql: cache::PRUNED,
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
    let aliases = services.iter().flat_map(|service| service.aliases).copied().collect();
    Ok(http::with_aliases(http::wrap(router, ctx), aliases))
}
