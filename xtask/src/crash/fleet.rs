//! The servers of a run, and what they stand on.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use polity_kernel::{
    Secret,
    db::{DatabaseSettings, Db},
};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{Backend, Failure, process};

/// A secret of this run's own, which protects nothing.
pub(crate) const SERVICE_SECRET: &str = "crash-only-service-secret-0123456789abcdef";

/// What is to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) backend: Backend,
    /// The program; the one beside this one by default.
    pub(crate) binary: Option<PathBuf>,
    /// Keeps the folder, with logs and data, also if all is well.
    pub(crate) keep: bool,
    /// Servers and database alone: no NATS, no clocks and no disk of their own.
    pub(crate) is_plain: bool,
    /// More settings of the servers, as variables of the environment.
    pub(crate) settings: Vec<(&'static str, String)>,
}

/// Everything that runs.
pub(crate) struct Fleet {
    pub(super) backend: Backend,
    binary: PathBuf,
    settings: Vec<(&'static str, String)>,
    folder: Option<TempDir>,
    kept: PathBuf,
    pub(super) servers: Vec<Server>,
    postgres: Option<Postgres>,
    nats: Option<Nats>,
    /// The library that gives each server a clock of its own, where it is installed.
    faketime: Option<PathBuf>,
    clock_jumped: Arc<AtomicBool>,
    /// Whether the data is on a disk of the run's own, which may be filled.
    pub(super) small_disk: bool,
}

/// One `polity serve`.
pub(super) struct Server {
    number: usize,
    port: u16,
    child: Option<Child>,
}

struct Postgres {
    port: u16,
    data: PathBuf,
    child: Option<Child>,
}

struct Nats {
    port: u16,
    child: Option<Child>,
}

impl Fleet {
    pub(crate) async fn start(plan: Plan) -> Result<Self, Failure> {
        let beside = std::env::current_exe()?.with_file_name("polity");
        let binary = plan.binary.unwrap_or(beside);
        let (backend, keep) = (plan.backend, plan.keep);
        if !binary.is_file() {
            let text = format!("{} is not there; `cargo build --bin polity` first", binary.display());
            return Err(Failure::Broken(text));
        }
        let folder = tempfile::Builder::new()
            .prefix("polity-crash-")
            .disable_cleanup(keep)
            .tempdir()?;
        let path = folder.path().to_owned();
        if keep {
            println!("crash: logs and data are in {}", path.display());
        }
        let servers = match backend {
            Backend::Sqlite => 1,
            Backend::Postgres => 3,
        };
        let mut fleet = Self {
            backend,
            binary,
            settings: plan.settings,
            kept: path.clone(),
            folder: Some(folder),
            servers: Vec::new(),
            postgres: None,
            nats: None,
            faketime: Some(PathBuf::from("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"))
                .filter(|file| !plan.is_plain && file.is_file()),
            clock_jumped: Arc::default(),
            small_disk: false,
        };
        fleet.open_folders()?;
        fleet.set_clocks("+0").await?;
        fleet.clock_jumped.store(false, Ordering::SeqCst);
        if backend == Backend::Sqlite && !plan.is_plain {
            fleet.small_disk = mount_small_disk(&path.join("data0")).await;
        }
        if backend == Backend::Postgres {
            fleet.start_postgres().await?;
        }
        if !plan.is_plain {
            fleet.start_nats().await?;
        }
        for number in 0..servers {
            let port = process::free_port()?;
            fleet.servers.push(Server {
                number,
                port,
                child: None,
            });
            fleet.start_server(number).await?;
        }
        Ok(fleet)
    }

    /// Where the servers are.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let address = |server: &Server| format!("http://127.0.0.1:{}", server.port);
        self.servers.iter().map(address).collect()
    }

