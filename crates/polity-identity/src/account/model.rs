//! What an account is. Pure: no I/O, no clock.

use chrono::{DateTime, Utc};
use polity_kernel::{Record, Value, db::Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use unicode_normalization::UnicodeNormalization;

/// The id of a person, assigned by auth; opaque here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Value, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct AccountId(pub String);

impl std::fmt::Display for AccountId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The preferences of a person: an open object.
pub type Preferences = Map<String, serde_json::Value>;

/// What moderation says about an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// In good standing.
    Active,
    /// Locked for a while.
    Suspended,
    /// Locked for good, unless a super_admin says otherwise.
    Banned,
}

impl Status {
    /// Whether an administrator with these roles may change this status to `to`. Repeating the current one succeeds.
    #[must_use]
    pub fn can(self, to: Self, roles: &[AdminRole]) -> bool {
        let moderates = roles.iter().any(|role| {
            matches!(
                role,
                AdminRole::SuperAdmin | AdminRole::SupportAdmin | AdminRole::ComplianceAdmin
            )
        });
        match (self, to) {
            (Self::Banned, Self::Active) => roles.contains(&AdminRole::SuperAdmin),
            (Self::Banned, Self::Suspended) => false,
            _ => moderates,
        }
    }
}

/// A platform role, in canonical order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdminRole {
    /// Everything, roles included.
    SuperAdmin,
    /// Money.
    BillingAdmin,
    /// Products.
    ProductAdmin,
    /// People in need of help.
    SupportAdmin,
    /// Rules and audits.
    ComplianceAdmin,
}

impl AdminRole {
    /// The roles, de-duplicated and in canonical order.
    ///
    /// # Errors
    /// The texts that are no roles.
    pub fn parse_all(texts: &[String]) -> Result<Vec<Self>, Vec<String>> {
        let wrong: Vec<String> = texts
            .iter()
            .filter(|text| text.parse::<Self>().is_err())
            .cloned()
            .collect();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Self::ALL
            .iter()
            .copied()
            .filter(|role| texts.iter().any(|text| text == role.as_str()))
            .collect())
    }
}

/// A stored account.
#[derive(Debug, Clone, Record)]
pub struct Account {
    /// Whose it is.
    pub user_id: AccountId,
    /// The address, folded.
    pub email: String,
    /// The name they go by.
    pub name: String,
    /// Whether it may be used.
    pub is_active: bool,
    /// What moderation says.
    pub status: Status,
    /// Why.
    pub status_reason: Option<String>,
    /// Platform roles, in canonical order.
    pub admin_roles: Json<Vec<AdminRole>>,
    /// What they prefer.
    pub preferences: Json<Preferences>,
    /// What assistants should know.
    pub custom_instructions: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// When it was deleted.
    pub deleted_at: Option<DateTime<Utc>>,
    /// When it will be erased.
    pub erase_at: Option<DateTime<Utc>>,
    /// When it was erased; it never changes again.
    pub erased_at: Option<DateTime<Utc>>,
    /// When they last signed in.
    pub last_seen_at: Option<DateTime<Utc>>,
}

impl Account {
    /// Whether it is an active one with the role of super_admin.
    #[must_use]
    pub fn is_acting_super_admin(&self) -> bool {
        self.is_active && self.admin_roles.0.contains(&AdminRole::SuperAdmin)
    }

    /// Marks a change. The moment is the version too, so it moves on even when the clock does not.
    pub(super) fn mark_changed(&mut self, now: DateTime<Utc>) {
        self.updated_at = now.max(self.updated_at + std::time::Duration::from_micros(1));
    }
}

/// A change of the active flag or of moderation.
#[derive(Debug, Clone, Record)]
pub(super) struct StatusChange {
    pub id: String,
    pub user_id: AccountId,
    pub is_active: bool,
    pub status: Status,
    pub reason: Option<String>,
    pub changed_by: String,
    pub changed_at: DateTime<Utc>,
}

/// A note of support.
#[derive(Debug, Clone, Record)]
#[expect(clippy::struct_field_names, reason = "the names are the contract's")]
pub(super) struct Note {
    pub note_id: String,
    pub user_id: AccountId,
    pub author_id: String,
    pub note: String,
    pub created_at: DateTime<Utc>,
}

/// An address that waits to be confirmed.
#[derive(Debug, Clone, Record)]
pub(super) struct EmailChange {
    pub email: String,
    pub code_hash: String,
    pub attempts: i64,
    pub expires_at: DateTime<Utc>,
}

