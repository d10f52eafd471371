//! Consents: what a person allows, for which purpose, under which policy, and what they took back.
//!
//! Invariants: of one place (person, workspace, purpose, what rests on it, what it is to) there is at most one active consent;
//! what was given is part of what was asked for; ending a consent stops what rests on it in the same transaction; the clock
//! counts at once, a job only writes down what it said; every change is an entry in the person's chain, in which each one
//! holds the hash of the one before, under a key that is not in the database.
//!
//! Tables: `consent`, `consent_audit`, `consent_audit_person`, `consent_chain`, `consent_person`.
//! Publishes: `integration_service.consent.granted` and `revoked`. Hears account's `user.deleted` and `user.erased`,
//! organization's `deleted` and `member_removed`.
//! Jobs: `consent.follow_clock`, every minute; `consent.verify`, hourly; `consent.clean_up`, daily; `consent.end_person`,
//! `consent.end_workspace`, `consent.forget`.
//! Deliberately absent: tokens of programs do not open it: a consent is a person's. No text is consented to for several purposes
//! at once.

mod api;
mod enforce;
mod error;
mod events;
mod jobs;
mod model;
mod service;
mod settings;
mod store;

use std::sync::{Arc, OnceLock};

use polity_kernel::{
    Ctx,
    config::{ConfigError, Section},
    db::{Migration, Migrations},
    http::FromRef,
    service::{Mounted, Service},
};
use polity_ports::organization::Membership;

pub use enforce::Enforced;
pub use error::Error;
pub use model::{Consent, Ending, EntityType, Place, Purpose, Status, SubjectKind};
pub use service::{By, NewConsent, active, grant, hold, withdraw};
pub use settings::ConsentSettings;

/// What is always true of this service.
pub const SERVICE: Service = Service {
    name: "consent",
    contract_name: "integration_service",
    port: 8260,
    base: "/api/v1/integration/consents",
    aliases: &[("/v1/integration/consents", "/api/v1/integration/consents")],
    capabilities: &["consents", "consent_history", "consent_export"],
    migrations: Migrations {
        set: "consent",
        list: &[Migration {
            version: 1,
            name: "consents and their history",
            sql: include_str!("tables.sql"),
        }],
    },
    sealed: &[],
    settings: || vec![Section::of::<ConsentSettings>("consent")],
    describe: || api::routes().describe(),
};

/// What the handlers of this service share, and what sibling services need to ask for consents. Cheap to clone.
#[derive(Clone)]
pub struct Consents(Arc<Parts>);

/// What a [`Consents`] is made of.
pub struct Parts {
    ctx: Ctx,
    settings: ConsentSettings,
    members: Arc<dyn Membership>,
    /// Said when the service is mounted: what rests on consents also asks for them, and is opened later.
    enforced: OnceLock<Vec<Arc<dyn Enforced>>>,
}

impl std::ops::Deref for Consents {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<Consents> for Ctx {
    fn from_ref(consents: &Consents) -> Self {
        consents.ctx.clone()
    }
}

impl Consents {
    /// Opens what consents work with.
    ///
    /// # Errors
    /// If its settings cannot be read.
    pub fn open(ctx: &Ctx, members: &Arc<dyn Membership>) -> Result<Self, ConfigError> {
        Ok(Self(Arc::new(Parts {
            ctx: ctx.clone(),
            settings: ctx.config.section("consent")?,
            members: Arc::clone(members),
            enforced: OnceLock::new(),
        })))
    }
}

impl Parts {
    /// What rests on consents.
    fn enforced(&self) -> &[Arc<dyn Enforced>] {
        self.enforced.get().map_or(&[], Vec::as_slice)
    }
}

/// The service, ready to be composed. `enforced` is everything that rests on consents; it is said once.
pub fn mount(consents: &Consents, enforced: Vec<Arc<dyn Enforced>>) -> Mounted {
    drop(consents.enforced.set(enforced));
    let mut mounted = Mounted::new(&SERVICE, api::routes(), consents.clone());
    mounted.consumers = events::consumers(consents);
    mounted.jobs = jobs::kinds(consents);
    mounted.crons = jobs::crons();
    mounted
}
