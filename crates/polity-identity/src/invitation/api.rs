//! What the service answers, from top to bottom: bodies, conversions, handlers, routes.

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::{AdminOrService, Caller, Public, User},
    clock,
    http::{self, ClientIp, Idempotency, Json, Path, Problem, Query, Reply, Result, Routes, State, codes},
    operation,
    service::ServiceInfo,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Invitations, SERVICE,
    error::code,
    model::{Invitation, Status},
    service::{self, Actor, NewInvitation, Sent},
};
use crate::organization::Role;

fn actor(caller: &Caller) -> Result<Actor<'_>> {
    Actor::of(caller).ok_or_else(|| Problem::unauthenticated("User authentication required"))
}

/// What the service can do.
#[operation("invitation.info")]
async fn info(_: Public) -> Json<ServiceInfo> {
    Json(SERVICE.info(
        "Invitations to organizations by e-mail",
        [
            ("create", "/api/v1/invitations/organizations/{organization_id}"),
            ("accept", "/api/v1/invitations/accept"),
        ],
    ))
}

/// Whom to invite.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct InvitationCreate {
    /// Their address; `invitee_email` for older clients.
    #[garde(custom(http::email))]
    #[serde(alias = "invitee_email")]
    #[schemars(example = &"bob@example.com", extend("format" = "email", "maxLength" = 254))]
    email: String,
    /// As what.
    #[garde(skip)]
    #[serde(default = "member")]
    role: Role,
    /// A word to them, at most 500 characters.
    #[garde(length(chars, max = 500))]
    message: Option<String>,
    /// After how many days it ends; seven, if nothing is said.
    #[garde(range(min = 1, max = 30))]
    expires_in_days: Option<u32>,
}

fn member() -> Role {
    Role::Member
}

impl From<InvitationCreate> for NewInvitation {
    fn from(given: InvitationCreate) -> Self {
        Self {
            email: given.email,
            role: given.role,
            message: given.message,
            days: given.expires_in_days,
        }
    }
}

/// An invitation that was sent.
#[derive(Debug, Serialize, JsonSchema)]
struct InvitationCreated {
    /// Its id.
    invitation_id: String,
    /// The token in its link. It is shown this once.
    invitation_token: String,
    /// The same, for older clients.
    token: String,
    /// Whom it is for.
    email: String,
    /// As what.
    role: Role,
    /// `pending`.
    status: Status,
    /// When it ends.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    expires_at: DateTime<Utc>,
    /// What was done.
    message: &'static str,
}

impl From<Sent> for InvitationCreated {
    fn from(sent: Sent) -> Self {
        let Sent { invitation, token } = sent;
        Self {
            invitation_id: invitation.invitation_id,
            invitation_token: token.expose().to_owned(),
            token: token.expose().to_owned(),
            email: invitation.email,
            role: invitation.role,
            status: invitation.status,
            expires_at: invitation.expires_at,
            message: "Invitation created successfully",
        }
    }
}

/// Invites somebody to an organization by mail. For its administrators; admins invite members, viewers and guests.
#[operation(
    "invitation.create",
    errors(
        code::ORGANIZATION_NOT_FOUND,
        code::ALREADY_INVITED,
        codes::BAD_REQUEST,
        codes::FORBIDDEN,
        codes::RATE_LIMITED
    )
)]
async fn create(
    caller: Caller,
    State(invitations): State<Invitations>,
    Path(organization_id): Path<String>,
    body: Idempotency<InvitationCreate>,
) -> Result<Reply<InvitationCreated>> {
    let (body, key) = body.into_parts();
    let actor = actor(&caller)?;
    let ctx = &invitations.ctx;
    let mut tx = ctx.db.begin().await?;
    if let Some(answer) = http::replay(ctx, &mut tx, key.as_ref()).await? {
        return Ok(answer.into());
    }
    let sent = service::create(&mut tx, &invitations, actor, &organization_id, body.into()).await?;
    let out = InvitationCreated::from(sent);
    http::keep(ctx, &mut tx, key.as_ref(), 200, &out).await?;
    tx.commit().await?;
    Ok(Json(out).into())
}

/// Whom to invite, many at once.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct BulkCreate {
    /// Who, at most a hundred.
    #[garde(length(min = 1, max = 100), dive)]
    invitations: Vec<InvitationCreate>,
}

/// What became of one of many.
#[derive(Debug, Serialize, JsonSchema)]
struct BulkResult {
    /// Whom it was for.
    email: String,
    /// Whether it was sent.
    success: bool,
    /// Its id.
    invitation_id: Option<String>,
    /// Why it was not sent.
    error: Option<String>,
}

