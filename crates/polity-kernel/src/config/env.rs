//! Settings from environment variables: `POLITY_AUTH__REFRESH_TTL` is `auth.refresh_ttl`.
//!
//! A variable is text; the setting it names decides how it is read, so that `0123` stays text where text is wanted.

use figment::value::{Empty, Value};
use serde_json::Value as Json;

use super::{Kind, Problem, layer::Layer};

/// What the name of every setting's variable begins with.
pub(super) const PREFIX: &str = "POLITY_";

/// The `POLITY_*` variables of this process. Bytes that are not UTF-8 are replaced, so that the setting they belong to
/// reports them.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .filter(|(name, _)| name.starts_with(PREFIX))
}

/// The variable that sets a dotted key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// The value that a variable sets; nothing for a variable that is not ours to judge.
pub(super) fn layer(model: &Kind, name: &str, text: &str) -> Result<Option<Layer>, Problem> {
    let key = name.trim_start_matches(PREFIX).to_ascii_lowercase();
    let path: Vec<&str> = key.split("__").collect();
    let Some(place) = model.find(&path) else {
        if is_foreign(name, text) {
            return Ok(None);
        }
        let near = model.closest(&path.join("."));
        let fix = near.map_or_else(
            || "remove it".to_owned(),
            |key| format!("did you mean {}?", variable(&key)),
        );
        return Err(Problem::new(name, "(environment) is not a setting", fix));
    };
    let value = if text.trim().is_empty() && place.optional {
        Some(Value::from(Empty::None))
    } else {
        read(place.kind, text)
    };
    match value {
        Some(value) => Ok(Some(Layer::at(name, &path, value))),
        None => Err(Problem::new(
            name,
            "(environment) does not fit",
            format!("give it as {}", place.kind.label()),
        )),
    }
}

/// Whether a variable belongs to someone else: the command line and the tests (`POLITY_CONFIG`, `POLITY_TEST_*`), or
/// Kubernetes, which describes a service named `polity…` in variables like `POLITY_PORT=tcp://10.0.0.1:80`.
fn is_foreign(name: &str, text: &str) -> bool {
    let link = name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.contains("_PORT_") && (name.contains("_TCP") || name.contains("_UDP")))
        || (name.ends_with("_PORT") && text.contains("://"));
    name == "POLITY_CONFIG" || name.starts_with("POLITY_TEST_") || (link && !name.contains("__"))
}

/// Text as a value of `kind`, or nothing if it cannot be one.
fn read(kind: &Kind, text: &str) -> Option<Value> {
    let trimmed = text.trim();
    match kind {
        Kind::Text | Kind::Choice(_) => Some(text.into()),
        Kind::Integer => trimmed
            .parse::<i64>()
            .map(Value::from)
            .or_else(|_| trimmed.parse::<u64>().map(Value::from))
            .ok(),
        Kind::Number => trimmed.parse::<f64>().ok().filter(|n| n.is_finite()).map(Value::from),
        Kind::Bool => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true.into()),
            "false" | "0" | "no" | "off" => Some(false.into()),
            _ => None,
        },
        Kind::List(_) if trimmed.starts_with('[') => structure(trimmed),
        Kind::List(_) if trimmed.is_empty() => Some(Vec::<Value>::new().into()),
        Kind::List(inner) => {
            let items: Option<Vec<Value>> = trimmed.split(',').map(|item| read(inner, item.trim())).collect();
            items.map(Value::from)
        }
        Kind::Table(_) | Kind::Map(_) => structure(trimmed).filter(|v| v.as_dict().is_some()),
        Kind::Any => Some(structure(trimmed).unwrap_or_else(|| text.into())),
    }
}

/// An array or a table in JSON or TOML.
fn structure(text: &str) -> Option<Value> {
    if let Ok(json) = serde_json::from_str::<Json>(text) {
        return Value::serialize(&json).ok();
    }
    let document: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
    document.get("value").and_then(|value| Value::serialize(value).ok())
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    fn model() -> Kind {
        super::super::model::compose(&[]).unwrap()
    }

    proptest! {
        #[test]
        fn no_variable_panics(name in "POLITY_[A-Z_é]{0,30}", text: String) {
            drop(layer(&model(), &name, &text));
        }

        #[test]
        fn no_value_panics(text in "\\PC{0,60}", nested in "[\\[\\]{}\",=:0-9a-z \n]{0,60}") {
            for kind in [
                Kind::Integer,
                Kind::Number,
                Kind::Bool,
                Kind::Any,
                Kind::List(Box::new(Kind::Integer)),
                Kind::Map(Box::new(Kind::Text)),
            ] {
                drop(read(&kind, &text));
                drop(read(&kind, &nested));
            }
        }

        #[test]
        fn text_stays_as_it_was_written(text: String) {
            prop_assert_eq!(read(&Kind::Text, &text), Some(text.into()));
        }

        #[test]
        fn numbers_are_read_as_they_were_written(number: i64, large in i64::MAX as u64..) {
            prop_assert_eq!(read(&Kind::Integer, &format!(" {number}\n")), Some(number.into()));
            prop_assert!(read(&Kind::Integer, &large.to_string()).is_some());
            prop_assert_eq!(read(&Kind::Integer, &format!("{number}x")), None);
        }

        #[test]
        fn what_does_not_fit_is_not_quoted(text in "[a-z]{12,30}") {
            if let Err(problem) = layer(&model(), "POLITY_ROLES__NOTHING", &text) {
                let shown = format!("{problem:?}");
                prop_assert!(!shown.contains(&text));
            }
        }
    }
}
