//! What credentials take from their organization: who may make them, tiers, limits, and their end.

use polity_testing::App;
use serde_json::{Value, json};

use super::{BASE, add, change, organization, remove, set};
use crate::credential::{key_in, own, verify};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_api_rl_the_limits_of_the_organization_hold_where_the_key_has_none() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = organization(&app, &ada, "A").await;
        let limits = async |body: Value| {
            let path = format!("{BASE}/{id}/rate-limits");
            app.put(&path).bearer(&ada.access_token).json(&body).send().await
        };
        let path = format!("{BASE}/{id}/rate-limits");
        let unset = app.get(&path).bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(
            (unset.text_at("/source"), &unset.body["rate_limits"]["requests_per_day"]),
            ("unset", &json!(null))
        );
        let (one, _) = key_in(&app, &ada, &id, json!({})).await;
        let (two, _) = key_in(&app, &ada, &id, json!({})).await;
        let (free, _) = key_in(
            &app,
            &ada,
            &id,
            json!({ "rate_limits": { "requests_per_minute": null } }),
        )
        .await;
        let (own, own_id) = key_in(&app, &ada, &id, json!({ "rate_limits": { "requests_per_minute": 1 } })).await;
        verify(&app, &one, json!({})).await.expect(200);
        limits(json!({ "requests_per_minute": 3, "tokens_per_day": null }))
            .await
            .expect(200);
        // Counted for the organization: two keys share it, the two with a word of their own do not.
        for text in [&one, &two, &one] {
            let found = verify(&app, text, json!({})).await.expect(200);
            assert_eq!(found.body["effective_rate_limits"], json!({ "requests_per_minute": 3 }));
        }
        let over = verify(&app, &two, json!({})).await.expect(429);
        assert_eq!(
            (over.text_at("/source"), over.text_at("/scope_id")),
            ("organization", id.as_str())
        );
        for _ in 0..5 {
            verify(&app, &free, json!({})).await.expect(200);
        }
        verify(&app, &own, json!({})).await.expect(200);
        assert_eq!(
            verify(&app, &own, json!({})).await.expect(429).text_at("/scope_id"),
            own_id
        );
        let usage = format!("/api/v1/auth/rate-limits/usage-vs-limit?organization_id={id}");
        let usage = app.get(&usage).bearer(&ada.access_token).send().await.expect(200);
        let item = &usage.body["usage"]["requests_per_minute"];
        assert_eq!((&item["limit"], &item["source"]), (&json!(3), &json!("organization")));
        assert_eq!((&item["remaining"], &item["percentage"]), (&json!(0), &json!(100.0)));
        assert!(
            usage.body["warnings"][0]
                .as_str()
                .unwrap()
                .contains("requests_per_minute is reached")
        );
        limits(json!({ "requests_per_hour": 1 })).await.expect(422);
        limits(json!({ "requests_per_minute": -1 })).await.expect(422);
        assert_eq!(limits(json!({})).await.expect(200).text_at("/source"), "configured");
        verify(&app, &two, json!({})).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tiers_go_by_the_plan_and_change_with_it() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = organization(&app, &ada, "A").await;
        let body = json!({ "name": "t", "scopes": ["read:workspaces"] });
        let path = format!("/api/v1/integration/tokens?workspace_id={id}");
        let made = app
            .post(&path)
            .bearer(&ada.access_token)
            .json(&body)
            .send()
            .await
            .expect(201);
        let text = made.text_at("/token");
        for (plan, tier, limit) in [
            ("free", "free", 60),
            ("starter", "free", 60),
            ("professional", "pro", 1_000),
            ("enterprise", "enterprise", 5_000),
        ] {
            set(&app, &id, json!({ "plan": plan })).await;
            let answer = app
                .get("/api/v1/integration/rate-limit")
                .bearer(text)
                .send()
                .await
                .expect(200);
            assert_eq!(
                (answer.text_at("/tier"), &answer.body["limit"]),
                (tier, &json!(limit)),
                "{plan}"
            );
            assert_eq!(answer.body["workspace_limit"], json!(limit * 10));
            assert_eq!(answer.header("ratelimit-limit"), limit.to_string());
        }
        let never = json!({ "name": "t", "expires_at": null });
        app.post(&path)
            .bearer(&ada.access_token)
            .json(&never)
            .send()
            .await
            .expect(422);
        set(&app, &id, json!({ "settings": { "allow_non_expiring_tokens": true } })).await;
        let made = app
            .post(&path)
            .bearer(&ada.access_token)
            .json(&never)
            .send()
            .await
            .expect(201);
        assert_eq!(made.body["expires_at"], json!(null));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_2_a_token_does_what_its_persons_role_carries_today() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "member").await.expect(200);
        let path = format!("/api/v1/integration/tokens?workspace_id={id}");
        let make = async |scopes: Value| {
            let body = json!({ "name": "t", "scopes": scopes });
            app.post(&path).bearer(&bob.access_token).json(&body).send().await
        };
        for scopes in [
            json!(["delete:tasks"]),
            json!(["admin:tasks"]),
            json!(["admin:*"]),
            json!(["*"]),
        ] {
            assert!(make(scopes).await.expect(422).text.contains("does not carry"));
        }
        let made = make(json!(["read:workspaces", "write:tasks", "write:*"]))
            .await
            .expect(201);
        let text = made.text_at("/token");
        assert_eq!(
            own(&app, text).await.expect(200).body["scopes"],
            json!(["read:workspaces", "write:*", "write:tasks"])
        );
        change(&app, &ada, &id, &bob, json!({ "role": "viewer" }))
            .await
            .expect(200);
        assert_eq!(
            own(&app, text).await.expect(200).body["scopes"],
            json!(["read:workspaces"])
        );
        let verified = verify(&app, text, json!({})).await.expect(200);
        assert_eq!(
            (&verified.body["scopes"], verified.text_at("/user_id")),
            (&json!(["read:workspaces"]), bob.user_id.as_str())
        );
        make(json!(["write:tasks"])).await.expect(422);
        change(&app, &ada, &id, &bob, json!({ "role": "member" }))
            .await
            .expect(200);
        assert_eq!(
            own(&app, text).await.expect(200).body["scopes"]
                .as_array()
                .unwrap()
                .len(),
            3
        );
        // What a member's tokens did, the member sees; administrators see all of it.
        let (key, _) = key_in(&app, &ada, &id, json!({})).await;
        app.get("/api/v1/integration/tokens/scopes")
            .header("X-API-Key", &key)
            .send()
            .await
            .expect(200);
        let log = async |who: &polity_testing::Person| {
            let path = format!("/api/v1/integration/tokens/usage-logs?workspace_id={id}");
            app.get(&path).bearer(&who.access_token).send().await.expect(200).body["total"].clone()
        };
        assert_eq!((log(&bob).await, log(&ada).await), (json!(1), json!(2)));
        change(&app, &ada, &id, &bob, json!({ "status": "suspended" }))
            .await
            .expect(200);
        own(&app, text).await.expect(401);
        change(&app, &ada, &id, &bob, json!({ "status": "active" }))
            .await
            .expect(200);
        own(&app, text).await.expect(200);
        // A suspended organization's credentials rest.
        set(&app, &id, json!({ "status": "suspended" })).await;
        own(&app, text).await.expect(401);
        assert_eq!(verify(&app, &key, json!({})).await.body["valid"], false);
        make(json!(["read:tasks"])).await.expect(403);
        set(&app, &id, json!({ "status": "active" })).await;
        own(&app, text).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_make_keys_with_the_permission_and_see_them_without() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "member").await.expect(200);
        let body = json!({ "organization_id": id, "name": "k" });
        let make = |token: &str| app.post("/api/v1/auth/api-keys").bearer(token).json(&body).send();
        let refused = make(&bob.access_token).await.expect(403);
        assert_eq!(refused.text_at("/detail"), "API key creation permission required");
        let pair = json!({ "user_id": bob.user_id, "email": bob.email, "permissions": ["keys:create"] });
        let pair = app
            .post("/api/v1/auth/token-pair")
            .service()
            .json(&pair)
            .send()
            .await
            .expect(200);
        let made = make(pair.text_at("/access_token")).await.expect(200);
        let list = app
            .get(&format!("/api/v1/auth/api-keys/{id}"))
            .bearer(&bob.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(
            (&list.body["total"], list.text_at("/api_keys/0/created_by")),
            (&json!(1), bob.user_id.as_str())
        );
        let path = format!("/api/v1/auth/api-keys/{}?organization_id={id}", made.text_at("/key_id"));
        app.delete(&path).bearer(&bob.access_token).send().await.expect(403);
        let path = format!("/api/v1/auth/device/list?organization_id={id}");
        app.get(&path).bearer(&bob.access_token).send().await.expect(403);
        app.delete(&format!("{BASE}/{id}"))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        make(pair.text_at("/access_token")).await.expect(403);
        let service = app.post("/api/v1/auth/api-keys").service().json(&body).send().await;
        assert_eq!(service.expect(404).code(), "ORGANIZATION_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_takes_their_credentials_with_them() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "admin").await.expect(200);
        let (hers, _) = key_in(&app, &ada, &id, json!({})).await;
        let (his, _) = key_in(&app, &bob, &id, json!({})).await;
        let path = format!("/api/v1/integration/tokens?workspace_id={id}");
        let token = app
            .post(&path)
            .bearer(&bob.access_token)
            .json(&json!({ "name": "t" }))
            .send()
            .await
            .expect(201);
        let token = token.text_at("/token").to_owned();
        own(&app, &token).await.expect(200);
        remove(&app, &ada, &id, &bob).await.expect(200);
        // At once, before anybody has heard of it.
        own(&app, &token).await.expect(401);
        app.settle().await;
        assert_eq!(verify(&app, &his, json!({})).await.body["valid"], false);
        assert_eq!(verify(&app, &hers, json!({})).await.body["valid"], true);
        add(&app, &ada, &id, &bob, "admin").await.expect(200);
        own(&app, &token).await.expect(401);
        app.delete(&format!("{BASE}/{id}"))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(verify(&app, &hers, json!({})).await.body["valid"], false);
        app.settle().await;
        let types = ["auth_service.apikey.revoked", "integration_service.api_token.revoked"];
        let events = app.ctx.events.read_after(&app.ctx.db, 0, &types, 20).await.unwrap();
        let mut reasons: Vec<_> = events
            .iter()
            .map(|event| event.data["reason"].as_str().unwrap())
            .collect();
        reasons.sort_unstable();
        assert_eq!(reasons, ["member_removed", "member_removed", "organization_deleted"]);
    })
    .await;
}
