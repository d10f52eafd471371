//! What somebody tries who wants more than their credentials give them.

use std::time::Duration;

use polity_testing::{App, Person};
use serde_json::{Value, json};

use super::{again, key, key_in, new_key, verify};
use crate::organization::{add, change, organization, set};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_opens_no_way_around_the_limits_of_an_address() {
    let settings = json!({ "auth": { "rate_limits": { "enabled": true, "login_per_minute": 3 } } });
    App::each_with(settings, async |app| {
        let ada = app.register("ada@example.com").await;
        let (text, _) = key(&app, &ada, json!({})).await;
        let mut answers = Vec::new();
        for n in 0..5 {
            let body = json!({ "email": format!("{n}@example.com"), "password": "a guess that is wrong" });
            let guess = app.post("/api/v1/auth/login").header("X-API-Key", &text).json(&body);
            answers.push(guess.send().await.status);
        }
        assert_eq!(answers, [401, 401, 401, 429, 429]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_may_do_nothing_any_more_is_not_one_that_may_do_everything() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "member").await.expect(200);
        let made = app
            .post(&format!("/api/v1/integration/tokens?workspace_id={id}"))
            .bearer(&bob.access_token)
            .json(&json!({ "name": "t", "scopes": ["write:tasks"] }))
            .send()
            .await
            .expect(201);
        let text = made.text_at("/token");
        assert_eq!(
            verify(&app, text, json!({})).await.body["scopes"],
            json!(["write:tasks"])
        );
        change(&app, &ada, &id, &bob, json!({ "role": "viewer" }))
            .await
            .expect(200);
        // No permissions and no scopes: of a key that means everything in its organization.
        let found = verify(&app, text, json!({})).await.expect(200);
        assert_eq!(
            (&found.body["valid"], found.text_at("/error")),
            (&json!(false), "Invalid API key"),
            "{}",
            found.text
        );
        change(&app, &ada, &id, &bob, json!({ "role": "member" }))
            .await
            .expect(200);
        assert_eq!(verify(&app, text, json!({})).await.body["valid"], true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_key_says_of_itself_is_bounded() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let many = |letters: usize| -> Vec<String> {
            (0..200)
                .map(|n| format!("{n:03}{}", "\u{1f511}".repeat(letters)))
                .collect()
        };
        for member in ["permissions", "scopes"] {
            let refused = new_key(&app, &ada, json!({ member: many(190) })).await.expect(422);
            assert!(refused.text.contains("8192 bytes"), "{}", refused.text);
            new_key(&app, &ada, json!({ member: many(9) })).await.expect(200);
        }
        let register = async |id: &str, letters: usize| {
            let metadata = json!({ "more": "x".repeat(letters) });
            let body = json!({ "device_id": id, "organization_id": ada.user_id, "metadata": metadata });
            let request = app.post("/api/v1/auth/device/register").bearer(&ada.access_token);
            request.json(&body).send().await
        };
        let refused = register("large", 17 << 10).await.expect(422);
        assert!(refused.text.contains("16384 bytes"), "{}", refused.text);
        register("small", 15 << 10).await.expect(200);
        let path = format!("/api/v1/auth/device/small?organization_id={}", ada.user_id);
        let patch = app.request(reqwest::Method::PATCH, &path).bearer(&ada.access_token);
        patch
            .json(&json!({ "metadata": { "more": "x".repeat(17 << 10) } }))
            .send()
            .await
            .expect(422);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_time_is_too_early_or_too_late_to_ask_about() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        for to in ["-262143-01-01T00:00:00Z", "%2B262142-12-31T23:59:59Z"] {
            let path = format!(
                "/api/v1/auth/api-keys/all/usage?organization_id={}&granularity=day&to={to}",
                ada.user_id
            );
            let found = app.get(&path).bearer(&ada.access_token).send().await.expect(200);
            assert_eq!(found.body["items"], json!([]));
        }
        new_key(&app, &ada, json!({ "expires_at": "+262142-12-31T23:59:59Z" }))
            .await
            .expect(200);
    })
    .await;
}

async fn rotate(app: &App, person: &Person, token: &str, id: &str, grace: u32) -> polity_testing::Answer {
    let path = format!("/api/v1/auth/api-keys/{id}/rotate?organization_id={}", person.user_id);
    let body = json!({ "grace_seconds": grace });
    app.post(&path).bearer(token).json(&body).send().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotating_makes_no_more_keys_than_there_may_be() {
    App::each_with(json!({ "credential": { "most_per_owner": 3 } }), async |app| {
        let ada = app.register("ada@example.com").await;
        let mut id = String::new();
        for _ in 0..3 {
            id = key(&app, &ada, json!({})).await.1;
        }
        assert_eq!(
            new_key(&app, &ada, json!({})).await.expect(409).code(),
            "TOO_MANY_CREDENTIALS"
        );
        // Each may have its successor beside it, once.
        for _ in 0..3 {
            let made = rotate(&app, &ada, &ada.access_token, &id, 604_800).await.expect(200);
            id = made.text_at("/key_id").to_owned();
        }
        let over = rotate(&app, &ada, &ada.access_token, &id, 604_800).await.expect(409);
        assert_eq!(over.code(), "TOO_MANY_CREDENTIALS");
        // One that ends at once makes room for its successor.
        rotate(&app, &ada, &ada.access_token, &id, 0).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_has_the_credits_of_the_day_it_is_made_on() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let credits = json!({ "credits": { "remaining": 1, "refill_amount": 3, "refill_interval": "daily" } });
        let (text, id) = key(&app, &ada, credits).await;
        verify(&app, &text, json!({})).await.expect(200);
        verify(&app, &text, json!({})).await.expect(429);
        app.advance(Duration::from_hours(24));
        let access = again(&app, &ada.email).await;
        let new = rotate(&app, &ada, &access, &id, 0).await.expect(200);
        assert_eq!(new.body["credits"], 3);
        for status in [200, 200, 200, 429] {
            verify(&app, new.text_at("/api_key"), json!({})).await.expect(status);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_that_is_revoked_meanwhile_is_neither_rotated_nor_changed() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        for is_rotated in [true, false] {
            let (_, id) = key(&app, &ada, json!({})).await;
            let mut tx = app.ctx.db.begin().await.unwrap();
            tx.sql("update credential set revoked_at = created_at where id = $1")
                .bind(&id)
                .execute()
                .await
                .unwrap();
            let asked = async {
                if is_rotated {
                    return rotate(&app, &ada, &ada.access_token, &id, 600).await;
                }
                let path = format!("/api/v1/auth/api-keys/{id}?organization_id={}", ada.user_id);
                let patch = app.request(reqwest::Method::PATCH, &path).bearer(&ada.access_token);
                patch.json(&json!({ "name": "late" })).send().await
            };
            // It has read the row, on PostgreSQL, and waits for it.
            let revoked = async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                tx.commit().await.unwrap();
            };
            let (answer, ()) = tokio::join!(asked, revoked);
            assert_eq!(answer.expect(409).code(), "CREDENTIAL_OVER");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_removed_meanwhile_leaves_no_key_behind() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "admin").await.expect(200);
        let (_, key_id) = key_in(&app, &ada, &id, json!({})).await;
        let mut tx = app.ctx.db.begin().await.unwrap();
        // As removing does, which has not committed yet.
        tx.lock("organization", &id).await.unwrap();
        tx.sql("delete from membership where organization_id = $1 and user_id = $2")
            .bind(&id)
            .bind(&bob.user_id)
            .execute()
            .await
            .unwrap();
        let removed = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            tx.commit().await.unwrap();
        };
        let path = format!("/api/v1/auth/api-keys/{key_id}/rotate?organization_id={id}");
        let (made, rotated, ()) = tokio::join!(
            new_key(&app, &bob, json!({ "organization_id": id })),
            app.post(&path).bearer(&bob.access_token).json(&json!({})).send(),
            removed
        );
        made.expect(403);
        rotated.expect(403);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credits_that_a_successor_has_are_nobody_elses() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let (text, id) = key(&app, &ada, json!({ "credits": { "remaining": 5 } })).await;
        verify(&app, &text, json!({})).await.expect(200);
        // Another process has replaced the key, and this one has not heard of it yet.
        let mut tx = app.ctx.db.begin().await.unwrap();
        tx.sql("update credential set revoked_at = created_at where id = $1")
            .bind(&id)
            .execute()
            .await
            .unwrap();
        tx.commit().await.unwrap();
        verify(&app, &text, json!({})).await.expect(429);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_made_anew_in_a_suspended_organization() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = organization(&app, &ada, "A").await;
        let (_, key_id) = key_in(&app, &ada, &id, json!({})).await;
        let tokens = format!("/api/v1/integration/tokens?workspace_id={id}");
        let made = app
            .post(&tokens)
            .bearer(&ada.access_token)
            .json(&json!({ "name": "t" }));
        let token_id = made.send().await.expect(201).text_at("/id").to_owned();
        set(&app, &id, json!({ "status": "suspended" })).await;
        for path in [
            format!("/api/v1/auth/api-keys/{key_id}/rotate?organization_id={id}"),
            format!("/api/v1/integration/tokens/{token_id}/rotate?workspace_id={id}"),
        ] {
            let refused = app.post(&path).bearer(&ada.access_token).json(&json!({})).send().await;
            assert!(refused.expect(403).text_at("/detail").contains("suspended"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_of_the_limit_of_a_key_is_not_told_of_its_gateway() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let (gateway, _) = key(
            &app,
            &ada,
            json!({
                "owner_type": "service_account", "service_account_id": "gateway", "scopes": ["auth.api_keys.verify"],
                "rate_limits": { "requests_per_day": 50 },
            }),
        )
        .await;
        let (text, _) = key(&app, &ada, json!({ "rate_limits": { "requests_per_minute": 1 } })).await;
        let ask = || {
            let request = app.post("/api/v1/auth/verify-api-key").header("X-API-Key", &gateway);
            request.json(&json!({ "api_key": text })).send()
        };
        let fine = ask().await.expect(200);
        assert_eq!(fine.header("x-ratelimit-limit"), "50");
        let over = ask().await.expect(429);
        assert_eq!(
            (over.header("x-ratelimit-limit"), over.header("x-ratelimit-remaining")),
            ("1", "0")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_counted_once() {
    App::each_with(json!({ "auth": { "rate_limits": { "enabled": true } } }), async |app| {
        let ada = app.register("ada@example.com").await;
        let (gateway, id) = key(
            &app,
            &ada,
            json!({
                "owner_type": "service_account", "service_account_id": "gateway", "scopes": ["auth.api_keys.verify"],
                "rate_limits": { "requests_per_day": 1 },
            }),
        )
        .await;
        for status in [200, 429, 429] {
            let ask = app.post("/api/v1/auth/verify-api-key").header("X-API-Key", &gateway);
            ask.json(&json!({ "api_key": "x" })).send().await.expect(status);
        }
        let path = format!(
            "/api/v1/auth/api-keys/{id}/usage?organization_id={}&granularity=day",
            ada.user_id
        );
        let found = app.get(&path).bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(
            (&found.body["items"][0]["requests"], &found.body["items"][0]["refused"]),
            (&json!(1), &json!(2))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uses_are_not_lost_with_the_client_who_asked_for_them() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let (text, _) = key(&app, &ada, json!({})).await;
        let path = format!(
            "/api/v1/auth/api-keys/all/usage?organization_id={}&granularity=day",
            ada.user_id
        );
        // Nobody writes meanwhile.
        let mut tx = app.ctx.db.begin().await.unwrap();
        tx.lock("credential.usage", "all").await.unwrap();
        for _ in 0..3 {
            verify(&app, &text, json!({})).await.expect(200);
        }
        let ask = app.get(&path).bearer(&ada.access_token).send();
        assert!(tokio::time::timeout(Duration::from_millis(200), ask).await.is_err());
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(tx);
        let requests = async || -> Value {
            let found = app.get(&path).bearer(&ada.access_token).send().await.expect(200);
            found.body["items"][0]["requests"].clone()
        };
        let begun = std::time::Instant::now();
        while requests().await != 3 {
            assert!(begun.elapsed() < Duration::from_secs(3), "{}", requests().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_answered_while_the_program_stops_is_counted() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let (text, id) = key(&app, &ada, json!({ "credits": { "remaining": 5 } })).await;
        let mut tx = app.ctx.db.begin().await.unwrap();
        tx.sql("update credential set name = 'held' where id = $1")
            .bind(&id)
            .execute()
            .await
            .unwrap();
        let stop = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            app.ctx.stop.cancel();
            tokio::time::sleep(Duration::from_millis(800)).await;
            drop(tx);
        };
        let (answer, ()) = tokio::join!(verify(&app, &text, json!({})), stop);
        answer.expect(200);
        app.ctx.tasks.wait().await;
        let mut read = app.ctx.db.read().await.unwrap();
        let (requests,) = read
            .sql("select requests from credential_usage where credential_id = $1 and grain = 'day'")
            .bind(&id)
            .one::<(i64,)>()
            .await
            .expect("the use was written");
        assert_eq!(requests, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_an_erased_person_is_left_in_the_log_of_another_workspace() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "member").await.expect(200);
        let made = app
            .post(&format!("/api/v1/integration/tokens?workspace_id={id}"))
            .bearer(&bob.access_token)
            .json(&json!({ "name": "t" }))
            .send()
            .await
            .expect(201);
        super::own(&app, made.text_at("/token")).await.expect(200);
        let account = json!({
            "organization_id": id, "name": "a bot", "owner_type": "service_account", "service_account_id": bob.user_id,
        });
        let (_, bot) = key(&app, &ada, account).await;
        let path = format!("/api/v1/integration/tokens/usage-logs?workspace_id={id}");
        let log = app.get(&path).bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(log.text_at("/items/0/ip_address"), "127.0.0.1");
        let erase = format!("/api/v1/accounts/erase/{}", bob.user_id);
        app.post(&erase).service().send().await.expect(200);
        app.settle().await;
        app.advance(Duration::from_hours(24 * 31));
        super::said(&app, "account_service.user.erased").await;
        app.settle().await;
        let ada = Person {
            access_token: again(&app, &ada.email).await,
            ..ada
        };
        let log = app.get(&path).bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(
            (&log.body["items"][0]["ip_address"], &log.body["items"][0]["user_agent"]),
            (&Value::Null, &Value::Null)
        );
        // What only bears a name like theirs is not theirs.
        let keys = app
            .get(&format!("/api/v1/auth/api-keys/{id}"))
            .bearer(&ada.access_token);
        let keys = keys.send().await.expect(200);
        let bot = keys.body["api_keys"]
            .as_array()
            .unwrap()
            .iter()
            .find(|key| key["key_id"] == bot);
        assert_eq!(bot.unwrap()["name"], "a bot");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_reads_uses_sees_those_that_are_being_written() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let (text, _) = key(&app, &ada, json!({})).await;
        let path = format!(
            "/api/v1/auth/api-keys/all/usage?organization_id={}&granularity=day",
            ada.user_id
        );
        let mut tx = app.ctx.db.begin().await.unwrap();
        tx.lock("credential.usage", "all").await.unwrap();
        verify(&app, &text, json!({})).await.expect(200);
        let release = async {
            // By now the process has begun to write by itself.
            tokio::time::sleep(Duration::from_millis(1_300)).await;
            drop(tx);
        };
        let ask = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            app.get(&path).bearer(&ada.access_token).send().await.expect(200)
        };
        let (found, ()) = tokio::join!(ask, release);
        assert_eq!(found.body["items"][0]["requests"], 1, "{}", found.text);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keys_with_limits_of_their_own_used_is_not_recalled_for_the_organization() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = organization(&app, &ada, "A").await;
        let path = format!("{}/{id}/rate-limits", crate::organization::BASE);
        let limits = json!({ "requests_per_day": 10 });
        app.put(&path)
            .bearer(&ada.access_token)
            .json(&limits)
            .send()
            .await
            .expect(200);
        let mut own = Vec::new();
        for limit in [json!(1_000), Value::Null] {
            let more = json!({ "rate_limits": { "requests_per_day": limit } });
            own.push(key_in(&app, &ada, &id, more).await.0);
        }
        let (late, _) = key_in(&app, &ada, &id, json!({})).await;
        for text in &own {
            verify(&app, text, json!({ "cost": 50 })).await.expect(200);
        }
        let usage = format!("/api/v1/auth/api-keys/all/usage?organization_id={id}&granularity=day");
        let found = app.get(&usage).bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(found.body["items"][0]["requests"], 100);
        let found = verify(&app, &late, json!({})).await.expect(200);
        assert_eq!(
            (
                &found.body["rate_limit"]["used"],
                &found.body["rate_limit"]["remaining"]
            ),
            (&json!(1), &json!(9))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_without_credits_takes_nothing_of_what_others_share() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = organization(&app, &ada, "A").await;
        let path = format!("{}/{id}/rate-limits", crate::organization::BASE);
        let limits = json!({ "requests_per_day": 5 });
        app.put(&path)
            .bearer(&ada.access_token)
            .json(&limits)
            .send()
            .await
            .expect(200);
        let (trial, _) = key_in(&app, &ada, &id, json!({ "credits": { "remaining": 3 } })).await;
        let (other, _) = key_in(&app, &ada, &id, json!({})).await;
        verify(&app, &trial, json!({ "cost": 2 })).await.expect(200);
        for _ in 0..5 {
            let refused = verify(&app, &trial, json!({ "cost": 2 })).await.expect(429);
            assert_eq!(refused.text_at("/field"), "credits");
        }
        verify(&app, &other, json!({ "cost": 2 })).await.expect(200);
        // And what a limit refuses takes no credits.
        let (paid, key_id) = key_in(&app, &ada, &id, json!({ "credits": { "remaining": 3 } })).await;
        let refused = verify(&app, &paid, json!({ "cost": 2 })).await.expect(429);
        assert_eq!(refused.text_at("/field"), "requests_per_day");
        let keys = app
            .get(&format!("/api/v1/auth/api-keys/{id}"))
            .bearer(&ada.access_token);
        let keys = keys.send().await.expect(200);
        let mut all = keys.body["api_keys"].as_array().unwrap().iter();
        assert_eq!(all.find(|key| key["key_id"] == key_id.as_str()).unwrap()["credits"], 3);
        verify(&app, &paid, json!({})).await.expect(200);
    })
    .await;
}
