//! Consents over HTTP, on both databases: given, renewed, taken back, and the history that holds what happened.

mod access;
mod chain;
mod cleaning;
mod grants;
mod lifecycle;
mod races;
mod siblings;

use polity_kernel::{event::Event, job::NewJob};
use polity_testing::{Answer, App, Person};
use serde_json::{Value, json};

const BASE: &str = "/api/v1/integration/consents";

/// What somebody may consent to.
fn consent(more: Value) -> Value {
    let mut body = json!({
        "purpose": "third_party",
        "subject_kind": "oauth_connection",
        "entity_type": "oauth_app",
        "entity_id": "github",
        "description": "Acme reads the names of your repositories.",
        "requested_permissions": ["read:code", "write:code"],
        "granted_permissions": ["read:code"],
    });
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        body[name] = value;
    }
    body
}

/// A person consents, in their own workspace or another.
async fn grant_in(app: &App, person: &Person, workspace: Option<&str>, more: Value) -> Answer {
    let query = workspace.map_or_else(String::new, |id| format!("?workspace_id={id}"));
    let ask = app.post(&format!("{BASE}{query}")).bearer(&person.access_token);
    ask.header("User-Agent", "Acme/1").json(&consent(more)).send().await
}

/// The id of a new consent in somebody's own workspace.
async fn granted(app: &App, person: &Person, more: Value) -> String {
    let answer = grant_in(app, person, None, more).await.expect(201);
    answer.text_at("/id").to_owned()
}

/// A person takes a consent back.
async fn revoke(app: &App, person: &Person, id: &str) -> Answer {
    let path = format!("{BASE}/{id}");
    app.delete(&path).bearer(&person.access_token).send().await
}

/// What a service sees for somebody; it does so however late it is.
async fn seen(app: &App, user_id: &str, path: &str) -> Answer {
    let ask = app.get(&format!("{BASE}{path}")).service().on_behalf_of(user_id);
    ask.send().await
}

/// A consent as it is now.
async fn look(app: &App, user_id: &str, id: &str) -> Value {
    seen(app, user_id, &format!("/{id}")).await.expect(200).body
}

/// What an administrator sees.
async fn admin(app: &App, path: &str) -> Answer {
    app.get(&format!("{BASE}/admin{path}")).service().send().await
}

/// How it stands with a purpose in somebody's own workspace.
async fn standing(app: &App, user_id: &str, purpose: &str) -> Value {
    let status = seen(app, user_id, "/status").await.expect(200);
    let purposes = status.body["purposes"].as_array().unwrap();
    assert_eq!(purposes.len(), 4);
    purposes.iter().find(|one| one["purpose"] == purpose).unwrap().clone()
}

/// The names of what happened to somebody's consents, in order.
async fn happened(app: &App, user_id: &str) -> Vec<String> {
    let found = admin(app, &format!("/users/{user_id}/history?limit=1000"))
        .await
        .expect(200);
    let items = found.body["items"].as_array().unwrap();
    items
        .iter()
        .map(|one| one["event"].as_str().unwrap().to_owned())
        .collect()
}

/// Whether somebody's chain is whole.
async fn is_whole(app: &App, id: &str) -> bool {
    admin(app, &format!("/chains/{id}")).await.expect(200).body["is_whole"] == true
}

/// Runs a job now.
async fn run(app: &App, kind: &'static str) {
    let mut tx = app.ctx.db.begin().await.unwrap();
    app.ctx
        .jobs
        .enqueue(&mut tx, NewJob::new(kind, json!(null)))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    app.settle().await;
}

/// What was said.
async fn said(app: &App, what: &str) -> Vec<Event> {
    app.settle().await;
    let subject = format!("integration_service.consent.{what}");
    app.ctx
        .events
        .read_after(&app.ctx.db, 0, &[&subject], 1_000)
        .await
        .unwrap()
}
