//! The history of consents: of one, of everything, and what is said of each entry.

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::User,
    clock,
    http::{ClientIp, Json, Path, Query, Result, Routes, State, UserAgent, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConsentOut, named, own::within};
use crate::{
    consent::{
        Consents,
        error::code,
        model::{Ending, EntityType, Purpose, SubjectKind},
        service::{self, ActorKind, AuditEvent, By, Facts, Found},
    },
    workspace::{WORKSPACE_NOT_FOUND, WorkspaceQuery},
};

/// An entry of the history.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct EntryOut {
    /// Its place in the person's history, from 1, without gaps.
    sequence: i64,
    /// What happened.
    event: AuditEvent,
    /// When.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    at: DateTime<Utc>,
    /// Who caused it.
    actor: ActorKind,
    /// Why, if something ended.
    reason: Option<Ending>,
    /// What else is to be said.
    detail: Option<String>,
    /// The consent as it was; null if it is about none.
    consent: Option<FactsOut>,
    /// From where.
    ip_address: Option<String>,
    /// With what.
    user_agent: Option<String>,
    /// In which language.
    locale: Option<String>,
    /// The hash of the entry before.
    previous_hash: String,
    /// The hash of this one.
    hash: String,
}

/// A consent as it was when something happened.
#[derive(Debug, Serialize, JsonSchema)]
struct FactsOut {
    /// Its id.
    id: String,
    /// The workspace; null: the person's own.
    workspace_id: Option<String>,
    /// What for.
    purpose: Purpose,
    /// What rests on it.
    subject_kind: SubjectKind,
    /// What it is to.
    entity_type: EntityType,
    /// Which one; null: all of that type.
    entity_id: Option<String>,
    /// What was asked for.
    requested_permissions: Vec<String>,
    /// What was given of it.
    granted_permissions: Vec<String>,
    /// Under which policy.
    policy_version: i64,
    /// The SHA-256 of the text that was shown.
    text_hash: String,
    /// When it was to end by itself.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    expires_at: Option<DateTime<Utc>>,
}

impl From<Facts> for FactsOut {
    fn from(facts: Facts) -> Self {
        Self {
            id: facts.id,
            workspace_id: facts.workspace_id,
            purpose: facts.purpose,
            subject_kind: facts.subject_kind,
            entity_type: facts.entity_type,
            entity_id: named(facts.entity_id),
            requested_permissions: facts.requested_permissions,
            granted_permissions: facts.granted_permissions,
            policy_version: facts.policy_version,
            text_hash: facts.text_hash,
            expires_at: facts.expires_at,
        }
    }
}

impl From<Found> for EntryOut {
    fn from(found: Found) -> Self {
        let Found { body, person, .. } = found;
        let (ip_address, user_agent, locale) = person.map_or((None, None, None), |person| {
            (person.ip_address, person.user_agent, person.locale)
        });
        Self {
            sequence: body.sequence,
            event: body.event,
            at: body.at,
            actor: body.actor,
            reason: body.reason,
            detail: body.detail,
            consent: body.consent.map(FactsOut::from),
            ip_address,
            user_agent,
            locale,
            previous_hash: found.previous_hash,
            hash: found.hash,
        }
    }
}

/// Which part of the history.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
pub(super) struct HistoryQuery {
    /// Where to go on: `next_after` of the part before.
    #[garde(range(min = 0))]
    #[serde(default)]
    pub(super) after: i64,
    /// How many entries at most.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "hundred")]
    pub(super) limit: i64,
}

fn hundred() -> i64 {
    100
}

/// A part of the history.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct HistoryOut {
    /// The entries, oldest first.
    items: Vec<EntryOut>,
    /// Where the next part begins; null at the end.
    next_after: Option<i64>,
}

impl HistoryOut {
    pub(super) fn new((found, next_after): (Vec<Found>, Option<i64>)) -> Self {
        Self {
            items: found.into_iter().map(EntryOut::from).collect(),
            next_after,
        }
    }
}

/// Everything that ever happened to one of one's own consents, oldest first.
#[operation("consent.history", errors(code::CONSENT_NOT_FOUND, WORKSPACE_NOT_FOUND))]
async fn history(
    user: User,
    State(consents): State<Consents>,
    Path(id): Path<String>,
    Query(workspace): Query<WorkspaceQuery>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<HistoryOut>> {
    let within = within(&consents, &user, &workspace).await?;
    let mut read = consents.ctx.db.read().await?;
    let found = service::find(&mut read, user.id(), within.as_deref(), &id).await?;
    let entries = service::history(&mut read, user.id(), Some(&found.id), query.after, query.limit).await?;
    Ok(Json(HistoryOut::new(entries)))
}

/// Everything about one's consents.
#[derive(Debug, Serialize, JsonSchema)]
struct ExportOut {
    /// Whose.
    user_id: String,
    /// When.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    exported_at: DateTime<Utc>,
    /// The policy in force.
    policy_version: u32,
    /// The consents in all workspaces, newest first, at most a thousand.
    consents: Vec<ConsentOut>,
    /// Whether there are more of them; the history has them all.
    has_more_consents: bool,
    /// The history, oldest first.
    history: Vec<EntryOut>,
    /// Where the history goes on; null: this is all of it.
    next_after: Option<i64>,
}

/// Everything about one's consents as JSON, in all workspaces; that it was given out is an entry of the history.
///
/// At most twenty times an hour; going on with `after` does not count.
#[operation("consent.export", errors(codes::RATE_LIMITED))]
async fn export(
    user: User,
    State(consents): State<Consents>,
    ip: ClientIp,
    agent: UserAgent,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<ExportOut>> {
    let origin = (!user.is_service()).then(|| (ip.0.to_string(), agent.0)).unzip();
    let by = By::caller(&user, origin.0, origin.1);
    let found = service::export(&consents, user.id(), query.after, query.limit, &by).await?;
    Ok(Json(ExportOut {
        user_id: user.id().to_owned(),
        exported_at: consents.ctx.clock.now(),
        policy_version: consents.settings.policy_version,
        consents: found
            .consents
            .into_iter()
            .map(|one| ConsentOut::new(&consents, one))
            .collect(),
        has_more_consents: found.has_more_consents,
        history: found.history.into_iter().map(EntryOut::from).collect(),
        next_after: found.next,
    }))
}

pub(super) fn add(routes: Routes<Consents>) -> Routes<Consents> {
    routes
        .get("/api/v1/integration/consents/export", export())
        .get("/api/v1/integration/consents/{id}/history", history())
}
