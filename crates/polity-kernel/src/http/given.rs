//! A member of a body that says one thing when it is null and another when it is left out.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

/// What was given for a member; `#[serde(default)]` stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Given<T> {
    /// It was left out.
    #[default]
    Nothing,
    /// It is null.
    Null,
    /// It has a value.
    Value(T),
}

impl<T> Given<T> {
    /// The value, if there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Nothing | Self::Null => None,
        }
    }

    /// What is to be, where something is and what is left out stays.
    pub fn over(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Nothing => before,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Option::<T>::deserialize(deserializer)?;
        Ok(given.map_or(Self::Null, Self::Value))
    }
}

impl<T: JsonSchema> JsonSchema for Given<T> {
    fn schema_name() -> Cow<'static, str> {
        Option::<T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Option::<T>::json_schema(generator)
    }

    fn inline_schema() -> bool {
        true
    }

    fn _schemars_private_is_option() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        member: Given<i64>,
    }

    #[test]
    fn null_is_not_nothing() {
        let read = |text: &str| serde_json::from_str::<Body>(text).unwrap().member;
        assert_eq!(read("{}"), Given::Nothing);
        assert_eq!(read(r#"{"member":null}"#), Given::Null);
        assert_eq!(read(r#"{"member":3}"#), Given::Value(3));
        assert!(serde_json::from_str::<Body>(r#"{"member":"x"}"#).is_err());
        assert_eq!(
            [Given::Nothing, Given::Null, Given::Value(2)].map(|given| given.over(Some(1))),
            [Some(1), None, Some(2)]
        );
    }
}