    /// Set for good once a clock has jumped.
    pub(super) fn clock_jumped(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.clock_jumped)
    }

    pub(super) fn has_nats(&self) -> bool {
        self.nats.is_some()
    }

    pub(super) fn has_clocks(&self) -> bool {
        self.faketime.is_some()
    }

    fn open_folders(&self) -> Result<(), Failure> {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&self.kept, std::fs::Permissions::from_mode(0o755))?;
        for name in ["postgres", "nats", "mail", "data0", "data1", "data2"] {
            let folder = self.kept.join(name);
            std::fs::create_dir_all(&folder)?;
            if name == "postgres" && self.backend == Backend::Postgres && process::is_root() {
                std::os::unix::fs::chown(&folder, Some(65534), Some(65534))?;
            }
        }
        Ok(())
    }

    /// Gives every server a time so far from the real one, such as `+3600s`; nothing where they have no clocks of their own.
    pub(super) async fn set_clocks(&self, offset: &str) -> Result<(), Failure> {
        for number in 0..3 {
            self.set_clock(number, offset).await?;
        }
        Ok(())
    }

    /// The same for one of them.
    pub(super) async fn set_clock(&self, number: usize, offset: &str) -> Result<(), Failure> {
        self.clock_jumped.store(true, Ordering::SeqCst);
        Ok(tokio::fs::write(self.kept.join(format!("clock{number}")), format!("{offset}\n")).await?)
    }

    /// Kills a server.
    pub(crate) async fn kill_server(&mut self, number: usize) -> Result<(), Failure> {
        match self.servers.get_mut(number).and_then(|server| server.child.take()) {
            Some(mut child) => process::kill(&mut child).await,
            None => Ok(()),
        }
    }

    /// Kills a server and starts it again after `pause`.
    pub(super) async fn restart_server(&mut self, number: usize, pause: Duration) -> Result<(), Failure> {
        self.kill_server(number).await?;
        tokio::time::sleep(pause).await;
        self.start_server(number).await
    }

    pub(crate) async fn start_server(&mut self, number: usize) -> Result<(), Failure> {
        let mut command = self.server_command(number)?;
        let Some(server) = self.servers.get_mut(number) else {
            return Ok(());
        };
        let mut child = command.spawn()?;
        process::await_port("a server", server.port, &mut child).await?;
        server.child = Some(child);
        Ok(())
    }

    fn server_command(&self, number: usize) -> Result<Command, Failure> {
        let port = self.servers.get(number).map_or(0, |server| server.port);
        let mut command = process::command(&self.binary, false);
        process::log_to(&mut command, &self.kept.join(format!("server{number}.log")))?;
        command
            .args(["--port", &port.to_string()])
            .env("POLITY_DATA_DIR", self.kept.join(format!("data{number}")))
            .env("POLITY_KEYS__KEYRING", self.kept.join("keyring"))
            .env("POLITY_MAIL__FOLDER", self.kept.join("mail"))
            .env("POLITY_AUTH__RATE_LIMITS__ENABLED", "false")
            .env("POLITY_AUTH__RETURN_REFRESH_TOKEN_IN_BODY", "true")
            .env("POLITY_CALLERS__INTERNAL_SERVICE_SECRET", SERVICE_SECRET)
            .env("POLITY_PASSWORD__MEMORY_KIB", "8")
            .env("POLITY_PASSWORD__ITERATIONS", "1");
        if let Some(postgres) = &self.postgres {
            command.env("POLITY_DATABASE__URL", postgres.url());
        }
        if let Some(nats) = &self.nats {
            command.env("POLITY_NATS__URL", nats.url());
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        if let Some(library) = &self.faketime {
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME_TIMESTAMP_FILE", self.kept.join(format!("clock{number}")))
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        Ok(command)
    }

    async fn start_postgres(&mut self) -> Result<(), Failure> {
        let missing = |name: &str| Failure::Broken(format!("{name} is not installed"));
        let data = self.kept.join("postgres/data");
        let mut init = process::command(process::find("initdb").ok_or_else(|| missing("PostgreSQL"))?, true);
        process::log_to(&mut init, &self.kept.join("postgres.log"))?;
        let flags = [
            "--username=polity",
            "--encoding=UTF8",
            "--locale=C",
            "--auth=trust",
            "--no-sync",
        ];
        if !init
            .arg("--pgdata")
            .arg(&data)
            .args(flags)
            .current_dir("/")
            .status()
            .await?
            .success()
        {
            return Err(Failure::Broken("initdb failed".to_owned()));
        }
        self.postgres = Some(Postgres {
            port: process::free_port()?,
            data,
            child: None,
        });
        self.run_postgres().await
    }

    async fn run_postgres(&mut self) -> Result<(), Failure> {
        let log = self.kept.join("postgres.log");
        let sockets = self.kept.join("postgres");
        let Some(postgres) = &mut self.postgres else {
            return Ok(());
        };
        let program = process::find("postgres").unwrap_or_default();
        let mut command = process::command(program, true);
        process::log_to(&mut command, &log)?;
        command
            .arg("-D")
            .arg(&postgres.data)
            .arg("-k")
            .arg(sockets)
            .args([
                "-p",
                &postgres.port.to_string(),
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "max_connections=200",
            ])
            .current_dir("/");
        let mut child = command.spawn()?;
        process::await_port("PostgreSQL", postgres.port, &mut child).await?;
        postgres.child = Some(child);
        Ok(())
    }

    /// Ends PostgreSQL as a crash would (an immediate shutdown: nothing is written), and starts it again after `pause`.
    pub(super) async fn restart_postgres(&mut self, pause: Duration) -> Result<(), Failure> {
        if let Some(mut child) = self.postgres.as_mut().and_then(|postgres| postgres.child.take()) {
            process::signal(&child, "QUIT").await?;
            child.wait().await?;
        }
        tokio::time::sleep(pause).await;
        self.run_postgres().await
    }

    async fn start_nats(&mut self) -> Result<(), Failure> {
        if process::find("nats-server").is_none() {
            return Ok(());
        }
        self.nats = Some(Nats {
            port: process::free_port()?,
            child: None,
        });
        self.run_nats().await
    }

    async fn run_nats(&mut self) -> Result<(), Failure> {
        let (log, store) = (self.kept.join("nats.log"), self.kept.join("nats"));
        let Some(nats) = &mut self.nats else {
            return Ok(());
        };
        let mut command = process::command(process::find("nats-server").unwrap_or_default(), false);
        process::log_to(&mut command, &log)?;
        command
            .args([
                "--addr",
                "127.0.0.1",
                "--port",
                &nats.port.to_string(),
                "--jetstream",
                "--store_dir",
            ])
            .arg(store);
        let mut child = command.spawn()?;
        process::await_port("NATS", nats.port, &mut child).await?;
        nats.child = Some(child);
        Ok(())
    }

    /// Kills NATS and starts it again after `pause`.
    pub(super) async fn restart_nats(&mut self, pause: Duration) -> Result<(), Failure> {
        if let Some(mut child) = self.nats.as_mut().and_then(|nats| nats.child.take()) {
            process::kill(&mut child).await?;
        }
        tokio::time::sleep(pause).await;
        self.run_nats().await
    }

    pub(super) fn nats_url(&self) -> Option<String> {
        self.nats.as_ref().map(Nats::url)
    }

    /// Fills the small disk for a while.
    pub(super) async fn fill_disk(&self, pause: Duration) -> Result<(), Failure> {
        let ballast = self.kept.join("data0/ballast");
        let mut command = Command::new("dd");
        command
            .args(["if=/dev/zero", "bs=64k", "status=none"])
            .arg(format!("of={}", ballast.display()));
        // It ends when nothing more fits.
        command.stderr(std::process::Stdio::null()).status().await?;
        tokio::time::sleep(pause).await;
        Ok(tokio::fs::remove_file(ballast).await?)
    }

    /// The database, beside the servers.
    pub(crate) fn database(&self) -> Result<Db, Failure> {
        let settings = DatabaseSettings {
            url: self.postgres.as_ref().map(|postgres| Secret::from(postgres.url())),
            ..DatabaseSettings::default()
        };
        Ok(Db::open(&settings, &self.kept.join("data0"))?)
    }

    /// What a server has written so far, each of its starts after the other.
    pub(crate) fn log(&self, number: usize) -> PathBuf {
        self.kept.join(format!("server{number}.log"))
    }

    pub(super) fn mail_folder(&self) -> PathBuf {
        self.kept.join("mail")
    }

    /// Ends everything, the servers as an operator would.
    pub(crate) async fn stop(&mut self) {
        for server in &mut self.servers {
            if let Some(mut child) = server.child.take() {
                drop(process::signal(&child, "TERM").await);
                drop(tokio::time::timeout(Duration::from_secs(40), child.wait()).await);
            }
        }
        let postgres = self.postgres.as_mut().and_then(|postgres| postgres.child.take());
        let nats = self.nats.as_mut().and_then(|nats| nats.child.take());
        if let Some(mut postgres) = postgres {
            drop(process::signal(&postgres, "INT").await);
            drop(tokio::time::timeout(Duration::from_secs(40), postgres.wait()).await);
        }
        if let Some(mut nats) = nats {
            drop(process::kill(&mut nats).await);
        }
        if self.small_disk {
            let data = self.kept.join("data0");
            drop(Command::new("umount").arg("-l").arg(data).status().await);
        }
    }

    /// Keeps the folder after a failure.
    pub(crate) fn keep(&mut self) -> PathBuf {
        self.folder.take().map_or_else(|| self.kept.clone(), TempDir::keep)
    }
}

impl Server {
    /// Which one it is.
    pub(super) fn number(&self) -> usize {
        self.number
    }
}

impl Postgres {
    fn url(&self) -> String {
        format!("postgres://polity@127.0.0.1:{}/postgres", self.port)
    }
}

impl Nats {
    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

/// A disk of 1 GB for the data, where this process may mount one (as root, or under `unshare -rm`).
async fn mount_small_disk(folder: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", "size=1g", "tmpfs"]).arg(folder);
    command.stderr(std::process::Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, patience: Duration, mut is_so: impl AsyncFnMut() -> bool) -> Result<(), Failure> {
    let begun = Instant::now();
    while !is_so().await {
        if begun.elapsed() > patience {
            return Err(Failure::Broken(format!("not within {patience:?}: {what}")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
