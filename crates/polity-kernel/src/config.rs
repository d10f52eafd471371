//! Settings: defaults < settings file < `POLITY_*` environment < command line.
//!
//! The kernel knows no domain, so settings are composed: every kernel module and every service owns one struct of
//! settings and offers it as a [`Section`]. The JSON schema of that struct is the one description from which variables
//! are typed, unknown keys are found, secrets are hidden, and the reference files are generated.
//!
//! Invariants:
//! - Nothing has to be set to start. A key that no section knows is an error wherever it comes from.
//! - No error and no rendering shows the value of a field marked `x-secret`, or the password inside a URL.
//! - A settings struct has `#[serde(default, deny_unknown_fields)]`, a doc comment on every field, and durations as whole
//!   seconds. A secret is an `Option<polity_seal::Secret>` with
//!   `#[schemars(with = "Option<String>", extend("x-secret" = true))]`.
//!
//! Deliberately absent: reloading while running, profiles, including one file from another, and checks of one section
//! against another (the owner of the rule does them at start, or as a [`Check`]).

mod core;
mod env;
mod layer;
mod model;
mod print;
#[cfg(test)]
mod tests;

use std::{fmt, path::Path};

use figment::{Figment, value::Dict};
use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::de::DeserializeOwned;

pub use self::core::{Core, Environment};
pub use self::env::process_environment;
use self::layer::Layer;
use self::model::{Field, Kind};
pub use self::print::{default_toml, environment_table};

/// What a settings struct must offer; implemented for all that do.
pub trait Settings: DeserializeOwned + JsonSchema {}
impl<T: DeserializeOwned + JsonSchema> Settings for T {}

/// One owner's part of the settings: a table of the settings file and a prefix of the environment.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// The table's name in the file, in `snake_case`: `auth` is `[auth]` and `POLITY_AUTH__…`.
    pub name: &'static str,
    schema: fn() -> Schema,
    check: fn(&Config, &str) -> Result<(), ConfigError>,
}

impl Section {
    /// The section `name`, whose settings are a `T`.
    pub const fn of<T: Settings>(name: &'static str) -> Self {
        Self {
            name,
            schema: schema_of::<T>,
            check: check_as::<T>,
        }
    }
}

fn schema_of<T: Settings>() -> Schema {
    SchemaSettings::draft2020_12()
        .with(|s| s.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<T>()
}

fn check_as<T: Settings>(config: &Config, name: &str) -> Result<(), ConfigError> {
    config.section::<T>(name).map(drop)
}

/// Something wrong with the settings, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting as the operator wrote it: a dotted key, a variable, or a file.
    pub setting: String,
    /// What is wrong with it; continues the sentence that `setting` begins.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

impl Problem {
    /// A problem: "`setting` `what`; `fix`".
    pub fn new(setting: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            setting: setting.into(),
            what: what.into(),
            fix: fix.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}; {}", self.setting, self.what, self.fix)
    }
}

/// Why the settings cannot be used: everything that is wrong with them, not only the first thing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the settings cannot be used:\n{}", .0.iter().map(|p| format!("- {p}")).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError(pub Vec<Problem>);

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// A rule that settings must keep in production. Returns every breach.
pub type Check = fn(&Config) -> Vec<Problem>;

/// The settings in force, checked against every section.
pub struct Config {
    model: Kind,
    merged: Dict,
    /// Kept for where each value came from.
    figment: Figment,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").finish_non_exhaustive()
    }
}

impl Config {
    /// Merges the layers and checks them against `sections` and [`Core`].
    ///
    /// `file` must exist when it is given. `env` is usually [`process_environment`]. `overrides` comes from command line
    /// flags, shaped like the file; its nulls mean "not given".
    pub fn load(
        sections: &[Section],
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
        overrides: serde_json::Value,
    ) -> Result<Self, ConfigError> {
        let model = model::compose(sections)?;
        let mut layers = vec![Layer::defaults(&model)];
        let mut problems = Vec::new();
        let mut take = |result: Result<Option<Layer>, Vec<Problem>>| match result {
            Ok(layer) => layers.extend(layer),
            Err(found) => problems.extend(found),
        };
        take(file.map(|path| Layer::file(&model, path)).transpose());
        let mut env: Vec<_> = env
            .into_iter()
            .filter(|(name, _)| name.starts_with(env::PREFIX))
            .collect();
        // A variable for a whole table comes before the variables for its members.
        env.sort();
        for (name, value) in &env {
            take(env::layer(&model, name, value).map_err(|problem| vec![problem]));
        }
        take(Layer::overrides(&model, overrides).map(Some));
        if !problems.is_empty() {
            return Err(ConfigError(problems));
        }

        let figment = layers.into_iter().fold(Figment::new(), Figment::merge);
        let merged = layer::merged(&figment)?;
        let config = Self { model, merged, figment };
        for section in std::iter::once(&Core::SECTION).chain(sections) {
            problems.extend(
                (section.check)(&config, section.name)
                    .err()
                    .map_or_else(Vec::new, |e| e.0),
            );
        }
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(problems))
        }
    }

    /// The settings of one section; `""` is [`Core`].
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, ConfigError> {
        layer::extract(self.table(name)).map_err(|problems| {
            let explain = |(path, what): (Vec<String>, String)| {
                let path: Vec<String> = std::iter::once(name.to_owned())
                    .filter(|n| !n.is_empty())
                    .chain(path)
                    .collect();
                self.explain(&path, &what)
            };
            ConfigError(problems.into_iter().map(explain).collect())
        })
    }

    /// The settings of the process as a whole.
    pub fn core(&self) -> Result<Core, ConfigError> {
        self.section("")
    }

    /// Where the value of a dotted key comes from: `default`, a file, a variable or `command line`.
    pub fn source(&self, setting: &str) -> Option<&str> {
        self.figment.find_metadata(setting).map(|m| m.name.as_ref())
    }

    /// In production: applies the kernel's own rules and `checks`. Elsewhere: nothing.
    pub fn check_production(&self, checks: &[Check]) -> Result<(), ConfigError> {
        if self.core()?.environment != Environment::Production {
            return Ok(());
        }
        let core: &[Check] = &[core::has_https_address];
        let problems: Vec<Problem> = core.iter().chain(checks).flat_map(|check| check(self)).collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError(problems))
        }
    }

    /// The settings in force as a settings file, secrets hidden, each value that is not a default with its source.
    pub fn render(&self) -> String {
        print::effective(self)
    }

    /// The values of one section; [`Core`]'s are the root keys without the tables of the sections.
    fn table(&self, name: &str) -> Dict {
        if !name.is_empty() {
            return self
                .merged
                .get(name)
                .and_then(|v| v.as_dict())
                .cloned()
                .unwrap_or_default();
        }
        let of_core = |key: &str| self.model.fields().iter().any(|f| f.name == key && !f.section);
        self.merged
            .iter()
            .filter(|(key, _)| of_core(key))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }

    fn explain(&self, path: &[String], what: &str) -> Problem {
        let key = path.join(".");
        let source = self.source(&key).unwrap_or("default");
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        let place = self.model.find(&parts);
        // serde quotes the value it could not use.
        let what = if place.as_ref().is_some_and(|p| p.secret) {
            "the value does not fit"
        } else {
            what
        };
        let wanted = place.map_or_else(|| "correct value".to_owned(), |p| p.kind.label());
        Problem::new(
            key,
            format!("({source}) is wrong: {what}"),
            format!("give it as {wanted}"),
        )
    }
}
