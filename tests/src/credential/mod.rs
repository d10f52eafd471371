//! Credentials of programs over HTTP, on both databases: keys, tokens, devices, their limits and uses.

mod devices;
mod edges;
mod keys;
mod limits;
mod owners;
mod replicas;
mod scopes;
mod tokens;
mod uses;

pub(crate) use keys::again;

use std::time::Duration;

use polity_kernel::event::Event;
use polity_testing::{Answer, App, Person};
use serde_json::{Value, json};

/// A key of somebody's personal organization, with more about it.
async fn new_key(app: &App, person: &Person, more: Value) -> Answer {
    let mut body = json!({ "organization_id": person.user_id, "name": "test key" });
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        body[name] = value;
    }
    app.post("/api/v1/auth/api-keys")
        .bearer(&person.access_token)
        .json(&body)
        .send()
        .await
}

/// The text and the id of a new key.
pub(crate) async fn key(app: &App, person: &Person, more: Value) -> (String, String) {
    let made = new_key(app, person, more).await.expect(200);
    (made.text_at("/api_key").to_owned(), made.text_at("/key_id").to_owned())
}

/// The text and the id of a new key of an organization.
pub(crate) async fn key_in(app: &App, person: &Person, organization: &str, more: Value) -> (String, String) {
    let mut more = more;
    more["organization_id"] = organization.into();
    key(app, person, more).await
}

/// What a service learns of a key.
pub(crate) async fn verify(app: &App, text: &str, more: Value) -> Answer {
    let mut body = json!({ "api_key": text });
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        body[name] = value;
    }
    app.post("/api/v1/auth/verify-api-key")
        .service()
        .json(&body)
        .send()
        .await
}

/// The text and the id of a new token in somebody's personal workspace.
async fn token(app: &App, person: &Person, more: Value) -> (String, String) {
    let mut body = json!({ "name": "test token" });
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        body[name] = value;
    }
    let made = app
        .post("/api/v1/integration/tokens")
        .bearer(&person.access_token)
        .json(&body)
        .send()
        .await
        .expect(201);
    (made.text_at("/token").to_owned(), made.text_at("/id").to_owned())
}

/// What a token learns of itself.
pub(crate) async fn own(app: &App, text: &str) -> Answer {
    app.get("/api/v1/integration/tokens/self").bearer(text).send().await
}

/// The events of a type, once there are any: what happens by the clock happens soon after the clock has moved.
async fn said(app: &App, kind: &str) -> Vec<Event> {
    for _ in 0..400 {
        app.settle().await;
        let events = app.ctx.events.read_after(&app.ctx.db, 0, &[kind], 100).await.unwrap();
        if !events.is_empty() {
            return events;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing of {kind}");
}
