use std::time::Duration;

use polity_testing::App;
use serde_json::{Value, json};

use super::{keys::again, own, said, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_shown_once_listed_and_revoked() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let (text, id) = token(&app, &ada, json!({ "scopes": ["read:tasks", "write:tasks"] })).await;
        assert!(text.starts_with("pol_token_"), "{text}");
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        let own_view = own(&app, &text).await.expect(200);
        assert_eq!(
            (
                own_view.text_at("/id"),
                &own_view.body["scopes"],
                own_view.text_at("/user_id")
            ),
            (id.as_str(), &json!(["read:tasks", "write:tasks"]), ada.user_id.as_str())
        );
        let list = app
            .get("/api/v1/integration/tokens")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(
            (&list.body["total"], &list.body["page"], &list.body["page_size"]),
            (&json!(1), &json!(1), &json!(20))
        );
        assert!(
            !list.text.contains(&text) && !list.text.contains("hash"),
            "{}",
            list.text
        );
        assert_eq!(list.text_at("/items/0/last_four"), &text[text.len() - 4..]);
        let path = format!("/api/v1/integration/tokens/{id}");
        let scopes = app
            .get(&format!("{path}/scopes"))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(scopes.body["scopes"], json!(["read:tasks", "write:tasks"]));
        let gone = app.delete(&path).bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(gone.text_at("/message"), "Token revoked successfully");
        assert_eq!(own(&app, &text).await.expect(401).text_at("/detail"), "Invalid API key");
        let none = app
            .delete("/api/v1/integration/tokens/none")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(404);
        assert_eq!(none.text_at("/detail"), "Token not found");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_base_paths_and_the_earlier_ones_are_served() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let (text, _) = token(&app, &ada, json!({})).await;
        for path in [
            "/v1/integration/tokens",
            "/v1/integration/scopes",
            "/api/v1/integration/scopes",
            "/v1/integration/tokens/scopes",
            "/v1/integration/usage-logs",
            "/api/v1/integration/usage-logs?page_size=1000",
            "/v1/integration/status",
            "/v1/integration/tokens/health",
        ] {
            app.get(path).bearer(&ada.access_token).send().await.expect(200);
            if !path.ends_with("health") {
                app.get(path).send().await.expect(401);
            }
        }
        app.get("/v1/integration/tokens/self")
            .bearer(&text)
            .send()
            .await
            .expect(200);
        app.get("/v1/integrations/tokens")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_1_a_token_used_in_the_second_it_expires_has_expired() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let until = app.ctx.clock.now() + Duration::from_secs(90);
        let until = polity_kernel::clock::rfc3339(until);
        let (text, id) = token(&app, &ada, json!({ "expires_at": until })).await;
        app.advance(Duration::from_secs(89));
        own(&app, &text).await.expect(200);
        app.advance(Duration::from_secs(1));
        assert_eq!(
            own(&app, &text).await.expect(401).text_at("/detail"),
            "API key has expired"
        );
        let path = format!("/api/v1/integration/tokens/{id}");
        let patch = app.request(reqwest::Method::PATCH, &path).bearer(&ada.access_token);
        patch.json(&json!({ "is_active": true })).send().await.expect(409);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_a_token_ends_in_a_year_unless_something_else_is_said() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let make = async |more: Value| {
            let mut body = json!({ "name": "t" });
            for (name, value) in more.as_object().unwrap() {
                body[name] = value.clone();
            }
            app.post("/api/v1/integration/tokens")
                .bearer(&ada.access_token)
                .json(&body)
                .send()
                .await
        };
        let made = make(json!({})).await.expect(201);
        let year = app.ctx.clock.now() + Duration::from_hours(24 * 365);
        assert_eq!(made.text_at("/expires_at"), polity_kernel::clock::rfc3339(year));
        assert!(
            make(json!({ "expires_at": null }))
                .await
                .expect(422)
                .text
                .contains("never expire")
        );
        make(json!({ "expires_at": "2001-01-01T00:00:00Z" })).await.expect(422);
        make(json!({ "name": "" })).await.expect(422);
        make(json!({ "allowed_cidrs": ["1.2.3.4/40"] })).await.expect(422);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_token_comes_back_a_rotated_one_does_not() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let (old, id) = token(&app, &ada, json!({})).await;
        let path = format!("/api/v1/integration/tokens/{id}");
        let patch = async |body: Value| {
            app.request(reqwest::Method::PATCH, &path)
                .bearer(&ada.access_token)
                .json(&body)
                .send()
                .await
        };
        assert_eq!(
            patch(json!({ "is_active": false }))
                .await
                .expect(200)
                .text_at("/status"),
            "disabled"
        );
        own(&app, &old).await.expect(401);
        patch(json!({ "is_active": true })).await.expect(200);
        own(&app, &old).await.expect(200);
        let rotated = app
            .post(&format!("{path}/rotate"))
            .bearer(&ada.access_token)
            .json(&json!({}))
            .send()
            .await
            .expect(201);
        let new = rotated.text_at("/token");
        own(&app, &old).await.expect(200);
        own(&app, new).await.expect(200);
        app.advance(Duration::from_hours(24));
        own(&app, &old).await.expect(401);
        own(&app, new).await.expect(200);
        let access = again(&app, &ada.email).await;
        let list = app
            .get("/api/v1/integration/tokens")
            .bearer(&access)
            .send()
            .await
            .expect(200);
        assert_eq!(list.text_at("/items/1/status"), "revoked");
        app.advance(Duration::from_mins(10));
        let events = said(&app, "integration_service.api_token.revoked").await;
        assert_eq!(events[0].data["reason"], "rotated");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_18_another_workspace_is_not_found() {
    App::each(async |app| {
        let (ada, eve) = (
            app.register("ada@example.com").await,
            app.register("eve@example.com").await,
        );
        let (text, id) = token(&app, &ada, json!({})).await;
        let (hers, _) = token(&app, &eve, json!({ "scopes": ["read:workspaces"] })).await;
        for workspace in [ada.user_id.as_str(), "org_none"] {
            let query = format!("?workspace_id={workspace}");
            for request in [
                app.get(&format!("/api/v1/integration/tokens{query}")),
                app.post(&format!("/api/v1/integration/tokens{query}"))
                    .json(&json!({ "name": "x" })),
                app.delete(&format!("/api/v1/integration/tokens/{id}{query}")),
                app.get(&format!("/api/v1/integration/tokens/{id}/scopes{query}")),
                app.post(&format!("/api/v1/integration/tokens/{id}/rotate{query}"))
                    .json(&json!({})),
                app.get(&format!("/api/v1/integration/tokens/usage-logs{query}")),
                app.get(&format!("/api/v1/integration/status{query}")),
            ] {
                assert_eq!(
                    request.bearer(&eve.access_token).send().await.expect(404).code(),
                    "WORKSPACE_NOT_FOUND"
                );
            }
            let path = format!("/api/v1/integration/status{query}");
            app.get(&path).bearer(&hers).send().await.expect(404);
        }
        let path = format!("/api/v1/integration/tokens/{id}");
        app.delete(&path).bearer(&eve.access_token).send().await.expect(404);
        own(&app, &text).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_17_a_page_beyond_the_limit_is_refused_and_a_lone_word_is_no_id() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        for (path, status) in [
            ("/api/v1/integration/tokens?page_size=101", 422),
            ("/api/v1/integration/tokens?page=0", 422),
            ("/api/v1/integration/tokens/usage-logs?page_size=1001", 422),
            ("/api/v1/integration/tokens/usage-logs?cursor=%21", 400),
            ("/api/v1/integration/tokens/scopes", 200),
        ] {
            app.get(path).bearer(&ada.access_token).send().await.expect(status);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_end_within_a_week_are_told_of_once() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let until = app.ctx.clock.now() + Duration::from_hours(24 * 8);
        let body = json!({ "expires_at": polity_kernel::clock::rfc3339(until) });
        let (_, id) = token(&app, &ada, body).await;
        for _ in 0..3 {
            app.advance(Duration::from_hours(24));
            app.settle().await;
        }
        let told = said(&app, "integration_service.api_token.expiring").await;
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].data["token_id"], id);
    })
    .await;
}
