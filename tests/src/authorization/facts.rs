//! What decisions rest on: it changes, fails and comes late.

use std::time::Duration;

use polity_ports::{Said, authorization::Tier, organization::MemberRemoved};
use polity_testing::App;
use serde_json::{Value, json};

use super::{By, get, give, may, post};
use crate::organization::{add, organization};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_known_later_than_they_were_asked_about_may_act() {
    App::each(async |app| {
        assert!(!may(&app, "usr_late", "weather_api", "read_only").await);
        let body = json!({ "user_id": "usr_late", "email": "late@example.com", "name": "Late" });
        app.post("/api/v1/accounts/ensure")
            .service()
            .json(&body)
            .send()
            .await
            .expect(200);
        assert!(may(&app, "usr_late", "weather_api", "read_only").await);
        assert!(may(&app, "usr_late", "basic_assistant", "none").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_pays_for_is_asked_again() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let paints = async || may(&app, &ada.user_id, "image_generator", "read_write").await;
        app.doubles.pays(&ada.user_id, Tier::Pro);
        // An answer that could not be had is no answer to remember.
        app.doubles.break_subscriptions(true);
        assert!(!paints().await);
        app.doubles.break_subscriptions(false);
        assert!(paints().await);
        // Nothing is remembered for longer than a decision is.
        app.doubles.pays(&ada.user_id, Tier::Free);
        app.advance(Duration::from_mins(10));
        assert!(!paints().await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec_001_organizations_tell_nobody_and_somebody_inactive_apart_no_more_than_anything() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let shop = organization(&app, &ada, "Shop").await;
        let path = format!("/api/v1/accounts/status/{}", ada.user_id);
        let body = json!({ "is_active": false });
        app.put(&path).service().json(&body).send().await.expect(200);
        let answer = async |id: &str| {
            let body = json!({
                "user_id": id, "resource_type": "mcp_tool", "resource_name": "weather_api", "organization_id": shop,
            });
            post(&app, By::Service, "check-access", body).await.expect(200).body
        };
        assert_eq!(answer(&ada.user_id).await, answer("usr_nobody").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec_017_a_check_answers_though_nothing_can_be_looked_up() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let mut tx = app.ctx.db.begin().await.unwrap();
        tx.sql("alter table organization_context rename to elsewhere")
            .execute()
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let ask = json!({ "resource_type": "mcp_tool", "resource_name": "weather_api" });
        let mut one = ask.clone();
        one["user_id"] = ada.user_id.clone().into();
        let answer = post(&app, By::Service, "check-access", one).await.expect(200);
        assert_eq!(answer.body["has_access"], false);
        assert!(answer.text_at("/reason").starts_with("Access check failed: "));
        let body = json!({ "user_id": ada.user_id, "checks": [ask, ask] });
        let answer = post(&app, By::Service, "check-access/batch", body).await.expect(200);
        for at in 0..2 {
            assert_eq!(answer.body["results"][at]["has_access"], false);
            assert!(
                answer
                    .text_at(&format!("/results/{at}/reason"))
                    .starts_with("Access check failed: ")
            );
        }
        let body = json!({ "user_id": ada.user_id, "resource_id": "prj_a", "action": "write" });
        let answer = post(&app, By::Service, "check", body).await.expect(200);
        let retry = json!({ "allowed": false, "reason": "could not verify project role; please retry" });
        assert_eq!(answer.body, retry);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_restored_keeps_what_was_given_since_however_late_the_deletion_is_heard() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        give(&app, &ada.user_id, "oven", "read_only", json!({})).await;
        let path = format!("/api/v1/accounts/profile/{}", ada.user_id);
        app.delete(&path).bearer(&ada.access_token).send().await.expect(200);
        app.settle().await;
        app.advance(Duration::from_secs(1));
        let path = format!("/api/v1/accounts/status/{}", ada.user_id);
        let body = json!({ "is_active": true });
        app.put(&path).service().json(&body).send().await.expect(200);
        give(&app, &ada.user_id, "kettle", "read_only", json!({})).await;
        let heard_again = app
            .ctx
            .events
            .replay(&app.ctx.db, "authorization.follow_owners", 0)
            .await;
        assert!(heard_again.unwrap());
        app.settle().await;
        assert!(!may(&app, &ada.user_id, "oven", "read_only").await);
        assert!(may(&app, &ada.user_id, "kettle", "read_only").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_again_after_somebody_left_stays() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let bob = app.register("bob@example.com").await;
        let shop = organization(&app, &ada, "Shop").await;
        add(&app, &ada, &shop, &bob, "member").await.expect(200);
        let more = json!({ "organization_id": shop });
        give(&app, &bob.user_id, "oven", "read_only", more.clone()).await;
        give(&app, &bob.user_id, "kettle", "read_only", more.clone()).await;
        app.advance(Duration::from_secs(1));
        let left = MemberRemoved {
            organization_id: shop.clone(),
            user_id: bob.user_id.clone(),
            removed_by: ada.user_id.clone(),
            reason: None,
            timestamp: app.ctx.clock.now(),
        };
        app.advance(Duration::from_secs(1));
        give(&app, &bob.user_id, "oven", "read_write", more).await;
        // They left and came back in between, and it is heard now.
        let mut tx = app.ctx.db.begin().await.unwrap();
        app.ctx.events.publish(&mut tx, left.event()).await.unwrap();
        tx.commit().await.unwrap();
        app.settle().await;
        assert!(may(&app, &bob.user_id, "oven", "read_write").await);
        assert!(!may(&app, &bob.user_id, "kettle", "read_only").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_said_once_whatever_is_varied_and_of_nobody_nothing_is_kept() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let bob = app.register("bob@example.com").await;
        for (id, organization, name) in [
            (&ada.user_id, "org_a", "caf\u{e9}"),
            (&ada.user_id, "org_b", "caf\u{e9}"),
            (&ada.user_id, "org_c", "cafe\u{301}"),
            (&"usr_nobody".to_owned(), "org_a", "oven"),
            (&bob.user_id, "org_a", "oven"),
        ] {
            for level in ["read_only", "admin"] {
                let body = json!({
                    "user_id": id, "resource_type": "mcp_tool", "resource_name": name, "organization_id": organization,
                    "required_access_level": level,
                });
                post(&app, By::Service, "check-access", body).await.expect(200);
            }
        }
        // They are written one after the other: with the last one, all are.
        let mut entries: Vec<Value> = Vec::new();
        for _ in 0..100 {
            let audit = get(&app, By::Service, "audit?action=check").await.expect(200);
            entries = audit.body["items"].as_array().unwrap().clone();
            if entries.iter().any(|entry| entry["user_id"] == bob.user_id.as_str()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let of = |id: &str| entries.iter().filter(|entry| entry["user_id"] == id).count();
        assert_eq!(
            (of(&ada.user_id), of(&bob.user_id), of("usr_nobody")),
            (1, 1, 1),
            "{entries:?}"
        );
        let mut read = app.ctx.db.read().await.unwrap();
        let known: Vec<(String,)> = read.sql("select user_id from permission_check").all().await.unwrap();
        assert!(known.iter().all(|(id,)| id != "usr_nobody"), "{known:?}");
    })
    .await;
}
