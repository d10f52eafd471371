//! What every part of the program is handed: the kernel's parts, opened once.

use std::sync::{Arc, OnceLock};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cache::Invalidations,
    caller::{Authenticator, CallerSettings},
    clock::Clock,
    cluster::Cluster,
    config::{Config, Core},
    db::Db,
    event::Events,
    http::HttpSettings,
    id::Ids,
    job::Jobs,
    limit::Limiter,
    mail::Mailer,
    nats::Nats,
    observe::Metrics,
    outbound::Outbound,
    password::Passwords,
    secret::Secrets,
    wake::Wakes,
};

/// The kernel's parts. Cheap to clone; a service's state holds one.
#[derive(Clone)]
pub struct Ctx(Arc<Parts>);

/// What a [`Ctx`] is made of.
pub struct Parts {
    /// The settings.
    pub config: Config,
    /// The root settings.
    pub core: Core,
    /// The settings of HTTP.
    pub http: HttpSettings,
    /// The settings of service credentials.
    pub callers: CallerSettings,
    /// Time.
    pub clock: Clock,
    /// New ids.
    pub ids: Ids,
    /// The database.
    pub db: Db,
    /// This process among the others.
    pub cluster: Cluster,
    /// Wake-ups.
    pub wakes: Wakes,
    /// What processes remember and should not any more.
    pub invalidations: Invalidations,
    /// NATS, if it is configured.
    pub nats: Option<Nats>,
    /// The outbox.
    pub events: Events,
    /// The queue.
    pub jobs: Jobs,
    /// Sealing and hashing.
    pub secrets: Secrets,
    /// Human passwords.
    pub passwords: Passwords,
    /// Rate limits.
    pub limiter: Limiter,
    /// Mail.
    pub mail: Mailer,
    /// Everything that leaves over HTTP.
    pub outbound: Outbound,
    /// The figures of `/metrics`.
    pub metrics: Metrics,
    /// Who turns a bearer token or an API credential into a caller.
    pub authenticator: OnceLock<Arc<dyn Authenticator>>,
    /// Background work; shutdown waits for it.
    pub tasks: TaskTracker,
    /// Cancelled when the program is asked to stop: balancers send nothing more, clients are told to connect elsewhere.
    pub draining: CancellationToken,
    /// Cancelled when the program stops: nothing new is accepted, background work ends.
    pub stop: CancellationToken,
}

impl Ctx {
    /// Takes the parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The settings of HTTP.
    #[must_use]
    pub fn http(&self) -> &HttpSettings {
        &self.http
    }

    /// Starts background work that shutdown waits for; it ends when [`Parts::stop`] is cancelled.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }
}

impl std::ops::Deref for Ctx {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}
