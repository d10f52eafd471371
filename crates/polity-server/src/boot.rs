//! Opening the parts in order, and starting what the process is for.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use axum::Router;
use polity_identity::{
    authorization::{Authorization, Others},
    credential::{self, Credentials},
    organization::Organizations,
};
use polity_integrations::consent::Enforced;
use polity_kernel::{
    Ctx, Parts,
    cache::{self, Invalidations},
    caller::CallerSettings,
    clock::Clock,
    cluster::{self, Cluster},
    compose,
    config::{Config, ConfigError, Core, Environment},
    db::{DatabaseSettings, Db},
    event::{self, Events},
    http::{self, Drain, HttpSettings},
    id::Ids,
    job::{self, Jobs},
    limit::{Limiter, RedisSettings},
    mail::{MailSettings, Mailer},
    nats::{Nats, NatsSettings},
    observe::{self, LogSettings, Metrics, TraceSettings, start_logs},
    outbound::{Outbound, OutboundSettings},
    password::Passwords,
    secret::{SealedColumn, Secrets},
    service::Mounted,
    wake::Wakes,
};
use polity_ports::authorization::Authorizer;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{SERVICES, folder, services, settings::KeySettings};

/// Why the program does not start, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{what}{}{fix}", if .fix.is_empty() { "" } else { "\n  " })]
pub struct BootError {
    what: String,
    fix: String,
}

impl BootError {
    pub(crate) fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            fix: fix.into(),
        }
    }
}

macro_rules! boot_error {
    ($($error:ty: $fix:expr;)*) => {$(
        impl From<$error> for BootError {
            fn from(error: $error) -> Self {
                Self::new(error.to_string(), $fix)
            }
        }
    )*};
}

boot_error! {
    ConfigError: "`polity config` shows the settings in force, docs/ENVIRONMENT.md lists all of them";
    polity_kernel::db::Error: "`polity doctor` looks closer";
    polity_kernel::secret::Error: "the keyring must hold every key that sealed something; restore the missing one from your copy";
    polity_kernel::password::PasswordError: "check the settings under [password]";
    polity_kernel::mail::MailError: "check the settings under [mail]";
    polity_kernel::limit::RedisError: "check the settings under [redis]";
    polity_kernel::nats::NatsError: "check the settings under [nats]";
    polity_kernel::outbound::Error: "check the settings under [outbound]";
    polity_kernel::observe::ObserveError: "check the settings under [log] and [traces]";
    polity_identity::auth::Error: "`polity doctor` looks closer";
    credential::Error: "`polity doctor` looks closer";
    std::io::Error: "";
    String: "";
}

/// What a test gives in place of the real thing.
#[derive(Default)]
pub struct Options {
    /// A clock of its own.
    pub clock: Option<Clock>,
    /// Mail is captured in memory.
    pub capture_mail: bool,
    /// What domains answer that are not built yet.
    pub others: Others,
    /// What rests on consents besides what the program itself has.
    pub enforced: Vec<Arc<dyn Enforced>>,
}

/// The program with everything opened, ready to serve.
pub struct Program {
    /// The kernel's parts.
    pub ctx: Ctx,
    /// Everything it answers.
    pub router: Router,
    /// What judges credentials of programs.
    pub credentials: Credentials,
    /// What decides who may use what; every domain is handed it.
    pub authorizer: Arc<dyn Authorizer>,
    mounted: Vec<Mounted>,
    keyring: PathBuf,
    lock: Option<folder::Lock>,
}

