//! Who means somebody else harm, or forgets what they promised: links of others, what others see, what is left behind.

use polity_testing::{App, Person};
use serde_json::{Value, json};

use super::{
    BASE, PAGE, app_id, begin_in, come_back, connected, connected_in, consent, cookies, disconnect, each, issue, look,
    patch, signed_in,
};

async fn organization(app: &App, owner: &Person, members: &[(&Person, &str)]) -> String {
    let body = json!({ "name": "Acme", "billing_email": owner.email });
    let ask = app.post("/api/v1/organizations").bearer(&owner.access_token);
    let made = ask.json(&body).send().await.expect(200);
    let id = made.text_at("/organization_id").to_owned();
    for (person, role) in members {
        let ask = app.post(&format!("/api/v1/organizations/{id}/members"));
        let body = json!({ "user_id": person.user_id, "role": role });
        ask.bearer(&owner.access_token).json(&body).send().await.expect(200);
    }
    id
}

fn path_of(url: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    format!("{}?{}", url.path(), url.query().unwrap_or_default())
}

#[tokio::test]
async fn a_link_leads_nobody_on_who_did_not_ask_for_it() {
    each(async |app, provider| {
        let app_id = app_id(app).await;
        let eve = app.register("eve@example.com").await;
        consent(app, &eve, None, &app_id, &["read"]).await;
        let begun = begin_in(app, &eve, None, json!({})).await.expect(201);
        // Eve sends her link to Ada, whom the provider would sign in without a question.
        let link = path_of(begun.text_at("/connect_url"));
        let page = app.get(&link).send().await.expect(200);
        assert!(page.header("location").is_empty() && !page.text.contains(&provider.url()));
        assert!(page.text.contains("eve@example.com") && page.text.contains("close this page"));
        // In the browser in which Eve began, it leads on.
        let own = begin_in(app, &eve, None, json!({})).await.expect(201);
        let link = path_of(own.text_at("/connect_url"));
        let sent = app.get(&link).header("Cookie", &cookies(&own)).send().await.expect(303);
        assert!(sent.header("location").starts_with(&provider.url()));
    })
    .await;
}

