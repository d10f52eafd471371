//! The command line.

mod ask;
mod backup;
mod credentials;
mod keys;
mod serve;

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use polity_kernel::{clock::Clock, compose, db::Db};

use crate::{BootError, Request, SERVICES, describe, doctor, folder, settings};

/// Everything an application needs around its users, in one program.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    /// The settings file; polity.toml here, if there is one.
    #[arg(long, global = true, env = "POLITY_CONFIG")]
    config: Option<PathBuf>,
    /// The data folder.
    #[arg(long, global = true)]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the API (the default).
    Serve(serve::Flags),
    /// Brings the tables up to date and ends.
    Migrate,
    /// Prints the settings in force, secrets hidden.
    Config,
    /// Administrators.
    #[command(subcommand)]
    Admin(ask::Admin),
    /// Master keys.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Credentials of programs.
    #[command(subcommand)]
    Credentials(credentials::Credentials),
    /// Events.
    #[command(subcommand)]
    Events(ask::Events),
    /// Prints the OpenAPI document.
    Openapi,
    /// Checks settings, folder, keys, database, clock and mail, and says what to do.
    Doctor,
    /// Copies an SQLite database into a new folder while the server runs.
    Backup {
        /// The folder to make.
        folder: PathBuf,
        /// Copies the keyring too. Without it, what is sealed in the copy opens only with your own copy of the keys.
        #[arg(long)]
        with_keys: bool,
    },
    /// Puts a backup into the data folder; no server may be running on it.
    Restore {
        /// The folder that `backup` made.
        folder: PathBuf,
        /// Replaces a database that is there; it is kept beside as `polity.db.before-restore`.
        #[arg(long)]
        replace: bool,
    },
}

/// Runs the command that was given, and says how it went.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("polity: the runtime did not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(run(cli));
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("polity: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line. A reader that has seen enough (`| head`) ends the program, quietly.
fn say(line: impl std::fmt::Display) -> Result<(), BootError> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        done => Ok(done?),
    }
}

async fn run(cli: Cli) -> Result<ExitCode, BootError> {
    let Cli {
        config: file,
        data_dir,
        command,
        serve: flags,
    } = cli;
    let flags = if let Some(Command::Serve(flags)) = &command {
        flags.clone()
    } else {
        flags
    };
    let mut overrides = flags.overrides();
    if let Some(folder) = data_dir {
        overrides["data_dir"] = folder.to_string_lossy().into();
    }
    if matches!(command, Some(Command::Openapi)) {
        let (document, _) = describe()?;
        say(serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = settings::load(file.as_deref(), overrides)?;
    match command {
        None | Some(Command::Serve(_)) => return serve::run(config).await,
        Some(Command::Config) => say(config.render().trim_end())?,
        Some(Command::Migrate) => {
            let core = config.core()?;
            folder::create(&core.data_dir)?;
            let db = Db::open(&config.section("database")?, &core.data_dir)?;
            let count = db.migrate(&compose::migrations(SERVICES)).await?;
            say(format!("{count} migrations applied; the tables are up to date"))?;
        }
        Some(Command::Admin(admin)) => ask::admin(config, admin).await?,
        Some(Command::Keys(keys::Keys::Create { file, if_missing })) => {
            keys::create(&file, if_missing, &Clock::system())?;
        }
        Some(Command::Keys(command)) => ask::print(config, command.request()).await?,
        Some(Command::Credentials(command)) => credentials::run(config, command).await?,
        Some(Command::Events(command)) => ask::events(config, command).await?,
        Some(Command::Doctor) => return Ok(doctor::run(&config).await),
        Some(Command::Backup { folder, with_keys }) => {
            let folder = std::path::absolute(folder)?;
            ask::print(config, Request::Backup { folder, with_keys }).await?;
        }
        Some(Command::Restore { folder, replace }) => backup::restore(&config, &folder, replace)?,
        Some(Command::Openapi) => {}
    }
    Ok(ExitCode::SUCCESS)
}
