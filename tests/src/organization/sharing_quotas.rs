//! What is used of what members share: permissions, quotas, reports.

use std::time::Duration;

use futures::future::join_all;
use polity_testing::{Answer, App, Person};
use serde_json::{Value, json};

use super::{
    BASE,
    sharing::{family, put, run, share},
};

async fn consume(app: &App, by: &Person, organization: &str, sharing: &str, body: Value) -> Answer {
    let path = format!("{BASE}/{organization}/sharing/{sharing}/use");
    // By a service on their behalf, since access tokens end before quotas do.
    let request = app.post(&path).service().on_behalf_of(&by.user_id);
    request.json(&body).send().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_fsh_006_quotas_are_counted_with_the_use() {
    App::each(async |app| {
        let (id, [ada, bob, cid]) = family::<3>(&app).await;
        let body = json!({
            "shared_with_members": [bob.user_id, cid.user_id],
            "quota_settings": { "quota_type": "daily", "total_quota": 10, "per_member_quota": 6 },
        });
        let sharing = share(&app, &ada, &id, body)
            .await
            .expect(200)
            .text_at("/sharing_id")
            .to_owned();
        let amount = |amount: i64| json!({ "amount": amount });
        let used = consume(&app, &bob, &id, &sharing, amount(5)).await.expect(200);
        assert_eq!(
            [
                &used.body["quota_used"],
                &used.body["quota_allocated"],
                &used.body["quota_remaining"]
            ],
            [&json!(5), &json!(6), &json!(1)]
        );
        let over = consume(&app, &bob, &id, &sharing, amount(2)).await.expect(429);
        assert_eq!(
            (over.code(), over.text_at("/quota")),
            ("QUOTA_EXCEEDED", "per_member_quota")
        );
        assert_eq!(
            [&over.body["limit"], &over.body["used"], &over.body["remaining"]],
            [&json!(6), &json!(5), &json!(1)]
        );
        assert!(over.text_at("/detail").contains("per_member_quota"));
        let wait: u64 = over.header("retry-after").parse().unwrap();
        assert!((1..=86_400).contains(&wait));
        // What was refused was not counted, for nobody.
        consume(&app, &cid, &id, &sharing, amount(5)).await.expect(200);
        let over = consume(&app, &cid, &id, &sharing, amount(1)).await.expect(429);
        assert_eq!(
            (over.text_at("/quota"), &over.body["used"]),
            ("total_quota", &json!(10))
        );
        let over = consume(&app, &ada, &id, &sharing, json!({})).await.expect(429);
        assert_eq!(over.text_at("/quota"), "total_quota");
        // Tomorrow is another day; a quota of one's own counts in place of the common one.
        app.advance(Duration::from_secs(wait));
        let own = json!({ "user_id": bob.user_id, "permission_level": "read_write", "quota_override": 9 });
        let path = format!("{BASE}/{id}/sharing/{sharing}");
        let ask = |path: &str, body: &Value| app.put(path).service().on_behalf_of(&ada.user_id).json(body).send();
        ask(&format!("{path}/members"), &own).await.expect(200);
        let used = consume(&app, &bob, &id, &sharing, amount(9)).await.expect(200);
        assert_eq!(
            (&used.body["quota_remaining"], &used.body["total_used"]),
            (&json!(0), &json!(9))
        );
        let shared = format!("{BASE}/{id}/members/{}/shared-resources", bob.user_id);
        let shared = app
            .get(&shared)
            .service()
            .on_behalf_of(&bob.user_id)
            .send()
            .await
            .expect(200);
        let shared = &shared.body["shared_resources"][0];
        assert_eq!(
            (&shared["quota_used"], &shared["quota_allocated"]),
            (&json!(9), &json!(9))
        );
        assert!(shared["last_accessed_at"].is_string());
        // A quota that is lifted stands in nobody's way.
        let free = json!({ "quota_settings": { "quota_type": "unlimited", "total_quota": 1 } });
        ask(&path, &free).await.expect(200);
        let used = consume(&app, &bob, &id, &sharing, amount(1_000_000_000_000))
            .await
            .expect(200);
        assert_eq!(used.body["quota_remaining"], Value::Null);
        for amount in [json!(-1), json!(0.5), json!("1"), json!(1_000_000_000_001_i64)] {
            consume(&app, &bob, &id, &sharing, json!({ "amount": amount }))
                .await
                .expect(422);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_fsh_006_many_at_once_use_no_more_than_there_is() {
    App::each(async |app| {
        let (id, [ada, bob, cid]) = family::<3>(&app).await;
        let body = json!({ "share_with_all_members": true, "quota_settings": { "total_quota": 7 } });
        let sharing = share(&app, &ada, &id, body)
            .await
            .expect(200)
            .text_at("/sharing_id")
            .to_owned();
        let everybody = [&ada, &bob, &cid];
        let uses = (0..15).map(|n| consume(&app, everybody[n % 3], &id, &sharing, json!({})));
        let answers = join_all(uses).await;
        let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(200), count(429)), (7, 8));
        let over = answers.iter().find(|answer| answer.status == 429).unwrap();
        assert_eq!((&over.body["used"], over.header("retry-after")), (&json!(7), ""));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_fsh_005_a_use_takes_the_permission_it_names() {
    App::each(async |app| {
        let (id, [ada, bob, cid]) = family::<3>(&app).await;
        let body = json!({
            "resource_type": "storage", "custom_permissions": { bob.user_id.clone(): "read_only" },
            "restrictions": { "allow_upload": false },
        });
        let sharing = share(&app, &ada, &id, body)
            .await
            .expect(200)
            .text_at("/sharing_id")
            .to_owned();
        let needs = |level: &str| json!({ "amount": 0, "permission": level });
        let may = consume(&app, &bob, &id, &sharing, needs("read_only")).await.expect(200);
        assert_eq!(
            (may.text_at("/permission_level"), &may.body["restrictions"]),
            ("read_only", &json!({ "allow_upload": false }))
        );
        consume(&app, &bob, &id, &sharing, needs("limited")).await.expect(200);
        let refused = consume(&app, &bob, &id, &sharing, needs("read_write"))
            .await
            .expect(403);
        assert!(refused.text_at("/detail").contains("read_write"));
        consume(&app, &ada, &id, &sharing, needs("owner")).await.expect(200);
        consume(&app, &cid, &id, &sharing, needs("view_only")).await.expect(403);
        // A service counts for whoever it serves; a person for themselves.
        let mut other = needs("view_only");
        other["user_id"] = json!(bob.user_id);
        consume(&app, &ada, &id, &sharing, other.clone()).await.expect(403);
        let path = format!("{BASE}/{id}/sharing/{sharing}/use");
        let used = app.post(&path).service().json(&other).send().await.expect(200);
        assert_eq!(used.text_at("/user_id"), bob.user_id);
        app.post(&path).service().json(&json!({})).send().await.expect(400);
        let once = async || {
            let request = app.post(&path).bearer(&bob.access_token).json(&json!({ "amount": 4 }));
            request.header("Idempotency-Key", "one use").send().await.expect(200)
        };
        assert_eq!(once().await.body, once().await.body);
        put(&app, &ada, &id, &sharing, json!({ "status": "paused" }))
            .await
            .expect(200);
        consume(&app, &bob, &id, &sharing, needs("view_only")).await.expect(403);
        let stats = format!("{BASE}/{id}/sharing/{sharing}");
        let stats = app.get(&stats).bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(stats.body["usage_stats"]["total_used"], 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_used_is_reported_by_period_and_member() {
    App::each(async |app| {
        let (id, [ada, bob, cid]) = family::<3>(&app).await;
        let body = json!({ "share_with_all_members": true, "quota_settings": { "total_quota": 40 } });
        let sharing = share(&app, &ada, &id, body)
            .await
            .expect(200)
            .text_at("/sharing_id")
            .to_owned();
        let first = app.ctx.clock.now();
        consume(&app, &bob, &id, &sharing, json!({ "amount": 3 }))
            .await
            .expect(200);
        app.advance(Duration::from_hours(48));
        let second = app.ctx.clock.now();
        consume(&app, &bob, &id, &sharing, json!({ "amount": 2 }))
            .await
            .expect(200);
        consume(&app, &cid, &id, &sharing, json!({ "amount": 5 }))
            .await
            .expect(200);
        let day = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let report = async |by: &Person, start: &str, end: &str| {
            let path = format!("{BASE}/{id}/sharing/{sharing}/usage?period_start={start}&period_end={end}");
            app.get(&path).service().on_behalf_of(&by.user_id).send().await
        };
        let whole = report(&ada, &day(first), &day(second)).await.expect(200);
        assert_eq!(whole.body["total_usage"], json!({ "amount": 10, "uses": 3 }));
        assert_eq!(
            (
                &whole.body["active_members"],
                &whole.body["total_members"],
                &whole.body["quota_utilization"]
            ),
            (&json!(2), &json!(2), &json!(25.0))
        );
        let members = whole.body["member_usage"].as_array().unwrap();
        assert_eq!(
            members.iter().map(|one| one["amount"].as_i64().unwrap()).sum::<i64>(),
            10
        );
        let late = report(&ada, &day(second), &day(second)).await.expect(200);
        assert_eq!(late.text_at("/member_usage/0/user_id"), cid.user_id);
        assert_eq!(late.body["total_usage"], json!({ "amount": 7, "uses": 2 }));
        report(&ada, &day(second), &day(first)).await.expect(422);
        report(&ada, "soon", &day(first)).await.expect(422);
        report(&bob, &day(first), &day(second)).await.expect(403);
        // Days are forgotten in time, what counts for ever is not.
        app.advance(Duration::from_hours(24 * 731));
        run(&app, "organization.clean_up").await;
        let late = report(&ada, &day(first), &day(second)).await.expect(200);
        assert_eq!(
            (&late.body["total_usage"]["amount"], &late.body["quota_utilization"]),
            (&json!(0), &json!(25.0))
        );
        consume(&app, &bob, &id, &sharing, json!({ "amount": 31 }))
            .await
            .expect(429);
    })
    .await;
}