#[tokio::test]
async fn a_cookie_is_good_for_one_sign_in() {
    each(async |app, _| {
        let (ada, _, id) = connected(app).await;
        let again = async || {
            let ask = app.post(&format!("{BASE}/connections/{id}/reconnect"));
            ask.bearer(&ada.access_token).json(&json!({})).send().await.expect(200)
        };
        let (first, second) = (again().await, again().await);
        let back = signed_in(second.text_at("/authorize_url")).await;
        come_back(app, &back, &cookies(&first)).await.expect(400);
        come_back(app, &back, &cookies(&second)).await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn what_the_provider_says_of_an_account_is_its_owners() {
    each(async |app, _| {
        let app_id = app_id(app).await;
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let acme = organization(app, &ada, &[(&bob, "admin")]).await;
        consent(app, &ada, Some(&acme), &app_id, &["read"]).await;
        let id = connected_in(app, &ada, Some(&acme), json!({ "is_shared": true })).await;
        assert!(look(app, &ada, &id).await["external_user_data"].is_object());
        let found = look(app, &bob, &id).await;
        assert!(found.get("external_user_data").is_none(), "{found}");
        let root = app.admin().await;
        let found = look(app, &root, &id).await;
        assert!(found.get("external_user_data").is_none(), "{found}");
    })
    .await;
}

#[tokio::test]
async fn who_ends_anothers_connection_is_not_taken_for_its_owner() {
    each(async |app, _| {
        let app_id = app_id(app).await;
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let acme = organization(app, &ada, &[(&bob, "admin")]).await;
        consent(app, &ada, Some(&acme), &app_id, &["read"]).await;
        let id = connected_in(app, &ada, Some(&acme), json!({})).await;
        disconnect(app, &bob, &id).await.expect(200);
        let ask = app.get("/api/v1/integration/consents/export");
        let all = ask.bearer(&ada.access_token).send().await.expect(200);
        let entries = all.body["history"]["items"]
            .as_array()
            .or_else(|| all.body["history"].as_array())
            .unwrap_or_else(|| panic!("{}", all.text));
        let ended = entries.iter().find(|entry| entry["event"] == "revoked").unwrap();
        assert_eq!(ended["actor"], "system", "{ended}");
        assert!(ended.to_string().contains("disconnected"), "{ended}");
    })
    .await;
}

#[tokio::test]
async fn who_may_change_nothing_any_more_changes_no_connection() {
    each(async |app, _| {
        let app_id = app_id(app).await;
        let (ada, vic) = (
            app.register("ada@example.com").await,
            app.register("vic@example.com").await,
        );
        let acme = organization(app, &ada, &[(&vic, "member")]).await;
        consent(app, &vic, Some(&acme), &app_id, &["read"]).await;
        let id = connected_in(app, &vic, Some(&acme), json!({})).await;
        let begun = begin_in(app, &vic, Some(&acme), json!({})).await.expect(201);
        let back = signed_in(begun.text_at("/authorize_url")).await;
        let path = format!("/api/v1/organizations/{acme}/members/{}", vic.user_id);
        let ask = app.put(&path).bearer(&ada.access_token);
        ask.json(&json!({ "role": "viewer" })).send().await.expect(200);
        patch(app, &vic, &id, json!({ "is_shared": true })).await.expect(403);
        let ask = app.post(&format!("{BASE}/connections/{id}/reconnect"));
        ask.bearer(&vic.access_token).json(&json!({})).send().await.expect(403);
        come_back(app, &back, &cookies(&begun)).await.expect(400);
        disconnect(app, &vic, &id).await.expect(200);
    })
    .await;
}

/// Events and jobs that would end the connection are not waited for.
#[tokio::test]
async fn who_is_no_member_any_more_calls_nobody() {
    each(async |app, provider| {
        let app_id = app_id(app).await;
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let acme = organization(app, &ada, &[(&bob, "member")]).await;
        consent(app, &bob, Some(&acme), &app_id, &["read"]).await;
        let id = connected_in(app, &bob, Some(&acme), json!({})).await;
        let mut tx = app.ctx.db.begin().await.unwrap();
        tx.sql("update membership set status = 'suspended' where user_id = $1")
            .bind(bob.user_id.as_str())
            .execute()
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let body = json!({ "method": "GET", "url": format!("{}/api/x", provider.url()) });
        let ask = app.post(&format!("{BASE}/connections/{id}/proxy"));
        ask.bearer(&bob.access_token).json(&body).send().await.expect(404);
        let ask = app.post("/api/v1/tokens:issue").service().on_behalf_of(&bob.user_id);
        ask.json(&json!({ "connection_id": id })).send().await.expect(404);
    })
    .await;
}

#[tokio::test]
async fn what_a_page_allows_takes_nothing_from_other_connections() {
    each(async |app, provider| {
        let app_id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        consent(app, &ada, None, &app_id, &["read", "write"]).await;
        let first = connected_in(app, &ada, None, json!({ "scopes": ["write"] })).await;
        provider.sign_in_as("ada-at-work");
        let begun = begin_in(app, &ada, None, json!({ "scopes": ["admin"] }))
            .await
            .expect(201);
        let link = path_of(begun.text_at("/connect_url"));
        let page = app.get(&link).send().await.expect(200);
        let ticket = link.split_once("ticket=").unwrap().1;
        let ask = app.post(&format!("{BASE}/connect")).header("Cookie", &cookies(&page));
        let form = [("ticket", ticket), ("decision", "allow")];
        ask.form(&form).send().await.expect(200);
        assert_eq!(look(app, &ada, &first).await["status"], "active");
        issue(app, &first).await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn a_consent_that_is_withdrawn_ends_what_rests_on_it_whatever_failed_before() {
    each(async |app, _| {
        let app_id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        let consent = consent(app, &ada, None, &app_id, &["read"]).await;
        let first = begin_in(app, &ada, None, json!({})).await.expect(201);
        let id = connected_in(app, &ada, None, json!({})).await;
        // Sign-ins that came to nothing, before the one that did not.
        let mut tx = app.ctx.db.begin().await.unwrap();
        for number in 0..1_100 {
            tx.sql(
                "insert into oauth_connection (id, user_id, workspace_id, oauth_app_id, status, is_sync_enabled, is_shared,
                     requested_scopes, granted_scopes, missing_scopes, external_user_id, refresh_failures, is_opened,
                     created_at, updated_at, ended_at)
                 select $1, user_id, workspace_id, oauth_app_id, 'error', is_sync_enabled, is_shared, requested_scopes,
                     granted_scopes, missing_scopes, '', 0, false, created_at, updated_at, updated_at
                 from oauth_connection where id = $2",
            )
            .bind(format!("con_0{number:04}").as_str())
            .bind(first.text_at("/id"))
            .execute()
            .await
            .unwrap();
        }
        tx.commit().await.unwrap();
        let ask = app.delete(&format!("/api/v1/integration/consents/{consent}"));
        ask.bearer(&ada.access_token).send().await.expect(200);
        issue(app, &id).await.expect(409);
        assert_eq!(look(app, &ada, &id).await["status"], "revoked");
    })
    .await;
}

#[tokio::test]
async fn what_failed_does_not_keep_a_consent() {
    each(async |app, _| {
        let (ada, _, id) = connected(app).await;
        let begun = begin_in(app, &ada, None, json!({})).await.expect(201);
        let mut back = signed_in(begun.text_at("/authorize_url")).await;
        back.remove("code");
        back.insert("error".to_owned(), "access_denied".to_owned());
        come_back(app, &back, &cookies(&begun)).await.expect(400);
        disconnect(app, &ada, &id).await.expect(200);
        let ask = app.get("/api/v1/integration/consents").bearer(&ada.access_token);
        let all = ask.send().await.expect(200);
        assert_eq!(all.text_at("/items/0/status"), "revoked");
    })
    .await;
}

#[tokio::test]
async fn nobody_begins_without_end() {
    each(async |app, _| {
        let app_id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        consent(app, &ada, None, &app_id, &["read"]).await;
        let mut refused = None;
        for _ in 0..250 {
            let begun = begin_in(app, &ada, None, json!({})).await;
            if begun.status != 201 {
                refused = Some(begun);
                break;
            }
            disconnect(app, &ada, begun.text_at("/id")).await.expect(200);
            consent(app, &ada, None, &app_id, &["read"]).await;
        }
        let refused = refused.expect("there is an end").expect(429);
        assert!(!refused.header("retry-after").is_empty());
        // Another one may.
        let bob = app.register("bob@example.com").await;
        begin_in(app, &bob, None, json!({})).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn only_web_pages_are_sent_to() {
    each(async |app, _| {
        let app_id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        consent(app, &ada, None, &app_id, &["read"]).await;
        for value in [format!("blob:{PAGE}/1"), format!("filesystem:{PAGE}/1")] {
            let refused = begin_in(app, &ada, None, json!({ "return_to": value }))
                .await
                .expect(422);
            assert_eq!(refused.text_at("/errors/0/pointer"), "/return_to");
        }
        let way = json!({ "return_to": "HTTPS://APP.example.com:443/x" });
        begin_in(app, &ada, None, way).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn what_goes_wrong_inside_is_told_to_nobody() {
    each(async |app, _| {
        let app_id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        consent(app, &ada, None, &app_id, &["read"]).await;
        let begun = begin_in(app, &ada, None, json!({})).await.expect(201);
        let back = signed_in(begun.text_at("/authorize_url")).await;
        let mut tx = app.ctx.db.begin().await.unwrap();
        tx.sql("update oauth_app set client_secret = $1")
            .bind(&vec![7_u8; 60])
            .execute()
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let page = come_back(app, &back, &cookies(&begun)).await.expect(500);
        let found: Value = look(app, &ada, begun.text_at("/id")).await;
        assert_eq!(found["status"], "error");
        for told in [page.text.as_str(), found["error"].as_str().unwrap()] {
            assert!(!told.contains("seal") && !told.contains("key"), "{told}");
        }
    })
    .await;
}
