//! The root keys of the settings: what a process is for and which part of Polity it serves.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Config, Problem, Section};

/// What a process is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// A laptop: development endpoints exist, keys are generated.
    #[default]
    Development,
    /// Real users: the start is refused while a setting is unsafe.
    Production,
    /// A test suite: like production without its start checks.
    Test,
}

impl Environment {
    /// Whether development-only endpoints and conveniences exist.
    pub fn is_development(self) -> bool {
        self == Self::Development
    }
}

/// Settings of the process as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Core {
    /// What this process is for. `development` has endpoints that no user may meet; `production` refuses to start with
    /// an unsafe setting.
    pub environment: Environment,
    /// The address under which users reach Polity: issuer of tokens, base of links and callbacks. Must be https in
    /// production.
    #[schemars(with = "Option<String>")]
    pub public_url: Option<Url>,
    /// The folder for everything that this process keeps on disk: the SQLite database, local objects, generated keys.
    pub data_dir: PathBuf,
    /// The services that this process serves, by name. Empty means all.
    pub services: Vec<String>,
    /// What this process does: `api` answers requests, `worker` runs jobs and event consumers.
    pub roles: Vec<String>,
}

impl Default for Core {
    fn default() -> Self {
        Self {
            environment: Environment::default(),
            public_url: None,
            data_dir: PathBuf::from("polity-data"),
            services: Vec::new(),
            roles: vec!["api".to_owned(), "worker".to_owned()],
        }
    }
}

impl Core {
    /// Always part of the settings; callers do not list it.
    pub(super) const SECTION: Section = Section::of::<Self>("");
}

/// Production rule: tokens and links must carry an address that is true and cannot be read on the way.
pub(super) fn has_https_address(config: &Config) -> Vec<Problem> {
    let problem = |what: &str| Problem::new("public_url", what, "set it to the https address that users open");
    match config.core() {
        Err(error) => error.0,
        Ok(Core { public_url: None, .. }) => vec![problem("is not set")],
        Ok(Core {
            public_url: Some(url), ..
        }) if url.scheme() != "https" => vec![problem("is not an https address")],
        Ok(_) => Vec::new(),
    }
}
