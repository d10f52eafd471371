use polity_testing::App;
use serde_json::{Value, json};

use super::{own, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_3_unknown_and_deprecated_scopes_are_refused_by_name() {
    App::each(async |app| {
        let (ada, root) = (app.register("ada@example.com").await, app.admin().await);
        let make = async |scopes: Value| {
            let body = json!({ "name": "t", "scopes": scopes });
            app.post("/api/v1/integration/tokens")
                .bearer(&ada.access_token)
                .json(&body)
                .send()
                .await
        };
        let refused = make(json!(["read:tasks", "read:secrets", "tasks:read"]))
            .await
            .expect(422);
        assert!(refused.text.contains("read:secrets, tasks:read"), "{}", refused.text);
        let default = make(json!([])).await.expect(201);
        assert_eq!(
            default.body["scopes"],
            json!([
                "read:comments",
                "read:files",
                "read:projects",
                "read:tasks",
                "read:workspaces"
            ])
        );
        let (text, _) = token(&app, &ada, json!({ "scopes": ["write:files"] })).await;
        let gone = app
            .delete("/api/v1/integration/admin/scopes/write:files")
            .bearer(&root.access_token)
            .send();
        gone.await.expect(200);
        make(json!(["write:files"])).await.expect(422);
        // Who has it keeps it (edge 1).
        assert_eq!(
            own(&app, &text).await.expect(200).body["scopes"],
            json!(["write:files"])
        );
        make(json!(["*"])).await.expect(201);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_4_a_token_without_the_scope_is_told_which() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        for (scopes, status) in [
            (json!(["read:workspaces"]), 200),
            (json!(["read:*"]), 200),
            (json!(["admin:workspaces"]), 200),
            (json!(["*"]), 200),
            (json!(["write:workspaces"]), 403),
            (json!(["read:tasks"]), 403),
        ] {
            let (text, _) = token(&app, &ada, json!({ "scopes": scopes })).await;
            let answer = app
                .get("/api/v1/integration/status")
                .bearer(&text)
                .send()
                .await
                .expect(status);
            if status == 403 {
                assert_eq!(answer.code(), "SCOPE_REQUIRED");
                assert_eq!(answer.text_at("/required_scope"), "read:workspaces");
            }
            own(&app, &text).await.expect(200);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_keep_the_catalogue() {
    App::each(async |app| {
        let (ada, root) = (app.register("ada@example.com").await, app.admin().await);
        let add = async |name: &str| {
            app.post("/api/v1/integration/admin/scopes")
                .bearer(&root.access_token)
                .json(&json!({ "scope_name": name, "description": "See invoices", "is_default": true }))
                .send()
                .await
        };
        let made = add("read:invoices").await.expect(201);
        assert_eq!(
            (made.text_at("/permission_type"), made.text_at("/resource_type")),
            ("read", "invoices")
        );
        assert_eq!(add("read:invoices").await.expect(409).code(), "SCOPE_EXISTS");
        for wrong in ["invoices", "own:invoices", "read:*", "read:Invoices", "read: invoices"] {
            add(wrong).await.expect(422);
        }
        let path = "/api/v1/integration/admin/scopes/read:invoices";
        let patch = app.request(reqwest::Method::PATCH, path).bearer(&root.access_token);
        let changed = patch.json(&json!({ "is_default": false })).send().await.expect(200);
        assert_eq!(changed.body["is_default"], false);
        app.get(path).bearer(&root.access_token).send().await.expect(200);
        app.get("/api/v1/integration/admin/scopes/read:nothing")
            .bearer(&root.access_token)
            .send()
            .await
            .expect(404);
        for request in [
            app.get("/api/v1/integration/admin/scopes"),
            app.get(path),
            app.delete(path),
            app.post("/api/v1/integration/admin/scopes")
                .json(&json!({ "scope_name": "read:x" })),
        ] {
            request.bearer(&ada.access_token).send().await.expect(403);
        }
        let all = app
            .get("/api/v1/integration/scopes")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        assert!(all.text.contains("read:invoices"));
    })
    .await;
}
