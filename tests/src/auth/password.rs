use std::time::Duration;

use polity_kernel::{Secret, TokenKind, TokenText};
use polity_testing::{Answer, App};
use serde_json::{Value, json};

use super::{PASSWORD, login, overtake, slow_passwords};

const NEW: &str = "another long password";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_password_ends_the_other_sessions() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let other = login(&app, "ada@example.com", PASSWORD).await.expect(200);
        let change = |current: &str, new: &str| {
            let body = json!({ "current_password": current, "new_password": new });
            app.post("/api/v1/auth/password/change")
                .bearer(&ada.access_token)
                .json(&body)
                .send()
        };
        assert_eq!(
            change("wrong password", NEW).await.expect(401).code(),
            "INVALID_CREDENTIALS"
        );
        change(PASSWORD, "short").await.expect(422);
        change(PASSWORD, NEW).await.expect(200);
        app.get("/api/v1/auth/sessions")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        app.get("/api/v1/auth/sessions")
            .bearer(other.text_at("/access_token"))
            .send()
            .await
            .expect(401);
        login(&app, "ada@example.com", PASSWORD).await.expect(401);
        login(&app, "ada@example.com", NEW).await.expect(200);
    })
    .await;
}

/// Asks for a reset and returns its token.
async fn reset_token(app: &App, email: &str) -> String {
    let body = json!({ "email": email });
    app.post("/api/v1/auth/password/reset")
        .json(&body)
        .send()
        .await
        .expect(200);
    app.settle().await;
    let mail = app.last_mail_to(email);
    let token = mail.split_whitespace().find(|word| word.starts_with("pol_reset_"));
    token.unwrap().to_owned()
}

