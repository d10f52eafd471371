//! Assigning roles.

use garde::Validate;
use polity_kernel::{
    caller::Caller,
    http::{ClientIp, Json, Result, Routes, State, UserAgent, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{code, name};
use crate::authorization::{
    Authorization,
    service::{self, Asking, Assignment, Limited},
};

/// A role to assign.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct AssignRole {
    /// Who assigns it; for everybody but services it has to be the caller.
    #[garde(custom(name))]
    #[schemars(length(min = 1, max = 255))]
    assigner_user_id: String,
    /// What they are; for everybody but services it has to be true.
    #[garde(length(chars, max = 64))]
    #[schemars(example = &"owner")]
    assigner_role: String,
    /// To whom.
    #[garde(custom(name))]
    #[schemars(length(min = 1, max = 255))]
    assignee_user_id: String,
    /// Which role.
    #[garde(length(chars, max = 64))]
    #[schemars(example = &"member")]
    assignee_role: String,
    /// organization, platform or app.
    #[garde(length(chars, max = 64))]
    #[serde(default = "organization")]
    #[schemars(example = &"organization")]
    scope: String,
    /// In which organization; needed with the scope organization.
    #[garde(length(chars, max = 255))]
    organization_id: Option<String>,
    /// Why, in at most 500 characters.
    #[garde(length(chars, max = 500))]
    reason: Option<String>,
}

fn organization() -> String {
    "organization".to_owned()
}

/// A role that was assigned.
#[derive(Debug, Serialize, JsonSchema)]
struct RoleAssigned {
    /// What was done.
    message: &'static str,
    /// What the role is called.
    normalized_role: &'static str,
    /// In which scope.
    scope: String,
}

/// Gives somebody a role in an organization, or of the platform. When this answers, they have it.
///
/// In an organization owners assign every role, admins member, viewer and guest. Roles of the platform are assigned by a
/// super_admin, roles in applications by nobody here.
#[operation(
    "authorization.assign_role",
    errors(code::ROLE_REFUSED, code::ROLE_FORBIDDEN, code::USER_NOT_FOUND, codes::RATE_LIMITED)
)]
async fn assign_role(
    caller: Caller,
    State(authorization): State<Authorization>,
    ClientIp(ip): ClientIp,
    UserAgent(user_agent): UserAgent,
    Json(body): Json<AssignRole>,
) -> Result<Json<RoleAssigned>> {
    service::limit(&authorization, &caller, Limited::Change, 1).await?;
    let wanted = Assignment {
        assigner_user_id: body.assigner_user_id,
        assigner_role: body.assigner_role,
        assignee_user_id: body.assignee_user_id,
        assignee_role: body.assignee_role,
        scope: body.scope.clone(),
        organization_id: body.organization_id.filter(|id| !id.is_empty()),
        reason: body.reason,
    };
    let asking = Asking {
        caller: &caller,
        ip: ip.to_string(),
        user_agent,
    };
    let normalized_role = service::assign_role(&authorization, &asking, &wanted).await?;
    Ok(Json(RoleAssigned {
        message: "Role assigned successfully",
        normalized_role,
        scope: body.scope,
    }))
}

pub(super) fn add(routes: Routes<Authorization>) -> Routes<Authorization> {
    routes.post("/api/v1/authorization/assign-role", assign_role())
}
