//! Organizations: the record, who is in it as what, and in which one a person acts.
//!
//! Everybody is besides the owner of a personal organization, whose id is theirs and of which nothing is stored.
//!
//! Invariants: an organization that is not deleted has an active owner or is suspended and flagged; whoever is no active
//! member finds nothing; members change nothing in a suspended one; nobody gives themselves a plan; every change is noted,
//! published, and forgotten by whoever remembers what rested on it, in its own transaction.
//!
//! What members share is a slice of its own (`sharing` in every room): its invariants are that a thing is shared once, that
//! only active members have access, and that what is used is counted in the statement that asks whether it may be.
//!
//! Tables: `organization`, `membership`, `organization_context`, `organization_audit`, `sharing`, `sharing_permission`,
//! `sharing_usage`.
//! Publishes: `organization_service.organization.*`, `organization_service.role.*`, `organization_service.family.*`. Hears
//! account's `user.deleted`, and that albums, devices and files are gone.
//! Jobs: `organization.clean_up`, daily; `organization.expire_sharings`, every minute;
//! `organization.fill_search`, every ten minutes, for rows from before members were searched by anything.
//! Deliberately absent: credits and storage (there are no services that count them; their figures are 0).

mod api;
pub(crate) mod archive;
mod error;
mod events;
mod jobs;
mod membership;
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
pub(crate) use model::Organization;
pub use model::{MemberStatus, Membership, Plan, Role, Standing, Status};
pub use service::{Terms, active, add_member, existing, members_among, membership, role, standings, terms};
pub(crate) use service::{acting, assign_role, context};
pub use settings::{MemberLimits, OrganizationSettings};

/// What is always true of this service.
pub const SERVICE: Service = Service {
    name: "organization",
    contract_name: "organization_service",
    port: 8212,
    base: "/api/v1/organization/organizations",
    aliases: &[("/api/v1/organizations", "/api/v1/organization/organizations")],
    capabilities: &[
        "organization_management",
        "member_management",
        "role_management",
        "context_switching",
        "usage_tracking",
        "multi_tenant",
    ],
    migrations: Migrations {
        set: "organization",
        list: &[
            Migration {
                version: 1,
                name: "organizations",
                sql: include_str!("tables.sql"),
            },
            Migration {
                version: 2,
                name: "sharing",
                sql: include_str!("sharing.sql"),
            },
            Migration {
                version: 3,
                name: "what members are searched by",
                sql: include_str!("search.sql"),
            },
        ],
    },
    sealed: &[],
    settings: || vec![Section::of::<OrganizationSettings>("organization")],
    describe: || api::routes().describe(),
};

/// What the handlers of this service share. Cheap to clone.
#[derive(Clone)]
pub struct Organizations(Arc<Parts>);

/// What an [`Organizations`] is made of.
pub struct Parts {
    ctx: Ctx,
    settings: OrganizationSettings,
}

impl std::ops::Deref for Organizations {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<Organizations> for Ctx {
    fn from_ref(organizations: &Organizations) -> Self {
        organizations.ctx.clone()
    }
}

impl Organizations {
    /// What the program is made of, for what acts on organizations from beside them.
    pub(crate) fn ctx(&self) -> &Ctx {
        &self.ctx
    }

    /// The organizations of this program.
    ///
    /// # Errors
    /// If the settings cannot be read.
    pub fn open(ctx: &Ctx) -> Result<Self, ConfigError> {
        Ok(Self(Arc::new(Parts {
            ctx: ctx.clone(),
            settings: ctx.config.section("organization")?,
        })))
    }
}

/// The service, ready to be composed.
#[must_use]
pub fn mount(organizations: &Organizations) -> Mounted {
    let mut mounted = Mounted::new(&SERVICE, api::routes(), organizations.clone());
    mounted.consumers = events::consumers(organizations);
    mounted.jobs = jobs::kinds(organizations);
    mounted.crons = jobs::crons();
    mounted
}
