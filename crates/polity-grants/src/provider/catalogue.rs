//! A catalogue: providers by name, read from one TOML text and checked whole.

use std::{collections::BTreeMap, sync::Arc};

use super::{Provider, check};

/// Providers by name.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    providers: BTreeMap<String, Arc<Provider>>,
}

/// What is wrong with a catalogue. Everything that is wrong is said at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// It is no TOML with a list `provider`.
    #[error("the catalogue does not read: {0}")]
    Syntax(String),
    /// Entries that cannot be used.
    #[error("the catalogue is wrong: {}", .0.join("; "))]
    Entries(Vec<String>),
}

impl Catalogue {
    /// Reads `[[provider]]` entries. Every address must be https.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        Self::read(text, false)
    }

    /// Like [`Catalogue::parse`], and also takes `http://127.0.0.1`: for tests with a provider of their own.
    pub fn parse_with_loopback(text: &str) -> Result<Self, CatalogueError> {
        Self::read(text, true)
    }

    /// The catalogue that comes with the library.
    pub fn builtin() -> Result<Self, CatalogueError> {
        Self::parse(include_str!("../../catalogue.toml"))
    }

    fn read(text: &str, loopback: bool) -> Result<Self, CatalogueError> {
        let mut table: toml::Table = text.parse().map_err(syntax)?;
        let entries = match table.remove("provider") {
            Some(toml::Value::Array(entries)) => entries,
            Some(_) => return Err(CatalogueError::Syntax("`provider` is not a list".to_owned())),
            None => Vec::new(),
        };
        let mut wrong: Vec<String> = table.keys().map(|key| format!("unknown key `{key}`")).collect();
        let mut providers = BTreeMap::new();
        for (place, entry) in entries.into_iter().enumerate() {
            let title = title_of(&entry, place);
            match entry.try_into::<Provider>() {
                Ok(provider) => {
                    let found = check::provider(&provider, loopback);
                    wrong.extend(
                        found
                            .into_iter()
                            .map(|(field, text)| format!("{title}, {field}: {text}")),
                    );
                    let name = provider.name.clone();
                    if providers.insert(name, Arc::new(provider)).is_some() {
                        wrong.push(format!("{title}, name: an entry before has it"));
                    }
                }
                Err(error) => wrong.push(format!("{title}: {}", one_line(error.message()))),
            }
        }
        if wrong.is_empty() {
            Ok(Self { providers })
        } else {
            Err(CatalogueError::Entries(wrong))
        }
    }

    /// With the entries of another catalogue; of two with one name, the other's.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.providers.extend(other.providers);
        self
    }

    /// The provider of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.get(name)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values()
    }
}

fn syntax(error: toml::de::Error) -> CatalogueError {
    CatalogueError::Syntax(one_line(&error.to_string()))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What an entry is called in errors: its name, and where it stands.
fn title_of(entry: &toml::Value, place: usize) -> String {
    let name = entry
        .get("name")
        .and_then(toml::Value::as_str)
        .unwrap_or("without name");
    format!("entry {} ({name})", place + 1)
}
