//! Processes of a run: started as an unprivileged user, killed by id, gone with the run.

use std::{
    ffi::OsStr,
    fs::File,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::process::{Child, Command};

use super::Failure;

/// Whether this run is root's: PostgreSQL will not be.
pub(super) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0)
}

/// A command that runs as nobody if this run is root's, and dies with it.
pub(super) fn command(program: impl AsRef<OsStr>, unprivileged: bool) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if unprivileged && is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.arg("--").arg(program).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Lets a command write into a log; several starts follow one another in it.
pub(super) fn log_to(command: &mut Command, file: &Path) -> Result<(), Failure> {
    let log = File::options().create(true).append(true).open(file)?;
    command.stdout(log.try_clone()?).stderr(log);
    Ok(())
}

/// Kills with SIGKILL and waits.
pub(super) async fn kill(child: &mut Child) -> Result<(), Failure> {
    Ok(child.kill().await?)
}

/// Sends a signal.
pub(super) async fn signal(child: &Child, name: &str) -> Result<(), Failure> {
    let id = child
        .id()
        .ok_or_else(|| Failure::Broken("a process has ended by itself".to_owned()))?;
    Command::new("kill")
        .args(["-s", name, &id.to_string()])
        .status()
        .await?;
    Ok(())
}

/// A port nobody listens on now.
pub(super) fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits until somebody listens on the port.
pub(super) async fn await_port(name: &str, port: u16, child: &mut Child) -> Result<(), Failure> {
    let begun = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if let Some(ended) = child.try_wait()? {
            return Err(Failure::Broken(format!("{name} ended while starting: {ended}")));
        }
        if begun.elapsed() > Duration::from_mins(1) {
            return Err(Failure::Broken(format!("{name} did not start within a minute")));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// A program on the path, or where Debian puts servers.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin"].map(PathBuf::from);
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    versions.sort();
    versions
        .into_iter()
        .rev()
        .chain(folders)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
