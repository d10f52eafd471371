//! Granting, listing, taking back, the status of purposes.

use polity_testing::App;
use serde_json::{Value, json};

use super::{BASE, consent, grant_in, granted, happened, look, revoke, said, seen, standing};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_granted_is_there_as_it_was_said() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let more =
            json!({ "locale": "en-GB", "expires_at": "2027-06-01T00:00:00Z", "shown_at": "2027-01-15T07:59:00Z" });
        let made = grant_in(&app, &ada, None, more).await.expect(201).body;
        for (member, value) in [
            ("user_id", json!(ada.user_id)),
            ("workspace_id", json!(ada.user_id)),
            ("purpose", json!("third_party")),
            ("status", json!("granted")),
            ("is_active", json!(true)),
            ("needs_renewal", json!(false)),
            ("policy_version", json!(1)),
            ("granted_permissions", json!(["read:code"])),
            ("ip_address", json!("127.0.0.1")),
            ("user_agent", json!("Acme/1")),
            ("locale", json!("en-GB")),
            ("expires_at", json!("2027-06-01T00:00:00.000000Z")),
            // SHA-256 of the description.
            (
                "text_hash",
                json!("de942d28e12ea2e1ead3be8a69aaf620408b394d72ab92fa5b2b041fd3c415cc"),
            ),
        ] {
            assert_eq!(made[member], value, "{member}");
        }
        let id = made["id"].as_str().unwrap();
        assert_eq!(look(&app, &ada.user_id, id).await, made);
        let events = said(&app, "granted").await;
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].data["consent_id"], id);
        assert_eq!(events[0].data["granted_permissions"], json!(["read:code"]));
        assert_eq!(happened(&app, &ada.user_id).await, ["shown", "granted"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_15_grant_revoke_and_grant_again() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let first = granted(&app, &ada, json!({})).await;
        let answer = revoke(&app, &ada, &first).await.expect(200);
        assert_eq!(answer.text_at("/message"), "Consent revoked successfully");
        assert_eq!(standing(&app, &ada.user_id, "third_party").await["granted"], false);
        let second = granted(&app, &ada, json!({})).await;
        assert_ne!(first, second);
        let (old, new) = (
            look(&app, &ada.user_id, &first).await,
            look(&app, &ada.user_id, &second).await,
        );
        assert_eq!((&old["status"], &old["is_active"]), (&json!("revoked"), &json!(false)));
        assert!(old["revoked_at"].is_string());
        assert_eq!((&new["status"], &new["is_active"]), (&json!("granted"), &json!(true)));
        // Taking back what was taken back changes nothing.
        revoke(&app, &ada, &first).await.expect(200);
        assert_eq!(look(&app, &ada.user_id, &second).await["is_active"], true);
        let events = happened(&app, &ada.user_id).await;
        assert_eq!(events, ["granted", "revoked", "enforced", "granted"]);
        let history = seen(&app, &ada.user_id, &format!("/{first}/history")).await.expect(200);
        let of_first: Vec<&Value> = history.body["items"].as_array().unwrap().iter().collect();
        assert_eq!(of_first.len(), 3);
        assert_eq!(of_first[1]["reason"], "revoked");
        assert_eq!(of_first[2]["detail"], "double: 1");
        let revoked = said(&app, "revoked").await;
        assert_eq!(revoked.len(), 1);
        assert_eq!(revoked[0].data["reason"], "revoked");
        assert_eq!(revoked[0].data["enforced"], 1);
        assert_eq!(app.doubles.stopped(), [format!("ended {first} revoked")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rests_on_a_consent_is_stopped_with_it_or_the_consent_stays() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = granted(&app, &ada, json!({})).await;
        app.doubles.break_stopping(true);
        revoke(&app, &ada, &id).await.expect(503);
        assert_eq!(look(&app, &ada.user_id, &id).await["is_active"], true);
        assert_eq!(happened(&app, &ada.user_id).await, ["granted"]);
        assert!(said(&app, "revoked").await.is_empty());
        app.doubles.break_stopping(false);
        revoke(&app, &ada, &id).await.expect(200);
        assert_eq!(look(&app, &ada.user_id, &id).await["is_active"], false);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn granting_again_keeps_the_same_terms_and_replaces_others() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let first = granted(&app, &ada, json!({})).await;
        assert_eq!(granted(&app, &ada, json!({})).await, first, "the same terms");
        let both = json!({ "granted_permissions": ["write:code", "read:code", "read:code"] });
        let second = grant_in(&app, &ada, None, both).await.expect(201);
        assert_eq!(second.body["granted_permissions"], json!(["read:code", "write:code"]));
        let second = second.text_at("/id").to_owned();
        let old = look(&app, &ada.user_id, &first).await;
        assert_eq!(
            (&old["status"], &old["end_reason"]),
            (&json!("superseded"), &json!("replaced"))
        );
        assert_eq!(
            (&old["replaced_by"], &old["needs_renewal"]),
            (&json!(second), &json!(false))
        );
        assert!(app.doubles.stopped().is_empty(), "what rests on it goes on with more");
        let third = granted(&app, &ada, json!({ "granted_permissions": [] })).await;
        assert_eq!(app.doubles.stopped(), [format!("narrowed {second} {third}")]);
        let events = happened(&app, &ada.user_id).await;
        assert_eq!(events, ["granted", "changed", "changed", "enforced"]);
        assert_eq!(said(&app, "granted").await.len(), 3);
        assert!(said(&app, "revoked").await.is_empty());
        let standing = standing(&app, &ada.user_id, "third_party").await;
        assert_eq!(
            (&standing["consents_count"], &standing["needs_renewal"]),
            (&json!(1), &json!(false))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purposes_and_things_are_apart() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let more = [
            json!({}),
            json!({ "purpose": "analytics" }),
            json!({ "entity_id": "gitlab" }),
            json!({ "entity_id": null }),
            json!({ "subject_kind": "plugin_installation", "entity_type": "plugin" }),
            json!({ "entity_type": "integration" }),
        ];
        for more in more {
            granted(&app, &ada, more).await;
        }
        let third_party = standing(&app, &ada.user_id, "third_party").await;
        assert_eq!(
            (&third_party["granted"], &third_party["consents_count"]),
            (&json!(true), &json!(5))
        );
        assert_eq!(standing(&app, &ada.user_id, "analytics").await["consents_count"], 1);
        let marketing = standing(&app, &ada.user_id, "marketing").await;
        assert_eq!(
            (&marketing["granted"], &marketing["policy_version"]),
            (&json!(false), &Value::Null)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_a_consent_is_refused_with_its_place() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let long = "x".repeat(4_001);
        for (more, place) in [
            (json!({ "purpose": "everything" }), "purpose"),
            (json!({ "purpose": null }), "MALFORMED_JSON"),
            (json!({ "subject_kind": "cookie" }), "subject_kind"),
            (json!({ "entity_type": "" }), "entity_type"),
            (json!({ "entity_id": "" }), "entity_id"),
            (json!({ "description": "" }), "description"),
            (json!({ "description": long }), "description"),
            (json!({ "granted_permissions": null }), "granted_permissions"),
            (json!({ "granted_permissions": ["admin:code"] }), "granted_permissions"),
            (
                json!({ "requested_permissions": vec!["a"; 101] }),
                "requested_permissions",
            ),
            (json!({ "text_hash": "abc" }), "text_hash"),
            (json!({ "expires_at": "2020-01-01T00:00:00Z" }), "expires_at"),
            (json!({ "expires_at": "soon" }), "expires_at"),
            (json!({ "shown_at": "2029-01-01T00:00:00Z" }), "shown_at"),
            (json!({ "policy_version": 0 }), "policy_version"),
            (json!({ "ip_address": "here" }), "ip_address"),
        ] {
            let answer = grant_in(&app, &ada, None, more.clone()).await.expect(422);
            assert!(answer.text.contains(place), "{more}: {}", answer.text);
        }
        assert_eq!(seen(&app, &ada.user_id, "").await.expect(200).body["total"], 0);
        let other = grant_in(&app, &ada, None, json!({ "policy_version": 7 }))
            .await
            .expect(409);
        assert_eq!(
            (other.code(), &other.body["policy_version"]),
            ("POLICY_CHANGED", &json!(1))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_have_every_consent_once_by_page_and_by_cursor() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let mut made = Vec::new();
        for n in 0..7 {
            made.push(granted(&app, &ada, json!({ "entity_id": format!("app{n}") })).await);
            if n % 2 == 0 {
                app.advance(std::time::Duration::from_secs(1));
            }
        }
        let ids = |answer: &polity_testing::Answer| -> Vec<String> {
            let items = answer.body["items"].as_array().unwrap();
            items.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
        };
        let mut paged = Vec::new();
        for page in 1..=3 {
            let answer = seen(&app, &ada.user_id, &format!("?page={page}&page_size=3"))
                .await
                .expect(200);
            assert_eq!((&answer.body["total"], &answer.body["page"]), (&json!(7), &json!(page)));
            paged.extend(ids(&answer));
        }
        let (mut walked, mut cursor) = (Vec::new(), String::new());
        loop {
            let answer = seen(&app, &ada.user_id, &format!("?page_size=2&cursor={cursor}"))
                .await
                .expect(200);
            assert!(answer.body.get("total").is_none());
            walked.extend(ids(&answer));
            match &answer.body["next_cursor"] {
                Value::String(next) => cursor.clone_from(next),
                _ => break,
            }
        }
        assert_eq!(walked, paged);
        let all = seen(&app, &ada.user_id, "").await.expect(200);
        assert_eq!(ids(&all), paged);
        let items = all.body["items"].as_array().unwrap();
        let times: Vec<&str> = items.iter().map(|one| one["granted_at"].as_str().unwrap()).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "newest first: {times:?}");
        // Within one moment the order is that of the ids, which of two processes' need not be that of time.
        paged.sort();
        made.sort();
        assert_eq!(paged, made);
        // Edge 17: not a silent cut.
        for wrong in ["?page_size=1000", "?page_size=0", "?page=0"] {
            seen(&app, &ada.user_id, wrong).await.expect(422);
        }
        seen(&app, &ada.user_id, "?cursor=nonsense").await.expect(400);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_has_more_than_they_may_and_a_key_grants_once() {
    let settings = json!({ "consent": { "most_per_person": 2 } });
    App::each_with(settings, async |app| {
        let ada = app.register("ada@example.com").await;
        let once = |entity: &str| {
            let ask = app
                .post(BASE)
                .bearer(&ada.access_token)
                .header("Idempotency-Key", "once");
            ask.json(&consent(json!({ "entity_id": entity }))).send()
        };
        let first = once("a").await.expect(201);
        let id = first.text_at("/id").to_owned();
        revoke(&app, &ada, &id).await.expect(200);
        // The first answer again, and nothing granted.
        assert_eq!(once("a").await.expect(201).body, first.body);
        assert_eq!(standing(&app, &ada.user_id, "third_party").await["granted"], false);
        once("b").await.expect(422);
        for entity in ["c", "d"] {
            granted(&app, &ada, json!({ "entity_id": entity })).await;
        }
        let more = grant_in(&app, &ada, None, json!({ "entity_id": "e" }))
            .await
            .expect(409);
        assert_eq!(more.code(), "TOO_MANY_CONSENTS");
        // Other terms for what is there are not one more.
        granted(&app, &ada, json!({ "entity_id": "d", "granted_permissions": [] })).await;
    })
    .await;
}

/// Each of them is kept for years.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_consents_without_end() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let mut last = None;
        for number in 0..320 {
            let more = json!({ "description": format!("Text {number}") });
            let made = grant_in(&app, &ada, None, more).await;
            if made.status != 201 {
                last = Some(made);
                break;
            }
        }
        let refused = last.expect("there is an end").expect(429);
        assert!(!refused.header("retry-after").is_empty());
        let bob = app.register("bob@example.com").await;
        grant_in(&app, &bob, None, json!({})).await.expect(201);
    })
    .await;
}
