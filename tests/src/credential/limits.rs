use std::time::Duration;

use futures::future::join_all;
use polity_testing::App;
use serde_json::{Value, json};

use super::{key, own, token, verify};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_calls_on_the_last_unit_one_passes() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        for more in [
            json!({ "rate_limits": { "requests_per_day": 1 } }),
            json!({ "credits": { "remaining": 1 } }),
        ] {
            let (text, _) = key(&app, &ada, more.clone()).await;
            let calls = (0..1_000).map(|_| verify(&app, &text, json!({})));
            let answers = join_all(calls).await;
            let passed = answers.iter().filter(|answer| answer.status == 200).count();
            let limited: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
            assert_eq!((passed, limited.len()), (1, 999), "{more}");
            let one = limited[0];
            assert_eq!(one.code(), "RATE_LIMITED");
            assert_eq!(
                (&one.body["limit"], &one.body["used"], &one.body["remaining"]),
                (&json!(1), &json!(1), &json!(0))
            );
            assert!(!one.text.contains("nvalid"), "{}", one.text);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_api_rl_a_limited_key_is_told_how_much_and_until_when() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let limits = json!({ "rate_limits": { "requests_per_minute": 3, "requests_per_day": 5 } });
        let (text, id) = key(&app, &ada, limits).await;
        app.advance(Duration::from_secs(20));
        for used in 1..=3 {
            let found = verify(&app, &text, json!({})).await.expect(200);
            assert_eq!(
                found.body["effective_rate_limits"],
                json!({ "requests_per_minute": 3, "requests_per_day": 5 })
            );
            let limit = &found.body["rate_limit"];
            assert_eq!(
                (&limit["field"], &limit["used"]),
                (&json!("requests_per_minute"), &json!(used))
            );
            assert_eq!(limit["remaining"], json!(3 - used));
        }
        let over = verify(&app, &text, json!({})).await.expect(429);
        assert_eq!(over.text_at("/error"), "Rate limit exceeded");
        assert_eq!(
            (
                over.text_at("/field"),
                over.text_at("/source"),
                over.text_at("/scope_id")
            ),
            ("requests_per_minute", "api_key", id.as_str())
        );
        assert_eq!(
            (over.header("retry-after"), &over.body["retry_after"]),
            ("40", &json!(40))
        );
        assert_eq!(
            (over.header("x-ratelimit-limit"), over.header("x-ratelimit-remaining")),
            ("3", "0")
        );
        assert_eq!(
            (over.header("x-ratelimit-field"), over.header("x-ratelimit-source")),
            ("requests_per_minute", "api_key")
        );
        // At the edge of the window it begins anew, not a microsecond before.
        app.advance(Duration::from_secs(40) - Duration::from_micros(1));
        verify(&app, &text, json!({})).await.expect(429);
        app.advance(Duration::from_micros(1));
        verify(&app, &text, json!({})).await.expect(200);
        verify(&app, &text, json!({})).await.expect(200);
        let day = verify(&app, &text, json!({})).await.expect(429);
        assert_eq!(day.text_at("/field"), "requests_per_day");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_zero_refuse_null_ones_do_not_and_tokens_are_counted() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let (text, id) = key(&app, &ada, json!({ "rate_limits": { "requests_per_second": 0 } })).await;
        verify(&app, &text, json!({})).await.expect(429);
        let path = format!("/api/v1/auth/api-keys/{id}/rate-limits?organization_id={}", ada.user_id);
        let set = async |limits: Value| {
            let put = app.put(&path).bearer(&ada.access_token).json(&limits).send().await;
            put.expect(200)
        };
        assert_eq!(set(json!({ "requests_per_second": null })).await.text_at("/source"), "configured");
        verify(&app, &text, json!({})).await.expect(200);
        assert_eq!(set(json!({})).await.text_at("/source"), "unset");
        let got = app.get(&path).bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(
            got.body["rate_limits"],
            json!({ "requests_per_second": null, "requests_per_minute": null, "requests_per_day": null, "tokens_per_day": null })
        );
        set(json!({ "tokens_per_day": 100 })).await;
        verify(&app, &text, json!({ "tokens": 101 })).await.expect(429);
        verify(&app, &text, json!({ "tokens": 60 })).await.expect(200);
        verify(&app, &text, json!({ "tokens": 41 })).await.expect(429);
        verify(&app, &text, json!({ "tokens": 40 })).await.expect(200);
        // What comes without tokens may bring some.
        verify(&app, &text, json!({})).await.expect(429);
        set(json!({ "requests_per_minute": 100 })).await;
        verify(&app, &text, json!({ "cost": 60 })).await.expect(200);
        verify(&app, &text, json!({ "cost": 41 })).await.expect(429);
        verify(&app, &text, json!({ "cost": 40 })).await.expect(200);
        for wrong in [json!({ "requests_per_minute": -1 }), json!({ "requests_per_minute": "x" }), json!({ "x": 1 }), json!([])] {
            app.put(&path).bearer(&ada.access_token).json(&wrong).send().await.expect(422);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credits_are_counted_down_and_filled_up() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let credits = json!({ "credits": { "remaining": 2, "refill_amount": 3, "refill_interval": "daily" } });
        let (text, id) = key(&app, &ada, credits).await;
        verify(&app, &text, json!({ "cost": 3 })).await.expect(429);
        verify(&app, &text, json!({})).await.expect(200);
        verify(&app, &text, json!({})).await.expect(200);
        let out = verify(&app, &text, json!({})).await.expect(429);
        assert_eq!((out.text_at("/field"), &out.body["remaining"]), ("credits", &json!(0)));
        // The clock of tests starts at eight in the morning: it is sixteen hours to midnight.
        assert_eq!(out.header("retry-after"), "57600");
        app.advance(Duration::from_hours(16));
        for _ in 0..3 {
            verify(&app, &text, json!({})).await.expect(200);
        }
        verify(&app, &text, json!({})).await.expect(429);
        // A successor takes over what is left, so that the first one cannot go on.
        app.advance(Duration::from_hours(24));
        verify(&app, &text, json!({})).await.expect(200);
        let access = super::keys::again(&app, &ada.email).await;
        let path = format!("/api/v1/auth/api-keys/{id}/rotate?organization_id={}", ada.user_id);
        let rotate = |body: Value| app.post(&path).bearer(&access).json(&body).send();
        rotate(json!({ "grace_seconds": 60 })).await.expect(422);
        let new = rotate(json!({})).await.expect(200);
        assert_eq!(new.body["credits"], 2);
        verify(&app, new.text_at("/api_key"), json!({ "cost": 3 }))
            .await
            .expect(429);
        verify(&app, new.text_at("/api_key"), json!({ "cost": 2 }))
            .await
            .expect(200);
        let forever = json!({ "credits": { "remaining": 0 } });
        let (text, _) = key(&app, &ada_again(&ada, &access), forever).await;
        let never = verify(&app, &text, json!({})).await.expect(429);
        assert_eq!(
            (&never.body["retry_after"], never.header("retry-after")),
            (&Value::Null, "")
        );
    })
    .await;
}

