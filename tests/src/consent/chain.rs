//! The chain of a history: whole as it is written, and not whole once somebody has been at it.

use std::time::Duration;

use polity_testing::App;
use serde_json::{Value, json};

use super::{admin, granted, happened, is_whole, revoke, run, seen};

/// What somebody does to the database who can write there.
async fn meddle(app: &App, sql: &'static str) -> u64 {
    let mut tx = app.ctx.db.begin().await.unwrap();
    let count = tx.sql(sql).execute().await.unwrap();
    tx.commit().await.unwrap();
    count
}

/// Everything that can be done to a chain of three entries, and where that is found.
const TAMPERED: [(&str, i64); 17] = [
    (
        "update consent_audit set body = replace(body, 'read:code', 'write:code') where sequence = 1",
        1,
    ),
    (
        "update consent_audit set body = replace(body, '\"subject\"', '\"system\"') where sequence = 2",
        2,
    ),
    (
        "update consent_audit set consent_id = 'cns_other' where sequence = 3",
        3,
    ),
    ("update consent_audit set consent_id = null where sequence = 1", 1),
    ("update consent_audit set hash = previous_hash where sequence = 2", 2),
    ("update consent_audit set previous_hash = hash where sequence = 2", 2),
    ("update consent_audit set sequence = 7 where sequence = 2", 2),
    ("delete from consent_audit where sequence = 1", 1),
    ("delete from consent_audit where sequence = 3", 3),
    ("delete from consent_audit", 1),
    (
        "update consent_audit_person set body = replace(body, '127.0.0.1', '127.0.0.2') where sequence = 1",
        1,
    ),
    ("delete from consent_audit_person where sequence = 2", 2),
    ("update consent_chain set base_sequence = 1, base_hash = 'x'", 3),
    (
        "update consent_chain set base_sequence = 1, base_hash = (select hash from consent_audit where sequence = 1)",
        3,
    ),
    ("update consent_chain set is_pseudonymous = true", 3),
    ("update consent_person set seal = 'x'", 0),
    ("delete from consent_chain", 3),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b9_whatever_is_done_to_a_history_is_found() {
    for (sql, place) in TAMPERED {
        App::each(async |app| {
            let ada = app.register("ada@example.com").await;
            let id = granted(&app, &ada, json!({})).await;
            revoke(&app, &ada, &id).await.expect(200);
            assert_eq!(happened(&app, &ada.user_id).await.len(), 3);
            assert!(is_whole(&app, &ada.user_id).await);
            assert!(meddle(&app, sql).await > 0, "{sql}");
            let found = admin(&app, &format!("/chains/{}", ada.user_id)).await.expect(200);
            assert_eq!(found.body["is_whole"], false, "{sql}");
            assert_eq!(found.body["broken_sequence"], place, "{sql}: {}", found.text);
            assert!(!found.text_at("/problem").is_empty());
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b9_a_chain_that_was_shortened_at_both_places_is_found_and_stays_found() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = granted(&app, &ada, json!({})).await;
        revoke(&app, &ada, &id).await.expect(200);
        // As if nothing had been revoked: the end is taken off, and the head put where it was.
        meddle(&app, "delete from consent_audit where sequence > 1").await;
        meddle(&app, "delete from consent_audit_person where sequence > 1").await;
        meddle(
            &app,
            "update consent_chain set head_sequence = 1, head_hash = (select hash from consent_audit where sequence = 1)",
        )
        .await;
        // What is written after that does not cover it.
        granted(&app, &ada, json!({ "entity_id": "b" })).await;
        assert!(!is_whole(&app, &ada.user_id).await);
        assert_eq!(meddle(&app, "update consent_chain set broken_sequence = null").await, 1);
        assert!(!is_whole(&app, &ada.user_id).await, "nor does taking the mark away");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b9_a_history_cannot_be_given_to_somebody_else() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let bob = app.register("bob@example.com").await;
        granted(&app, &ada, json!({})).await;
        let id = granted(&app, &bob, json!({})).await;
        // Bob's history becomes Ada's.
        meddle(&app, "update consent_person set user_id = 'nobody' || user_id").await;
        let mut tx = app.ctx.db.begin().await.unwrap();
        let swap =
            "update consent_person set user_id = case when user_id = $3 then $2 else $1 end where user_id in ($3, $4)";
        let (a, b) = (format!("nobody{}", ada.user_id), format!("nobody{}", bob.user_id));
        let swapped = tx.sql(swap).bind(&ada.user_id).bind(&bob.user_id).bind(&a).bind(&b);
        assert_eq!(swapped.execute().await.unwrap(), 2);
        tx.commit().await.unwrap();
        assert!(!is_whole(&app, &ada.user_id).await);
        app.advance(Duration::from_hours(25));
        run(&app, "consent.verify").await;
        let broken = admin(&app, "/chains?is_whole=false").await.expect(200);
        assert_eq!(broken.body["items"].as_array().unwrap().len(), 2);
        // Whatever was done to the history, a consent is taken back.
        meddle(&app, "delete from consent_chain").await;
        revoke_later(&app, &bob.user_id, &id).await;
        assert!(!is_whole(&app, &bob.user_id).await);
    })
    .await;
}

/// For somebody whose token is over.
async fn revoke_later(app: &App, user_id: &str, id: &str) {
    let path = format!("{}/{id}", super::BASE);
    app.delete(&path)
        .service()
        .on_behalf_of(user_id)
        .send()
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b9_a_job_looks_over_every_chain_once_a_day() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let bob = app.register("bob@example.com").await;
        for person in [&ada, &bob] {
            granted(&app, person, json!({})).await;
        }
        let mut tx = app.ctx.db.begin().await.unwrap();
        let sql = "delete from consent_audit where chain_id = (select chain_id from consent_person where user_id = $1)";
        tx.sql(sql).bind(&ada.user_id).execute().await.unwrap();
        tx.commit().await.unwrap();
        let broken = async || {
            let found = admin(&app, "/chains?is_whole=false").await.expect(200);
            found.body["items"].as_array().unwrap().len()
        };
        run(&app, "consent.verify").await;
        assert_eq!(broken().await, 0, "they were whole a moment ago, when they were made");
        app.advance(Duration::from_hours(25));
        run(&app, "consent.verify").await;
        assert_eq!(broken().await, 1);
        let whole = admin(&app, "/chains?is_whole=true").await.expect(200);
        assert_eq!(whole.text_at("/items/0/checked_at"), "2027-01-16T09:00:00.000000Z");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_holds_the_hash_of_the_one_before_and_the_export_has_them_all() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        for entity in ["a", "b", "c"] {
            granted(&app, &ada, json!({ "entity_id": entity })).await;
        }
        let mut entries: Vec<Value> = Vec::new();
        let mut after = 0;
        loop {
            let part = seen(&app, &ada.user_id, &format!("/export?limit=2&after={after}"))
                .await
                .expect(200);
            assert_eq!(part.body["consents"].as_array().unwrap().len(), 3);
            entries.extend(part.body["history"].as_array().unwrap().iter().cloned());
            match part.body["next_after"].as_i64() {
                Some(next) => after = next,
                None => break,
            }
        }
        let events: Vec<&str> = entries.iter().map(|one| one["event"].as_str().unwrap()).collect();
        assert_eq!(events, ["granted", "granted", "granted", "exported"]);
        assert_eq!(entries[0]["previous_hash"], "");
        for pair in entries.windows(2) {
            assert_eq!(pair[1]["previous_hash"], pair[0]["hash"]);
        }
        assert_eq!(entries[0]["consent"]["entity_id"], "a");
        assert_eq!(entries[0]["ip_address"], "127.0.0.1");
        assert!(is_whole(&app, &ada.user_id).await);
        for wrong in ["?limit=0", "?limit=1001", "?after=-1"] {
            seen(&app, &ada.user_id, &format!("/export{wrong}")).await.expect(422);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_are_limited_and_going_on_is_not_another_one() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        for _ in 0..20 {
            seen(&app, &ada.user_id, "/export").await.expect(200);
        }
        let limited = seen(&app, &ada.user_id, "/export").await.expect(429);
        assert!(!limited.header("retry-after").is_empty());
        seen(&app, &ada.user_id, "/export?after=1").await.expect(200);
        app.advance(Duration::from_hours(1));
        seen(&app, &ada.user_id, "/export?limit=1000").await.expect(200);
        assert_eq!(happened(&app, &ada.user_id).await.len(), 21);
    })
    .await;
}