/// What became of all of them.
#[derive(Debug, Serialize, JsonSchema)]
struct BulkOut {
    /// One by one, in the order in which they came.
    results: Vec<BulkResult>,
    /// How many were sent.
    successful: usize,
    /// How many were not.
    failed: usize,
}

/// Invites up to a hundred people; each stands for itself. Tokens are in the mails alone.
#[operation(
    "invitation.create_many",
    errors(code::ORGANIZATION_NOT_FOUND, codes::BAD_REQUEST, codes::FORBIDDEN)
)]
async fn create_many(
    caller: Caller,
    State(invitations): State<Invitations>,
    Path(organization_id): Path<String>,
    Json(body): Json<BulkCreate>,
) -> Result<Json<BulkOut>> {
    let actor = actor(&caller)?;
    let mut read = invitations.ctx.db.read().await?;
    service::inviting(&mut read, actor, &organization_id).await?;
    drop(read);
    let mut results = Vec::new();
    for one in body.invitations {
        let email = one.email.clone();
        let done = create_one(&invitations, actor, &organization_id, one).await;
        results.push(match done {
            Ok(id) => BulkResult {
                email,
                success: true,
                invitation_id: Some(id),
                error: None,
            },
            // What is true of the organization or the caller is true of all.
            Err(error @ (super::Error::OrganizationNotFound | super::Error::Db(_) | super::Error::Internal(_))) => {
                return Err(error.into());
            }
            Err(error) => BulkResult {
                email,
                success: false,
                invitation_id: None,
                error: Some(error.to_string()),
            },
        });
    }
    let successful = results.iter().filter(|result| result.success).count();
    Ok(Json(BulkOut {
        failed: results.len() - successful,
        successful,
        results,
    }))
}

/// One of many, in a transaction of its own: the others do not depend on it.
async fn create_one(
    invitations: &Invitations,
    actor: Actor<'_>,
    organization_id: &str,
    one: InvitationCreate,
) -> std::result::Result<String, super::Error> {
    let mut tx = invitations.ctx.db.begin().await?;
    let sent = service::create(&mut tx, invitations, actor, organization_id, one.into()).await?;
    tx.commit().await?;
    Ok(sent.invitation.invitation_id)
}

/// An invitation, without its token.
#[derive(Debug, Serialize, JsonSchema)]
struct InvitationDetail {
    /// Its id.
    invitation_id: String,
    /// To which organization.
    organization_id: String,
    /// Its name.
    organization_name: String,
    /// Its domain.
    organization_domain: Option<String>,
    /// Whom it is for.
    email: String,
    /// As what.
    role: Role,
    /// How it is.
    status: Status,
    /// Whoever invites, by name.
    inviter_name: Option<String>,
    /// Their address.
    inviter_email: Option<String>,
    /// What they wrote.
    message: Option<String>,
    /// How often it was mailed.
    sent_count: i64,
    /// Why it was cancelled.
    reason: Option<String>,
    /// When it was accepted.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    accepted_at: Option<DateTime<Utc>>,
    /// By whom.
    accepted_by: Option<String>,
    /// When it ends.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    expires_at: DateTime<Utc>,
    /// When it was made.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
}

impl InvitationDetail {
    fn new(found: Invitation, now: DateTime<Utc>) -> Self {
        Self {
            status: found.status_at(now),
            invitation_id: found.invitation_id,
            organization_id: found.organization_id,
            organization_name: found.organization_name,
            organization_domain: found.organization_domain,
            email: found.email,
            role: found.role,
            inviter_name: found.inviter_name,
            inviter_email: found.inviter_email,
            message: found.message,
            sent_count: found.sent_count,
            reason: found.reason,
            accepted_at: found.accepted_at,
            accepted_by: found.accepted_by,
            expires_at: found.expires_at,
            created_at: found.created_at,
        }
    }
}

/// Which invitations.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ListQuery {
    /// How many at most.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "hundred")]
    limit: i64,
    /// How many to leave out.
    #[garde(range(min = 0, max = 1_000_000_000))]
    #[serde(default)]
    offset: i64,
    /// Only those in this status.
    #[garde(skip)]
    status: Option<Status>,
}

fn hundred() -> i64 {
    100
}

/// Invitations.
#[derive(Debug, Serialize, JsonSchema)]
struct InvitationList {
    /// The invitations, newest first.
    invitations: Vec<InvitationDetail>,
    /// How many there are in all.
    total: i64,
    /// How many were asked for.
    limit: i64,
    /// How many were left out.
    offset: i64,
}

