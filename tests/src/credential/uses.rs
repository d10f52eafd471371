use std::time::Duration;

use polity_testing::App;
use serde_json::json;

use super::{key, own, token, verify};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uses_are_added_up_and_seen_by_whoever_may() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let (text, id) = token(&app, &ada, json!({ "scopes": ["read:workspaces"] })).await;
        for _ in 0..3 {
            own(&app, &text).await.expect(200);
        }
        app.get("/api/v1/integration/tokens/nothing/scopes")
            .bearer(&text)
            .send()
            .await
            .expect(401);
        let log = app
            .get("/api/v1/integration/tokens/usage-logs")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(log.body["total"], 2, "{}", log.text);
        let entry = log.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["status_code"] == 200)
            .unwrap();
        assert_eq!(entry["request_count_in_minute"], 3);
        assert_eq!(entry["endpoint"], "/api/v1/integration/tokens/self");
        assert_eq!((&entry["method"], &entry["api_token_id"]), (&json!("GET"), &json!(id)));
        assert_eq!(entry["ip_address"], "127.0.0.1");
        let refused = log.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["status_code"] == 401)
            .unwrap();
        assert_eq!(refused["endpoint"], "/api/v1/integration/tokens/{id}/scopes");
        assert_eq!(refused["error_message"], "Unauthorized");
        let page = app
            .get("/api/v1/integration/tokens/usage-logs?cursor=&page_size=1")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        let next = page.text_at("/next_cursor");
        let path = format!("/api/v1/integration/tokens/usage-logs?cursor={next}&page_size=1");
        let rest = app.get(&path).bearer(&ada.access_token).send().await.expect(200);
        assert_ne!(page.text_at("/items/0/id"), rest.text_at("/items/0/id"));
        assert_eq!(
            (&rest.body["next_cursor"], rest.body.get("total")),
            (&json!(null), None)
        );
        let status = app
            .get("/api/v1/integration/status")
            .bearer(&text)
            .send()
            .await
            .expect(200);
        assert_eq!(
            (&status.body["api_tokens_count"], &status.body["api_requests_today"]),
            (&json!(1), &json!(5))
        );
        assert_eq!(status.body["rate_limit_remaining"], 595);
        let path = format!("/api/v1/integration/tokens?workspace_id={}", ada.user_id);
        let list = app.get(&path).bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(list.text_at("/items/0/last_used_ip"), "127.0.0.1");
        assert!(!list.text_at("/items/0/last_used_at").is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_are_told_of_at_80_and_100_percent_once() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let limits = json!({ "rate_limits": { "requests_per_day": 10, "tokens_per_day": 1_000 } });
        let (text, id) = key(&app, &ada, limits).await;
        let path = format!(
            "/api/v1/auth/rate-limits/usage-vs-limit?organization_id={}",
            ada.user_id
        );
        let told = async || {
            // Reading it writes what was counted.
            app.get(&path).bearer(&ada.access_token).send().await.expect(200);
            app.settle().await;
            let types = ["auth_service.apikey.quota_reached"];
            let events = app.ctx.events.read_after(&app.ctx.db, 0, &types, 100).await.unwrap();
            events
                .iter()
                .map(|event| (event.data["field"].clone(), event.data["percent"].as_i64().unwrap()))
                .collect::<Vec<_>>()
        };
        verify(&app, &text, json!({ "cost": 7 })).await.expect(200);
        assert!(told().await.is_empty());
        verify(&app, &text, json!({})).await.expect(200);
        assert_eq!(told().await, [(json!("requests_per_day"), 80)]);
        verify(&app, &text, json!({})).await.expect(200);
        assert_eq!(told().await.len(), 1);
        verify(&app, &text, json!({ "tokens": 1_000 })).await.expect(200);
        let mut all = told().await;
        all.sort_by_key(|(field, percent)| (field.to_string(), *percent));
        let expected = [
            ("requests_per_day", 80),
            ("requests_per_day", 100),
            ("tokens_per_day", 80),
            ("tokens_per_day", 100),
        ];
        assert_eq!(all, expected.map(|(field, percent)| (json!(field), percent)));
        app.advance(Duration::from_hours(24));
        let access = super::keys::again(&app, &ada.email).await;
        verify(&app, &text, json!({ "cost": 8 })).await.expect(200);
        app.get(&path).bearer(&access).send().await.expect(200);
        let usage = format!(
            "/api/v1/auth/api-keys/{id}/usage?organization_id={}&granularity=hour",
            ada.user_id
        );
        let usage = app.get(&usage).bearer(&access).send().await.expect(200);
        assert_eq!(usage.body["items"].as_array().unwrap().last().unwrap()["requests"], 8);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_vs_limit_is_exact_where_nothing_is_limited_too() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let ((one, _), (two, _)) = (key(&app, &ada, json!({})).await, key(&app, &ada, json!({})).await);
        verify(&app, &one, json!({ "cost": 2, "tokens": 5 })).await.expect(200);
        verify(&app, &two, json!({})).await.expect(200);
        let path = format!("/api/v1/auth/rate-limits/usage-vs-limit?organization_id={}", ada.user_id);
        let usage = app.get(&path).bearer(&ada.access_token).send().await.expect(200);
        let item = |field: &str| usage.body["usage"][field].clone();
        assert_eq!(
            item("requests_per_day"),
            json!({ "limit": null, "used": 3, "remaining": null, "source": "unset", "window_seconds": 86_400, "percentage": null })
        );
        assert_eq!((&item("requests_per_minute")["used"], &item("tokens_per_day")["used"]), (&json!(3), &json!(5)));
        assert_eq!(usage.body["warnings"], json!([]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_uses_are_deleted() {
    App::each_with(json!({ "credential": { "log_retention_days": 3 } }), async |app| {
        let ada = app.register("ada@example.com").await;
        let (text, _) = token(&app, &ada, json!({})).await;
        own(&app, &text).await.expect(200);
        let count = async || {
            let access = super::keys::again(&app, &ada.email).await;
            let log = app
                .get("/api/v1/integration/tokens/usage-logs")
                .bearer(&access)
                .send()
                .await
                .expect(200);
            log.body["total"].as_i64().unwrap()
        };
        assert_eq!(count().await, 1);
        app.advance(Duration::from_hours(24 * 4));
        for _ in 0..400 {
            app.settle().await;
            if count().await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it is still there");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_row_is_written_for_a_call() {
    App::each_with(json!({ "credential": { "flush_ms": 60_000 } }), async |app| {
        let ada = app.register("ada@example.com").await;
        let (text, _) = key(&app, &ada, json!({ "rate_limits": { "requests_per_minute": 1_000 } })).await;
        verify(&app, &text, json!({})).await.expect(200);
        app.settle().await;
        let rows = async || {
            let mut read = app.ctx.db.read().await.unwrap();
            let sql = "select (select count(*) from credential_usage) + (select count(*) from usage_log)
                            + (select count(*) from event) + (select count(*) from job)";
            read.sql(sql).one::<(i64,)>().await.unwrap().0
        };
        let before = rows().await;
        for _ in 0..200 {
            verify(&app, &text, json!({})).await.expect(200);
        }
        assert_eq!(rows().await, before);
    })
    .await;
}
