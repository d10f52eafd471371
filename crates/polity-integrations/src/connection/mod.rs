//! Connections: grants that outside providers gave to people here, and the ways to use them.
//!
//! Invariants: a connection becomes active only in the browser, or by the person, that began it, with an active consent read in
//! the same transaction; it has the id and the lock of its grant, and follows it in the transaction of every change; tokens
//! are sealed, and leave by `tokens:issue` alone; what is revoked has no tokens any more, and its provider is told by a job.
//!
//! Tables: `oauth_app`, `oauth_connection`, `oauth_take_back`, `oauth_connection_use`, and those of [`crate::grants`].
//! Publishes: `integration_service.connection.created`, `refreshed`, `expired`, `revoked` and `called`. Hears account's
//! `user.deleted` and `user.erased`, organization's `deleted` and `member_removed`.
//! Jobs: `connection.take_back`, `connection.end`; `connection.give_up`, every minute; `connection.clean_up`, daily.
//! Deliberately absent: tokens that a client brings; providers by hand (a provider is an entry of the catalogue).

mod api;
mod clients;
mod enforce;
mod error;
mod events;
mod follow;
mod guard;
mod jobs;
mod model;
mod proxy;
mod service;
mod settings;
mod store;
mod tally;

use std::sync::Arc;

use polity_grants::provider::{Catalogue, Provider};
use polity_kernel::{
    Ctx,
    cache::{Cache, Stale},
    caller::Pending,
    config::{self, ConfigError, Section},
    db::{self, Conn, Migration, Migrations},
    http::FromRef,
    secret::SealedColumn,
    service::{Mounted, Service},
};
use polity_ports::{account::Letters, integration::Connected, organization::Membership};
use url::Url;

use tokio::sync::oneshot;
use tracing::Instrument as _;

use self::{clients::Clients, model::OauthApp, tally::Tally};
use crate::{
    consent::{Consents, Enforced},
    grants::{self, GrantSettings, Grants},
};

pub use error::Error;
pub use model::Status;
pub use settings::ConnectionSettings;

/// The secrets of apps.
const SECRETS: SealedColumn = SealedColumn::new("oauth_app", "id", "client_secret");
/// What providers say about accounts.
const ACCOUNTS: SealedColumn = SealedColumn::new("oauth_connection", "id", "external_user_data");
/// Tokens to be taken back.
const TAKE_BACKS: SealedColumn =
    SealedColumn::new("oauth_take_back", "id", "sealed").bound_by(polity_grants::token::place);

/// What is always true of this service.
pub const SERVICE: Service = Service {
    name: "connection",
    contract_name: "integration_service",
    port: 8261,
    base: "/api/v1/integration/oauth",
    aliases: &[("/v1/integration/oauth", "/api/v1/integration/oauth")],
    capabilities: &["oauth_apps", "oauth_connections", "provider_calls", "token_issue"],
    migrations: Migrations {
        set: "connection",
        list: &[
            Migration {
                version: 1,
                name: "grants",
                sql: grants::TABLES,
            },
            Migration {
                version: 2,
                name: "apps and connections",
                sql: include_str!("tables.sql"),
            },
        ],
    },
    sealed: &[grants::SEALED[0], grants::SEALED[1], SECRETS, ACCOUNTS, TAKE_BACKS],
    settings: || {
        vec![
            Section::of::<ConnectionSettings>("connection"),
            Section::of::<GrantSettings>("grants"),
        ]
    },
    describe: || api::routes().describe(),
};

/// How many connections are remembered for use.
const REMEMBERED: u64 = 100_000;

/// What the handlers of this service share. Cheap to clone.
#[derive(Clone)]
pub struct Connections(Arc<Parts>);

/// What a [`Connections`] is made of.
pub struct Parts {
    ctx: Ctx,
    settings: ConnectionSettings,
    members: Arc<dyn Membership>,
    letters: Arc<dyn Letters>,
    consents: Consents,
    catalogue: Arc<Catalogue>,
    clients: Clients,
    grants: Grants,
    cache: Cache<String, Arc<Usable>>,
    tally: Tally,
}

/// What is remembered of a connection, for its use.
pub(crate) struct Usable {
    user_id: String,
    workspace_id: String,
    status: Status,
    is_shared: bool,
    error: Option<String>,
    provider: String,
}

