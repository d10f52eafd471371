//! What the service answers: tokens of integrations, scopes, uses. Keys are answered by auth.

mod scopes;
mod tokens;
mod uses;

use garde::Validate;
use ipnet::IpNet;
use polity_kernel::http::{Json, Routes, codes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Credentials, model::network, service::Workspace};

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

/// A garde rule: every entry is an address or a network.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the validator hands its context over by reference"
)]
fn is_network(text: &str, (): &()) -> garde::Result {
    network(text).map(drop).ok_or_else(|| {
        garde::Error::new("Input should be an IP address or a network such as 192.0.2.0/24 or 2001:db8::/32")
    })
}

/// The networks of an allow-list that was validated.
fn networks(texts: &[String]) -> Vec<IpNet> {
    texts.iter().filter_map(|text| network(text)).collect()
}

/// The operations.
pub(super) fn routes() -> Routes<Credentials> {
    let routes = tokens::add(Routes::new("credential"));
    let routes = scopes::add(routes);
    // Of the limits of a token, which its guard counts.
    uses::add(routes).may_answer(codes::RATE_LIMITED)
}
