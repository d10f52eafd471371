use std::time::Duration;

use polity_testing::{Answer, App};
use serde_json::json;

use super::{PASSWORD, cookie, login, verify_token};

async fn refresh(app: &App, token: &str) -> Answer {
    app.post("/api/v1/auth/refresh")
        .json(&json!({ "refresh_token": token }))
        .send()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_is_rotated_and_its_reuse_ends_the_session() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let second = refresh(&app, &ada.refresh_token).await.expect(200);
        assert_eq!(
            (second.text_at("/token_type"), second.text_at("/provider")),
            ("Bearer", "polity")
        );
        let claims = verify_token(&app, second.text_at("/access_token")).await;
        assert_eq!(
            (claims.text_at("/user_id"), claims.text_at("/email")),
            (ada.user_id.as_str(), "ada@example.com")
        );
        let third = refresh(&app, &cookie(&second)).await.expect(200);
        // Later than the grace, the first one comes back: it was stolen, or the thief has used it.
        app.advance(Duration::from_secs(11));
        assert_eq!(
            refresh(&app, &ada.refresh_token).await.expect(401).code(),
            "INVALID_TOKEN"
        );
        refresh(&app, &cookie(&third)).await.expect(401);
        assert_eq!(
            verify_token(&app, third.text_at("/access_token"))
                .await
                .text_at("/error"),
            "Token has been revoked"
        );
        app.settle().await;
        let events = app
            .ctx
            .events
            .read_after(&app.ctx.db, 0, &["auth_service.auth.token.revoked"], 10)
            .await
            .unwrap();
        assert_eq!(events[0].data["reason"], "reuse");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec_012_two_tabs_get_the_same_successor() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let (one, other) = tokio::join!(refresh(&app, &ada.refresh_token), refresh(&app, &ada.refresh_token));
        let (one, other) = (one.expect(200), other.expect(200));
        assert_eq!(cookie(&one), cookie(&other));
        refresh(&app, &cookie(&one)).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cookie_wins_only_if_it_is_valid() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        assert_eq!(
            app.post("/api/v1/auth/refresh")
                .send()
                .await
                .expect(401)
                .text_at("/detail"),
            "Missing refresh token"
        );
        let stale = app.post("/api/v1/auth/refresh").header("Cookie", "refresh_token=stale");
        let answer = stale
            .json(&json!({ "refresh_token": ada.refresh_token }))
            .send()
            .await
            .expect(200);
        let fresh = format!("refresh_token={}", cookie(&answer));
        let foreign = app
            .post("/api/v1/auth/refresh")
            .header("Cookie", &fresh)
            .header("Origin", "https://evil.example");
        foreign.send().await.expect(403);
        app.post("/api/v1/auth/refresh")
            .header("Cookie", &fresh)
            .json(&json!({ "refresh_token": "x" }))
            .send()
            .await
            .expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_a_live_refresh_token_is_401() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let mut tampered = ada.refresh_token.clone();
        tampered.replace_range(20..21, if &tampered[20..21] == "A" { "B" } else { "A" });
        for token in [
            ada.access_token.as_str(),
            "garbage",
            "",
            tampered.as_str(),
            &"x".repeat(4000),
        ] {
            refresh(&app, token).await.expect(401);
        }
        app.advance(Duration::from_hours(168));
        assert_eq!(
            refresh(&app, &ada.refresh_token).await.expect(401).text_at("/detail"),
            "Refresh token has expired"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_tok_005_an_administrators_refresh_keeps_its_life_and_rechecks_the_roles() {
    App::each(async |app| {
        let root = app.admin().await;
        let other = app.admin_named("other@example.com").await;
        let body = json!({ "email": "other@example.com", "password": PASSWORD });
        let session = app
            .post("/api/v1/auth/admin/login")
            .json(&body)
            .send()
            .await
            .expect(200);
        let header = |answer: &Answer| format!("refresh_token={}", cookie(answer));
        let again = app
            .post("/api/v1/auth/refresh")
            .header("Cookie", &header(&session))
            .send()
            .await
            .expect(200);
        assert_eq!(again.body["expires_in"], 14_400);
        assert_eq!(
            verify_token(&app, again.text_at("/access_token"))
                .await
                .text_at("/role"),
            "admin"
        );
        let roles = format!("/api/v1/account/admin/accounts/{}/roles", other.user_id);
        app.put(&roles)
            .bearer(&root.access_token)
            .json(&json!({ "admin_roles": [] }))
            .send()
            .await
            .expect(200);
        app.settle().await;
        app.post("/api/v1/auth/refresh")
            .header("Cookie", &header(&again))
            .send()
            .await
            .expect(401);
        app.get("/api/v1/auth/admin/verify")
            .bearer(again.text_at("/access_token"))
            .send()
            .await
            .expect(401);
        // As a person they are still welcome.
        login(&app, "other@example.com", PASSWORD).await.expect(200);
    })
    .await;
}
