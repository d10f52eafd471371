//! Commands that ask: the running server if there is one, else the data folder itself.

use std::{io::BufRead, time::Duration};

use clap::Subcommand;
use polity_kernel::{Secret, config::Config, db::DatabaseSettings};

use crate::{BootError, Options, Program, Reply, Request, admin, execute};

/// `polity admin …`
#[derive(Debug, Subcommand)]
pub(super) enum Admin {
    /// Creates an administrator with every right. The password is read from standard input.
    Create {
        /// Their address.
        #[arg(long)]
        email: String,
        /// Their name.
        #[arg(long)]
        name: String,
    },
}

/// `polity events …`
#[derive(Debug, Subcommand)]
pub(super) enum Events {
    /// Prints events as CloudEvents, one per line.
    Tail {
        /// Starts after this position; 0 is the beginning.
        #[arg(long, default_value_t = 0)]
        after: i64,
        /// Only these types, such as account_service.user.created.
        #[arg(long = "type")]
        types: Vec<String>,
        /// Goes on until interrupted.
        #[arg(long)]
        follow: bool,
    },
    /// Lets a consumer hear again everything after a position.
    Replay {
        /// The name of the consumer.
        consumer: String,
        /// The position; 0 is the beginning.
        #[arg(long, default_value_t = 0)]
        after: i64,
    },
}

/// Someone to ask.
pub(super) enum Asked {
    Server(std::path::PathBuf),
    Own(Box<Program>),
}

impl Asked {
    pub(super) async fn find(config: Config) -> Result<Self, BootError> {
        let folder = config.core()?.data_dir;
        let database: DatabaseSettings = config.section("database")?;
        if database.url.is_none()
            && folder.join("polity.sock").exists()
            && tokio::net::UnixStream::connect(folder.join("polity.sock"))
                .await
                .is_ok()
        {
            return Ok(Self::Server(folder));
        }
        Ok(Self::Own(Box::new(Program::open(config, Options::default()).await?)))
    }

    pub(super) async fn ask(&self, request: Request) -> Result<Reply, BootError> {
        match self {
            Self::Server(folder) => admin::ask(folder, &request)
                .await?
                .ok_or_else(|| BootError::new("the server went away", "try again")),
            Self::Own(program) => execute(program, request).await,
        }
    }

    pub(super) async fn finish(self) {
        if let Self::Own(program) = self {
            program.finish().await;
        }
    }
}

pub(super) async fn print(config: Config, request: Request) -> Result<(), BootError> {
    let asked = Asked::find(config).await?;
    let reply = asked.ask(request).await;
    asked.finish().await;
    for line in reply?.lines {
        super::say(line)?;
    }
    Ok(())
}

pub(super) async fn admin(config: Config, command: Admin) -> Result<(), BootError> {
    let Admin::Create { email, name } = command;
    eprintln!("Password for {email} (at least 8 characters), then Enter:");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let password = Secret::from(line.trim_end_matches(['\r', '\n']).to_owned());
    print(config, Request::AdminCreate { email, name, password }).await
}

pub(super) async fn events(config: Config, command: Events) -> Result<(), BootError> {
    let (mut after, types, follow) = match command {
        Events::Replay { consumer, after } => return print(config, Request::EventsReplay { consumer, after }).await,
        Events::Tail { after, types, follow } => (after, types, follow),
    };
    let asked = Asked::find(config).await?;
    loop {
        let reply = asked
            .ask(Request::Events {
                after,
                types: types.clone(),
                limit: 500,
            })
            .await?;
        for line in &reply.lines {
            super::say(line)?;
        }
        after = reply.data.as_i64().unwrap_or(after);
        if reply.lines.is_empty() {
            if !follow {
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
    asked.finish().await;
    Ok(())
}
