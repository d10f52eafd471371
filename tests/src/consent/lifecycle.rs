//! What time, the policy, and the end of a person or an organization do.

use std::time::Duration;

use polity_testing::App;
use serde_json::{Value, json};

use super::{grant_in, granted, happened, is_whole, look, revoke, run, said, seen, standing};
use crate::organization::{BASE as ORGANIZATIONS, add, organization};

const DAY: Duration = Duration::from_hours(24);

/// Makes it so that a consent was given under the policy before the one in force.
async fn of_the_older_policy(app: &App, id: &str) {
    let mut tx = app.ctx.db.begin().await.unwrap();
    let sql = tx.sql("update consent set policy_version = 1 where id = $1").bind(id);
    assert_eq!(sql.execute().await.unwrap(), 1);
    tx.commit().await.unwrap();
}

fn second_policy() -> Value {
    json!({ "consent": { "policy_version": 2 } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_does_not_count_before_and_after_a_job_has_seen_it() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let ends = json!({ "expires_at": "2027-01-15T08:01:00Z" });
        let id = granted(&app, &ada, ends).await;
        assert_eq!(look(&app, &ada.user_id, &id).await["status"], "granted");
        app.advance(Duration::from_mins(2));
        let ended = look(&app, &ada.user_id, &id).await;
        assert_eq!(
            (&ended["status"], &ended["is_active"]),
            (&json!("expired"), &json!(false))
        );
        assert_eq!(standing(&app, &ada.user_id, "third_party").await["granted"], false);
        run(&app, "consent.follow_clock").await;
        let ended = look(&app, &ada.user_id, &id).await;
        assert_eq!(
            (&ended["status"], &ended["end_reason"]),
            (&json!("expired"), &json!("expired"))
        );
        assert_eq!(happened(&app, &ada.user_id).await, ["granted", "expired", "enforced"]);
        assert_eq!(said(&app, "revoked").await[0].data["reason"], "expired");
        assert_eq!(app.doubles.stopped(), [format!("ended {id} expired")]);
        // And again, once.
        run(&app, "consent.follow_clock").await;
        assert_eq!(said(&app, "revoked").await.len(), 1);
        let again = granted(&app, &ada, json!({})).await;
        assert_eq!(look(&app, &ada.user_id, &again).await["is_active"], true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_is_ended_by_whoever_comes_first() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let ends = |entity: &str| json!({ "entity_id": entity, "expires_at": "2027-01-15T08:00:10Z" });
        let (a, b) = (
            granted(&app, &ada, ends("a")).await,
            granted(&app, &ada, ends("b")).await,
        );
        app.advance(Duration::from_secs(20));
        let again = granted(&app, &ada, json!({ "entity_id": "a" })).await;
        revoke(&app, &ada, &b).await.expect(200);
        for id in [&a, &b] {
            assert_eq!(look(&app, &ada.user_id, id).await["status"], "expired");
        }
        assert_eq!(look(&app, &ada.user_id, &again).await["is_active"], true);
        assert_eq!(
            app.doubles.stopped(),
            [format!("ended {a} expired"), format!("ended {b} expired")]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_15_a_raised_policy_leaves_a_grace_and_then_stops() {
    App::each_with(second_policy(), async |app| {
        let ada = app.register("ada@example.com").await;
        let old = granted(&app, &ada, json!({})).await;
        let kept = granted(&app, &ada, json!({ "purpose": "analytics" })).await;
        of_the_older_policy(&app, &old).await;
        // Before the job has seen it.
        let seen_so = look(&app, &ada.user_id, &old).await;
        assert_eq!(
            (&seen_so["status"], &seen_so["needs_renewal"]),
            (&json!("superseded"), &json!(true))
        );
        run(&app, "consent.follow_clock").await;
        let marked = look(&app, &ada.user_id, &old).await;
        assert_eq!(
            (&marked["status"], &marked["is_active"]),
            (&json!("superseded"), &json!(true))
        );
        assert_eq!(marked["grace_ends_at"], "2027-02-14T08:00:00.000000Z");
        let stands = standing(&app, &ada.user_id, "third_party").await;
        assert_eq!(
            (&stands["granted"], &stands["needs_renewal"]),
            (&json!(true), &json!(true))
        );
        assert_eq!(stands["policy_version"], 1);
        assert!(app.doubles.stopped().is_empty());
        app.advance(30 * DAY + Duration::from_secs(1));
        let over = look(&app, &ada.user_id, &old).await;
        assert_eq!(
            (&over["status"], &over["is_active"]),
            (&json!("superseded"), &json!(false))
        );
        let stands = standing(&app, &ada.user_id, "third_party").await;
        assert_eq!(
            (&stands["granted"], &stands["needs_renewal"]),
            (&json!(false), &json!(true))
        );
        run(&app, "consent.follow_clock").await;
        assert_eq!(app.doubles.stopped(), [format!("ended {old} superseded")]);
        assert_eq!(look(&app, &ada.user_id, &kept).await["is_active"], true);
        assert_eq!(said(&app, "revoked").await[0].data["reason"], "superseded");
        let stands = standing(&app, &ada.user_id, "third_party").await;
        assert_eq!(
            (&stands["granted"], &stands["needs_renewal"]),
            (&json!(false), &json!(true))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_superseded_is_granted_again_or_refused_for_good() {
    App::each_with(second_policy(), async |app| {
        let ada = app.register("ada@example.com").await;
        let mut old = Vec::new();
        for entity in ["in time", "late", "never"] {
            let id = granted(&app, &ada, json!({ "entity_id": entity })).await;
            of_the_older_policy(&app, &id).await;
            old.push(id);
        }
        run(&app, "consent.follow_clock").await;
        let in_time = granted(&app, &ada, json!({ "entity_id": "in time" })).await;
        assert_eq!(look(&app, &ada.user_id, &old[0]).await["replaced_by"], in_time.as_str());
        assert!(app.doubles.stopped().is_empty(), "it goes on under the new one");
        app.advance(31 * DAY);
        run(&app, "consent.follow_clock").await;
        assert_eq!(app.doubles.stopped().len(), 2);
        let for_ada = |body: Value| {
            let ask = app.post(super::BASE).service().on_behalf_of(&ada.user_id);
            ask.json(&super::consent(body)).send()
        };
        let late = for_ada(json!({ "entity_id": "late" })).await.expect(201);
        assert_eq!(late.body["policy_version"], 2);
        let replaced = look(&app, &ada.user_id, &old[1]).await;
        assert_eq!(
            (&replaced["replaced_by"], &replaced["needs_renewal"]),
            (&late.body["id"], &json!(false))
        );
        assert_eq!(standing(&app, &ada.user_id, "third_party").await["needs_renewal"], true);
        let path = format!("{}/{}", super::BASE, old[2]);
        app.delete(&path)
            .service()
            .on_behalf_of(&ada.user_id)
            .send()
            .await
            .expect(200);
        assert_eq!(look(&app, &ada.user_id, &old[2]).await["status"], "revoked");
        assert_eq!(
            standing(&app, &ada.user_id, "third_party").await["needs_renewal"],
            false
        );
        assert!(is_whole(&app, &ada.user_id).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_15_two_processes_go_through_midnight_one_after_the_other() {
    let policy = |version: u32| json!({ "consent": { "policy_version": version } });
    let Some(apps) = App::replicas([policy(1), policy(2)]).await else {
        return;
    };
    let ada = apps[0].register("ada@example.com").await;
    let shown = json!({ "policy_version": 1 });
    let id = grant_in(&apps[0], &ada, None, shown.clone()).await.expect(201);
    let id = id.text_at("/id").to_owned();
    // Who was shown the older text before midnight and answers after it is shown the new one.
    let other = json!({ "entity_id": "b", "policy_version": 1 });
    let late = grant_in(&apps[1], &ada, None, other).await.expect(409);
    assert_eq!(late.body["policy_version"], 2);
    run(&apps[1], "consent.follow_clock").await;
    assert_eq!(look(&apps[1], &ada.user_id, &id).await["status"], "superseded");
    let again = grant_in(&apps[1], &ada, None, json!({})).await.expect(201);
    assert_eq!(again.body["policy_version"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_person_whose_things_cannot_be_stopped_is_tried_again() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = granted(&app, &ada, json!({ "expires_at": "2027-01-15T08:00:10Z" })).await;
        app.doubles.break_stopping(true);
        app.advance(Duration::from_secs(20));
        let mut tx = app.ctx.db.begin().await.unwrap();
        let job = polity_kernel::job::NewJob::new("consent.follow_clock", json!(null));
        app.ctx.jobs.enqueue(&mut tx, job).await.unwrap();
        tx.commit().await.unwrap();
        app.settle().await;
        assert!(said(&app, "revoked").await.is_empty());
        assert_eq!(happened(&app, &ada.user_id).await, ["granted"]);
        app.doubles.break_stopping(false);
        app.advance(Duration::from_mins(1));
        app.settle().await;
        run(&app, "consent.follow_clock").await;
        assert_eq!(app.doubles.stopped(), [format!("ended {id} expired")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_organization_go_the_consents_in_it() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let bob = app.register("bob@example.com").await;
        let org = organization(&app, &ada, "A").await;
        add(&app, &ada, &org, &bob, "member").await.expect(200);
        let mut ids = Vec::new();
        for person in [&ada, &bob] {
            let made = grant_in(&app, person, Some(&org), json!({})).await.expect(201);
            ids.push((person, made.text_at("/id").to_owned()));
        }
        let own = granted(&app, &bob, json!({})).await;
        let path = format!("{ORGANIZATIONS}/{org}");
        app.delete(&path).bearer(&ada.access_token).send().await.expect(200);
        app.settle().await;
        for (person, id) in &ids {
            let ended = look(&app, &person.user_id, id).await;
            assert_eq!(ended["is_active"], false);
            assert!(is_whole(&app, &person.user_id).await);
        }
        assert_eq!(app.doubles.stopped().len(), 2);
        assert_eq!(look(&app, &bob.user_id, &own).await["is_active"], true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_end_at_once_end_some_after_some() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        for n in 0..60 {
            let ends = json!({ "entity_id": format!("a{n}"), "expires_at": "2027-01-15T08:00:10Z" });
            granted(&app, &ada, ends).await;
            granted(&app, &ada, json!({ "entity_id": format!("b{n}") })).await;
        }
        app.advance(Duration::from_secs(20));
        run(&app, "consent.follow_clock").await;
        assert_eq!(app.doubles.stopped().len(), 60);
        let path = format!("/api/v1/accounts/profile/{}", ada.user_id);
        app.delete(&path).bearer(&ada.access_token).send().await.expect(200);
        app.settle().await;
        assert_eq!(app.doubles.stopped().len(), 120);
        assert_eq!(standing(&app, &ada.user_id, "third_party").await["granted"], false);
        assert!(is_whole(&app, &ada.user_id).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_person_go_their_consents() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let ids = [
            granted(&app, &ada, json!({})).await,
            granted(&app, &ada, json!({ "purpose": "marketing" })).await,
        ];
        let path = format!("/api/v1/accounts/profile/{}", ada.user_id);
        app.delete(&path).bearer(&ada.access_token).send().await.expect(200);
        app.settle().await;
        for id in &ids {
            let ended = look(&app, &ada.user_id, id).await;
            assert_eq!(
                (&ended["status"], &ended["end_reason"]),
                (&json!("revoked"), &json!("user_deleted"))
            );
        }
        assert_eq!(app.doubles.stopped().len(), 2);
        assert_eq!(said(&app, "revoked").await.len(), 2);
        let export = seen(&app, &ada.user_id, "/export").await.expect(200);
        assert_eq!(export.body["consents"].as_array().unwrap().len(), 2);
    })
    .await;
}
