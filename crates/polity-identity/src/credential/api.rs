//! What the service answers: tokens of integrations, scopes, uses. Keys are answered by auth.

mod scopes;
mod tokens;
mod uses;

use garde::Validate;
use polity_kernel::http::{Json, Routes, codes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Credentials, service::Workspace};

/// Which workspace is meant.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct WorkspaceQuery {
    /// The workspace; left out, the one the credential is bound to, else one's personal one.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"org_01a1fb4e7b4b73df93c4746cc8a8b943")]
    workspace_id: Option<String>,
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

/// The operations.
pub(super) fn routes() -> Routes<Credentials> {
    let routes = tokens::add(Routes::new("credential"));
    let routes = scopes::add(routes);
    // Of the limits of a token, which its guard counts.
    uses::add(routes).may_answer(codes::RATE_LIMITED)
}
