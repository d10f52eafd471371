//! The limits of a credential, and how they come together (BR-API-RL): its own where it names the field, even as null; else
//! its organization's; else none. Pure.

use std::{collections::BTreeMap, time::Duration};

use polity_kernel::limit::Window;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Requests in a second.
    RequestsPerSecond,
    /// Requests in a minute.
    RequestsPerMinute,
    /// Requests in a day, which begins at midnight in UTC.
    RequestsPerDay,
    /// Tokens of a language model, or whatever else a verifier counts, in a day.
    TokensPerDay,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::RequestsPerSecond,
        Self::RequestsPerMinute,
        Self::RequestsPerDay,
        Self::TokensPerDay,
    ];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => "requests_per_second",
            Self::RequestsPerMinute => "requests_per_minute",
            Self::RequestsPerDay => "requests_per_day",
            Self::TokensPerDay => "tokens_per_day",
        }
    }

    /// How long its window is, in seconds.
    #[must_use]
    pub fn seconds(self) -> u64 {
        match self {
            Self::RequestsPerSecond => 1,
            Self::RequestsPerMinute => 60,
            Self::RequestsPerDay | Self::TokensPerDay => 86_400,
        }
    }

    /// Whether its window is so long that it outlives a restart.
    pub(super) fn is_long(self) -> bool {
        self.seconds() >= 86_400
    }
}

/// Limits by field. A field that is null has no limit; one that is missing leaves the question open.
pub type RateLimits = BTreeMap<Field, Option<u64>>;

/// [`RateLimits`] with all four fields, null for none: as they are answered, and as they stand in the document.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RateLimits", deny_unknown_fields)]
pub(crate) struct RateLimitsOut {
    /// Requests in a second.
    requests_per_second: Option<u64>,
    /// Requests in a minute.
    requests_per_minute: Option<u64>,
    /// Requests in a day, which begins at midnight in UTC.
    requests_per_day: Option<u64>,
    /// Tokens of a language model, or whatever else a verifier counts, in a day.
    tokens_per_day: Option<u64>,
}

impl RateLimitsOut {
    /// What is set of these limits.
    pub(crate) fn set(limits: &RateLimits) -> Self {
        let limit = |field| limits.get(&field).copied().flatten();
        Self {
            requests_per_second: limit(Field::RequestsPerSecond),
            requests_per_minute: limit(Field::RequestsPerMinute),
            requests_per_day: limit(Field::RequestsPerDay),
            tokens_per_day: limit(Field::TokensPerDay),
        }
    }
}

/// Who set a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The credential itself.
    ApiKey,
    /// Its organization.
    Organization,
    /// The tier of its workspace.
    Tier,
    /// Nobody.
    Unset,
}

impl Source {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Organization => "organization",
            Self::Tier => "tier",
            Self::Unset => "unset",
        }
    }
}

/// One limit in force: what is limited, for whom, and who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// What it is called; a field, or `tier`.
    pub field: &'static str,
    /// The field, if it is one.
    pub of: Option<Field>,
    /// How much.
    pub most: u64,
    /// Who said so.
    pub source: Source,
    /// For whom it is counted.
    pub scope_id: String,
}

impl Limit {
    fn new(of: Field, limit: u64, source: Source, scope_id: &str) -> Self {
        Self {
            field: of.as_str(),
            of: Some(of),
            most: limit,
            source,
            scope_id: scope_id.to_owned(),
        }
    }

    /// The window it is counted in; `tokens` is what the call takes of a limit of tokens.
    pub(super) fn window(&self, tokens: u64) -> Window {
        let seconds = self.of.map_or(60, Field::seconds);
        let name = format!("{}/{}", self.scope_id, self.field);
        let window = Window::new(name, self.most, Duration::from_secs(seconds));
        if self.of == Some(Field::TokensPerDay) {
            return window.weighing(tokens);
        }
        window
    }
}

/// The limits in force for a key: the contract's order.
pub(super) fn effective(
    own: &RateLimits,
    key_id: &str,
    organization: Option<&RateLimits>,
    organization_id: &str,
) -> Vec<Limit> {
    Field::ALL
        .into_iter()
        .filter_map(|field| {
            if let Some(own) = own.get(&field) {
                return own.map(|limit| Limit::new(field, limit, Source::ApiKey, key_id));
            }
            let default = organization.and_then(|limits| limits.get(&field).copied().flatten());
            default.map(|limit| Limit::new(field, limit, Source::Organization, organization_id))
        })
        .collect()
}

/// The limits in force for a token: the tier of its workspace, and ten times as much for the whole workspace.
pub(super) fn tier(per_minute: u64, token_id: &str, organization_id: &str) -> Vec<Limit> {
    let limit = |most, scope_id: &str| Limit {
        field: "tier",
        of: None,
        most,
        source: Source::Tier,
        scope_id: scope_id.to_owned(),
    };
    vec![
        limit(per_minute, token_id),
        limit(per_minute.saturating_mul(10), organization_id),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn br_api_rl_the_key_decides_where_it_says_anything_then_the_organization() {
        let own = RateLimits::from([(Field::RequestsPerMinute, None), (Field::RequestsPerDay, Some(0))]);
        let organization = RateLimits::from([
            (Field::RequestsPerSecond, Some(5)),
            (Field::RequestsPerMinute, Some(7)),
            (Field::RequestsPerDay, Some(9)),
            (Field::TokensPerDay, None),
        ]);
        let limits = effective(&own, "key", Some(&organization), "org");
        let said: Vec<_> = limits
            .iter()
            .map(|limit| (limit.field, limit.most, limit.source, limit.scope_id.as_str()))
            .collect();
        assert_eq!(
            said,
            [
                ("requests_per_second", 5, Source::Organization, "org"),
                ("requests_per_day", 0, Source::ApiKey, "key"),
            ]
        );
        assert!(effective(&RateLimits::new(), "key", None, "org").is_empty());
    }

    #[test]
    fn a_workspace_has_ten_times_what_a_token_has() {
        let limits: Vec<_> = tier(60, "tok", "org")
            .into_iter()
            .map(|limit| (limit.scope_id, limit.most))
            .collect();
        assert_eq!(limits, [("tok".to_owned(), 60), ("org".to_owned(), 600)]);
    }
}
