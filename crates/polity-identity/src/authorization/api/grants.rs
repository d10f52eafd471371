//! Giving and taking permissions, one or many.

use std::time::Instant;

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::Caller,
    clock,
    http::{FieldError, Json, Problem, Result, Routes, State, codes},
    operation,
};
use polity_ports::authorization::{AccessLevel, ResourceType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Message, code, name};
use crate::authorization::{
    Authorization, Error,
    model::Source,
    service::{self, Actor, Batch, Limited, NewGrant, Operation, Revocation},
};

/// A permission to give.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct GrantRequest {
    /// To whom.
    #[garde(custom(name))]
    #[schemars(length(min = 1, max = 255), example = &"usr_01a1fb4e7b4b73df93c4746cc8a8b943")]
    user_id: String,
    /// What kind of thing.
    #[garde(skip)]
    resource_type: ResourceType,
    /// Which.
    #[garde(custom(name))]
    #[schemars(length(min = 1, max = 255))]
    resource_name: String,
    /// What for.
    #[garde(skip)]
    access_level: AccessLevel,
    /// On what it rests.
    #[garde(skip)]
    permission_source: Source,
    /// By whom; for everybody but services it has to be the caller.
    #[garde(length(chars, max = 255))]
    granted_by_user_id: Option<String>,
    /// The organization in which it counts, for its active members; left out: everywhere.
    #[garde(length(chars, max = 255))]
    organization_id: Option<String>,
    /// When it ends; in the future.
    #[garde(skip)]
    #[serde(default, deserialize_with = "super::moment")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    expires_at: Option<DateTime<Utc>>,
    /// Why, in at most 500 characters.
    #[garde(length(chars, max = 500))]
    reason: Option<String>,
}

impl From<GrantRequest> for NewGrant {
    fn from(given: GrantRequest) -> Self {
        Self {
            user_id: given.user_id,
            resource_type: given.resource_type,
            resource_name: given.resource_name,
            access_level: given.access_level,
            source: given.permission_source,
            organization_id: given.organization_id.filter(|id| !id.is_empty()),
            expires_at: given.expires_at,
            reason: given.reason,
        }
    }
}

/// Permissions to take.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct RevokeRequest {
    /// From whom.
    #[garde(custom(name))]
    #[schemars(length(min = 1, max = 255))]
    user_id: String,
    /// What kind of thing.
    #[garde(skip)]
    resource_type: ResourceType,
    /// Which.
    #[garde(custom(name))]
    #[schemars(length(min = 1, max = 255))]
    resource_name: String,
    /// Only what rests on this.
    #[garde(skip)]
    permission_source: Option<Source>,
    /// Only what counts in this organization.
    #[garde(length(chars, max = 255))]
    organization_id: Option<String>,
    /// By whom; for everybody but services it has to be the caller.
    #[garde(length(chars, max = 255))]
    revoked_by_user_id: Option<String>,
    /// Why, in at most 500 characters.
    #[garde(length(chars, max = 500))]
    reason: Option<String>,
}

impl From<RevokeRequest> for Revocation {
    fn from(given: RevokeRequest) -> Self {
        Self {
            user_id: given.user_id,
            resource_type: given.resource_type,
            resource_name: given.resource_name,
            source: given.permission_source,
            organization_id: given.organization_id.filter(|id| !id.is_empty()),
            reason: given.reason,
        }
    }
}

/// Carries out one operation. What was refused is in the audit all the same.
async fn carry_out(authorization: &Authorization, actor: &Actor, operation: Operation) -> Result<()> {
    let mut tx = authorization.ctx.db.begin().await?;
    let results = service::apply(&mut tx, authorization, actor, None, vec![operation]).await?;
    tx.commit().await?;
    for result in results {
        result?;
    }
    Ok(())
}

