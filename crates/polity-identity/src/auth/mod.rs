//! Auth: who people are when they sign in.
//!
//! Stores login identities alone: address, password, sessions, keys. Profiles are account's. Registration is proved by a
//! mailed code; signing in opens a session; an access token is a JWT that the session stands behind; a refresh token is
//! exchanged once.
//!
//! Invariants: passwords are Argon2id, tokens and codes keyed hashes, private keys sealed; a used refresh token ends its
//! session; a session that has ended opens nothing anywhere within a second; neither answers nor work tell whether an
//! address is known.
//!
//! Tables: `identity`, `login_failure`, `pending_registration`, `auth_session`, `refresh_token`, `revocation`,
//! `signing_key`, `password_reset`, `setup_token`, `identity_mail`, `device`, `device_log`, `pairing_token`.
//! Publishes: `auth_service.user.*`, `auth_service.auth.token.*`. Hears account's `user.*` and `role.revoked`.
//! Jobs: `auth.clean_up`, `auth.rotate_signing_key`, `auth.request_reset`, `identity.send_mail`.
//! Deliberately absent: `dev-bypass` and every other way in without a credential; organisations (there are none yet).

mod api;
mod authenticator;
mod cookies;
mod error;
mod events;
mod guard;
mod jobs;
mod keys;
mod limits;
mod model;
mod service;
mod settings;
mod store;
mod tokens;

use std::sync::Arc;

use axum::middleware;
use polity_kernel::{
    Ctx,
    config::Section,
    db::{Migration, Migrations},
    http::FromRef,
    service::{Mounted, Service},
};

use crate::credential::Credentials;

pub use error::Error;
pub use model::Scope;
pub(crate) use service::{adopt, end_device_tokens, is_active, is_disabled};
pub use service::{create_admin, setup_token};
pub use settings::{AuthSettings, RateLimitSettings, production_checks};

/// What is always true of this service.
pub const SERVICE: Service = Service {
    name: "auth",
    contract_name: "auth_service",
    port: 8201,
    base: "/api/v1/auth",
    aliases: &[],
    capabilities: &[
        "jwt_verification",
        "registration",
        "password_login",
        "api_key_management",
        "token_generation",
        "device_authentication",
        "sessions",
        "password_reset",
    ],
    migrations: Migrations {
        set: "auth",
        list: &[
            Migration {
                version: 1,
                name: "identities and sessions",
                sql: include_str!("tables.sql"),
            },
            Migration {
                version: 2,
                name: "password versions, what cleaning up looks for",
                sql: include_str!("bounds.sql"),
            },
            Migration {
                version: 3,
                name: "devices",
                sql: include_str!("device.sql"),
            },
            Migration {
                version: 4,
                name: "sessions of devices",
                sql: include_str!("device_session.sql"),
            },
        ],
    },
    sealed: &[
        keys::COLUMN,
        service::SUCCESSORS,
        service::DEV_CODES,
        crate::post::COLUMN,
    ],
    settings: || vec![Section::of::<AuthSettings>("auth")],
    describe: || api::routes().describe(),
};

/// What the handlers of this service share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Auth(Arc<Parts>);

/// What an [`Auth`] is made of.
pub(crate) struct Parts {
    ctx: Ctx,
    settings: AuthSettings,
    keys: keys::SigningKeys,
    credentials: Credentials,
    revoked: authenticator::Revocations,
    remembered: authenticator::Remembered,
    started: polity_kernel::clock::Timestamp,
}

impl std::ops::Deref for Auth {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<Auth> for Ctx {
    fn from_ref(auth: &Auth) -> Self {
        auth.ctx.clone()
    }
}

/// The service, ready to be composed; from then on bearer tokens and API credentials turn into callers.
///
/// # Errors
/// If its settings or its keys cannot be read.
pub async fn mount(ctx: &Ctx, credentials: &Credentials) -> Result<Mounted, Error> {
    let settings: AuthSettings = ctx
        .config
        .section("auth")
        .map_err(|error| Error::Internal(error.to_string()))?;
    settings.check()?;
    let auth = Auth(Arc::new(Parts {
        ctx: ctx.clone(),
        keys: keys::SigningKeys::open(ctx, settings.longest_access()).await?,
        credentials: credentials.clone(),
        revoked: authenticator::Revocations::default(),
        remembered: authenticator::remember_nothing(settings.remembered_tokens),
        settings,
        started: ctx.clock.now(),
    }));
    // A second mount of the same program keeps the first one's.
    drop(ctx.authenticator.set(Arc::new(auth.clone())));
    ctx.spawn(authenticator::follow_revocations(auth.clone()));
    ctx.spawn(keys::follow_rotations(auth.clone()));
    let mut routes = api::routes();
    if ctx.core.environment.is_development() {
        routes = api::add_development(routes);
    }
    let mut mounted = Mounted::new(&SERVICE, routes, auth.clone());
    mounted.router = mounted
        .router
        .layer(middleware::from_fn_with_state(auth.clone(), limits::limit));
    mounted.consumers = events::consumers(&auth);
    mounted.jobs = jobs::kinds(&auth);
    mounted.crons = jobs::crons();
    Ok(mounted)
}
