//! A NATS or Redis server of one test's own, which the test may kill and start again.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{postgres::variable, temporary_folder};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `nats-server` with JetStream.
    Nats,
    /// `redis-server`, which keeps nothing.
    Redis,
}

/// A server on the loopback address. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Server {
    /// Starts one; `None`, and a line on standard error, where the program is not installed.
    ///
    /// # Panics
    /// When `POLITY_TEST_REQUIRE_SERVICES` is set and the program is not there, or does not start.
    #[must_use]
    pub fn start(kind: Kind) -> Option<Self> {
        let Some(program) = program(kind) else {
            assert!(
                variable("POLITY_TEST_REQUIRE_SERVICES").is_none(),
                "{kind:?} is required, but not installed"
            );
            eprintln!("skipped: {kind:?} is not installed");
            return None;
        };
        let mut server = Self {
            kind,
            port: free_port(),
            folder: temporary_folder(),
            child: None,
        };
        server.start_again_with(program);
        Some(server)
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = match self.kind {
            Kind::Nats => "nats",
            Kind::Redis => "redis",
        };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the server can be killed");
            child.wait().expect("the server ends");
        }
    }

    /// Starts it again, on its port and with what it had kept.
    pub fn start_again(&mut self) {
        let program = program(self.kind).expect("the program is still there");
        self.start_again_with(program);
    }

    fn start_again_with(&mut self, program: PathBuf) {
        let mut command = Command::new(program);
        let (port, folder) = (self.port.to_string(), self.folder.path());
        match self.kind {
            Kind::Nats => command
                .args(["--addr", "127.0.0.1", "--port", &port, "--jetstream", "--store_dir"])
                .arg(folder),
            Kind::Redis => command
                .args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--dir"])
                .arg(folder),
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(child.spawn().expect("the server starts"));
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{:?} did not start",
                self.kind
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program(kind: Kind) -> Option<PathBuf> {
    let name = match kind {
        Kind::Nats => "nats-server",
        Kind::Redis => "redis-server",
    };
    let path = variable("PATH").unwrap_or_default();
    // Debian puts the first where only root looks.
    std::env::split_paths(&format!("{path}:/usr/sbin"))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// A port nobody listens on. Somebody may take it before the server does; the test then fails to start it.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    listener.local_addr().expect("it has an address").port()
}