/// Gives a permission, or changes the one that is there for the same person, resource, source and organization.
///
/// For administrators of the platform and services; those of an organization give with the source `organization`, in it, to
/// its members. Nobody gives more than they have, nor to themselves, but a super_admin.
#[operation(
    "authorization.grant",
    errors(codes::BAD_REQUEST, codes::FORBIDDEN, codes::RATE_LIMITED)
)]
async fn grant(
    caller: Caller,
    State(authorization): State<Authorization>,
    Json(body): Json<GrantRequest>,
) -> Result<Json<Message>> {
    service::limit(&authorization, &caller, Limited::Change, 1).await?;
    let actor = Actor::of(&caller, body.granted_by_user_id.as_deref())?;
    carry_out(&authorization, &actor, Operation::Grant(body.into())).await?;
    Ok(Json(Message::new("Permission granted successfully")))
}

/// Takes what somebody has of a resource: all of it that the caller may take.
///
/// For administrators of the platform, services, whoever gave it, and administrators of the organization in which it counts.
#[operation(
    "authorization.revoke",
    errors(code::PERMISSION_NOT_FOUND, codes::FORBIDDEN, codes::RATE_LIMITED)
)]
async fn revoke(
    caller: Caller,
    State(authorization): State<Authorization>,
    Json(body): Json<RevokeRequest>,
) -> Result<Json<Message>> {
    service::limit(&authorization, &caller, Limited::Change, 1).await?;
    let actor = Actor::of(&caller, body.revoked_by_user_id.as_deref())?;
    carry_out(&authorization, &actor, Operation::Revoke(body.into())).await?;
    Ok(Json(Message::new("Permission revoked successfully")))
}

/// What is done in one of many operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OperationType {
    /// Give.
    Grant,
    /// Take.
    Revoke,
}

/// One of many operations: as a single one, and which it is.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct OperationIn {
    /// Which it is; left out: what the path says.
    #[garde(skip)]
    operation_type: Option<OperationType>,
    /// To or from whom.
    #[garde(custom(name))]
    #[schemars(length(min = 1, max = 255))]
    user_id: String,
    /// What kind of thing.
    #[garde(skip)]
    resource_type: ResourceType,
    /// Which.
    #[garde(custom(name))]
    #[schemars(length(min = 1, max = 255))]
    resource_name: String,
    /// What for; needed to give.
    #[garde(skip)]
    access_level: Option<AccessLevel>,
    /// On what it rests; needed to give.
    #[garde(skip)]
    permission_source: Option<Source>,
    /// In which organization.
    #[garde(length(chars, max = 255))]
    organization_id: Option<String>,
    /// When it ends; in the future.
    #[garde(skip)]
    #[serde(default, deserialize_with = "super::moment")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    expires_at: Option<DateTime<Utc>>,
    /// Why, in at most 500 characters.
    #[garde(length(chars, max = 500))]
    reason: Option<String>,
}

impl OperationIn {
    fn into_operation(self, at: usize, default: OperationType) -> Result<Operation> {
        let organization_id = self.organization_id.filter(|id| !id.is_empty());
        if self.operation_type.unwrap_or(default) == OperationType::Revoke {
            return Ok(Operation::Revoke(Revocation {
                user_id: self.user_id,
                resource_type: self.resource_type,
                resource_name: self.resource_name,
                source: self.permission_source,
                organization_id,
                reason: self.reason,
            }));
        }
        let missing = |field: &'static str| {
            let place = ["operations", &at.to_string(), field];
            Problem::validation(vec![FieldError::new("body", &place, "Field required", "missing")])
        };
        Ok(Operation::Grant(NewGrant {
            user_id: self.user_id,
            resource_type: self.resource_type,
            resource_name: self.resource_name,
            access_level: self.access_level.ok_or_else(|| missing("access_level"))?,
            source: self.permission_source.ok_or_else(|| missing("permission_source"))?,
            organization_id,
            expires_at: self.expires_at,
            reason: self.reason,
        }))
    }
}

/// Many operations, carried out in their order.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct BulkRequest {
    /// The operations, at most 100.
    #[garde(length(max = 100), dive)]
    operations: Vec<OperationIn>,
    /// By whom; for everybody but services it has to be the caller.
    #[garde(length(chars, max = 255))]
    executed_by_user_id: Option<String>,
    /// Why, in at most 500 characters.
    #[garde(length(chars, max = 500))]
    batch_reason: Option<String>,
}

