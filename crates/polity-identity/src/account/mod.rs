//! Account: the anchor of a person's identity, and what they say about themselves.
//!
//! Holds one record per person: address, name, preferences, active flag, moderation status, platform roles, custom
//! instructions, and the notes of support. Passwords and sessions are `auth`'s; subscriptions are not kept here.
//!
//! Invariants: an address belongs to one person for ever, deleted ones included; a suspended or banned account is inactive;
//! at least one super_admin stays; an erased account never changes again; every change publishes its event in its own
//! transaction.
//!
//! Tables: `account`, `account_gram`, `account_status_change`, `account_note`, `account_email_change`.
//! Publishes: `account_service.user.*`, `account_service.role.*`, `account_service.admin.action.account.*`.
//! Hears: `auth_service.user.logged_in`. Jobs: `account.erase_due`, hourly.
//! Deliberately absent: membership of organisations, plans (asked through a port once there is one).

mod api;
pub(crate) mod archive;
mod error;
mod events;
mod guard;
mod jobs;
mod model;
mod service;
mod settings;
mod store;

use polity_kernel::{
    Ctx,
    config::{ConfigError, Section},
    db::{Migration, Migrations},
    http::FromRef,
    service::{Mounted, Service},
};

pub use error::Error;
pub use model::{Account, AccountId, AdminRole, Status, fold_email};
pub(crate) use service::add_role;
pub use service::{
    Ensured, NewAccount, RoleActor, assign_roles, claims, count_super_admins, ensure, existing, of_address,
};
pub use settings::AccountSettings;

pub(crate) use guard::PlatformAdmin;

/// What is always true of this service.
pub const SERVICE: Service = Service {
    name: "account",
    contract_name: "account_service",
    port: 8202,
    base: "/api/v1/accounts",
    aliases: &[],
    capabilities: &[
        "profiles",
        "preferences",
        "moderation",
        "platform_roles",
        "custom_instructions",
        "export",
        "erasure",
    ],
    migrations: Migrations {
        set: "account",
        list: &[
            Migration {
                version: 1,
                name: "accounts",
                sql: include_str!("tables.sql"),
            },
            Migration {
                version: 2,
                name: "erased",
                sql: include_str!("erased.sql"),
            },
            Migration {
                version: 3,
                name: "grams in one tree",
                sql: include_str!("grams.sql"),
            },
        ],
    },
    sealed: &[],
    settings: || vec![Section::of::<AccountSettings>("account")],
    describe: || api::routes().describe(),
};

/// What the handlers of this service share.
#[derive(Clone)]
pub(crate) struct Accounts {
    ctx: Ctx,
    settings: std::sync::Arc<AccountSettings>,
}

impl FromRef<Accounts> for Ctx {
    fn from_ref(state: &Accounts) -> Self {
        state.ctx.clone()
    }
}

/// The service, ready to be composed.
///
/// # Errors
/// If its settings cannot be read.
pub fn mount(ctx: &Ctx) -> Result<Mounted, ConfigError> {
    let settings = std::sync::Arc::new(ctx.config.section("account")?);
    let mut mounted = Mounted::new(
        &SERVICE,
        api::routes(),
        Accounts {
            ctx: ctx.clone(),
            settings,
        },
    );
    mounted.consumers = events::consumers();
    mounted.jobs = jobs::kinds(ctx);
    mounted.crons = jobs::crons();
    Ok(mounted)
}
