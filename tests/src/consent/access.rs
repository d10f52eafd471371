//! Who sees and changes what: a person their own, services for a person, administrators read.

use polity_testing::App;
use reqwest::Method;
use serde_json::json;

use super::{BASE, admin, consent, grant_in, granted, look, revoke, seen};
use crate::organization::{add, organization, remove};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_18_what_is_anothers_answers_like_what_is_not_there() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let eve = app.register("eve@example.com").await;
        let org = organization(&app, &ada, "A").await;
        let mine = granted(&app, &ada, json!({})).await;
        let in_org = grant_in(&app, &ada, Some(&org), json!({})).await.expect(201);
        let in_org = in_org.text_at("/id").to_owned();
        for id in [mine.as_str(), in_org.as_str(), "cns_none"] {
            for (method, tail) in [(Method::GET, ""), (Method::DELETE, ""), (Method::GET, "/history")] {
                let path = format!("{BASE}/{id}{tail}");
                let answer = app
                    .request(method, &path)
                    .bearer(&eve.access_token)
                    .send()
                    .await
                    .expect(404);
                assert_eq!(
                    (answer.code(), answer.text_at("/detail")),
                    ("CONSENT_NOT_FOUND", "Consent not found")
                );
            }
        }
        for workspace in [org.as_str(), ada.user_id.as_str(), "org_none"] {
            for (method, tail) in [
                (Method::POST, String::new()),
                (Method::GET, String::new()),
                (Method::GET, "/status".to_owned()),
                (Method::GET, format!("/{mine}")),
                (Method::DELETE, format!("/{mine}")),
                (Method::GET, format!("/{mine}/history")),
            ] {
                let path = format!("{BASE}{tail}?workspace_id={workspace}");
                let mut ask = app.request(method.clone(), &path).bearer(&eve.access_token);
                if method == Method::POST {
                    ask = ask.json(&consent(json!({})));
                }
                let answer = ask.send().await.expect(404);
                assert_eq!(answer.code(), "WORKSPACE_NOT_FOUND", "{path}");
            }
        }
        // One's own, but of another workspace.
        seen(&app, &ada.user_id, &format!("/{mine}?workspace_id={org}"))
            .await
            .expect(404);
        seen(&app, &ada.user_id, &format!("/{in_org}?workspace_id={org}"))
            .await
            .expect(200);
        assert_eq!(look(&app, &ada.user_id, &mine).await["is_active"], true);
        let listed = seen(&app, &ada.user_id, &format!("?workspace_id={org}"))
            .await
            .expect(200);
        assert_eq!(
            (&listed.body["total"], &listed.body["items"][0]["id"]),
            (&json!(1), &json!(in_org))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_left_an_organization_may_look_and_nothing_rests_there() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let bob = app.register("bob@example.com").await;
        let org = organization(&app, &ada, "A").await;
        add(&app, &ada, &org, &bob, "viewer").await.expect(200);
        let there = grant_in(&app, &bob, Some(&org), json!({})).await.expect(201);
        let there = there.text_at("/id").to_owned();
        let own = granted(&app, &bob, json!({})).await;
        remove(&app, &ada, &org, &bob).await.expect(200);
        app.settle().await;
        let ended = look(&app, &bob.user_id, &there).await;
        assert_eq!(
            (&ended["status"], &ended["end_reason"]),
            (&json!("revoked"), &json!("member_removed"))
        );
        assert_eq!(look(&app, &bob.user_id, &own).await["is_active"], true);
        assert_eq!(app.doubles.stopped(), [format!("ended {there} member_removed")]);
        grant_in(&app, &bob, Some(&org), json!({})).await.expect(404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_acts_for_a_person_and_says_from_where() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let said = json!({ "ip_address": "192.0.2.7", "user_agent": "Acme/2" });
        let ask = || app.post(BASE).service().json(&consent(said.clone()));
        // In its own name it is nobody.
        ask().send().await.expect(401);
        let made = ask().on_behalf_of(&ada.user_id).send().await.expect(201);
        assert_eq!(
            (made.text_at("/ip_address"), made.text_at("/user_agent")),
            ("192.0.2.7", "Acme/2")
        );
        let id = made.text_at("/id");
        let history = seen(&app, &ada.user_id, &format!("/{id}/history")).await.expect(200);
        assert_eq!(history.text_at("/items/0/actor"), "service");
        // A person says nothing about where they are.
        let own = grant_in(&app, &ada, None, json!({ "entity_id": "x", "ip_address": "192.0.2.7" })).await;
        assert_eq!(own.expect(201).text_at("/ip_address"), "127.0.0.1");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_read_and_nobody_else_does() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let root = app.admin().await;
        let id = granted(&app, &ada, json!({})).await;
        let paths = [
            format!("/users/{}", ada.user_id),
            format!("/users/{}/history", ada.user_id),
            "/chains".to_owned(),
            format!("/chains/{}", ada.user_id),
        ];
        for path in &paths {
            let path = format!("{BASE}/admin{path}");
            app.get(&path).bearer(&ada.access_token).send().await.expect(403);
            app.get(&path)
                .service()
                .on_behalf_of(&ada.user_id)
                .send()
                .await
                .expect(403);
            app.get(&path).bearer(&root.access_token).send().await.expect(200);
        }
        let listed = admin(&app, &paths[0]).await.expect(200);
        assert_eq!(
            (&listed.body["total"], listed.text_at("/items/0/id")),
            (&json!(1), id.as_str())
        );
        assert_eq!(admin(&app, "/users/usr_none").await.expect(200).body["total"], 0);
        assert_eq!(
            admin(&app, "/chains/usr_none").await.expect(404).code(),
            "CHAIN_NOT_FOUND"
        );
        // Reading is all: the consent is not theirs.
        app.delete(&format!("{BASE}/{id}"))
            .bearer(&root.access_token)
            .send()
            .await
            .expect(404);
        let chains = admin(&app, "/chains?is_whole=true").await.expect(200);
        assert_eq!(chains.body["items"].as_array().unwrap().len(), 1);
        assert_eq!(
            admin(&app, "/chains?is_whole=false").await.expect(200).body["items"],
            json!([])
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_a_program_opens_nothing_and_both_base_paths_do() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let made = app.post("/api/v1/integration/tokens").bearer(&ada.access_token);
        let token = made.json(&json!({ "name": "t" })).send().await.expect(201);
        let token = token.text_at("/token").to_owned();
        for tail in ["", "/status", "/export"] {
            app.get(&format!("{BASE}{tail}"))
                .bearer(&token)
                .send()
                .await
                .expect(401);
        }
        let id = granted(&app, &ada, json!({})).await;
        let alias = format!("/v1/integration/consents/{id}");
        app.get(&alias).bearer(&ada.access_token).send().await.expect(200);
        let health = app.get(&format!("{BASE}/health")).send().await.expect(200);
        assert_eq!(health.text_at("/status"), "healthy");
        revoke(&app, &ada, &id).await.expect(200);
    })
    .await;
}
