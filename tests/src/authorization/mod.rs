//! Authorization over HTTP, on both databases.

mod authority;
mod cascades;
mod checks;
mod facts;
mod grants;
mod listing;
mod replicas;
mod roles;
mod shapes;

use polity_testing::{Answer, App, Person, Request};
use serde_json::{Value, json};

pub(crate) const BASE: &str = "/api/v1/authorization";

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) enum By<'a> {
    Service,
    Person(&'a Person),
}

impl By<'_> {
    pub(crate) fn sign(self, request: Request<'_>) -> Request<'_> {
        match self {
            Self::Service => request.service(),
            Self::Person(person) => request.bearer(&person.access_token),
        }
    }
}

pub(crate) async fn post(app: &App, by: By<'_>, path: &str, body: Value) -> Answer {
    by.sign(app.post(&format!("{BASE}/{path}"))).json(&body).send().await
}

pub(crate) async fn get(app: &App, by: By<'_>, path: &str) -> Answer {
    by.sign(app.get(&format!("{BASE}/{path}"))).send().await
}

/// Whether somebody may use a tool at a level, as a service is told.
pub(crate) async fn may(app: &App, user_id: &str, name: &str, level: &str) -> bool {
    let body = json!({
        "user_id": user_id, "resource_type": "mcp_tool", "resource_name": name, "required_access_level": level,
    });
    let answer = post(app, By::Service, "check-access", body).await.expect(200);
    answer.body["has_access"] == true
}

/// A grant of a tool.
pub(crate) fn tool(user_id: &str, name: &str, level: &str, source: &str) -> Value {
    json!({
        "user_id": user_id, "resource_type": "mcp_tool", "resource_name": name, "access_level": level,
        "permission_source": source,
    })
}

/// Gives somebody a tool, as a service.
pub(crate) async fn give(app: &App, user_id: &str, name: &str, level: &str, more: Value) {
    let mut body = tool(user_id, name, level, "admin_grant");
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    post(app, By::Service, "grant", body).await.expect(200);
}

/// Gives a tool to an organization, as a service.
pub(crate) async fn give_organization(app: &App, organization: &str, name: &str, body: Value) -> Answer {
    app.put(&format!(
        "{BASE}/organizations/{organization}/permissions/mcp_tool/{name}"
    ))
    .service()
    .json(&body)
    .send()
    .await
}
