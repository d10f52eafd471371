//! Settings as text: those in force, the default file, and the table of variables. Never with a secret.

use std::fmt::Write as _;

use figment::value::{Dict, Value};
use url::Url;

use super::{Config, Field, Kind, Section, env, layer, model};

/// What stands in place of a secret.
const HIDDEN: &str = "[hidden]";

/// The settings file with every default commented out, for `polity.default.toml`.
pub fn default_toml(sections: &[Section]) -> String {
    let Ok(model) = model::compose(sections) else {
        return String::new();
    };
    let mut page = Page {
        text: "# Every setting with its default, generated from the program. A `#key = value` line takes effect\n\
               # without its `#`; a key without a value is not set by default.\n"
            .to_owned(),
        documented: true,
        line: &|_, field, value| match shown(field, value) {
            Some(value) => format!("#{} = {value}", field.name),
            None => format!("#{} =", field.name),
        },
    };
    page.table("", model.fields(), &layer::defaults(model.fields()));
    page.text
}

/// The settings in force, each value that is not a default with its source.
pub(super) fn effective(config: &Config) -> String {
    let line = |path: &str, field: &Field, value: Option<&Value>| {
        let source = config.source(path).filter(|s| *s != layer::DEFAULT);
        let source = source.map(|s| format!("  # {s}")).unwrap_or_default();
        match shown(field, value) {
            Some(value) => format!("{} = {value}{source}", field.name),
            None => format!("#{} ={source}", field.name),
        }
    };
    let mut page = Page {
        text: String::new(),
        documented: false,
        line: &line,
    };
    page.table("", config.model.fields(), &config.merged);
    page.text
}

/// The Markdown table of all variables, for `docs/ENVIRONMENT.md`.
pub fn environment_table(sections: &[Section]) -> String {
    let Ok(model) = model::compose(sections) else {
        return String::new();
    };
    let mut text = "| variable | type | default | meaning |\n|---|---|---|---|\n".to_owned();
    rows(&mut text, "", model.fields(), &layer::defaults(model.fields()));
    text
}

fn rows(text: &mut String, path: &str, fields: &[Field], values: &Dict) {
    for field in fields {
        let key = join(path, &field.name);
        let value = values.get(&field.name);
        match &field.kind {
            Kind::Table(inner) => rows(text, &key, inner, &dict(value)),
            Kind::Map(inner) if !inner.fields().is_empty() => {
                rows(
                    text,
                    &join(&key, "<name>"),
                    inner.fields(),
                    &layer::defaults(inner.fields()),
                );
            }
            kind => {
                let default = shown(field, value)
                    .map(|v| format!("`{}`", cell(&v)))
                    .unwrap_or_default();
                let label = if field.secret {
                    format!("{}, secret", kind.label())
                } else {
                    kind.label()
                };
                let (variable, doc) = (env::variable(&key), cell(&field.doc));
                let _ = writeln!(text, "| `{variable}` | {label} | {default} | {doc} |");
            }
        }
    }
}

/// Text that stays within one cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

/// A settings file being written: the plain keys of a table first, then the tables below it.
struct Page<'a> {
    text: String,
    documented: bool,
    /// The line of one key, from its dotted path, description and value.
    line: &'a dyn Fn(&str, &Field, Option<&Value>) -> String,
}

impl Page<'_> {
    fn table(&mut self, path: &str, fields: &[Field], values: &Dict) {
        let (tables, plain): (Vec<&Field>, Vec<&Field>) = fields.iter().partition(|f| has_heading(&f.kind));
        for field in plain {
            if self.documented {
                self.text.push('\n');
                self.doc(&field.doc);
            }
            let line = (self.line)(&join(path, &field.name), field, values.get(&field.name));
            let _ = writeln!(self.text, "{line}");
        }
        for field in tables {
            self.below(&join(path, &key(&field.name)), field, values.get(&field.name));
        }
    }

    /// A table below the current one, or all tables of a map.
    fn below(&mut self, path: &str, field: &Field, value: Option<&Value>) {
        let values = dict(value);
        let Kind::Map(inner) = &field.kind else {
            // An optional table that is not set must not appear as one that is.
            let unset = field.optional && value.is_none_or(|v| v.as_dict().is_none());
            if !unset || self.documented {
                self.heading(path, &field.doc, if unset { "#" } else { "" });
                self.table(path, field.kind.fields(), &values);
            }
            return;
        };
        if self.documented && values.is_empty() {
            self.heading(&join(path, "NAME"), &field.doc, "#");
            self.table(path, inner.fields(), &layer::defaults(inner.fields()));
        }
        for (name, value) in &values {
            let path = join(path, &key(name));
            self.heading(&path, &field.doc, "");
            self.table(&path, inner.fields(), &dict(Some(value)));
        }
    }

    fn heading(&mut self, path: &str, doc: &str, comment: &str) {
        self.text.push('\n');
        if self.documented {
            self.doc(doc);
        }
        let _ = writeln!(self.text, "{comment}[{path}]");
    }

    fn doc(&mut self, doc: &str) {
        for line in doc.lines() {
            let _ = writeln!(self.text, "{}", format!("# {line}").trim_end());
        }
    }
}

fn has_heading(kind: &Kind) -> bool {
    match kind {
        Kind::Table(_) => true,
        Kind::Map(inner) => matches!(**inner, Kind::Table(_)),
        _ => false,
    }
}

fn dict(value: Option<&Value>) -> Dict {
    value.and_then(Value::as_dict).cloned().unwrap_or_default()
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// A key as TOML writes it.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare {
        name.to_owned()
    } else {
        toml::Value::from(name).to_string()
    }
}

/// A value as TOML on one line with its secrets hidden; nothing if it is not set.
fn shown(field: &Field, value: Option<&Value>) -> Option<String> {
    visible(&field.kind, field.secret, value?).map(|v| v.to_string())
}

fn visible(kind: &Kind, secret: bool, value: &Value) -> Option<toml::Value> {
    match value {
        Value::Empty(..) => None,
        _ if secret => Some(HIDDEN.into()),
        Value::String(_, text) => Some(without_password(text).into()),
        Value::Char(_, c) => Some(c.to_string().into()),
        Value::Bool(_, b) => Some((*b).into()),
        Value::Num(_, number) => {
            let whole = number
                .to_i128()
                .or_else(|| number.to_u128().and_then(|n| i128::try_from(n).ok()));
            let whole = whole.and_then(|n| i64::try_from(n).ok()).map(toml::Value::from);
            whole.or_else(|| number.to_f64().map(toml::Value::from))
        }
        Value::Array(_, items) => {
            let inner = if let Kind::List(inner) = kind {
                inner
            } else {
                &Kind::Any
            };
            Some(
                items
                    .iter()
                    .filter_map(|item| visible(inner, false, item))
                    .collect::<Vec<_>>()
                    .into(),
            )
        }
        Value::Dict(_, members) => {
            let member = |(name, value): (&String, &Value)| {
                let (kind, secret) = match kind.find(&[name]) {
                    Some(place) => (place.kind, place.secret),
                    None => (&Kind::Any, false),
                };
                visible(kind, secret, value).map(|v| (name.clone(), v))
            };
            Some(toml::Value::Table(members.iter().filter_map(member).collect()))
        }
    }
}

/// The text itself, unless it is a URL with a password.
fn without_password(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if url.password().is_some() => {
            // Refused only where a URL can have no password.
            let _ = url.set_password(Some("hidden"));
            url.to_string()
        }
        _ => text.to_owned(),
    }
}
