//! What the service answers: a person's own consents, and what administrators look at.

mod admin;
mod history;
mod own;

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    clock,
    db::{Cursor, Part, cut},
    http::{Result, Routes},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Consents,
    model::{Consent, Ending, EntityType, Purpose, Status, SubjectKind},
};

/// A consent.
#[derive(Debug, Serialize, JsonSchema)]
struct ConsentOut {
    /// Its id.
    id: String,
    /// Whose.
    user_id: String,
    /// In which workspace it counts.
    workspace_id: String,
    /// What for.
    purpose: Purpose,
    /// What rests on it.
    subject_kind: SubjectKind,
    /// What it is to.
    entity_type: EntityType,
    /// Which one; null: all of that type.
    entity_id: Option<String>,
    /// What the person was shown.
    description: String,
    /// What was asked for.
    requested_permissions: Vec<String>,
    /// What they gave of it.
    granted_permissions: Vec<String>,
    /// How it is now.
    status: Status,
    /// Whether something may rest on it now.
    is_active: bool,
    /// Whether it was given for an older policy, and no other has taken its place.
    needs_renewal: bool,
    /// Under which policy it was given.
    policy_version: i64,
    /// When.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    granted_at: DateTime<Utc>,
    /// When it was taken back.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    revoked_at: Option<DateTime<Utc>>,
    /// When it ends by itself.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    expires_at: Option<DateTime<Utc>>,
    /// Until when it may be renewed, if it was given for an older policy.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    grace_ends_at: Option<DateTime<Utc>>,
    /// Why nothing may rest on it any more.
    end_reason: Option<Ending>,
    /// The consent that has taken its place.
    replaced_by: Option<String>,
    /// From where it was given.
    ip_address: Option<String>,
    /// With what.
    user_agent: Option<String>,
    /// In which language.
    locale: Option<String>,
    /// The SHA-256 of the text that was shown, in hexadecimal digits.
    text_hash: String,
    /// When it was last changed.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    updated_at: DateTime<Utc>,
}

impl ConsentOut {
    fn new(consents: &Consents, consent: Consent) -> Self {
        let (now, version) = (consents.ctx.clock.now(), i64::from(consents.settings.policy_version));
        let end_reason = consent.due(now).or(consent.end_reason);
        let is_active = consent.counts(now);
        let has_lapsed = end_reason == Some(Ending::Superseded) && consent.replaced_by.is_none();
        Self {
            status: consent.status_at(now, version),
            is_active,
            needs_renewal: has_lapsed || (is_active && consent.is_outdated(version)),
            end_reason,
            id: consent.id,
            user_id: consent.user_id,
            workspace_id: consent.workspace_id,
            purpose: consent.purpose,
            subject_kind: consent.subject_kind,
            entity_type: consent.entity_type,
            entity_id: named(consent.entity_id),
            description: consent.description,
            requested_permissions: consent.requested_permissions.0,
            granted_permissions: consent.granted_permissions.0,
            policy_version: consent.policy_version,
            granted_at: consent.granted_at,
            revoked_at: consent.revoked_at,
            expires_at: consent.expires_at,
            grace_ends_at: consent.grace_ends_at,
            replaced_by: consent.replaced_by,
            ip_address: consent.ip_address,
            user_agent: consent.user_agent,
            locale: consent.locale,
            text_hash: consent.text_hash,
            updated_at: consent.updated_at,
        }
    }
}

fn named(entity_id: String) -> Option<String> {
    Some(entity_id).filter(|id| !id.is_empty())
}

/// Which consents.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ListQuery {
    /// The workspace; left out, one's personal one, or for administrators all of them.
    #[garde(length(chars, min = 1, max = 255))]
    workspace_id: Option<String>,
    /// Which page, from 1.
    #[garde(range(min = 1, max = 1_000_000))]
    #[serde(default = "first_page")]
    page: i64,
    /// How many on a page.
    #[garde(range(min = 1, max = 100))]
    #[serde(default = "twenty")]
    page_size: i64,
    /// Where to go on: `next_cursor` of the part before, or nothing at the beginning. Then `page` does not count, and the
    /// answer has no `total`.
    #[garde(length(chars, max = 512))]
    cursor: Option<String>,
}

fn first_page() -> i64 {
    1
}

fn twenty() -> i64 {
    20
}

impl ListQuery {
    fn part(&self) -> Result<Part> {
        Ok(Part::asked(self.cursor.as_deref(), (self.page - 1) * self.page_size)?)
    }
}

/// A part of the consents.
#[derive(Debug, Serialize, JsonSchema)]
struct ConsentList {
    /// The consents, newest first.
    items: Vec<ConsentOut>,
    /// How many there are in all; not with a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<i64>,
    /// The page.
    page: i64,
    /// Its size.
    page_size: i64,
    /// Where the next part begins; null at the end.
    next_cursor: Option<String>,
}

impl ConsentList {
    /// Of rows that were asked for with one more than the page has.
    fn new(consents: &Consents, query: &ListQuery, mut found: Vec<Consent>, total: Option<i64>) -> Self {
        let next_cursor = cut(&mut found, query.page_size).map(|last| {
            let (at, id) = (last.granted_at, last.id.clone());
            Cursor { at, id }.encode()
        });
        Self {
            items: found.into_iter().map(|one| ConsentOut::new(consents, one)).collect(),
            total,
            page: query.page,
            page_size: query.page_size,
            next_cursor,
        }
    }
}

/// The operations.
pub(super) fn routes() -> Routes<Consents> {
    admin::add(history::add(own::add(Routes::new("consent"))))
}
