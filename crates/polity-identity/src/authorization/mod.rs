//! Authorization: who may use what, and why.
//!
//! A person may use a resource because an administrator gave it to them, because the organization has it they act in,
//! because they pay for it, or because it was given to them otherwise, in this order. What an organization has is not copied
//! to its members: it is looked at when somebody asks, so that who joins has it and who leaves has not, at once.
//!
//! Invariants: an unknown person is refused like one who may not act; what counts in an organization counts for its active
//! members, as long as it may be used; what has ended counts nowhere; nobody gives more than they have, nor to themselves;
//! what somebody may see ([`service::visible`]) is exactly what a check allows; a check answers, whatever happens.
//!
//! Tables: `permission`, `organization_permission`, `resource_permission`, `permission_audit`, `permission_check`.
//! Publishes: `authorization_service.*`. Hears account's `user.deleted` and `user.erased`, and of organizations that are gone
//! and members who left. Jobs: `authorization.clean_up`, hourly. Refusals are noted every half second.
//! Deliberately absent: wildcards in names, conditions, roles of applications.

mod api;
pub(crate) mod archive;
mod engine;
mod error;
mod events;
mod guard;
mod jobs;
mod model;
mod service;
mod settings;
mod store;
mod watch;

use std::sync::Arc;

use polity_kernel::{
    Ctx,
    config::Section,
    db::{Migration, Migrations},
    http::FromRef,
    service::{Mounted, Service},
};
use polity_ports::authorization::Authorizer;

pub use engine::{Authorization, Others};
pub use error::Error;
pub use settings::AuthorizationSettings;

/// What is always true of this service.
pub const SERVICE: Service = Service {
    name: "authorization",
    contract_name: "authorization_service",
    port: 8204,
    base: "/api/v1/authorization",
    aliases: &[
        ("/api/v1/access/check", "/api/v1/authorization/check-access"),
        ("/api/v1/permissions", "/api/v1/authorization"),
        ("/api/v1/stats", "/api/v1/authorization/stats"),
    ],
    capabilities: &[
        "access_check",
        "project_check",
        "permission_management",
        "bulk_operations",
        "role_assignment",
        "listing",
        "explanation",
        "audit",
    ],
    migrations: Migrations {
        set: "authorization",
        list: &[Migration {
            version: 1,
            name: "permissions",
            sql: include_str!("tables.sql"),
        }],
    },
    sealed: &[],
    settings: || vec![Section::of::<AuthorizationSettings>("authorization")],
    describe: || api::routes().describe(),
};

impl FromRef<Authorization> for Ctx {
    fn from_ref(authorization: &Authorization) -> Self {
        authorization.ctx.clone()
    }
}

impl FromRef<Authorization> for Arc<dyn Authorizer> {
    fn from_ref(authorization: &Authorization) -> Self {
        Arc::new(authorization.clone())
    }
}

/// The service, ready to be composed. From then on refusals are written.
#[must_use]
pub fn mount(authorization: &Authorization) -> Mounted {
    authorization.ctx.spawn(watch::keep_writing(authorization.clone()));
    let mut mounted = Mounted::new(&SERVICE, api::routes(), authorization.clone());
    mounted.consumers = events::consumers(authorization);
    mounted.jobs = jobs::kinds(authorization);
    mounted.crons = jobs::crons();
    mounted
}
