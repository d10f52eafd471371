//! Services: the plain struct each fills in. What the server makes of them all is in [`crate::compose`].

use std::collections::BTreeMap;

use axum::{Router, extract::FromRef};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    Ctx, VERSION,
    config::Section,
    db::Migrations,
    event::Consumer,
    http::{Described, Routes},
    job::{Cron, JobKind},
    secret::SealedColumn,
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
    /// Older paths and the paths they stand for; each also covers what is below it. A request is rewritten before it is
    /// routed, so that an alias has the guards, limits and idempotency of what it stands for, and no entry in the document.
    pub aliases: &'static [(&'static str, &'static str)],
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

/// What a service is for, and what it can do.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServiceInfo {
    /// Its name.
    service: &'static str,
    /// The version of the program.
    version: &'static str,
    /// What it is for.
    description: &'static str,
    /// What it can do.
    capabilities: BTreeMap<&'static str, bool>,
    /// Where.
    endpoints: BTreeMap<&'static str, &'static str>,
}

impl Service {
    /// What it is for, and what it can do, with the paths of its main operations.
    pub fn info(
        &self,
        description: &'static str,
        endpoints: impl IntoIterator<Item = (&'static str, &'static str)>,
    ) -> ServiceInfo {
        ServiceInfo {
            service: self.contract_name,
            version: VERSION,
            description,
            capabilities: self.capabilities.iter().map(|name| (*name, true)).collect(),
            endpoints: endpoints.into_iter().collect(),
        }
    }
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
