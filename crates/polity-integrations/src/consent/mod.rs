//! Consent: what it is for, in a sentence.
//!
//! Invariants: what is always true.
//!
//! Tables: `consent`. Publishes: `consent_service.consent.created`. Hears account's `user.deleted`. Jobs: `consent.forget`.
//! Deliberately absent: what a reader would look for in vain.

mod api;
mod error;
mod events;
mod jobs;
mod model;
mod service;
mod settings;
mod store;

use std::sync::Arc;

use polity_kernel::{
    Ctx,
    config::{ConfigError, Section},
    db::{Migration, Migrations},
    http::FromRef,
    service::{Mounted, Service},
};

pub use error::Error;
pub use model::ConsentId;
pub use settings::ConsentSettings;

/// What is always true of this service.
pub const SERVICE: Service = Service {
    name: "consent",
    contract_name: "consent_service",
    port: 8260,
    base: "/api/v1/integration/consents",
    aliases: &[],
    capabilities: &[],
    migrations: Migrations {
        set: "consent",
        list: &[Migration {
            version: 1,
            name: "consents",
            sql: include_str!("tables.sql"),
        }],
    },
    sealed: &[],
    settings: || vec![Section::of::<ConsentSettings>("consent")],
    describe: || api::routes().describe(),
};

/// What the handlers of this service share.
#[derive(Clone)]
pub(crate) struct Consent {
    ctx: Ctx,
    settings: Arc<ConsentSettings>,
}

impl FromRef<Consent> for Ctx {
    fn from_ref(state: &Consent) -> Self {
        state.ctx.clone()
    }
}

/// The service, ready to be composed.
///
/// # Errors
/// If its settings cannot be read.
pub fn mount(ctx: &Ctx) -> Result<Mounted, ConfigError> {
    let state = Consent {
        ctx: ctx.clone(),
        settings: Arc::new(ctx.config.section("consent")?),
    };
    let mut mounted = Mounted::new(&SERVICE, api::routes(), state);
    mounted.consumers = events::consumers(ctx);
    mounted.jobs = jobs::kinds(ctx);
    Ok(mounted)
}
