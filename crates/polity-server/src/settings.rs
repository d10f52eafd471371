//! Where the settings come from.

use std::path::{Path, PathBuf};

use polity_kernel::config::{Config, ConfigError, process_environment};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sections;

/// The master keys.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeySettings {
    /// The keyring file. Unset, it is `keyring` in the data folder, made on the first start in development; in production
    /// it must be set, and the file must be there (`polity keys create`).
    pub keyring: Option<PathBuf>,
}

/// The file that is read when none is named and it exists.
const FILE: &str = "polity.toml";

/// The settings of this process: defaults, then the file, then the environment, then `flags`.
///
/// # Errors
/// Everything that is wrong with them.
pub fn load(file: Option<&Path>, flags: serde_json::Value) -> Result<Config, ConfigError> {
    let default = Path::new(FILE);
    let file = file.or_else(|| default.exists().then_some(default));
    Config::load(&sections(), file, process_environment(), flags)
}
