//! The layers that settings are merged from, each under the name that errors and renderings give as the source.

use std::path::Path;

use figment::{
    Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::{ConfigError, Field, Kind, Problem};

/// The name of the lowest layer.
pub(super) const DEFAULT: &str = "default";

/// Values from one place.
pub(super) struct Layer {
    source: String,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

impl Layer {
    /// The defaults that the settings structs declare.
    pub(super) fn defaults(model: &Kind) -> Self {
        Self {
            source: DEFAULT.to_owned(),
            values: defaults(model.fields()),
        }
    }

    /// One value at a path.
    pub(super) fn at(source: &str, path: &[&str], value: Value) -> Self {
        let wrap = |value, key: &&str| Value::from(Dict::from([((*key).to_owned(), value)]));
        let values = path.iter().rev().fold(value, wrap).into_dict().unwrap_or_default();
        Self {
            source: source.to_owned(),
            values,
        }
    }

    /// A settings file. A message never quotes the line, which may hold a secret.
    pub(super) fn file(model: &Kind, path: &Path) -> Result<Self, Vec<Problem>> {
        let source = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            vec![Problem::new(
                &source,
                format!("cannot be read: {error}"),
                "check the path and its permissions",
            )]
        })?;
        let values: Dict = toml::from_str(&text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(start).filter(|b| *b == b'\n').count() + 1;
            vec![Problem::new(
                &source,
                format!("is not TOML at line {line}: {}", error.message()),
                "correct that line",
            )]
        })?;
        Self { source, values }.known_to(model)
    }

    /// Values from command line flags; nulls are flags that were not given.
    pub(super) fn overrides(model: &Kind, mut values: Json) -> Result<Self, Vec<Problem>> {
        drop_nulls(&mut values);
        let values = Value::serialize(&values)
            .ok()
            .and_then(Value::into_dict)
            .unwrap_or_default();
        Self {
            source: "command line".to_owned(),
            values,
        }
        .known_to(model)
    }

    /// The layer itself, if every key in it is known.
    fn known_to(self, model: &Kind) -> Result<Self, Vec<Problem>> {
        let mut unknown = Vec::new();
        find_unknown(model, &Value::from(self.values.clone()), "", &mut unknown);
        if unknown.is_empty() {
            return Ok(self);
        }
        let problem = |key: String| {
            let fix = model
                .closest(&key)
                .map_or_else(|| "remove it".to_owned(), |near| format!("did you mean {near}?"));
            Problem::new(key, format!("({}) is not a setting", self.source), fix)
        };
        Err(unknown.into_iter().map(problem).collect())
    }
}

fn find_unknown(kind: &Kind, value: &Value, path: &str, unknown: &mut Vec<String>) {
    let join = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    match (kind, value) {
        (Kind::Table(fields), Value::Dict(_, dict)) => {
            for (key, value) in dict {
                match fields.iter().find(|f| f.name == *key) {
                    Some(field) => find_unknown(&field.kind, value, &join(key), unknown),
                    None => unknown.push(join(key)),
                }
            }
        }
        (Kind::Map(inner), Value::Dict(_, dict)) => {
            for (key, value) in dict {
                find_unknown(inner, value, &join(key), unknown);
            }
        }
        (Kind::List(inner), Value::Array(_, items)) => {
            for item in items {
                find_unknown(inner, item, path, unknown);
            }
        }
        _ => {}
    }
}

/// The default of every field. Secrets are left to the struct's own default: they serialise hidden.
pub(super) fn defaults(fields: &[Field]) -> Dict {
    let value = |field: &Field| {
        if field.section {
            return Some(Value::from(defaults(field.kind.fields())));
        }
        let mut default = field.default.clone();
        if field.secret {
            return None;
        }
        drop_secrets(&field.kind, &mut default);
        Value::serialize(&default).ok()
    };
    fields
        .iter()
        .filter_map(|f| value(f).map(|v| (f.name.clone(), v)))
        .collect()
}

fn drop_secrets(kind: &Kind, default: &mut Json) {
    let Json::Object(members) = default else { return };
    for field in kind.fields() {
        if field.secret {
            members.shift_remove(&field.name);
        } else if let Some(member) = members.get_mut(&field.name) {
            drop_secrets(&field.kind, member);
        }
    }
}

fn drop_nulls(value: &mut Json) {
    if let Json::Object(members) = value {
        members.retain(|_, member| !member.is_null());
        members.values_mut().for_each(drop_nulls);
    }
}

/// All layers as one table whose values remember their source.
pub(super) fn merged(figment: &Figment) -> Result<Dict, ConfigError> {
    let mut data = figment
        .data()
        .map_err(|error| Problem::new("settings", format!("cannot be merged: {error}"), "check the layers"))?;
    Ok(data.remove(&Profile::Default).unwrap_or_default())
}

/// A table as a settings struct, or each path in it with what is wrong there.
pub(super) fn extract<T: DeserializeOwned>(table: Dict) -> Result<T, Vec<(Vec<String>, String)>> {
    let describe = |error: figment::Error| (error.path.clone(), error.kind.to_string());
    Value::from(table)
        .deserialize()
        .map_err(|error| error.into_iter().map(describe).collect())
}
