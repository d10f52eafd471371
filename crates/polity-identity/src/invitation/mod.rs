//! Invitations: people are asked by mail to join an organization, and answer with the token of the link.
//!
//! Invariants: one pending invitation per organization and address; a token is a keyed hash, sealed besides only while it may
//! be mailed again; accepting closes the invitation and makes the member in one transaction, once; nobody accepts for another
//! address than the one it was sent to; mail and event are rows of the transaction that causes them.
//!
//! Tables: `invitation`. Publishes: `invitation_service.invitation.*`. Hears `organization.deleted`, `member_added`, account's
//! `user.deleted` and `user.erased`. Jobs: `invitation.expire`, hourly.
//! Deliberately absent: acceptance while registering (one registers, then accepts).

mod api;
pub(crate) mod archive;
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

use crate::organization::Organizations;

pub use error::Error;
pub use settings::InvitationSettings;

/// What is always true of this service.
pub const SERVICE: Service = Service {
    name: "invitation",
    contract_name: "invitation_service",
    port: 8213,
    base: "/api/v1/invitations",
    aliases: &[],
    capabilities: &[
        "invitation_creation",
        "email_sending",
        "invitation_acceptance",
        "invitation_management",
        "organization_integration",
    ],
    migrations: Migrations {
        set: "invitation",
        list: &[Migration {
            version: 1,
            name: "invitations",
            sql: include_str!("tables.sql"),
        }],
    },
    sealed: &[service::TOKENS],
    settings: || vec![Section::of::<InvitationSettings>("invitation")],
    describe: || api::routes().describe(),
};

/// What the handlers of this service share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Invitations(Arc<Parts>);

/// What an [`Invitations`] is made of.
pub(crate) struct Parts {
    ctx: Ctx,
    settings: InvitationSettings,
    organizations: Organizations,
}

impl std::ops::Deref for Invitations {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<Invitations> for Ctx {
    fn from_ref(invitations: &Invitations) -> Self {
        invitations.ctx.clone()
    }
}

impl Parts {
    /// Where the link in a mail leads.
    fn accept_url(&self) -> String {
        if let Some(url) = &self.settings.accept_url {
            return url.clone();
        }
        let url = self.ctx.core.public_url.as_ref();
        let base = url.map_or("http://localhost:8080", |url| url.as_str());
        format!("{}/accept-invitation", base.trim_end_matches('/'))
    }
}

/// The service, ready to be composed.
///
/// # Errors
/// If its settings cannot be read.
pub fn mount(ctx: &Ctx, organizations: &Organizations) -> Result<Mounted, ConfigError> {
    let invitations = Invitations(Arc::new(Parts {
        ctx: ctx.clone(),
        settings: ctx.config.section("invitation")?,
        organizations: organizations.clone(),
    }));
    let mut mounted = Mounted::new(&SERVICE, api::routes(), invitations.clone());
    mounted.consumers = events::consumers(&invitations);
    mounted.jobs = jobs::kinds(&invitations);
    mounted.crons = jobs::crons();
    Ok(mounted)
}