/// Lists the invitations of an organization, newest first. For its administrators.
#[operation("invitation.list", errors(code::ORGANIZATION_NOT_FOUND, codes::FORBIDDEN))]
async fn list(
    caller: Caller,
    State(invitations): State<Invitations>,
    Path(organization_id): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<InvitationList>> {
    let mut read = invitations.ctx.db.read().await?;
    let wanted = (organization_id.as_str(), query.status);
    let page = (query.limit, query.offset);
    let (found, total) = service::list(&mut read, &invitations, actor(&caller)?, wanted, page).await?;
    let now = invitations.ctx.clock.now();
    Ok(Json(InvitationList {
        invitations: found.into_iter().map(|one| InvitationDetail::new(one, now)).collect(),
        total,
        limit: query.limit,
        offset: query.offset,
    }))
}

/// The pending invitations for one's own address.
#[operation("invitation.mine")]
async fn mine(user: User, State(invitations): State<Invitations>) -> Result<Json<InvitationList>> {
    let now = invitations.ctx.clock.now();
    let mut read = invitations.ctx.db.read().await?;
    let found = service::mine(&mut read, user.id(), now).await?;
    let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
    Ok(Json(InvitationList {
        invitations: found.into_iter().map(|one| InvitationDetail::new(one, now)).collect(),
        total: count,
        limit: 200,
        offset: 0,
    }))
}

/// The invitation with a token, which is the credential.
#[operation(
    "invitation.look",
    errors(code::INVITATION_NOT_FOUND, code::INVITATION_CLOSED, codes::RATE_LIMITED)
)]
async fn look(
    _: Public,
    State(invitations): State<Invitations>,
    ip: ClientIp,
    Path(token): Path<String>,
) -> Result<Json<InvitationDetail>> {
    service::limit_looks(&invitations, &ip.0.to_string()).await?;
    let found = service::look(&invitations, &token).await?;
    Ok(Json(InvitationDetail::new(found, invitations.ctx.clock.now())))
}

/// An answer to an invitation.
#[derive(Deserialize, Validate, JsonSchema)]
struct Answer {
    /// The token of the link.
    #[garde(length(chars, min = 1, max = 10_000))]
    invitation_token: String,
    /// The person; the caller, unless a service asks.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"usr_01a1fb4e7b4b73df93c4746cc8a8b943")]
    user_id: Option<String>,
}

/// Who answers: the caller, or whom a service names.
fn person<'a>(caller: &'a Caller, body: &'a Answer) -> Result<&'a str> {
    let person = body.user_id.as_deref().or(caller.user_id());
    let person = person.ok_or_else(|| Problem::unauthenticated("User authentication required"))?;
    let may = caller.user_id() == Some(person) || (caller.is_service() && caller.may_act_for(person));
    if may {
        return Ok(person);
    }
    Err(Problem::new(codes::FORBIDDEN, "You can only answer for yourself"))
}

/// A membership that came of an invitation.
#[derive(Debug, Serialize, JsonSchema)]
struct AcceptOut {
    /// The invitation.
    invitation_id: String,
    /// The organization.
    organization_id: String,
    /// Its name.
    organization_name: String,
    /// Who is a member now.
    user_id: String,
    /// As what they were invited.
    role: Role,
    /// When.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    accepted_at: DateTime<Utc>,
}

/// Accepts an invitation that was sent to one's own address.
#[operation(
    "invitation.accept",
    errors(
        code::INVITATION_NOT_FOUND,
        code::INVITATION_CLOSED,
        code::EMAIL_MISMATCH,
        codes::BAD_REQUEST,
        codes::FORBIDDEN,
        codes::RATE_LIMITED
    )
)]
async fn accept(
    caller: Caller,
    State(invitations): State<Invitations>,
    ip: ClientIp,
    Json(body): Json<Answer>,
) -> Result<Json<AcceptOut>> {
    let person = person(&caller, &body)?;
    if !caller.is_service() {
        service::limit_looks(&invitations, &ip.0.to_string()).await?;
    }
    let mut tx = invitations.ctx.db.begin().await?;
    let done = service::accept(&mut tx, &invitations, person, &body.invitation_token).await?;
    tx.commit().await?;
    let done = done?;
    Ok(Json(AcceptOut {
        invitation_id: done.invitation.invitation_id,
        organization_id: done.invitation.organization_id,
        organization_name: done.invitation.organization_name,
        user_id: done.user_id,
        role: done.invitation.role,
        accepted_at: done.at,
    }))
}

