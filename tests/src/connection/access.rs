//! Whose connections are whose (edge cases 16 to 18), and what a token's scopes are for.

use polity_testing::{App, Person};
use serde_json::{Value, json};

use super::{BASE, app_id, begin_in, connected, connected_in, consent, disconnect, each, issue, patch};

/// A token of a person's with these scopes, in a workspace.
async fn token(app: &App, person: &Person, workspace: &str, scopes: Value) -> String {
    let ask = app.post(&format!("/api/v1/integration/tokens?workspace_id={workspace}"));
    let made = ask
        .bearer(&person.access_token)
        .json(&json!({ "name": "t", "scopes": scopes }))
        .send()
        .await;
    made.expect(201).text_at("/token").to_owned()
}

async fn organization(app: &App, owner: &Person, members: &[(&Person, &str)]) -> String {
    let body = json!({ "name": "Acme", "billing_email": owner.email });
    let made = app
        .post("/api/v1/organizations")
        .bearer(&owner.access_token)
        .json(&body)
        .send()
        .await;
    let id = made.expect(200).text_at("/organization_id").to_owned();
    for (person, role) in members {
        let body = json!({ "user_id": person.user_id, "role": role });
        let ask = app
            .post(&format!("/api/v1/organizations/{id}/members"))
            .bearer(&owner.access_token);
        ask.json(&body).send().await.expect(200);
    }
    id
}

