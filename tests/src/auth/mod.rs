//! Auth over HTTP, on both databases.

mod admin;
mod callers;
mod lifecycle;
mod login;
mod password;
mod refresh;
mod registration;
mod signing;
mod tokens;

use futures::future::join_all;
use polity_kernel::Secret;
use polity_testing::{Answer, App};
use serde_json::{Value, json};

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

/// Settings under which passwords are compared one after the other, and slowly.
fn slow_passwords() -> Value {
    json!({ "password": { "memory_kib": 4_096, "iterations": 3, "workers": 1 } })
}

/// Runs two futures so that `late` has read what is stored before `early` changes it, and compares its password afterwards:
/// both wait behind other passwords, `late` behind more of them. Needs [`slow_passwords`].
async fn overtake<A, B>(app: &App, early: impl Future<Output = A>, late: impl Future<Output = B>) -> (A, B) {
    let others = async || {
        let password = Secret::from(PASSWORD.to_owned());
        join_all((0..20).map(|_| app.ctx.passwords.hash(&password))).await;
    };
    let later = async |requests: usize| {
        for _ in 0..requests {
            app.get("/api/v1/auth/info").send().await.expect(200);
        }
    };
    let ((), early, (), late) = tokio::join!(
        others(),
        early,
        async {
            later(10).await;
            others().await;
        },
        async {
            later(20).await;
            late.await
        }
    );
    (early, late)
}