/// A sentence that says what was done.
#[derive(Debug, Serialize, JsonSchema)]
struct Message {
    /// The sentence.
    message: &'static str,
}

fn message(message: &'static str) -> Json<Message> {
    Json(Message { message })
}

/// Declines an invitation that was sent to one's own address.
#[operation(
    "invitation.decline",
    errors(
        code::INVITATION_NOT_FOUND,
        code::INVITATION_CLOSED,
        code::EMAIL_MISMATCH,
        codes::FORBIDDEN,
        codes::RATE_LIMITED
    )
)]
async fn decline(
    caller: Caller,
    State(invitations): State<Invitations>,
    ip: ClientIp,
    Json(body): Json<Answer>,
) -> Result<Json<Message>> {
    let person = person(&caller, &body)?;
    if !caller.is_service() {
        service::limit_looks(&invitations, &ip.0.to_string()).await?;
    }
    let mut tx = invitations.ctx.db.begin().await?;
    let done = service::decline(&mut tx, &invitations, person, &body.invitation_token).await?;
    tx.commit().await?;
    done?;
    Ok(message("Invitation declined"))
}

/// Takes an invitation back. For administrators of the organization.
#[operation(
    "invitation.cancel",
    errors(code::INVITATION_NOT_FOUND, code::INVITATION_CLOSED, codes::FORBIDDEN)
)]
async fn cancel(
    caller: Caller,
    State(invitations): State<Invitations>,
    Path(id): Path<String>,
) -> Result<Json<Message>> {
    let actor = actor(&caller)?;
    let mut tx = invitations.ctx.db.begin().await?;
    service::cancel(&mut tx, &invitations, actor, &id).await?;
    tx.commit().await?;
    Ok(message("Invitation cancelled successfully"))
}

/// Mails an invitation again, with the same link; it ends a week from now. At most once a minute, and five times.
#[operation(
    "invitation.resend",
    errors(
        code::INVITATION_NOT_FOUND,
        code::INVITATION_CLOSED,
        codes::BAD_REQUEST,
        codes::FORBIDDEN,
        codes::RATE_LIMITED
    )
)]
async fn resend(
    caller: Caller,
    State(invitations): State<Invitations>,
    Path(id): Path<String>,
) -> Result<Json<Message>> {
    let actor = actor(&caller)?;
    let mut tx = invitations.ctx.db.begin().await?;
    service::resend(&mut tx, &invitations, actor, &id).await?;
    tx.commit().await?;
    Ok(message("Invitation resent successfully"))
}

/// How many had ended.
#[derive(Debug, Serialize, JsonSchema)]
struct ExpiredOut {
    /// How many.
    expired_count: u64,
    /// The same in words.
    message: String,
}

/// Marks invitations as expired whose time is over. For services and administrators; it happens every hour anyway.
#[operation("invitation.expire", errors(codes::FORBIDDEN))]
async fn expire(_: AdminOrService, State(invitations): State<Invitations>) -> Result<Json<ExpiredOut>> {
    let mut tx = invitations.ctx.db.begin().await?;
    let expired_count = service::expire(&mut tx, &invitations).await?;
    tx.commit().await?;
    Ok(Json(ExpiredOut {
        expired_count,
        message: format!("Expired {expired_count} old invitations"),
    }))
}

/// The operations.
pub(super) fn routes() -> Routes<Invitations> {
    Routes::new("invitation")
        .get("/api/v1/invitations/info", info())
        .post("/api/v1/invitations/organizations/{organization_id}", create())
        .get("/api/v1/invitations/organizations/{organization_id}", list())
        .post(
            "/api/v1/invitations/organizations/{organization_id}/bulk",
            create_many(),
        )
        .get("/api/v1/invitations/mine", mine())
        .post("/api/v1/invitations/accept", accept())
        .post("/api/v1/invitations/decline", decline())
        .post("/api/v1/invitations/admin/expire-invitations", expire())
        .get("/api/v1/invitations/{id}", look())
        .delete("/api/v1/invitations/{id}", cancel())
        .post("/api/v1/invitations/{id}/resend", resend())
        // Older clients' paths: `/api/v1/organizations` stands for these.
        .post(
            "/api/v1/organization/organizations/{organization_id}/invitations",
            create().named("invitation.create.alias"),
        )
        .get(
            "/api/v1/organization/organizations/{organization_id}/invitations",
            list().named("invitation.list.alias"),
        )
}
