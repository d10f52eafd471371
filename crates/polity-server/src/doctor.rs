//! `polity doctor`: looks at everything a start needs, and says what to do about what it finds.

use std::{process::ExitCode, time::Duration};

use polity_kernel::{
    clock::{self, Clock},
    config::{Config, Core},
    db::{DatabaseSettings, Db},
    mail::MailSettings,
};

use crate::{folder, settings::KeySettings};

/// What was found in one place.
enum Finding {
    Good(String),
    Bad { what: String, fix: &'static str },
}

/// Looks, prints, and fails if anything was bad.
pub(crate) async fn run(config: &Config) -> ExitCode {
    let core = match config.core() {
        Ok(core) => core,
        Err(error) => {
            println!("BAD   settings: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut bad = 0;
    let mut report = |place: &str, finding: Finding| match finding {
        Finding::Good(what) => println!("ok    {place}: {what}"),
        Finding::Bad { what, fix } => {
            bad += 1;
            println!("BAD   {place}: {what}\n      {fix}");
        }
    };
    report("settings", settings(config, &core));
    report("folder", data_folder(&core));
    report("keys", keys(config, &core));
    report("database", database(config, &core).await);
    report("clock", clock_(config, &core).await);
    report("mail", mail(config, &core).await);
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn settings(config: &Config, core: &Core) -> Finding {
    match config.check_production(&[polity_identity::auth::production_checks]) {
        Ok(()) => Finding::Good(format!("{:?}", core.environment).to_lowercase()),
        Err(error) => Finding::Bad {
            what: error.to_string(),
            fix: "each line says what to set; see docs/ENVIRONMENT.md",
        },
    }
}

fn data_folder(core: &Core) -> Finding {
    match folder::create(&core.data_dir) {
        Err(error) => Finding::Bad {
            what: error.to_string(),
            fix: "the folder holds everything this process keeps",
        },
        Ok(()) => Finding::Good(format!("{} can be written", core.data_dir.display())),
    }
}

fn keys(config: &Config, core: &Core) -> Finding {
    let setting: KeySettings = config.section("keys").unwrap_or_default();
    let path = folder::keyring_path(setting.keyring.as_ref(), &core.data_dir);
    if !path.exists() && core.environment.is_development() {
        return Finding::Good(format!("{} will be made on the first start", path.display()));
    }
    match folder::keyring(&path, polity_kernel::config::Environment::Production, &Clock::system()) {
        Ok(ring) => Finding::Good(format!("{}, current key {}", path.display(), ring.current_id())),
        Err(error) => Finding::Bad {
            what: error.to_string(),
            fix: "restore the file from your copy; without it nothing sealed opens",
        },
    }
}

async fn database(config: &Config, core: &Core) -> Finding {
    let fix = "check POLITY_DATABASE__URL, that the server runs, and that its user may create tables";
    let opened = config
        .section::<DatabaseSettings>("database")
        .map_err(|error| error.to_string());
    let db = match opened.and_then(|settings| Db::open(&settings, &core.data_dir).map_err(|error| error.to_string())) {
        Ok(db) => db,
        Err(what) => return Finding::Bad { what, fix },
    };
    match db.ping().await {
        Ok(()) => Finding::Good(format!("{:?} answers", db.dialect())),
        Err(error) => Finding::Bad {
            what: error.to_string(),
            fix,
        },
    }
}

/// Tokens end by the clock: one that is wrong lets nobody in, or nobody out.
async fn clock_(config: &Config, core: &Core) -> Finding {
    let fix = "set the time, and keep it with NTP";
    let now = Clock::system().now();
    if now.timestamp() < 1_750_000_000 {
        return Finding::Bad {
            what: format!("it is {} here", clock::rfc3339(now)),
            fix,
        };
    }
    let Ok(settings) = config.section::<DatabaseSettings>("database") else {
        return Finding::Good(clock::rfc3339(now));
    };
    let Ok(db) = Db::open(&settings, &core.data_dir) else {
        return Finding::Good(clock::rfc3339(now));
    };
    match db.time().await {
        Ok(Some(there)) if (there - now).abs() > chrono::TimeDelta::seconds(2) => Finding::Bad {
            what: format!(
                "the database's clock, which Polity goes by, is {} ms away from this machine's",
                (there - now).num_milliseconds()
            ),
            fix,
        },
        _ => Finding::Good(clock::rfc3339(now)),
    }
}

async fn mail(config: &Config, core: &Core) -> Finding {
    let settings: MailSettings = config.section("mail").unwrap_or_default();
    let Some(url) = &settings.smtp_url else {
        return Finding::Good(format!("written to {}", core.data_dir.join("mail").display()));
    };
    let fix = "check POLITY_MAIL__SMTP_URL, and that this machine may reach the server";
    let Ok(url) = url::Url::parse(url.expose()) else {
        return Finding::Bad {
            what: "mail.smtp_url is not a URL".to_owned(),
            fix,
        };
    };
    let port = url.port().unwrap_or(if url.scheme() == "smtps" { 465 } else { 587 });
    let host = url.host_str().unwrap_or_default().to_owned();
    let connect = tokio::net::TcpStream::connect((host.as_str(), port));
    match tokio::time::timeout(Duration::from_secs(5), connect).await {
        Ok(Ok(_)) => Finding::Good(format!("{host}:{port} can be reached")),
        Ok(Err(error)) => Finding::Bad {
            what: format!("{host}:{port} cannot be reached: {error}"),
            fix,
        },
        Err(_) => Finding::Bad {
            what: format!("{host}:{port} does not answer"),
            fix,
        },
    }
}
