//! What an entry of the history says, as it is hashed; what links one to the next; the seal around all.
//!
//! The hashes are keyed, and the key is not in the database: whoever can write there alone cannot make a chain that holds.
//! What is personal stands apart, and in the entry is its hash: it can be deleted, but not changed.

use chrono::{DateTime, Utc};
use polity_kernel::{Ctx, clock, secret::Secrets};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::By;
use crate::consent::{
    model::{Consent, Ending, EntityType, Purpose, SubjectKind},
    store::audit::{Behind, Chain, Link, NewLink},
};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::consent) enum AuditEvent {
    /// The text was shown to the person.
    Shown,
    /// They consented.
    Granted,
    /// They consented on other terms, in the place of what was before.
    Changed,
    /// They took it back, or are gone.
    Revoked,
    /// The policy was raised, or the time to renew after that is over.
    Superseded,
    /// Its time is over.
    Expired,
    /// What rested on it was stopped.
    Enforced,
    /// The history was given to the person.
    Exported,
}

/// Who caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::consent) enum ActorKind {
    /// The person.
    Subject,
    /// A service for the person.
    Service,
    /// The clock, or what happened elsewhere.
    System,
}

/// The consent an entry is about, as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::consent) struct Facts {
    pub id: String,
    /// `None`: the person's own, whose id would name them.
    pub workspace_id: Option<String>,
    pub purpose: Purpose,
    pub subject_kind: SubjectKind,
    pub entity_type: EntityType,
    pub entity_id: String,
    pub requested_permissions: Vec<String>,
    pub granted_permissions: Vec<String>,
    pub policy_version: i64,
    pub text_hash: String,
    #[serde(with = "clock::rfc3339::option")]
    pub expires_at: Option<DateTime<Utc>>,
}

impl Facts {
    fn of(consent: &Consent) -> Self {
        Self {
            id: consent.id.clone(),
            workspace_id: (consent.workspace_id != consent.user_id).then(|| consent.workspace_id.clone()),
            purpose: consent.purpose,
            subject_kind: consent.subject_kind,
            entity_type: consent.entity_type,
            entity_id: consent.entity_id.clone(),
            requested_permissions: consent.requested_permissions.0.clone(),
            granted_permissions: consent.granted_permissions.0.clone(),
            policy_version: consent.policy_version,
            text_hash: consent.text_hash.clone(),
            expires_at: consent.expires_at,
        }
    }
}

/// An entry. Written once as JSON, in the order of its members; those bytes are what is hashed and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::consent) struct Body {
    pub chain_id: String,
    pub sequence: i64,
    #[serde(with = "clock::rfc3339")]
    pub at: DateTime<Utc>,
    pub event: AuditEvent,
    pub actor: ActorKind,
    pub reason: Option<Ending>,
    pub detail: Option<String>,
    pub consent: Option<Facts>,
    /// The hash of what is personal.
    pub person_hash: String,
}

/// What is personal in an entry, with a random text, so that nobody finds it out from its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::consent) struct PersonBody {
    pub ip_address: Option<String>,
    pub user_agent: Option<String>,
    pub locale: Option<String>,
    pub service: Option<String>,
    pub salt: String,
}

/// What is to be written.
pub(super) struct Entry<'a> {
    pub event: AuditEvent,
    pub consent: Option<&'a Consent>,
    pub reason: Option<Ending>,
    pub detail: Option<String>,
}

impl<'a> Entry<'a> {
    pub(super) fn of(event: AuditEvent, consent: &'a Consent) -> Self {
        Self {
            event,
            consent: Some(consent),
            reason: None,
            detail: None,
        }
    }

    pub(super) fn because(mut self, reason: Ending) -> Self {
        self.reason = Some(reason);
        self
    }

    pub(super) fn with(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }
}

fn hash(secrets: &Secrets, purpose: &str, text: &str) -> String {
    secrets.hash(purpose, text).as_str().to_owned()
}

fn link_hash(secrets: &Secrets, previous: &str, body: &str) -> String {
    hash(secrets, "consent.audit", &format!("{previous}\n{body}"))
}

