//! The rules, named by the contract. No HTTP here.

mod catalogue;
mod grants;
mod lifecycle;
mod listing;
mod project;
mod roles;

use polity_kernel::{
    caller::{Caller, Kind},
    limit::Window,
};

pub(super) use catalogue::{
    NewCatalogueEntry, NewOrganizationPermission, catalogue, delete_entry, delete_organization_permission,
    organization_permissions, put_entry, put_organization_permission,
};
pub(super) use grants::{Batch, NewGrant, Operation, Revocation, apply};
pub(super) use lifecycle::{Gone, clean_up, forget, remove_ended};
pub(super) use listing::{Through, accessible, holders, stats, summary, trail, visible};
pub(super) use project::{Asked, check_project};
pub(super) use roles::{Asking, Assignment, assign_role};

use super::{Authorization, Error};
use crate::account::AdminRole;

/// Who changes permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Actor {
    /// A service in its own name, and in whose name it says that it acts.
    Service(String),
    /// An administrator of the platform who may do everything.
    SuperAdmin(String),
    /// Another administrator of the platform.
    Admin(String),
    /// A person, or a service that acts for one.
    Person(String),
}

impl Actor {
    /// Who acts; `claimed` is whom the body names, which for everybody but a service has to be the caller.
    pub(super) fn of(caller: &Caller, claimed: Option<&str>) -> Result<Self, Error> {
        if caller.kind == Kind::Service && caller.on_behalf_of.is_none() {
            return Ok(Self::Service(claimed.unwrap_or("internal-service").to_owned()));
        }
        let Some(id) = caller.user_id() else {
            return Err(Error::Forbidden("A person or a service is required".to_owned()));
        };
        if claimed.is_some_and(|claimed| claimed != id) {
            return Err(Error::Forbidden(
                "The body names somebody else than the caller".to_owned(),
            ));
        }
        let id = id.to_owned();
        Ok(if !caller.is_admin() {
            Self::Person(id)
        } else if caller
            .admin_roles
            .iter()
            .any(|role| role == AdminRole::SuperAdmin.as_str())
        {
            Self::SuperAdmin(id)
        } else {
            Self::Admin(id)
        })
    }

    /// Who it is, for records.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Service(id) | Self::SuperAdmin(id) | Self::Admin(id) | Self::Person(id) => id,
        }
    }
}

/// What is limited.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limited {
    /// Checks of what one may do.
    Check,
    /// Grants and revocations.
    Change,
    /// Many of them at once.
    Bulk,
}

/// Counts what a person asks for against its limit; services have none.
pub(super) async fn limit(
    authorization: &Authorization,
    caller: &Caller,
    what: Limited,
    count: u64,
) -> Result<(), Error> {
    let Some(person) = caller.user_id().filter(|_| caller.kind != Kind::Service) else {
        return Ok(());
    };
    let settings = &authorization.settings;
    let (name, most) = match what {
        Limited::Check => ("authorization_checks", settings.checks_per_minute),
        Limited::Change => ("authorization_changes", settings.changes_per_minute),
        Limited::Bulk => ("authorization_bulk", settings.bulk_per_minute),
    };
    if most == 0 {
        return Ok(());
    }
    let window = Window::new(name, u64::from(most), std::time::Duration::from_mins(1));
    let usage = authorization.ctx.limiter.take(&[window], person, count).await;
    if usage.allowed {
        Ok(())
    } else {
        Err(Error::Limited(usage))
    }
}
