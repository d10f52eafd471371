//! `polity serve`.

use std::{io::IsTerminal, process::ExitCode, sync::Arc};

use clap::Args;
use polity_identity::auth;
use polity_kernel::{Ctx, config::Config, http::Drain};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{BootError, Options, Program, admin};

/// What serves what, and where.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Flags {
    /// The port to listen on; 0 takes a free one.
    #[arg(long)]
    port: Option<u16>,
    /// The address to listen on.
    #[arg(long)]
    host: Option<String>,
    /// The services to serve, separated by commas; all by default.
    #[arg(long, value_delimiter = ',')]
    services: Vec<String>,
    /// What this process does, separated by commas: api, worker; both by default.
    #[arg(long, value_delimiter = ',')]
    roles: Vec<String>,
}

impl Flags {
    /// The flags in the shape of the settings.
    pub(super) fn overrides(&self) -> serde_json::Value {
        let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        serde_json::json!({
            "http": { "port": self.port, "host": self.host },
            "services": list(&self.services),
            "roles": list(&self.roles),
        })
    }
}

/// Serves until SIGTERM or SIGINT.
pub(super) async fn run(config: Config) -> Result<ExitCode, BootError> {
    Program::start_logs(&config)?;
    let mut program = Program::open(config, Options::default()).await?;
    let ctx = program.ctx.clone();
    stop_on_signals(&ctx)?;
    program.join().await;
    if program.has_role("worker") {
        program.start_workers()?;
    }
    if !program.has_role("api") {
        tracing::info!("working without an API");
        ctx.stop.cancelled().await;
        program.finish().await;
        return Ok(ExitCode::SUCCESS);
    }
    let listener = listen(&ctx).await?;
    greet(&ctx, &listener).await?;
    let program = Arc::new(program);
    if program.holds_folder() {
        admin::listen(&program)?;
    }
    let drain = program.serve(listener).await;
    tracing::info!("stopped");
    Ok(if drain == Drain::Complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn stop_on_signals(ctx: &Ctx) -> Result<(), BootError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let ctx = ctx.clone();
    ctx.clone().spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {},
            _ = interrupt.recv() => {},
            () = ctx.stop.cancelled() => return,
        }
        drain(&ctx).await;
    });
    Ok(())
}

/// Says that no more is wanted, gives balancers time to notice, and stops.
async fn drain(ctx: &Ctx) {
    let notice = ctx.http().drain_notice_ms;
    tracing::info!(drain.notice_ms = notice, "asked to stop: finishing what is running");
    ctx.draining.cancel();
    tokio::time::sleep(std::time::Duration::from_millis(notice)).await;
    ctx.stop.cancel();
}

async fn listen(ctx: &Ctx) -> Result<TcpListener, BootError> {
    let (host, port) = (&ctx.http().host, ctx.http().port);
    TcpListener::bind((host.as_str(), port)).await.map_err(|error| {
        BootError::new(
            format!("{host}:{port} cannot be listened on: {error}"),
            "choose another port with --port, or stop what listens there",
        )
    })
}

/// Says where it is, and how to begin.
async fn greet(ctx: &Ctx, listener: &TcpListener) -> Result<(), BootError> {
    let address = listener.local_addr()?;
    let url = format!("http://{address}");
    tracing::info!(http.address = %address, "serving");
    let setup = auth::setup_token(ctx).await.map_err(|error| error.to_string())?;
    if !std::io::stdout().is_terminal() && setup.is_none() {
        return Ok(());
    }
    println!("Polity {} is running at {url}", polity_kernel::VERSION);
    println!("  API reference   {url}/docs");
    println!("  data folder     {}", ctx.core.data_dir.display());
    if let Some(token) = setup {
        println!("  There is no administrator yet. Create the first one here (the link works once, for a day):");
        println!("    {url}/setup?token={}", token.expose());
        println!("  or with: polity admin create --email you@example.com --name You");
    }
    Ok(())
}