impl Program {
    /// Opens the parts: settings, folder, keys, database, tables, services.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub async fn open(config: Config, options: Options) -> Result<Self, BootError> {
        let core = config.core()?;
        check(&config, &core)?;
        folder::create(&core.data_dir)?;
        let database: DatabaseSettings = config.section("database")?;
        let lock = database
            .url
            .is_none()
            .then(|| folder::Lock::take(&core.data_dir))
            .transpose()?;
        let clock = options.clock.unwrap_or_else(Clock::system);
        let ids = Ids::system(clock.clone());
        let keys: KeySettings = config.section("keys")?;
        let keyring = folder::keyring_path(keys.keyring.as_ref(), &core.data_dir);
        let ring = folder::keyring(&keyring, core.environment, &clock)?;
        let db = Db::open(&database, &core.data_dir)?;
        migrate(&db).await?;
        if let Some(time) = db.time().await? {
            clock.follow(time);
        }
        let secrets = Secrets::open(ring, &db, &clock).await?;
        let wakes = Wakes::default();
        let ctx = Ctx::new(Parts {
            http: config.section::<HttpSettings>("http")?,
            callers: config.section::<CallerSettings>("callers")?,
            cluster: Cluster::new(&ids),
            events: Events::new(clock.clone(), ids.clone(), wakes.clone()),
            jobs: Jobs::new(clock.clone(), ids.clone(), wakes.clone()),
            invalidations: Invalidations::new(&db, wakes.clone()),
            wakes,
            nats: Nats::open(&config.section::<NatsSettings>("nats")?).await?,
            passwords: Passwords::new(&config.section("password")?)?,
            limiter: Limiter::open(&config.section::<RedisSettings>("redis")?, clock.clone())?,
            mail: mailer(&config, &core, &clock, &ids, options.capture_mail)?,
            outbound: Outbound::new(&outbound(&config, &core)?)?,
            metrics: Metrics::start()?,
            authenticator: OnceLock::new(),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            stop: CancellationToken::new(),
            config,
            core,
            clock,
            ids,
            db,
            secrets,
        });
        let credentials = Credentials::open(&ctx)?;
        let organizations = Organizations::open(&ctx)?;
        let authorization = Authorization::open(&ctx, &organizations, options.others)?;
        let mounted = services::mount(&ctx, &credentials, &organizations, &authorization, options.enforced).await?;
        let router = compose::compose(&ctx, &mounted)?;
        Ok(Self {
            ctx,
            router,
            credentials,
            authorizer: Arc::new(authorization),
            mounted,
            keyring,
            lock,
        })
    }

    /// Starts logging as the settings say. Once per process.
    ///
    /// # Errors
    /// If the level is not one.
    pub fn start_logs(config: &Config) -> Result<(), BootError> {
        Ok(start_logs(
            &config.section::<LogSettings>("log")?,
            &config.section::<TraceSettings>("traces")?,
            config.core()?.environment,
        )?)
    }

    /// Where the keyring is.
    #[must_use]
    pub fn keyring_path(&self) -> &std::path::Path {
        &self.keyring
    }

    /// Whether this process alone has the data folder.
    #[must_use]
    pub fn holds_folder(&self) -> bool {
        self.lock.is_some()
    }

    /// Every sealed column of the program.
    #[must_use]
    pub fn sealed_columns() -> Vec<SealedColumn> {
        compose::sealed_columns(SERVICES)
    }

    /// Whether the process has that role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.ctx.core.roles.iter().any(|given| given == role)
    }

    /// Joins the other processes on the database: this one counts among them, and hears what wakes them.
    pub async fn join(&self) {
        cluster::join(&self.ctx).await;
    }

    /// Starts the background work: events are sequenced and heard, jobs done, clocks followed.
    ///
    /// # Errors
    /// If a schedule is not one.
    pub fn start_workers(&mut self) -> Result<(), BootError> {
        let ctx = self.ctx.clone();
        let mut consumers = Vec::new();
        let mut kinds = Vec::new();
        let mut crons = Vec::new();
        for mounted in &mut self.mounted {
            consumers.append(&mut mounted.consumers);
            kinds.append(&mut mounted.jobs);
            crons.append(&mut mounted.crons);
        }
        let events = event::run(&ctx, consumers)?;
        let jobs = job::run(&ctx, kinds, crons)?;
        ctx.spawn(events);
        ctx.spawn(jobs);
        ctx.spawn(keep_house(ctx.clone()));
        Ok(())
    }

    /// Answers on `listener` until the program stops, and waits for the background work to end.
    pub async fn serve(&self, listener: TcpListener) -> Drain {
        let ctx = &self.ctx;
        let drain = http::serve(listener, self.router.clone(), ctx.http(), ctx.stop.clone()).await;
        self.finish().await;
        drain
    }

    /// Ends the background work and waits for it, for at most ten seconds.
    pub async fn finish(&self) {
        self.ctx.stop.cancel();
        self.ctx.tasks.close();
        if tokio::time::timeout(Duration::from_secs(10), self.ctx.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("background work did not end in time; its leases run out by themselves");
        }
        // It waits for the collector, and so must not stand in the way of what speaks to it.
        drop(tokio::task::spawn_blocking(observe::flush).await);
    }
}

