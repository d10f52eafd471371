//! Account over HTTP, on both databases.

mod admin;
mod directory;
mod lifecycle;
mod profile;

use polity_testing::{Answer, App};
use serde_json::{Value, json};

async fn ensure(app: &App, id: &str, email: &str, name: &str) -> Answer {
    let body = json!({ "user_id": id, "email": email, "name": name, "subscription_plan": "pro" });
    app.post("/api/v1/accounts/ensure").service().json(&body).send().await
}

/// The events of one type, oldest first, as their data.
async fn said(app: &App, kind: &str) -> Vec<Value> {
    app.settle().await;
    let events = app.ctx.events.read_after(&app.ctx.db, 0, &[kind], 1000).await.unwrap();
    events.into_iter().map(|event| event.data).collect()
}