/// What became of one of many operations.
#[derive(Debug, Serialize, JsonSchema)]
struct OperationOut {
    /// Its id.
    operation_id: String,
    /// What was to be done.
    operation_type: OperationType,
    /// To or from whom.
    target_user_id: String,
    /// What kind of thing.
    resource_type: ResourceType,
    /// Which.
    resource_name: String,
    /// Whether it was done.
    success: bool,
    /// Why not.
    error_message: Option<String>,
    /// When.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    processed_at: DateTime<Utc>,
}

/// What became of many operations.
#[derive(Debug, Serialize, JsonSchema)]
struct BulkResponse {
    /// The id of the call.
    batch_id: String,
    /// How many there were.
    total_operations: usize,
    /// How many were done.
    successful: usize,
    /// How many were not.
    failed: usize,
    /// What became of each, in their order.
    results: Vec<OperationOut>,
    /// How long it took.
    execution_time_seconds: f64,
}

async fn bulk(
    authorization: &Authorization,
    caller: &Caller,
    body: BulkRequest,
    default: OperationType,
) -> Result<Json<BulkResponse>> {
    service::limit(authorization, caller, Limited::Bulk, 1).await?;
    let actor = Actor::of(caller, body.executed_by_user_id.as_deref())?;
    let begun = Instant::now();
    let ctx = &authorization.ctx;
    let batch = Batch {
        id: ctx.ids.new_id("bat_"),
        reason: body.batch_reason,
    };
    let operations: Vec<Operation> = body
        .operations
        .into_iter()
        .enumerate()
        .map(|(at, operation)| operation.into_operation(at, default))
        .collect::<Result<_>>()?;
    let mut tx = ctx.db.begin().await?;
    let results = service::apply(&mut tx, authorization, &actor, Some(&batch), operations.clone()).await?;
    tx.commit().await?;
    let processed_at = ctx.clock.now();
    let results: Vec<OperationOut> = operations
        .iter()
        .zip(results)
        .map(|(operation, result)| {
            let (user_id, resource_type, resource_name) = operation.of();
            OperationOut {
                operation_id: ctx.ids.new_id("op_"),
                operation_type: match operation {
                    Operation::Grant(_) => OperationType::Grant,
                    Operation::Revoke(_) => OperationType::Revoke,
                },
                target_user_id: user_id.to_owned(),
                resource_type,
                resource_name: resource_name.to_owned(),
                success: result.is_ok(),
                error_message: result.err().map(|error: Error| error.to_string()),
                processed_at,
            }
        })
        .collect();
    let successful = results.iter().filter(|result| result.success).count();
    Ok(Json(BulkResponse {
        batch_id: batch.id,
        total_operations: results.len(),
        successful,
        failed: results.len() - successful,
        results,
        execution_time_seconds: begun.elapsed().as_secs_f64(),
    }))
}

/// Gives many permissions, in their order; each is judged on its own, and one that is refused stops no other.
#[operation("authorization.bulk_grant", errors(codes::FORBIDDEN, codes::RATE_LIMITED))]
async fn bulk_grant(
    caller: Caller,
    State(authorization): State<Authorization>,
    Json(body): Json<BulkRequest>,
) -> Result<Json<BulkResponse>> {
    bulk(&authorization, &caller, body, OperationType::Grant).await
}

/// Takes many permissions, in their order; each is judged on its own, and one that is refused stops no other.
#[operation("authorization.bulk_revoke", errors(codes::FORBIDDEN, codes::RATE_LIMITED))]
async fn bulk_revoke(
    caller: Caller,
    State(authorization): State<Authorization>,
    Json(body): Json<BulkRequest>,
) -> Result<Json<BulkResponse>> {
    bulk(&authorization, &caller, body, OperationType::Revoke).await
}

pub(super) fn add(routes: Routes<Authorization>) -> Routes<Authorization> {
    routes
        .post("/api/v1/authorization/grant", grant())
        .post("/api/v1/authorization/revoke", revoke())
        .post("/api/v1/authorization/bulk-grant", bulk_grant())
        .post("/api/v1/authorization/bulk-revoke", bulk_revoke())
}
