//! A person's own consents: granted, listed, taken back, and how it stands with each purpose.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::{Caller, User},
    http::{self, ClientIp, Created, Idempotency, Json, Path, Query, Reply, Result, Routes, State, UserAgent, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConsentList, ConsentOut, ListQuery};
use crate::{
    consent::{
        Consents, Error,
        error::code,
        model::{EntityType, Purpose, SubjectKind},
        service::{self, By, NewConsent},
    },
    workspace::{self, WORKSPACE_NOT_FOUND, WorkspaceQuery},
};

/// A consent to give: one purpose, one thing. Nothing is given that is not said.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ConsentCreate {
    /// What for.
    #[garde(skip)]
    purpose: Purpose,
    /// What is to rest on it.
    #[garde(skip)]
    subject_kind: SubjectKind,
    /// What it is to.
    #[garde(skip)]
    entity_type: EntityType,
    /// Which one; left out: all of that type.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"github")]
    entity_id: Option<String>,
    /// What the person was shown.
    #[garde(length(chars, min = 1, max = 4_000))]
    #[schemars(example = &"Acme reads the names of your repositories.")]
    description: String,
    /// What was asked for.
    #[garde(length(max = 100), inner(length(chars, min = 1, max = 255)))]
    #[serde(default)]
    #[schemars(example = ["read:tasks"])]
    requested_permissions: Vec<String>,
    /// What they give of it. There is no default.
    #[garde(length(max = 100), inner(length(chars, min = 1, max = 255)))]
    #[schemars(example = ["read:tasks"])]
    granted_permissions: Vec<String>,
    /// When it ends by itself.
    #[garde(skip)]
    expires_at: Option<DateTime<Utc>>,
    /// In which language it was shown.
    #[garde(length(chars, min = 1, max = 35))]
    #[schemars(example = &"en-GB")]
    locale: Option<String>,
    /// The SHA-256 of the text that was shown, in hexadecimal digits; left out, that of the description.
    #[garde(pattern("^[0-9a-f]{64}$"))]
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    text_hash: Option<String>,
    /// Which policy was shown. If it is not the one in force, nothing is granted.
    #[garde(range(min = 1))]
    policy_version: Option<u32>,
    /// When the text was shown; then that is an entry of the history, too.
    #[garde(skip)]
    shown_at: Option<DateTime<Utc>>,
    /// From where the person consents, if a service says it for them. Else it is where the request comes from.
    #[garde(skip)]
    ip_address: Option<IpAddr>,
    /// With what, if a service says it for them.
    #[garde(length(chars, max = 256))]
    user_agent: Option<String>,
}

/// Who consents, and from where: a service's own address says nothing about the person.
fn by(caller: &Caller, ip: ClientIp, agent: UserAgent, said: (Option<IpAddr>, Option<String>)) -> By {
    let (ip, agent) = if caller.is_service() {
        (said.0, said.1)
    } else {
        (Some(ip.0), Some(agent.0))
    };
    By::caller(caller, ip.map(|ip| ip.to_string()), agent)
}

/// Consents, for one purpose and to one thing.
///
/// What is consented to already on the same terms stays as it is, and is the answer; on other terms, the new consent takes the
/// place of the one before, and what rests on it goes on with what is allowed now.
#[operation(
    "consent.grant",
    status = 201,
    errors(
        WORKSPACE_NOT_FOUND,
        code::POLICY_CHANGED,
        code::TOO_MANY_CONSENTS,
        codes::RATE_LIMITED
    )
)]
async fn grant(
    user: User,
    State(consents): State<Consents>,
    ip: ClientIp,
    agent: UserAgent,
    Query(query): Query<WorkspaceQuery>,
    body: Idempotency<ConsentCreate>,
) -> Result<Created<Reply<ConsentOut>>> {
    let (body, key) = body.into_parts();
    let ctx = &consents.ctx;
    service::count_given(&consents, user.id()).await?;
    let mut tx = ctx.db.begin().await?;
    if let Some(answer) = http::replay(ctx, &mut tx, key.as_ref()).await? {
        return Ok(Created(answer.into()));
    }
    let asked = query.workspace_id.as_deref();
    let workspace = workspace::keep(&mut tx, consents.members.as_ref(), &user, asked).await?;
    let by = by(&user, ip, agent, (body.ip_address, body.user_agent)).in_language(body.locale);
    let new = NewConsent {
        purpose: body.purpose,
        subject_kind: body.subject_kind,
        entity_type: body.entity_type,
        entity_id: body.entity_id.unwrap_or_default(),
        description: body.description,
        requested_permissions: body.requested_permissions,
        granted_permissions: body.granted_permissions,
        expires_at: body.expires_at,
        text_hash: body.text_hash,
        policy_version: body.policy_version,
        shown_at: body.shown_at,
    };
    let granted = service::grant(&mut tx, &consents, user.id(), &workspace.id, new, &by).await?;
    let out = ConsentOut::new(&consents, granted);
    http::keep(ctx, &mut tx, key.as_ref(), 201, &out).await?;
    tx.commit().await?;
    Ok(Created(Json(out).into()))
}

