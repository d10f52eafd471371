//! What a setting may hold, read from the JSON schema of the structs that own it.

use serde_json::Value as Json;

use super::{ConfigError, Core, Problem, Section};

/// The shape of a value.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Text,
    Integer,
    Number,
    Bool,
    /// One of some words.
    Choice(Vec<String>),
    List(Box<Kind>),
    Table(Vec<Field>),
    /// A table with keys of the operator's choice.
    Map(Box<Kind>),
    /// A shape too free to check here; deserialisation decides.
    Any,
}

/// One key of a table.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) doc: String,
    pub(super) default: Json,
    pub(super) optional: bool,
    pub(super) secret: bool,
    /// Whether this is the table of a section, not a setting of [`Core`].
    pub(super) section: bool,
}

/// What stands at a path.
pub(super) struct Place<'m> {
    pub(super) kind: &'m Kind,
    pub(super) optional: bool,
    pub(super) secret: bool,
}

/// The table of all settings: the fields of [`Core`], then one table per section.
pub(super) fn compose(sections: &[Section]) -> Result<Kind, ConfigError> {
    let mut fields: Vec<Field> = of_schema((Core::SECTION.schema)().as_value()).0.fields().to_vec();
    for section in sections {
        if fields.iter().any(|f| f.name == section.name) {
            let fix = "give each section its own name";
            return Err(Problem::new(section.name, "is the name of two sections or keys", fix).into());
        }
        fields.push(table_of(section));
    }
    Ok(Kind::Table(fields))
}

fn table_of(section: &Section) -> Field {
    let schema = (section.schema)();
    let mut field = Field::new(section.name, schema.as_value());
    field.section = true;
    field
}

impl Field {
    fn new(name: &str, schema: &Json) -> Self {
        let (kind, optional) = of_schema(schema);
        Self {
            name: name.to_owned(),
            kind,
            doc: schema["description"].as_str().unwrap_or_default().to_owned(),
            default: schema["default"].clone(),
            optional,
            secret: schema["x-secret"] == true,
            section: false,
        }
    }
}

/// The kind that a schema describes, and whether null is allowed beside it.
fn of_schema(schema: &Json) -> (Kind, bool) {
    if let Some(options) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
        return of_options(options);
    }
    if let Some([only]) = schema["allOf"].as_array().map(Vec::as_slice) {
        return of_schema(only);
    }
    if let Some(words) = schema["enum"].as_array() {
        let optional = words.iter().any(Json::is_null);
        return (
            Kind::Choice(words.iter().filter_map(Json::as_str).map(str::to_owned).collect()),
            optional,
        );
    }
    if let Some(word) = schema["const"].as_str() {
        return (Kind::Choice(vec![word.to_owned()]), false);
    }
    let types: Vec<&str> = match &schema["type"] {
        Json::String(one) => vec![one],
        Json::Array(several) => several.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    };
    let optional = types.contains(&"null");
    let kind = match types.iter().find(|t| **t != "null") {
        Some(&"string") => Kind::Text,
        Some(&"integer") => Kind::Integer,
        Some(&"number") => Kind::Number,
        Some(&"boolean") => Kind::Bool,
        Some(&"array") => Kind::List(Box::new(of_schema(&schema["items"]).0)),
        Some(&"object") => of_object(schema),
        _ => Kind::Any,
    };
    (kind, optional)
}

fn of_object(schema: &Json) -> Kind {
    if let Some(properties) = schema["properties"].as_object() {
        return Kind::Table(
            properties
                .iter()
                .map(|(name, schema)| Field::new(name, schema))
                .collect(),
        );
    }
    match &schema["additionalProperties"] {
        values @ Json::Object(_) => Kind::Map(Box::new(of_schema(values).0)),
        _ => Kind::Any,
    }
}

fn of_options(options: &[Json]) -> (Kind, bool) {
    let rest: Vec<&Json> = options.iter().filter(|o| o["type"] != "null").collect();
    let optional = rest.len() < options.len();
    if let [only] = rest.as_slice() {
        let (kind, nested) = of_schema(only);
        return (kind, optional || nested);
    }
    let mut words = Vec::new();
    for option in rest {
        match of_schema(option).0 {
            Kind::Choice(more) => words.extend(more),
            _ => return (Kind::Any, optional),
        }
    }
    (Kind::Choice(words), optional)
}

impl Kind {
    /// The keys of a table; none for anything else.
    pub(super) fn fields(&self) -> &[Field] {
        match self {
            Self::Table(fields) => fields,
            _ => &[],
        }
    }

    /// What stands at `path`, or nothing where no setting has that name.
    pub(super) fn find(&self, path: &[&str]) -> Option<Place<'_>> {
        let Some((head, rest)) = path.split_first() else {
            return Some(Place {
                kind: self,
                optional: false,
                secret: false,
            });
        };
        match self {
            Self::Table(fields) => {
                let field = fields.iter().find(|f| f.name == *head)?;
                let place = field.kind.find(rest)?;
                let optional = if rest.is_empty() {
                    field.optional
                } else {
                    place.optional
                };
                Some(Place {
                    optional,
                    secret: place.secret || field.secret,
                    ..place
                })
            }
            Self::Map(inner) => inner.find(rest),
            // The index of an element, as deserialisation reports it.
            Self::List(inner) if head.parse::<usize>().is_ok() => inner.find(rest),
            Self::Any => Some(Place {
                kind: self,
                optional: false,
                secret: false,
            }),
            _ => None,
        }
    }

    /// The name of the kind for people.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Integer => "whole number".to_owned(),
            Self::Number => "number".to_owned(),
            Self::Bool => "`true` or `false`".to_owned(),
            Self::Choice(words) => words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(" or "),
            Self::List(inner) => format!("list of {}", inner.label()),
            Self::Table(_) | Self::Map(_) => "table".to_owned(),
            Self::Any => "JSON".to_owned(),
        }
    }

    /// Every dotted key below, tables included.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for field in self.fields() {
            keys.push(field.name.clone());
            keys.extend(field.kind.keys().into_iter().map(|key| format!("{}.{key}", field.name)));
        }
        keys
    }

    /// The known key that someone who wrote `key` most likely meant.
    pub(super) fn closest(&self, key: &str) -> Option<String> {
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let keys = self.keys();
        if let Some(elsewhere) = keys.iter().find(|k| last(k) == last(key)) {
            return Some(elsewhere.clone());
        }
        let near = keys
            .into_iter()
            .map(|k| (distance(&k, key), k))
            .min_by_key(|(d, _)| *d)?;
        (near.0 <= key.len().div_ceil(3)).then_some(near.1)
    }
}

/// Edits (insert, delete, replace) between two keys.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            next.push((row[j] + usize::from(from != *to)).min(row[j + 1] + 1).min(next[j] + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
