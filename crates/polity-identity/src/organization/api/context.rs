//! In which organization a person acts.

use garde::Validate;
use polity_kernel::{
    caller::User,
    http::{FieldError, Given, Json, Problem, Result, Routes, State, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::organization::{
    Organizations,
    error::code,
    model::Role,
    service::{self, Context},
};

/// In which organization a person acts.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct ContextResponse {
    /// `individual` or `organization`.
    context_type: &'static str,
    /// The organization.
    organization_id: Option<String>,
    /// Its name.
    organization_name: Option<String>,
    /// What they are in it.
    user_role: Option<Role>,
    /// What else they may do there.
    permissions: Vec<String>,
    /// Null: there is no service that counts credits.
    credits_available: Option<f64>,
}

impl From<Option<Context>> for ContextResponse {
    fn from(context: Option<Context>) -> Self {
        let Some(context) = context else {
            return Self {
                context_type: "individual",
                ..Self::default()
            };
        };
        Self {
            context_type: "organization",
            organization_id: Some(context.organization_id),
            organization_name: Some(context.organization_name),
            user_role: Some(context.role),
            permissions: context.permissions,
            credits_available: None,
        }
    }
}

/// In which organization one acts; as oneself, unless one chose.
#[operation("organization.get_context")]
async fn get(user: User, State(organizations): State<Organizations>) -> Result<Json<ContextResponse>> {
    let mut read = organizations.ctx.db.read().await?;
    Ok(Json(service::context(&mut read, user.id()).await?.into()))
}

/// The organization to act in.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[schemars(extend("required" = ["organization_id"]))]
struct ContextIn {
    /// The organization; null: as oneself.
    #[garde(skip)]
    #[serde(default)]
    #[schemars(example = &"org_01a1fb4e7b4b73df93c4746cc8a8b943")]
    organization_id: Given<String>,
}

/// Chooses in which organization one acts. The choice is kept, and ends with the membership.
#[operation("organization.set_context", errors(code::ORGANIZATION_NOT_FOUND, codes::FORBIDDEN))]
async fn set(
    user: User,
    State(organizations): State<Organizations>,
    Json(body): Json<ContextIn>,
) -> Result<Json<ContextResponse>> {
    if body.organization_id == Given::Nothing {
        let error = FieldError::new("body", &["organization_id"], "Field required", "missing");
        return Err(Problem::validation(vec![error]));
    }
    let wanted = body.organization_id.value();
    // Looked at beside the writer, which has only to write.
    let context = match wanted {
        Some(wanted) => {
            let mut read = organizations.ctx.db.read().await?;
            Some(service::acting(&mut read, user.id(), wanted).await?)
        }
        None => None,
    };
    let mut tx = organizations.ctx.db.begin().await?;
    service::switch(&mut tx, &organizations, user.id(), context.as_ref()).await?;
    tx.commit().await?;
    Ok(Json(context.into()))
}

pub(super) fn add(routes: Routes<Organizations>) -> Routes<Organizations> {
    routes
        .get("/api/v1/organization/organizations/context", get())
        .post("/api/v1/organization/organizations/context", set())
}