/// Lists one's own consents in a workspace, newest first.
#[operation("consent.list", errors(WORKSPACE_NOT_FOUND, codes::BAD_REQUEST))]
async fn list(
    user: User,
    State(consents): State<Consents>,
    Query(query): Query<ListQuery>,
) -> Result<Json<ConsentList>> {
    let part = query.part()?;
    let mut read = consents.ctx.db.read().await?;
    let asked = query.workspace_id.as_deref();
    let workspace = workspace::open(&mut read, consents.members.as_ref(), &user, asked).await?;
    let limit = query.page_size + 1;
    let (found, total) = service::list(&mut read, user.id(), Some(&workspace.id), &part, limit).await?;
    Ok(Json(ConsentList::new(&consents, &query, found, total)))
}

/// How it stands with a purpose.
#[derive(Debug, Serialize, JsonSchema)]
struct PurposeStatus {
    /// The purpose.
    purpose: Purpose,
    /// Whether something is allowed for it now.
    granted: bool,
    /// How many consents allow it.
    consents_count: i64,
    /// Under which policy the oldest of them was given; null: there is none.
    policy_version: Option<i64>,
    /// Whether one of them, or one whose grace is over, is for an older policy.
    needs_renewal: bool,
}

/// How it stands with all purposes.
#[derive(Debug, Serialize, JsonSchema)]
struct StatusOut {
    /// The workspace.
    workspace_id: String,
    /// The policy in force.
    policy_version: u32,
    /// Each purpose.
    purposes: Vec<PurposeStatus>,
}

/// How it stands with each purpose: whether it is granted, under which policy, and whether that is to be renewed.
#[operation("consent.status", errors(WORKSPACE_NOT_FOUND))]
async fn status(
    user: User,
    State(consents): State<Consents>,
    Query(query): Query<WorkspaceQuery>,
) -> Result<Json<StatusOut>> {
    let mut read = consents.ctx.db.read().await?;
    let asked = query.workspace_id.as_deref();
    let workspace = workspace::open(&mut read, consents.members.as_ref(), &user, asked).await?;
    let found = service::status(&mut read, &consents, user.id(), &workspace.id).await?;
    let purposes = found.into_iter().map(|one| PurposeStatus {
        purpose: one.purpose,
        granted: one.active > 0,
        consents_count: one.active,
        policy_version: one.policy_version,
        needs_renewal: one.needs_renewal,
    });
    Ok(Json(StatusOut {
        policy_version: consents.settings.policy_version,
        purposes: purposes.collect(),
        workspace_id: workspace.id,
    }))
}

/// Of which workspace a consent must be, if one is named. One's own consents are found without, also those in an
/// organization that one has left.
pub(super) async fn within(consents: &Consents, user: &User, query: &WorkspaceQuery) -> Result<Option<String>, Error> {
    let Some(asked) = query.workspace_id.as_deref() else {
        return Ok(None);
    };
    let mut read = consents.ctx.db.read().await?;
    let found = workspace::open(&mut read, consents.members.as_ref(), user, Some(asked)).await?;
    Ok(Some(found.id))
}

/// One of one's own consents.
#[operation("consent.get", errors(code::CONSENT_NOT_FOUND, WORKSPACE_NOT_FOUND))]
async fn get(
    user: User,
    State(consents): State<Consents>,
    Path(id): Path<String>,
    Query(query): Query<WorkspaceQuery>,
) -> Result<Json<ConsentOut>> {
    let within = within(&consents, &user, &query).await?;
    let mut read = consents.ctx.db.read().await?;
    let found = service::find(&mut read, user.id(), within.as_deref(), &id).await?;
    Ok(Json(ConsentOut::new(&consents, found)))
}

/// A sentence that says what was done.
#[derive(Debug, Serialize, JsonSchema)]
struct Message {
    /// The sentence.
    message: &'static str,
}

/// Takes a consent back, with this one call; what rests on it is stopped when it answers.
///
/// One that has ended already stays as it is. One that waits to be renewed is not asked for again.
#[operation("consent.revoke", errors(code::CONSENT_NOT_FOUND, WORKSPACE_NOT_FOUND))]
async fn revoke(
    user: User,
    State(consents): State<Consents>,
    ip: ClientIp,
    agent: UserAgent,
    Path(id): Path<String>,
    Query(query): Query<WorkspaceQuery>,
) -> Result<Json<Message>> {
    let within = within(&consents, &user, &query).await?;
    let by = by(&user, ip, agent, (None, None));
    let mut tx = consents.ctx.db.begin().await?;
    service::revoke(&mut tx, &consents, (user.id(), within.as_deref()), &id, &by).await?;
    tx.commit().await?;
    Ok(Json(Message {
        message: "Consent revoked successfully",
    }))
}

pub(super) fn add(routes: Routes<Consents>) -> Routes<Consents> {
    routes
        .post("/api/v1/integration/consents", grant())
        .get("/api/v1/integration/consents", list())
        .get("/api/v1/integration/consents/status", status())
        .get("/api/v1/integration/consents/{id}", get())
        .delete("/api/v1/integration/consents/{id}", revoke())
}