async fn confirm(app: &App, token: &str, new: &str) -> Answer {
    let body = json!({ "token": token, "new_password": new });
    app.post("/api/v1/auth/password/reset/confirm").json(&body).send().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_a_reset_overtakes_opens_nothing() {
    App::each_with(slow_passwords(), async |app| {
        app.register("ada@example.com").await;
        let token = reset_token(&app, "ada@example.com").await;
        let (reset, old) = overtake(
            &app,
            confirm(&app, &token, NEW),
            login(&app, "ada@example.com", PASSWORD),
        )
        .await;
        reset.expect(200);
        // Refused, or opened before the reset, which then has ended it.
        if old.status == 200 {
            let sessions = app.get("/api/v1/auth/sessions").bearer(old.text_at("/access_token"));
            sessions.send().await.expect(401);
        } else {
            assert_eq!(old.code(), "INVALID_CREDENTIALS");
        }
        login(&app, "ada@example.com", NEW).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_and_a_reset_at_once_set_one_password() {
    App::each_with(slow_passwords(), async |app| {
        let ada = app.register("ada@example.com").await;
        let token = reset_token(&app, "ada@example.com").await;
        let body = json!({ "current_password": PASSWORD, "new_password": "the thief's own" });
        let change = app.post("/api/v1/auth/password/change").bearer(&ada.access_token);
        let (reset, changed) = overtake(&app, confirm(&app, &token, NEW), change.json(&body).send()).await;
        let mut statuses = [reset.status, changed.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401], "whichever comes second finds another password");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_current_password_cannot_be_guessed_without_end() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let change = async |current: &str| {
            let body = json!({ "current_password": current, "new_password": NEW });
            let request = app.post("/api/v1/auth/password/change").bearer(&ada.access_token);
            request.json(&body).send().await
        };
        for _ in 0..5 {
            change("wrong password").await.expect(401);
        }
        change(PASSWORD).await.expect(401);
        app.advance(Duration::from_secs(3));
        change(PASSWORD).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_password_voids_the_mailed_token() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let token = reset_token(&app, "ada@example.com").await;
        let body = json!({ "current_password": PASSWORD, "new_password": NEW });
        let change = app.post("/api/v1/auth/password/change").bearer(&ada.access_token);
        change.json(&body).send().await.expect(200);
        confirm(&app, &token, "somebody else's").await.expect(401);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_mailed_to_an_address_that_was_is_void() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let token = reset_token(&app, "ada@example.com").await;
        let profile = format!("/api/v1/accounts/profile/{}", ada.user_id);
        let change = async |body: Value| {
            let change = app.put(&profile).bearer(&ada.access_token).json(&body);
            change.send().await.expect(200);
            app.settle().await;
        };
        change(json!({ "name": "Countess" })).await;
        let (before, body) = (
            reset_token(&app, "ada@example.com").await,
            json!({ "email": "new@example.com" }),
        );
        change(body).await;
        confirm(&app, &token, NEW).await.expect(401);
        confirm(&app, &before, NEW).await.expect(401);
        let new = reset_token(&app, "new@example.com").await;
        change(json!({ "name": "Ada" })).await;
        confirm(&app, &new, NEW).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailed_token_resets_a_password_once() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let ask = |email: &str| {
            app.post("/api/v1/auth/password/reset")
                .json(&json!({ "email": email }))
                .send()
        };
        let known = ask("ADA@example.com").await.expect(200);
        let unknown = ask("nobody@example.com").await.expect(200);
        assert_eq!(known.body, unknown.body);
        app.settle().await;
        let mail = app.last_mail_to("ada@example.com");
        let token = mail
            .split_whitespace()
            .find(|word| word.starts_with("pol_reset_"))
            .unwrap()
            .to_owned();
        let confirm = |token: &str, new: &str| {
            let body = json!({ "token": token, "new_password": new });
            app.post("/api/v1/auth/password/reset/confirm").json(&body).send()
        };
        confirm("garbage", NEW).await.expect(401);
        confirm(&ada.refresh_token, NEW).await.expect(401);
        let (one, other) = tokio::join!(confirm(&token, NEW), confirm(&token, NEW));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401], "a reset works once");
        app.get("/api/v1/auth/sessions")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(401);
        login(&app, "ada@example.com", NEW).await.expect(200);
        ask("ada@example.com").await.expect(200);
        app.settle().await;
        let mail = app.last_mail_to("ada@example.com");
        let late = mail
            .split_whitespace()
            .find(|word| word.starts_with("pol_reset_"))
            .unwrap()
            .to_owned();
        app.advance(Duration::from_hours(1));
        confirm(&late, PASSWORD).await.expect(401);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hashing_is_only_for_whoever_has_a_token() {
    let mut settings = slow_passwords();
    settings["password"]["queue"] = json!(1);
    App::each_with(settings, async |app| {
        let password = Secret::from(PASSWORD.to_owned());
        let unknown = |kind: &str| {
            let token = TokenText::generate(TokenKind::new(kind).unwrap());
            token.expose().to_owned()
        };
        let (reset, setup) = (unknown("reset"), unknown("setup"));
        let done = std::cell::Cell::new(false);
        // While no hash can be had, whoever needs none is answered.
        let busy = async {
            while !done.get() {
                let hash = || app.ctx.passwords.hash(&password);
                drop(tokio::join!(hash(), hash(), hash()));
            }
        };
        let body = json!({ "token": setup, "email": "eve@example.com", "password": NEW, "name": "Eve" });
        let ask = async {
            for _ in 0..5 {
                confirm(&app, &reset, NEW).await.expect(401);
                app.post("/setup").json(&body).send().await.expect(403);
            }
            done.set(true);
        };
        tokio::join!(busy, ask);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_made_an_administrator_with_a_new_password_has_no_old_sessions() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let token = reset_token(&app, "ada@example.com").await;
        polity_identity::auth::create_admin(&app.ctx, "ada@example.com", Secret::from(NEW.to_owned()), "Ada")
            .await
            .unwrap();
        let body = json!({ "refresh_token": ada.refresh_token });
        app.post("/api/v1/auth/refresh").json(&body).send().await.expect(401);
        confirm(&app, &token, PASSWORD).await.expect(401);
    })
    .await;
}
