//! Whoever has a credential may leave, be removed, be erased; whoever may ask about one is not everybody.

use std::time::Duration;

use polity_testing::App;
use serde_json::{Value, json};

use super::{key, key_in, token, verify};
use crate::organization::{BASE, add, organization};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_removed_meanwhile_leaves_no_token_behind() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "member").await.expect(200);
        let path = format!("/api/v1/integration/tokens?workspace_id={id}");
        let make = || {
            app.post(&path)
                .bearer(&bob.access_token)
                .json(&json!({ "name": "t" }))
                .send()
        };
        let token_id = make().await.expect(201).text_at("/id").to_owned();
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
        let rotate = format!("/api/v1/integration/tokens/{token_id}/rotate?workspace_id={id}");
        let (made, rotated, ()) = tokio::join!(
            make(),
            app.post(&rotate).bearer(&bob.access_token).json(&json!({})).send(),
            removed
        );
        made.expect(404);
        rotated.expect(404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quota_of_an_organization_is_used_by_what_counts_against_it() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = organization(&app, &ada, "A").await;
        let limits = app.put(&format!("{BASE}/{id}/rate-limits")).bearer(&ada.access_token);
        limits.json(&json!({ "requests_per_day": 10 })).send().await.expect(200);
        let (own, _) = key_in(&app, &ada, &id, json!({ "rate_limits": { "requests_per_day": null } })).await;
        let (common, _) = key_in(&app, &ada, &id, json!({})).await;
        let told = async || {
            let path = format!("/api/v1/auth/rate-limits/usage-vs-limit?organization_id={id}");
            // Reading it writes what was counted.
            app.get(&path).bearer(&ada.access_token).send().await.expect(200);
            app.settle().await;
            let types = ["auth_service.apikey.quota_reached"];
            let events = app.ctx.events.read_after(&app.ctx.db, 0, &types, 100).await.unwrap();
            events
                .iter()
                .map(|event| (event.data["percent"].clone(), event.data["used"].clone()))
                .collect::<Vec<_>>()
        };
        // A key without limit takes nothing of the organization's.
        verify(&app, &own, json!({ "cost": 9 })).await.expect(200);
        verify(&app, &common, json!({})).await.expect(200);
        assert_eq!(told().await, []);
        verify(&app, &common, json!({ "cost": 7 })).await.expect(200);
        assert_eq!(told().await, [(json!(80), json!(8))]);
        verify(&app, &common, json!({ "cost": 2 })).await.expect(200);
        assert_eq!(told().await, [(json!(80), json!(8)), (json!(100), json!(10))]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_a_service_account_and_no_persons_key() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let (text, _) = key(&app, &ada, json!({})).await;
        let account = json!({ "owner_type": "service_account", "service_account_id": "gateway" });
        let persons = json!({ "scopes": ["auth.api_keys.verify"] });
        for (more, status) in [(account, 200), (json!({}), 403), (persons, 403)] {
            let (with, _) = key(&app, &ada, more).await;
            let ask = app.post("/api/v1/auth/verify-api-key").header("X-API-Key", &with);
            ask.json(&json!({ "api_key": text })).send().await.expect(status);
        }
        // A token acts for a person.
        let (token, _) = token(&app, &ada, json!({ "scopes": ["*"] })).await;
        let ask = app.post("/api/v1/auth/verify-api-key").bearer(&token);
        ask.json(&json!({ "api_key": text })).send().await.expect(403);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_names_a_person_asks_for_no_more_than_they_may() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let (text, _) = key(&app, &ada, json!({})).await;
        let verify = || {
            app.post("/api/v1/auth/verify-api-key")
                .json(&json!({ "api_key": text }))
                .service()
        };
        verify().send().await.expect(200);
        for person in [&ada, &bob] {
            verify().on_behalf_of(&person.user_id).send().await.expect(403);
            let pair = app.post("/api/v1/auth/device/frame/pairing-token").service();
            pair.on_behalf_of(&person.user_id).send().await.expect(403);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_credits_is_said_in_headers_too() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let credits = json!({ "credits": { "remaining": 1, "refill_amount": 3, "refill_interval": "daily" } });
        let (text, _) = key(&app, &ada, credits).await;
        verify(&app, &text, json!({})).await.expect(200);
        let over = verify(&app, &text, json!({})).await.expect(429);
        assert_eq!(
            (over.header("x-ratelimit-limit"), over.header("x-ratelimit-remaining")),
            ("3", "0")
        );
        assert_eq!(over.header("x-ratelimit-reset"), over.header("retry-after"));
        // Where nothing is filled up there is nothing to wait for.
        let (text, _) = key(&app, &ada, json!({ "credits": { "remaining": 1 } })).await;
        let over = verify(&app, &text, json!({ "cost": 2 })).await.expect(429);
        assert_eq!(
            (over.header("x-ratelimit-limit"), over.header("x-ratelimit-remaining")),
            ("1", "1")
        );
        assert_eq!(
            (over.header("x-ratelimit-reset"), &over.body["remaining"]),
            ("", &json!(1))
        );
    })
    .await;
}

/// Many requests of a credential, as they stand in the log.
async fn logged(app: &App, organization: &str, credential: &str, many: i64) {
    let mut tx = app.ctx.db.begin().await.unwrap();
    let rows: Vec<Value> = (0..many)
        .map(|n| json!({ "id": format!("use_{credential}_{n}"), "minute": n / 7 * 60, "endpoint": format!("/{n}") }))
        .collect();
    tx.sql(
        "insert into usage_log (id, organization_id, credential_id, minute, method, endpoint, status_code, requests,
                                milliseconds, ip, user_agent)
         select r.item ->> 'id', $2, $3, cast(r.item ->> 'minute' as bigint), 'GET', r.item ->> 'endpoint', 200, 1, 1,
                '192.0.2.7', 'curl'
         from rows($1) as r",
    )
    .bind(&polity_kernel::db::Rows::of(&rows))
    .bind(organization)
    .bind(credential)
    .execute()
    .await
    .unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_log_is_forgotten_bit_by_bit() {
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
            .json(&json!({ "name": "t" }));
        let theirs = made.send().await.expect(201).text_at("/id").to_owned();
        let (_, own) = key(&app, &bob, json!({})).await;
        let (_, other) = key_in(&app, &ada, &id, json!({})).await;
        logged(&app, &id, &theirs, 1_203).await;
        logged(&app, &bob.user_id, &own, 1_203).await;
        logged(&app, &id, &other, 5).await;
        let mut tx = app.ctx.db.begin().await.unwrap();
        let said = polity_ports::account::UserErased {
            user_id: bob.user_id.clone(),
            erased_at: app.ctx.clock.now(),
        };
        let event = polity_ports::Said::event(&said);
        app.ctx.events.publish(&mut tx, event).await.unwrap();
        tx.commit().await.unwrap();
        app.settle().await;
        let mut read = app.ctx.db.read().await.unwrap();
        let left: Vec<(String, i64)> = read
            .sql("select credential_id, count(*) from usage_log where ip <> '' or user_agent <> '' group by credential_id")
            .all()
            .await
            .unwrap();
        assert_eq!(left, [(other, 5)]);
        let (jobs,) = read
            .sql("select count(*) from job where kind = 'credential.forget'")
            .one::<(i64,)>()
            .await
            .unwrap();
        assert_eq!(jobs, 1);
    })
    .await;
}
