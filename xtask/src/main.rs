//! What keeps the house in order: generated files, house checks, and the skeleton of a new service.

mod check;
mod crash;
mod generate;
mod grants;
mod new_service;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes the generated files again: openapi.json, polity.default.toml, docs/ENVIRONMENT.md, docs/ERRORS.md.
    Generate,
    /// House checks: the graph of crates, the rooms of services, SQL only in stores, drift of generated files.
    Check,
    /// Kills servers while clients use them, and looks whether everything that was acknowledged is there.
    Crash(crash::Options),
    /// Kills servers while many grants come due at once, and looks whether each was kept.
    Grants(grants::Options),
    /// Makes the folder of a new service, with every room and one working operation.
    NewService {
        /// The crate of its domain, such as `identity`.
        domain: String,
        /// Its name, such as `organization`.
        name: String,
        /// The port its contract gives it.
        #[arg(long)]
        port: u16,
    },
}

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or(here.clone(), PathBuf::from)
}

/// What a task says when it fails: one line per finding.
pub(crate) type Findings = Vec<String>;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Generate => generate::write(),
        Command::Check => check::run(),
        Command::Crash(options) => crash::run(options),
        Command::Grants(options) => grants::run(&options),
        Command::NewService { domain, name, port } => new_service::make(&domain, &name, port),
    };
    match done {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(findings) => {
            for finding in findings {
                eprintln!("xtask: {finding}");
            }
            ExitCode::FAILURE
        }
    }
}