#[tokio::test]
async fn another_tenants_connection_is_not_there() {
    each(async |app, _| {
        let (_, _, id) = connected(app).await;
        let eve = app.register("eve@example.com").await;
        let acme = organization(app, &eve, &[]).await;
        let one = format!("{BASE}/connections/{id}");
        for path in [one.clone(), format!("{one}?workspace_id={acme}"), format!("{one}/uses")] {
            let refused = app.get(&path).bearer(&eve.access_token).send().await.expect(404);
            assert_eq!(refused.code(), "CONNECTION_NOT_FOUND");
        }
        patch(app, &eve, &id, json!({})).await.expect(404);
        disconnect(app, &eve, &id).await.expect(404);
        for path in ["refresh", "reconnect", "proxy"] {
            let body = json!({ "method": "GET", "url": "https://x.example/" });
            let ask = app.post(&format!("{one}/{path}")).bearer(&eve.access_token);
            let body = if path == "proxy" { body } else { json!({}) };
            ask.json(&body).send().await.expect(404);
        }
        let mine = token(app, &eve, &acme, json!(["issue:tokens"])).await;
        let ask = app.post("/api/v1/tokens:issue").header("X-API-Key", &mine);
        ask.json(&json!({ "connection_id": id })).send().await.expect(404);
        let list = app
            .get(&format!("{BASE}/connections"))
            .bearer(&eve.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(list.body["total"], 0);
    })
    .await;
}

#[tokio::test]
async fn a_persons_browser_gets_no_token_and_a_program_needs_the_scope() {
    each(async |app, provider| {
        let (ada, _, id) = connected(app).await;
        let ask = async |credential: (&str, &str)| {
            let ask = app.post("/api/v1/tokens:issue").header(credential.0, credential.1);
            ask.json(&json!({ "connection_id": id })).send().await
        };
        let bearer = format!("Bearer {}", ada.access_token);
        let refused = ask(("Authorization", &bearer)).await.expect(403);
        assert_eq!(
            (refused.code(), refused.text_at("/required_scope")),
            ("SCOPE_REQUIRED", "issue:tokens")
        );
        let reader = token(app, &ada, &ada.user_id, json!(["read:connections"])).await;
        assert_eq!(ask(("X-API-Key", &reader)).await.expect(403).code(), "SCOPE_REQUIRED");
        let issuer = token(app, &ada, &ada.user_id, json!(["issue:tokens"])).await;
        let issued = ask(("X-API-Key", &issuer)).await.expect(200);
        assert!(provider.is_live(issued.text_at("/access_token")));
        let one = format!("{BASE}/connections/{id}");
        app.get(&one).header("X-API-Key", &reader).send().await.expect(200);
        app.get(&one).header("X-API-Key", &issuer).send().await.expect(403);
        app.delete(&one).header("X-API-Key", &reader).send().await.expect(403);
        app.get(&one).send().await.expect(401);
        app.post("/api/v1/tokens:issue")
            .json(&json!({ "connection_id": id }))
            .send()
            .await
            .expect(401);
        app.post("/api/v1/tokens:issue")
            .service()
            .json(&json!({}))
            .send()
            .await
            .expect(422);
    })
    .await;
}

#[tokio::test]
async fn a_shared_connection_is_its_workspaces() {
    each(async |app, _| {
        let app_id = app_id(app).await;
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let acme = organization(app, &ada, &[(&bob, "admin")]).await;
        consent(app, &ada, Some(&acme), &app_id, &["read"]).await;
        let id = connected_in(app, &ada, Some(&acme), json!({})).await;
        let bobs = token(app, &bob, &acme, json!(["issue:tokens", "read:connections"])).await;
        let take = async || {
            let ask = app.post("/api/v1/tokens:issue").header("X-API-Key", &bobs);
            ask.json(&json!({ "connection_id": id })).send().await
        };
        take().await.expect(404);
        patch(app, &bob, &id, json!({ "is_shared": true })).await.expect(404);
        patch(app, &ada, &id, json!({ "is_shared": true })).await.expect(200);
        take().await.expect(200);
        let list = app
            .get(&format!("{BASE}/connections"))
            .header("X-API-Key", &bobs)
            .send()
            .await
            .expect(200);
        assert_eq!(list.body["items"][0]["id"], json!(id));
        patch(app, &ada, &id, json!({ "is_shared": false })).await.expect(200);
        take().await.expect(404);
        // Who runs the workspace sees and ends it all the same.
        let path = format!("{BASE}/connections?workspace_id={acme}&everybody=true");
        let list = app.get(&path).bearer(&bob.access_token).send().await.expect(200);
        assert_eq!(list.body["total"], 1);
        disconnect(app, &bob, &id).await.expect(200);
        issue(app, &id).await.expect(409);
    })
    .await;
}

#[tokio::test]
async fn viewers_and_strangers_begin_nothing() {
    each(async |app, _| {
        let app_id = app_id(app).await;
        let (ada, vic, eve) = (
            app.register("ada@example.com").await,
            app.register("vic@example.com").await,
            app.register("eve@example.com").await,
        );
        let acme = organization(app, &ada, &[(&vic, "viewer")]).await;
        begin_in(app, &vic, Some(&acme), json!({})).await.expect(403);
        assert_eq!(
            begin_in(app, &eve, Some(&acme), json!({})).await.expect(404).code(),
            "WORKSPACE_NOT_FOUND"
        );
        begin_in(app, &eve, None, json!({ "oauth_app_id": "nothing" }))
            .await
            .expect(404);
        begin_in(app, &eve, None, json!({ "oauth_app_id": app_id, "scopes": ["a b"] }))
            .await
            .expect(422);
        let path = format!("{BASE}/connections?workspace_id={acme}&everybody=true");
        app.get(&path).bearer(&vic.access_token).send().await.expect(403);
        app.get(&format!("{BASE}/connections?page_size=1000"))
            .bearer(&eve.access_token)
            .send()
            .await
            .expect(422);
        app.get(&format!("{BASE}/connections?cursor=x"))
            .bearer(&eve.access_token)
            .send()
            .await
            .expect(400);
    })
    .await;
}

#[tokio::test]
async fn pages_and_parts_have_everything_once() {
    each(async |app, provider| {
        let (ada, _, _) = connected(app).await;
        for n in 0..4 {
            provider.sign_in_as(&format!("account {n}"));
            connected_in(app, &ada, None, json!({})).await;
        }
        let list = async |query: &str| {
            let ask = app.get(&format!("{BASE}/connections?{query}"));
            ask.bearer(&ada.access_token).send().await.expect(200)
        };
        let ids = |answer: &polity_testing::Answer| -> Vec<String> {
            let items = answer.body["items"].as_array().unwrap();
            items.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
        };
        let all = list("").await;
        assert_eq!((all.body["total"].as_i64(), ids(&all).len()), (Some(5), 5));
        let pages = [list("page=1&page_size=3").await, list("page=2&page_size=3").await];
        assert_eq!([ids(&pages[0]), ids(&pages[1])].concat(), ids(&all));
        let first = list("cursor=&page_size=3").await;
        let rest = list(&format!("page_size=3&cursor={}", first.text_at("/next_cursor"))).await;
        assert_eq!([ids(&first), ids(&rest)].concat(), ids(&all));
        assert_eq!(list("status=active").await.body["total"], 5);
        assert_eq!(list("status=expired").await.body["total"], 0);
    })
    .await;
}

#[tokio::test]
async fn a_person_has_only_so_many() {
    let provider = polity_testing::provider::Provider::start(polity_testing::provider::Settings::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = super::settings(&provider, folder.path(), "");
    settings["connection"]["most_per_person"] = 2.into();
    App::each_with(settings, async |app| {
        app_id(&app).await;
        let ada = app.register("ada@example.com").await;
        begin_in(&app, &ada, None, json!({})).await.expect(201);
        begin_in(&app, &ada, None, json!({})).await.expect(201);
        let refused = begin_in(&app, &ada, None, json!({})).await.expect(409);
        assert_eq!(refused.code(), "TOO_MANY_CONNECTIONS");
    })
    .await;
}

#[tokio::test]
async fn the_status_of_a_workspace_counts_connections() {
    each(async |app, _| {
        let (ada, _, _) = connected(app).await;
        let found = app
            .get("/api/v1/integration/status")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(found.body["oauth_connections_count"], 1);
    })
    .await;
}

#[tokio::test]
async fn the_same_key_begins_once() {
    each(async |app, _| {
        let (ada, _, _) = connected(app).await;
        let ask = async || {
            let ask = app.post(&format!("{BASE}/connections")).bearer(&ada.access_token);
            let ask = ask
                .header("Idempotency-Key", "one")
                .json(&json!({ "oauth_app_id": "double" }));
            ask.send().await.expect(201)
        };
        let (first, second) = (ask().await, ask().await);
        assert_eq!(first.body, second.body);
        // Whose first answer got lost on its way can go on with the second.
        assert_eq!(super::cookies(&first), super::cookies(&second));
        // The alias is the same operation.
        let list = app
            .get("/v1/integration/oauth/connections")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(list.body["total"], 2);
    })
    .await;
}
