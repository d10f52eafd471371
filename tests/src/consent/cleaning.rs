//! What is left of a history: after its time, and after its person.

use std::time::Duration;

use polity_kernel::job::NewJob;
use polity_testing::App;
use serde_json::json;

use super::{admin, grant_in, granted, happened, is_whole, look, revoke, run, seen};
use crate::organization::organization;

const DAY: Duration = Duration::from_hours(24);

/// Every text that is kept of consents.
async fn kept(app: &App) -> String {
    let mut read = app.ctx.db.read().await.unwrap();
    let mut all = String::new();
    for sql in [
        "select chain_id || ' ' || coalesce(consent_id, '') || ' ' || body from consent_audit",
        "select chain_id || ' ' || body from consent_audit_person",
        "select chain_id || ' ' || seal from consent_chain",
        "select user_id || ' ' || chain_id from consent_person",
        "select user_id || ' ' || workspace_id || ' ' || coalesce(ip_address, '') from consent",
    ] {
        for (text,) in read.sql(sql).all::<(String,)>().await.unwrap() {
            all.push_str(&text);
            all.push('\n');
        }
    }
    all
}

/// For another person, on whose behalf a service asks however late it is.
async fn grant_later(app: &App, user_id: &str, entity: &str) {
    let body = super::consent(json!({ "entity_id": entity }));
    let ask = app.post(super::BASE).service().on_behalf_of(user_id).json(&body);
    ask.send().await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b9_entries_live_2555_days_and_the_rest_of_the_chain_stays_whole() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = granted(&app, &ada, json!({})).await;
        revoke(&app, &ada, &id).await.expect(200);
        app.advance(1_000 * DAY);
        grant_later(&app, &ada.user_id, "b").await;
        app.advance(1_554 * DAY + Duration::from_secs(86_399));
        run(&app, "consent.clean_up").await;
        assert_eq!(happened(&app, &ada.user_id).await.len(), 4);
        look(&app, &ada.user_id, &id).await;
        app.advance(Duration::from_secs(2));
        run(&app, "consent.clean_up").await;
        assert_eq!(happened(&app, &ada.user_id).await, ["granted"]);
        seen(&app, &ada.user_id, &format!("/{id}")).await.expect(404);
        let chain = admin(&app, &format!("/chains/{}", ada.user_id)).await.expect(200);
        assert_eq!(
            (&chain.body["is_whole"], &chain.body["first_sequence"]),
            (&json!(true), &json!(4))
        );
        grant_later(&app, &ada.user_id, "c").await;
        assert!(is_whole(&app, &ada.user_id).await);
        app.advance(3_000 * DAY);
        run(&app, "consent.clean_up").await;
        assert!(happened(&app, &ada.user_id).await.is_empty());
        grant_later(&app, &ada.user_id, "d").await;
        let chain = admin(&app, &format!("/chains/{}", ada.user_id)).await.expect(200);
        assert_eq!(
            (&chain.body["is_whole"], &chain.body["first_sequence"]),
            (&json!(true), &json!(6))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b9_a_broken_chain_is_evidence_and_is_not_cut() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = granted(&app, &ada, json!({})).await;
        revoke(&app, &ada, &id).await.expect(200);
        let mut tx = app.ctx.db.begin().await.unwrap();
        let sql = tx.sql("update consent_audit set body = replace(body, 'read', 'grab') where sequence = 2");
        sql.execute().await.unwrap();
        tx.commit().await.unwrap();
        app.advance(3_000 * DAY);
        run(&app, "consent.verify").await;
        run(&app, "consent.clean_up").await;
        let chain = admin(&app, &format!("/chains/{}", ada.user_id)).await.expect(200);
        assert_eq!(
            (&chain.body["first_sequence"], &chain.body["broken_sequence"]),
            (&json!(1), &json!(2))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_5_7_4_of_an_erased_person_a_whole_chain_is_left_that_leads_nowhere() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let bob = app.register("bob@example.com").await;
        let org = organization(&app, &ada, "A").await;
        let id = granted(&app, &ada, json!({})).await;
        revoke(&app, &ada, &id).await.expect(200);
        grant_in(&app, &ada, Some(&org), json!({})).await.expect(201);
        seen(&app, &ada.user_id, "/export").await.expect(200);
        granted(&app, &bob, json!({})).await;
        let chain = admin(&app, &format!("/chains/{}", ada.user_id)).await.expect(200);
        let chain = chain.text_at("/chain_id").to_owned();
        assert!(kept(&app).await.contains(&ada.user_id));
        let erase = format!("/api/v1/accounts/erase/{}", ada.user_id);
        app.post(&erase).service().send().await.expect(200);
        app.settle().await;
        app.advance(31 * DAY);
        let mut tx = app.ctx.db.begin().await.unwrap();
        let due = NewJob::new("account.erase_due", json!(null));
        app.ctx.jobs.enqueue(&mut tx, due).await.unwrap();
        tx.commit().await.unwrap();
        app.settle().await;
        let left = kept(&app).await;
        assert!(!left.contains(&ada.user_id), "{left}");
        assert_eq!(left.matches("127.0.0.1").count(), 2, "Bob's alone: {left}");
        assert!(left.contains(&id), "what happened is still known");
        let path = format!("/chains/{chain}");
        let found = admin(&app, &path).await.expect(200);
        assert_eq!(
            (&found.body["is_whole"], &found.body["is_pseudonymous"]),
            (&json!(true), &json!(true))
        );
        admin(&app, &format!("/chains/{}", ada.user_id)).await.expect(404);
        assert!(happened(&app, &ada.user_id).await.is_empty());
        assert!(is_whole(&app, &bob.user_id).await);
        // Kept for its time, and then gone altogether.
        app.advance(2_500 * DAY);
        run(&app, "consent.clean_up").await;
        assert!(is_whole(&app, &chain).await);
        app.advance(60 * DAY);
        run(&app, "consent.clean_up").await;
        admin(&app, &path).await.expect(404);
    })
    .await;
}