impl std::ops::Deref for Connections {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<Connections> for Ctx {
    fn from_ref(connections: &Connections) -> Self {
        connections.ctx.clone()
    }
}

impl Connections {
    /// Opens what connections work with.
    ///
    /// # Errors
    /// If the settings, or the file of more providers, cannot be read. The text says which entry is wrong, and where.
    pub fn open(
        ctx: &Ctx,
        members: &Arc<dyn Membership>,
        letters: Arc<dyn Letters>,
        consents: &Consents,
    ) -> Result<Self, ConfigError> {
        let settings: ConnectionSettings = ctx.config.section("connection")?;
        let grant_settings: GrantSettings = ctx.config.section("grants")?;
        let catalogue = Arc::new(catalogue(ctx, &settings)?);
        let clients = Clients {
            ctx: ctx.clone(),
            catalogue: Arc::clone(&catalogue),
        };
        let follow = Arc::new(follow::Follow {
            ctx: ctx.clone(),
            letters: Arc::clone(&letters),
        });
        let grants = Grants::open(ctx, &grant_settings, Arc::new(clients.clone()), follow);
        let opened = Self(Arc::new(Parts {
            ctx: ctx.clone(),
            settings,
            members: Arc::clone(members),
            letters,
            consents: consents.clone(),
            catalogue,
            clients,
            grants,
            cache: Cache::new(REMEMBERED, ctx.invalidations.clone(), |_, _| {}),
            tally: Tally::new(ctx.clock.clone()),
        }));
        // The context keeps the listener: one that kept the context would keep it for ever.
        let weak = Arc::downgrade(&opened.0);
        ctx.invalidations.listen(service::KIND, move |stale| {
            if let Some(parts) = weak.upgrade() {
                match stale {
                    Stale::Subject(id) => parts.cache.forget(&id.to_owned()),
                    Stale::Everything => parts.cache.clear(),
                }
            }
        });
        Ok(opened)
    }

    /// What ends connections with the consents they rest on.
    #[must_use]
    pub fn resting(&self) -> Arc<dyn Enforced> {
        Arc::new(enforce::Resting(Arc::downgrade(&self.0)))
    }
}

impl Parts {
    /// The address of this service, as browsers know it.
    fn base(&self) -> String {
        let url = self.ctx.core.public_url.as_ref();
        let base = url.map_or("http://localhost:8080", |url| url.as_str());
        format!("{}{}", base.trim_end_matches('/'), SERVICE.base)
    }

    /// Where the provider sends browsers back to.
    fn redirect_uri(&self, app: &OauthApp) -> String {
        let ours = || format!("{}/callback", self.base());
        app.redirect_uri.clone().unwrap_or_else(ours)
    }

    /// Whether pages of that origin may be told what became of a sign-in.
    fn is_known_origin(&self, origin: &str) -> bool {
        let ours = Url::parse(&self.base()).is_ok_and(|url| url.origin().ascii_serialization() == origin);
        ours || self.ctx.http().cors_origins.iter().any(|known| known == origin)
    }

    /// Does some work to its end, even if whoever asked for it goes away meanwhile.
    async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let (done, heard) = oneshot::channel();
        let work = async move { drop(done.send(work.await)) };
        self.ctx.spawn(work.instrument(tracing::Span::current()));
        let stopped = |_| Error::Unavailable("the program stops".to_owned());
        heard.await.map_err(stopped)?
    }

    /// The provider of an app.
    fn provider(&self, app: &OauthApp) -> Result<Arc<Provider>, Error> {
        self.clients.provider(app)
    }
}

impl Connected for Connections {
    fn count<'a>(&'a self, conn: &'a mut Conn, workspace_id: &'a str) -> Pending<'a, db::Result<i64>> {
        Box::pin(store::count_active(conn, workspace_id))
    }
}

/// The catalogue that comes with Polity, and what the operator's file adds or replaces.
fn catalogue(ctx: &Ctx, settings: &ConnectionSettings) -> Result<Catalogue, ConfigError> {
    let wrong = |error: &dyn std::fmt::Display| {
        let hint = "correct the file; what the fields mean is in docs/services/connection.md";
        ConfigError::from(config::Problem::new("connection.catalogue", error.to_string(), hint))
    };
    let builtin = Catalogue::builtin().map_err(|error| wrong(&error))?;
    let Some(path) = &settings.catalogue else {
        return Ok(builtin);
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&format!("{path}: {error}")))?;
    // A provider on this machine is for development and tests: the operator lists the address.
    let own = if ctx.outbound.check("http://127.0.0.1/").is_ok() {
        Catalogue::parse_with_loopback(&text)
    } else {
        Catalogue::parse(&text)
    };
    Ok(builtin.with(own.map_err(|error| wrong(&format!("{path}: {error}")))?))
}

/// The service, ready to be composed.
pub fn mount(connections: &Connections) -> Mounted {
    let ctx = &connections.ctx;
    ctx.spawn(tally::keep_writing(connections.clone()));
    ctx.spawn(grants::keep_fresh(connections.grants.clone()));
    let mut mounted = Mounted::new(&SERVICE, api::routes(), connections.clone());
    mounted.consumers = events::consumers(connections);
    mounted.jobs = jobs::kinds(connections);
    mounted.crons = jobs::crons();
    mounted
}
