//! Credentials of programs: one engine, two faces.
//!
//! A credential is a random text with a prefix and a checksum, shown once and kept as a keyed hash; what it may do, where it
//! counts, its limits and credits are its row. Keys of organizations and service accounts are auth's face
//! (`/api/v1/auth/api-keys`), a person's tokens for a workspace this service's own (`/api/v1/integration/tokens`), secrets of
//! devices auth's again. [`engine`] judges all of them.
//!
//! Invariants: a text with a wrong checksum is refused without a database; what was revoked, disabled or narrowed counts
//! nowhere a second later; a limit is counted in one step, so that the last unit is given once; only a key may do
//! everything, and only in its organization; nothing in a key makes an administrator.
//!
//! Tables: `credential`, `api_scope`, `credential_usage`, `usage_log`, `usage_threshold`.
//! Publishes: `auth_service.apikey.*`, `integration_service.api_token.*`. Hears account's `user.*`, and of organizations that are gone and members who left.
//! Jobs: `credential.clean_up`, `credential.forget`, `credential.tell_expiring`. Uses are counted in memory and written every half second.
//! Deliberately absent: spending limits (there is no billing), and a project service that could say who may use a project.

mod api;
mod engine;
mod error;
mod events;
mod guard;
mod jobs;
mod limits;
mod model;
mod service;
mod settings;
mod store;
mod tenancy;
mod usage;

use std::sync::Arc;

use polity_kernel::{
    Ctx,
    config::Section,
    db::{Migration, Migrations},
    http::FromRef,
    service::{Mounted, Service},
};
use polity_ports::integration::Connected;

pub use engine::Credentials;
pub use error::Error;
pub use service::{Leaked, revoke_leaked};
pub use settings::{CredentialSettings, TierSettings};

pub(crate) use face::*;

/// What auth's face is made of.
mod face {
    pub(crate) use super::{
        engine::{Ask, Known, Verdict},
        error::code,
        guard::Verifier,
        limits::{Field, RateLimits, RateLimitsOut, Source},
        model::{Credential, Interval, Kind, Refusal, Use, is_network, networks},
        service::{
            Granularity, Issued, Item, KeyChange, NewCredential, NewKey, calls, calls_today, change_key, create_key,
            end, find_device, is_usable, issue, key, keys, may_change, revoke_key, rotate_key, set_limits, spans,
            usage_vs_limit,
        },
    };
}

/// What is always true of this service.
pub const SERVICE: Service = Service {
    name: "credential",
    contract_name: "integration_service",
    port: 8260,
    base: "/api/v1/integration/tokens",
    aliases: &[
        ("/api/v1/integration/scopes", "/api/v1/integration/tokens/scopes"),
        (
            "/api/v1/integration/usage-logs",
            "/api/v1/integration/tokens/usage-logs",
        ),
        ("/v1/integration/scopes", "/api/v1/integration/tokens/scopes"),
        ("/v1/integration/usage-logs", "/api/v1/integration/tokens/usage-logs"),
        ("/v1/integration", "/api/v1/integration"),
    ],
    capabilities: &["api_keys", "api_tokens", "scopes", "rate_limits", "usage"],
    migrations: Migrations {
        set: "credential",
        list: &[
            Migration {
                version: 1,
                name: "credentials and their uses",
                sql: include_str!("tables.sql"),
            },
            Migration {
                version: 2,
                name: "scopes of connections",
                sql: include_str!("connections.sql"),
            },
        ],
    },
    sealed: &[],
    settings: || vec![Section::of::<CredentialSettings>("credential")],
    describe: || api::routes().describe(),
};

impl FromRef<Credentials> for Ctx {
    fn from_ref(credentials: &Credentials) -> Self {
        credentials.ctx.clone()
    }
}

/// The service, ready to be composed. From then on uses are written, whichever face is served. `connected` is said once.
#[must_use]
pub fn mount(credentials: &Credentials, connected: Arc<dyn Connected>) -> Mounted {
    drop(credentials.connected.set(connected));
    let ctx = &credentials.ctx;
    ctx.spawn(usage::keep_writing(credentials.clone()));
    let mut mounted = Mounted::new(&SERVICE, api::routes(), credentials.clone());
    mounted.consumers = events::consumers(credentials);
    mounted.jobs = jobs::kinds(credentials);
    mounted.crons = jobs::crons();
    mounted
}
