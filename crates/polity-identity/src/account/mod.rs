//! Account: the anchor of a person's identity, and what they say about themselves.
//!
//! Holds one record per person: address, name, preferences, active flag, moderation status, platform roles, custom
//! instructions, and the notes of support. Passwords and sessions are `auth`'s; subscriptions are not kept here.
//!
//! Invariants: an address belongs to one person for ever, deleted ones included; a suspended or banned account is inactive;
//! at least one super_admin stays; every change publishes its event in its own transaction.
//!
//! Tables: `account`, `account_status_change`, `account_note`.
//! Publishes: `account_service.user.*`, `account_service.role.*`, `account_service.admin.action.account.*`.
//! Deliberately absent: membership of organisations, plans (asked through a port once there is one).

mod api;
mod error;
mod model;
mod service;
mod store;

use polity_kernel::{
    Ctx,
    config::Section,
    db::{Migration, Migrations},
    http::FromRef,
    service::{Mounted, Service},
};

pub use error::Error;
pub use model::{AccountId, AdminRole, Status};
pub use service::{claims, ensure};

/// What is always true of this service.
pub const SERVICE: Service = Service {
    name: "account",
    contract_name: "account_service",
    port: 8202,
    base: "/api/v1/accounts",
    capabilities: &["profiles", "preferences", "moderation", "platform_roles", "custom_instructions"],
    migrations: Migrations {
        set: "account",
        list: &[Migration { version: 1, name: "accounts", sql: include_str!("tables.sql") }],
    },
    sealed: &[],
    settings: || vec![Section::of::<AccountSettings>("account")],
    describe: || api::routes().describe(),
};

/// What the handlers of this service share.
#[derive(Clone)]
pub struct Account {
    ctx: Ctx,
}

impl FromRef<Account> for Ctx {
    fn from_ref(account: &Account) -> Self {
        account.ctx.clone()
    }
}

/// The service, ready to be composed.
#[must_use]
pub fn mount(ctx: &Ctx) -> Mounted {
    Mounted::new(&SERVICE, api::routes(), Account { ctx: ctx.clone() })
}
