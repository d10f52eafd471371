//! Grants in the kernel's database: what `polity-grants` needs of the server, and nothing of any service.
//!
//! Invariants: those of the library; a change of a grant and what [`Watch`] makes of it are one commit; a grant that ended is
//! used by no process a second later.
//!
//! Tables: `integration_grant`, `integration_pending_authorization`. Deliberately absent: whose a grant is and who may use
//! it (that is its service's), and the secrets of OAuth apps.

mod fresh;
mod outbound;
mod parts;
mod row;
mod settings;
mod sql;
mod store;
mod watch;

use std::sync::Arc;

use polity_grants::{
    client::Client,
    clock::SystemRandom,
    connect::{self, Connector},
    manager::{Apps, Manager, NoHooks, Parts},
    store::Store,
    token,
};
use polity_kernel::{
    Ctx,
    cache::Stale,
    db::{Result, Tx},
    secret::SealedColumn,
};

use self::parts::{KernelClock, KernelTasks};
pub use self::{
    fresh::{keep_fresh, prune},
    outbound::OutboundHttp,
    settings::GrantSettings,
    sql::Sql,
    watch::{NoWatch, Watch},
};

/// The tables, for the migrations of the service that holds grants.
pub const TABLES: &str = include_str!("tables.sql");

/// The sealed columns, for that service.
pub const SEALED: [SealedColumn; 2] = [
    SealedColumn::new("integration_grant", "id", "sealed").bound_by(token::place),
    SealedColumn::new("integration_pending_authorization", "id", "sealed").bound_by(connect::place),
];

/// The kind of locks and of what processes tell one another.
const KIND: &str = "grant";

/// Keeps a grant as it is, by its id, until the transaction ends. What stands on a grant and has its id is kept with it.
///
/// # Errors
/// What the database says.
pub async fn lock(tx: &mut Tx, id: &str) -> Result<()> {
    tx.lock(KIND, id).await
}

/// The library at work in this process. Cheap to clone.
#[derive(Clone)]
pub struct Grants(Arc<Inner>);

struct Inner {
    ctx: Ctx,
    settings: GrantSettings,
    store: Arc<Sql>,
    client: Client,
    connector: Connector,
    manager: Manager,
}

impl Grants {
    /// Opens it: calls go through the kernel's guarded client, refreshes are tasks that shutdown waits for.
    pub fn open(ctx: &Ctx, settings: &GrantSettings, apps: Arc<dyn Apps>, watch: Arc<dyn Watch>) -> Self {
        let store = Arc::new(Sql::new(ctx, watch));
        let clock = Arc::new(KernelClock(ctx.clock.clone()));
        let random = Arc::new(SystemRandom);
        let keyring = ctx.secrets.keyring().clone();
        let http = Arc::new(OutboundHttp::new(ctx.outbound.clone()));
        let client = Client::new(http, clock.clone(), random.clone(), settings.timeout());
        let manager = Manager::new(Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            client: client.clone(),
            apps,
            keyring: keyring.clone(),
            clock,
            random,
            spawn: Arc::new(KernelTasks(ctx.clone())),
            hooks: Arc::new(NoHooks),
            holder: ctx.cluster.process().to_owned(),
            settings: settings.of_manager(),
        });
        let connector = Connector {
            client: client.clone(),
            store: Arc::clone(&store) as Arc<dyn Store>,
            keyring,
        };
        let grants = Self(Arc::new(Inner {
            ctx: ctx.clone(),
            settings: settings.clone(),
            store,
            client,
            connector,
            manager,
        }));
        grants.listen();
        grants
    }

    /// Forgets what other processes say is no longer true.
    fn listen(&self) {
        // The context keeps the listener: one that kept the context would keep it for ever.
        let weak = Arc::downgrade(&self.0);
        self.0.ctx.invalidations.listen(KIND, move |stale| {
            if let Some(inner) = weak.upgrade() {
                match stale {
                    Stale::Subject(id) => inner.manager.forget(id),
                    Stale::Everything => inner.manager.forget_all(),
                }
            }
        });
    }

    /// Hands out tokens and refreshes them.
    pub fn manager(&self) -> &Manager {
        &self.0.manager
    }

    /// Begins authorizations and takes them up again.
    pub fn connector(&self) -> &Connector {
        &self.0.connector
    }

    /// Speaks to providers.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// Where grants are, also within a transaction of the caller's own.
    pub fn store(&self) -> &Arc<Sql> {
        &self.0.store
    }

    /// The settings.
    pub fn settings(&self) -> &GrantSettings {
        &self.0.settings
    }

    fn ctx(&self) -> &Ctx {
        &self.0.ctx
    }
}

impl std::fmt::Debug for Grants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grants")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}