/// The next entries of a chain, and the chain as it is with them.
pub(super) fn extend(ctx: &Ctx, chain: &mut Chain, entries: &[Entry<'_>], by: &By) -> Vec<NewLink> {
    let now = ctx.clock.now();
    let secrets = &ctx.secrets;
    let mut links = Vec::with_capacity(entries.len());
    for entry in entries {
        let sequence = chain.head_sequence + 1;
        let person = text(&PersonBody {
            ip_address: by.ip_address.clone(),
            user_agent: by.user_agent.clone(),
            locale: by.locale.clone(),
            service: by.service.clone(),
            salt: ctx.ids.uuid().to_string(),
        });
        let body = text(&Body {
            chain_id: chain.id.clone(),
            sequence,
            at: now,
            event: entry.event,
            actor: match (&by.service, by.is_person) {
                (Some(_), _) => ActorKind::Service,
                (None, true) => ActorKind::Subject,
                (None, false) => ActorKind::System,
            },
            reason: entry.reason,
            detail: entry.detail.clone(),
            consent: entry.consent.map(Facts::of),
            person_hash: hash(secrets, "consent.audit.person", &person),
        });
        let link = NewLink {
            sequence,
            consent_id: entry.consent.map(|consent| consent.id.clone()),
            at: clock::micros(now),
            previous_hash: chain.head_hash.clone(),
            hash: link_hash(secrets, &chain.head_hash, &body),
            body,
            person,
        };
        chain.head_sequence = sequence;
        chain.head_hash.clone_from(&link.hash);
        links.push(link);
    }
    links
}

fn text<T: Serialize>(value: &T) -> String {
    // These are texts and numbers, which always can be written.
    serde_json::to_string(value).unwrap_or_default()
}

/// The seal of a chain as it is.
pub(super) fn seal(secrets: &Secrets, chain: &Chain) -> String {
    let text = format!(
        "{}\n{}\n{}\n{}\n{}\n{}\n{:?}",
        chain.id,
        chain.base_sequence,
        chain.base_hash,
        chain.head_sequence,
        chain.head_hash,
        chain.is_pseudonymous,
        chain.broken_sequence
    );
    hash(secrets, "consent.chain", &text)
}

/// The seal of whose a chain is.
pub(super) fn person_seal(secrets: &Secrets, chain_id: &str, user_id: &str) -> String {
    hash(secrets, "consent.person", &format!("{chain_id}\n{user_id}"))
}

/// Why a chain does not hold, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::consent) struct Broken {
    pub sequence: i64,
    pub problem: &'static str,
}

/// Looks at the seal.
pub(super) fn check_seal(secrets: &Secrets, chain: &Chain) -> Result<(), Broken> {
    if seal(secrets, chain) == chain.seal {
        return Ok(());
    }
    Err(Broken {
        sequence: chain.head_sequence,
        problem: "the seal of the chain does not hold",
    })
}

/// Looks at who is behind a chain: the person for whom it was begun, until they are forgotten.
pub(super) fn check_person(secrets: &Secrets, chain: &Chain, person: Option<&Behind>) -> Result<(), Broken> {
    let problem = match person {
        Some(person) if person_seal(secrets, &chain.id, &person.user_id) != person.seal => {
            "the chain was given to somebody else"
        }
        None if !chain.is_pseudonymous => "nobody knows whose the chain is",
        _ => return Ok(()),
    };
    Err(Broken {
        sequence: chain.base_sequence,
        problem,
    })
}

/// Looks at an entry: it follows `(sequence, hash)`, and is what it was when it was written.
pub(super) fn check(secrets: &Secrets, chain: &Chain, link: &Link, after: (i64, &str)) -> Result<(), Broken> {
    let sequence = after.0 + 1;
    let broken = |problem| Err(Broken { sequence, problem });
    if link.sequence != sequence {
        return broken("an entry is missing");
    }
    if link.previous_hash != after.1 || link_hash(secrets, after.1, &link.body) != link.hash {
        return broken("an entry was changed");
    }
    let Ok(body) = serde_json::from_str::<Body>(&link.body) else {
        return broken("an entry cannot be read");
    };
    let consent_id = body.consent.as_ref().map(|consent| &consent.id);
    let is_in_place = body.chain_id == chain.id && body.sequence == sequence;
    if !is_in_place || consent_id != link.consent_id.as_ref() || body.at != link.at {
        return broken("an entry does not say what stands beside it");
    }
    match &link.person {
        Some(person) if hash(secrets, "consent.audit.person", person) == body.person_hash => Ok(()),
        Some(_) => broken("what is personal in an entry was changed"),
        None if chain.is_pseudonymous => Ok(()),
        None => broken("what is personal in an entry is missing"),
    }
}