/// An address as it is stored and compared: trimmed, lower case.
#[must_use]
pub fn fold_email(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Where the addresses of erased accounts live. Nobody may enter one, lest they stand in the way of somebody's erasure.
const ERASED_DOMAIN: &str = "@erased.invalid";

/// The address that an erased account has instead of its own.
pub(super) fn erased_email(user_id: &AccountId) -> String {
    format!("erased+{user_id}{ERASED_DOMAIN}")
}

/// Whether a folded address is kept for erased accounts.
pub(super) fn is_reserved(email: &str) -> bool {
    email.ends_with(ERASED_DOMAIN)
}

/// A text as it is searched: compatibility forms folded, lower case.
pub(super) fn fold(text: &str) -> String {
    text.nfkc().collect::<String>().to_lowercase()
}

/// The text an account is searched by.
pub(super) fn search_text(name: &str, email: &str) -> String {
    format!("{}\n{}", fold(name), fold(email))
}

/// The distinct trigrams of a folded text, sorted; none if it is shorter than three characters.
pub(super) fn grams(folded: &str) -> Vec<String> {
    let letters: Vec<char> = folded.chars().collect();
    let mut grams: Vec<String> = letters.windows(3).map(|three| three.iter().collect()).collect();
    grams.sort();
    grams.dedup();
    grams
}

/// A pattern for `like … escape '\'` that finds `folded` as it is, anywhere.
pub(super) fn like_pattern(folded: &str) -> String {
    let mut pattern = String::from("%");
    for letter in folded.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

/// The most bytes of preferences that are kept.
pub(super) const PREFERENCES_BYTES: usize = 64 << 10;
/// The deepest nesting of preferences that is kept.
pub(super) const PREFERENCES_DEPTH: usize = 20;

/// Merges `changes` into `preferences` at the top level: given keys replace, others stay (BR-PRF-002).
///
/// # Errors
/// What is wrong with the result.
pub(super) fn merge(preferences: &mut Preferences, changes: Preferences) -> Result<(), &'static str> {
    preferences.extend(changes);
    let value = serde_json::Value::Object(preferences.clone());
    if depth(&value) > PREFERENCES_DEPTH {
        return Err("preferences may be nested at most 20 levels deep");
    }
    if value.to_string().len() > PREFERENCES_BYTES {
        return Err("preferences may hold at most 64 KB");
    }
    Ok(())
}

fn depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn moderation_moves_as_its_state_machine_says() {
        use AdminRole::{BillingAdmin, SuperAdmin, SupportAdmin};
        for (from, to, role, allowed) in [
            (Status::Active, Status::Suspended, SupportAdmin, true),
            (Status::Active, Status::Banned, SupportAdmin, true),
            (Status::Suspended, Status::Active, SupportAdmin, true),
            (Status::Suspended, Status::Banned, SupportAdmin, true),
            (Status::Banned, Status::Active, SupportAdmin, false),
            (Status::Banned, Status::Active, SuperAdmin, true),
            (Status::Banned, Status::Suspended, SuperAdmin, false),
            (Status::Active, Status::Active, SupportAdmin, true),
            (Status::Active, Status::Banned, BillingAdmin, false),
        ] {
            assert_eq!(from.can(to, &[role]), allowed, "{from:?} -> {to:?} by {role:?}");
        }
    }

    #[test]
    fn a_version_moves_on_though_the_clock_stands_or_goes_back() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut account = Account {
            user_id: AccountId("usr_a".to_owned()),
            email: "ada@example.com".to_owned(),
            name: "Ada".to_owned(),
            is_active: true,
            status: Status::Active,
            status_reason: None,
            admin_roles: Json(Vec::new()),
            preferences: Json(Preferences::new()),
            custom_instructions: String::new(),
            created_at: now,
            updated_at: now,
            deleted_at: None,
            erase_at: None,
            erased_at: None,
            last_seen_at: None,
        };
        let hour = std::time::Duration::from_hours(1);
        let mut seen = vec![account.updated_at];
        for clock in [now, now, now - hour, now + hour, now] {
            account.mark_changed(clock);
            seen.push(account.updated_at);
        }
        assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
        assert_eq!(seen[4], now + hour);
    }

    #[test]
    fn roles_are_deduplicated_and_in_canonical_order() {
        let texts = ["support_admin", "super_admin", "support_admin"].map(str::to_owned);
        assert_eq!(
            AdminRole::parse_all(&texts),
            Ok(vec![AdminRole::SuperAdmin, AdminRole::SupportAdmin])
        );
        let texts = ["super_admin", "Super_Admin", "x"].map(str::to_owned);
        assert_eq!(
            AdminRole::parse_all(&texts),
            Err(vec!["Super_Admin".to_owned(), "x".to_owned()])
        );
    }

    #[test]
    fn br_prf_002_merging_keeps_what_was_not_given() {
        let mut there = json!({ "a": 1, "b": { "x": 1 } }).as_object().unwrap().clone();
        merge(&mut there, json!({ "b": [], "c.d": "$" }).as_object().unwrap().clone()).unwrap();
        assert_eq!(serde_json::Value::Object(there), json!({ "a": 1, "b": [], "c.d": "$" }));
        let deep = (0..20).fold(json!(1), |inner, _| json!({ "a": inner }));
        assert!(merge(&mut Preferences::new(), deep.as_object().unwrap().clone()).is_ok());
        let deep = json!({ "a": deep });
        assert!(merge(&mut Preferences::new(), deep.as_object().unwrap().clone()).is_err());
        let large = json!({ "a": "x".repeat(PREFERENCES_BYTES) });
        assert!(merge(&mut Preferences::new(), large.as_object().unwrap().clone()).is_err());
    }

    proptest! {
        #[test]
        fn every_substring_has_grams_of_its_text(text in ".{0,30}", from in 0_usize..20, length in 3_usize..10) {
            let text = fold(&text);
            let part: String = text.chars().skip(from).take(length).collect();
            let all = grams(&text);
            prop_assert!(grams(&part).iter().all(|gram| all.contains(gram)));
        }

        #[test]
        fn patterns_escape_what_like_would_interpret(text in "[a%_\\\\]{0,12}") {
            let pattern = like_pattern(&text);
            let inner = &pattern[1..pattern.len() - 1];
            prop_assert_eq!(inner.replace("\\%", "%").replace("\\_", "_").replace("\\\\", "\\"), text);
        }
    }
}
