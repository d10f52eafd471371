//! Organizations over HTTP, on both databases.

mod archive;
mod archive_imports;
mod archive_refusals;
mod cascades;
mod credentials;
mod members;
mod owners;
mod records;
mod sharing;
mod sharing_quotas;

use polity_testing::{Answer, App, Person};
use serde_json::{Value, json};

pub(crate) const BASE: &str = "/api/v1/organization/organizations";

/// Somebody's new organization: its id.
pub(crate) async fn organization(app: &App, owner: &Person, name: &str) -> String {
    let body = json!({ "name": name, "billing_email": "billing@example.com" });
    let made = app
        .post(BASE)
        .bearer(&owner.access_token)
        .json(&body)
        .send()
        .await
        .expect(200);
    made.text_at("/organization_id").to_owned()
}

/// Adds somebody.
pub(crate) async fn add(app: &App, by: &Person, organization: &str, who: &Person, role: &str) -> Answer {
    app.post(&format!("{BASE}/{organization}/members"))
        .bearer(&by.access_token)
        .json(&json!({ "user_id": who.user_id, "role": role }))
        .send()
        .await
}

/// Changes a membership.
pub(crate) async fn change(app: &App, by: &Person, organization: &str, who: &Person, body: Value) -> Answer {
    app.put(&format!("{BASE}/{organization}/members/{}", who.user_id))
        .bearer(&by.access_token)
        .json(&body)
        .send()
        .await
}

/// Removes somebody.
pub(crate) async fn remove(app: &App, by: &Person, organization: &str, who: &Person) -> Answer {
    app.delete(&format!("{BASE}/{organization}/members/{}", who.user_id))
        .bearer(&by.access_token)
        .send()
        .await
}

/// What the platform says about an organization.
pub(crate) async fn set(app: &App, organization: &str, body: Value) -> Answer {
    app.put(&format!("{BASE}/{organization}"))
        .service()
        .json(&body)
        .send()
        .await
        .expect(200)
}
