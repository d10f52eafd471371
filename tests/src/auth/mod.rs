//! Auth over HTTP, on both databases.

mod admin;
mod login;
mod password;
mod refresh;
mod registration;
mod signing;
mod tokens;

use polity_testing::{Answer, App};
use serde_json::json;

const PASSWORD: &str = "correct horse battery";

async fn login(app: &App, email: &str, password: &str) -> Answer {
    app.post("/api/v1/auth/login")
        .json(&json!({ "email": email, "password": password }))
        .send()
        .await
}

async fn verify_token(app: &App, token: &str) -> Answer {
    app.post("/api/v1/auth/verify-token")
        .json(&json!({ "token": token }))
        .send()
        .await
        .expect(200)
}

/// The value of the refresh cookie an answer sets.
fn cookie(answer: &Answer) -> String {
    let header = answer.header("set-cookie");
    header
        .split(';')
        .next()
        .unwrap_or_default()
        .trim_start_matches("refresh_token=")
        .to_owned()
}