fn ada_again(ada: &polity_testing::Person, access_token: &str) -> polity_testing::Person {
    polity_testing::Person {
        access_token: access_token.to_owned(),
        ..ada.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rate_limits_1_a_token_has_its_tier_and_every_answer_says_what_is_left() {
    App::each_with(json!({ "credential": { "tiers": { "free": 4 } } }), async |app| {
        let ada = app.register("ada@example.com").await;
        let (text, id) = token(&app, &ada, json!({ "scopes": ["read:workspaces"] })).await;
        let first = own(&app, &text).await.expect(200);
        assert_eq!(
            (
                first.header("ratelimit-limit"),
                first.header("ratelimit-remaining"),
                first.header("ratelimit-reset")
            ),
            ("4", "3", "60")
        );
        let limit = app
            .get("/api/v1/integration/rate-limit")
            .bearer(&text)
            .send()
            .await
            .expect(200);
        assert_eq!(
            (limit.text_at("/tier"), &limit.body["limit"], &limit.body["remaining"]),
            ("free", &json!(4), &json!(2))
        );
        assert_eq!(
            (&limit.body["workspace_limit"], &limit.body["workspace_remaining"]),
            (&json!(40), &json!(38))
        );
        app.get("/api/v1/integration/status")
            .bearer(&text)
            .send()
            .await
            .expect(200);
        own(&app, &text).await.expect(200);
        let over = own(&app, &text).await.expect(429);
        assert_eq!(
            (over.text_at("/field"), over.text_at("/scope_id")),
            ("tier", id.as_str())
        );
        assert_eq!(over.header("retry-after"), "60");
        // Another token of the workspace has its own, up to ten times as much for all of them.
        let mut passed = 4;
        for _ in 0..10 {
            let (text, _) = token(&app, &ada, json!({})).await;
            for _ in 0..4 {
                passed += u32::from(own(&app, &text).await.status == 200);
            }
        }
        assert_eq!(passed, 40);
        app.advance(Duration::from_mins(1));
        own(&app, &text).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_that_began_before_a_restart_goes_on() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let (text, id) = key(&app, &ada, json!({ "rate_limits": { "requests_per_day": 10 } })).await;
        verify(&app, &text, json!({ "cost": 7 })).await.expect(200);
        let path = format!(
            "/api/v1/auth/api-keys/{id}/usage?organization_id={}&granularity=day&to=2100-01-01T00:00:00Z&from=2020-01-01T00:00:00Z",
            ada.user_id
        );
        let usage = app.get(&path).bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(usage.body["items"][0]["requests"], 7);
        // What another process of the same database does, that has counted nothing yet.
        let limiter = polity_kernel::limit::Limiter::in_process(app.ctx.clock.clone());
        let window = polity_kernel::limit::Window::new(format!("{id}/requests_per_day"), 10, Duration::from_hours(24));
        limiter.recall(&window, &ada.user_id, 7);
        assert_eq!(limiter.take(&[window], &ada.user_id, 1).await.used, 8);
    })
    .await;
}