/// How long a start waits for a database server that is not there yet: they are often started together.
const STARTING: Duration = Duration::from_secs(30);

async fn migrate(db: &Db) -> Result<(), BootError> {
    let begun = Instant::now();
    loop {
        match db.migrate(&compose::migrations(SERVICES)).await {
            Err(polity_kernel::db::Error::Unavailable(error)) if db.is_shared() && begun.elapsed() < STARTING => {
                tracing::warn!(error, "the database is not there yet");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            done => return Ok(done.map(drop)?),
        }
    }
}

fn check(config: &Config, core: &Core) -> Result<(), BootError> {
    config.check_production(&[polity_identity::auth::production_checks, has_keyring, has_mail])?;
    for role in &core.roles {
        if role != "api" && role != "worker" {
            return Err(BootError::new(
                format!("there is no role {role:?}"),
                "the roles are api and worker",
            ));
        }
    }
    let database: DatabaseSettings = config.section("database")?;
    let split = core.roles.len() < 2 || !core.services.is_empty();
    if database.url.is_none() && split {
        return Err(BootError::new(
            "roles and services can only be split over processes that share PostgreSQL",
            "set POLITY_DATABASE__URL, or leave --roles and --services out",
        ));
    }
    Ok(())
}

/// Production rule: the keys come from a file that somebody keeps, not from the first start.
fn has_keyring(config: &Config) -> Vec<polity_kernel::config::Problem> {
    match config.section::<KeySettings>("keys") {
        Ok(KeySettings { keyring: Some(_) }) => Vec::new(),
        Ok(_) => vec![polity_kernel::config::Problem::new(
            "keys.keyring",
            "is not set",
            "make a keyring with `polity keys create`, keep a copy, and name the file here",
        )],
        Err(error) => error.0,
    }
}

/// Production rule: mail leaves the house.
fn has_mail(config: &Config) -> Vec<polity_kernel::config::Problem> {
    match config.section::<MailSettings>("mail") {
        Ok(MailSettings { smtp_url: Some(_), .. }) => Vec::new(),
        Ok(_) => vec![polity_kernel::config::Problem::new(
            "mail.smtp_url",
            "is not set, so mail would be written to a folder",
            "set it to smtp://user:password@host:587 or smtps://…",
        )],
        Err(error) => error.0,
    }
}

fn mailer(config: &Config, core: &Core, clock: &Clock, ids: &Ids, capture: bool) -> Result<Mailer, BootError> {
    if capture {
        return Ok(Mailer::memory(clock.clone(), ids.clone())?);
    }
    let settings: MailSettings = config.section("mail")?;
    Ok(Mailer::new(&settings, &core.data_dir, clock.clone(), ids.clone())?)
}

/// Folds the figures every few seconds, and forgets old idempotent answers every hour.
async fn keep_house(ctx: Ctx) {
    let mut rounds = 0_u32;
    while ctx
        .stop
        .run_until_cancelled(tokio::time::sleep(Duration::from_secs(5)))
        .await
        .is_some()
    {
        ctx.metrics.upkeep();
        rounds = rounds.wrapping_add(1);
        if rounds.is_multiple_of(720)
            && let Err(error) = http::forget_answers(&ctx).await
        {
            tracing::warn!(error = %error, "old idempotent answers could not be forgotten");
        }
        if rounds.is_multiple_of(60)
            && let Err(error) = cache::prune(&ctx).await
        {
            tracing::warn!(error = %error, "old invalidations could not be deleted");
        }
    }
}

/// On a laptop, http is as good as https.
fn outbound(config: &Config, core: &Core) -> Result<OutboundSettings, BootError> {
    let mut settings: OutboundSettings = config.section("outbound")?;
    settings.allow_http |= core.environment == Environment::Development;
    Ok(settings)
}
