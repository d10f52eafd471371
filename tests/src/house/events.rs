//! What one service says reaches the other.

use std::time::Duration;

use polity_testing::App;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_says_what_happened_in_order() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        app.settle().await;
        let events = app.ctx.events.read_after(&app.ctx.db, 0, &[], 100).await.unwrap();
        let types: Vec<&str> = events.iter().map(|event| event.r#type.as_str()).collect();
        assert_eq!(
            types,
            [
                "account_service.user.created",
                "auth_service.user.registered",
                "auth_service.user.logged_in"
            ]
        );
        assert!(events.iter().all(|event| event.key == ada.user_id));
        let cloud = events[0].to_cloudevent();
        assert_eq!(
            (&cloud["specversion"], &cloud["data"]["subscription_plan"]),
            (&json!("1.0"), &json!("free"))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_person_is_out_everywhere_within_a_second() {
    App::each(async |app| {
        let (root, ada) = (app.admin().await, app.register("ada@example.com").await);
        let profile = format!("/api/v1/accounts/profile/{}", ada.user_id);
        let ask = || {
            app.get("/api/v1/users/me/instructions")
                .bearer(&ada.access_token)
                .send()
        };
        ask().await.expect(200);
        let status = format!("/api/v1/account/admin/accounts/{}/status", ada.user_id);
        let body = json!({ "status": "suspended", "reason": "spam" });
        app.put(&status)
            .bearer(&root.access_token)
            .json(&body)
            .send()
            .await
            .expect(200);
        app.settle().await;
        assert_eq!(ask().await.expect(401).code(), "INVALID_TOKEN");
        let login = json!({ "email": "ada@example.com", "password": "correct horse battery" });
        assert_eq!(
            app.post("/api/v1/auth/login")
                .json(&login)
                .send()
                .await
                .expect(401)
                .code(),
            "ACCOUNT_DISABLED"
        );
        let refresh = json!({ "refresh_token": ada.refresh_token });
        app.post("/api/v1/auth/refresh").json(&refresh).send().await.expect(401);
        app.get(&profile).service().send().await.expect(404);
        app.put(&status)
            .bearer(&root.access_token)
            .json(&json!({ "status": "active" }))
            .send()
            .await
            .expect(200);
        app.settle().await;
        app.post("/api/v1/auth/login").json(&login).send().await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_person_can_be_restored_until_they_are_erased() {
    App::each(async |app| {
        let (root, ada) = (app.admin().await, app.register("ada@example.com").await);
        let erase = format!("/api/v1/accounts/erase/{}", ada.user_id);
        app.post(&erase).bearer(&ada.access_token).send().await.expect(200);
        app.settle().await;
        app.get("/api/v1/users/me/instructions")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(401);
        let restore = format!("/api/v1/account/admin/accounts/{}/restore", ada.user_id);
        app.post(&restore).bearer(&root.access_token).send().await.expect(200);
        app.settle().await;
        let login = json!({ "email": "ada@example.com", "password": "correct horse battery" });
        let again = app.post("/api/v1/auth/login").json(&login).send().await.expect(200);
        app.post(&erase)
            .bearer(again.text_at("/access_token"))
            .send()
            .await
            .expect(200);
        app.advance(Duration::from_hours(31 * 24));
        // The schedule looks every second of real time; the job then runs at once.
        for _ in 0..100 {
            app.settle().await;
            let claims = app
                .get(&format!("/api/v1/accounts/claims/{}", ada.user_id))
                .service()
                .send()
                .await
                .expect(200);
            if claims.text_at("/name") == "Erased" {
                let known = app.post("/api/v1/auth/login").json(&login).send().await.expect(401);
                assert_eq!(known.code(), "INVALID_CREDENTIALS");
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the account was not erased");
    })
    .await;
}
