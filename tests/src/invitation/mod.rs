//! Invitations over HTTP, on both databases.

mod answers;
mod management;
mod races;

use polity_testing::{Answer, App, Person};
use serde_json::{Value, json};

/// Invites an address to an organization.
pub(crate) async fn invite(app: &App, by: &Person, organization: &str, email: &str, more: Value) -> Answer {
    let mut body = json!({ "email": email });
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        body[name] = value;
    }
    app.post(&format!("/api/v1/invitations/organizations/{organization}"))
        .bearer(&by.access_token)
        .json(&body)
        .send()
        .await
}

/// The token of the link in the last mail to an address.
pub(crate) async fn mailed(app: &App, email: &str) -> String {
    app.settle().await;
    let text = app.last_mail_to(email);
    let at = text.find("?token=").unwrap_or_else(|| panic!("no link in {text}"));
    text[at + 7..].split_whitespace().next().unwrap().to_owned()
}

/// Looks at an invitation without a login.
async fn look(app: &App, token: &str) -> Answer {
    app.get(&format!("/api/v1/invitations/{token}")).send().await
}

pub(crate) async fn accept(app: &App, who: &Person, token: &str) -> Answer {
    app.post("/api/v1/invitations/accept")
        .bearer(&who.access_token)
        .json(&json!({ "invitation_token": token }))
        .send()
        .await
}

async fn decline(app: &App, who: &Person, token: &str) -> Answer {
    app.post("/api/v1/invitations/decline")
        .bearer(&who.access_token)
        .json(&json!({ "invitation_token": token }))
        .send()
        .await
}
