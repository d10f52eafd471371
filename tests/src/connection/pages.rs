//! The page that asks for consent, and the way back to whoever opened it.

use polity_testing::{App, Person};
use serde_json::json;

use super::{BASE, PAGE, app_id, begin_in, come_back, consent, cookies, each, issue, look, said, signed_in};

/// A link of somebody who has not consented.
async fn link(app: &App, person: &Person, more: serde_json::Value) -> (String, String) {
    let begun = begin_in(app, person, None, more).await.expect(201);
    assert_eq!(begun.body["consent_required"], true);
    assert_eq!(begun.text_at("/authorize_url"), begun.text_at("/connect_url"));
    assert!(begun.header("set-cookie").is_empty());
    let url = url::Url::parse(begun.text_at("/connect_url")).unwrap();
    (
        begun.text_at("/id").to_owned(),
        format!("{}?{}", url.path(), url.query().unwrap()),
    )
}

fn ticket(link: &str) -> &str {
    link.split_once("ticket=").unwrap().1
}

async fn decide(app: &App, link: &str, cookie: &str, decision: &str) -> polity_testing::Answer {
    let ask = app.post(&format!("{BASE}/connect")).header("Cookie", cookie);
    ask.form(&[("ticket", ticket(link)), ("decision", decision)])
        .send()
        .await
}

/// Where a page leads on to.
fn leads_to(page: &str) -> String {
    let start = page.split_once("content=\"0; url=").unwrap().1;
    start.split_once('"').unwrap().0.replace("&amp;", "&")
}

#[tokio::test]
async fn the_page_asks_and_leads_on() {
    each(async |app, provider| {
        app_id(app).await;
        let ada = app.register("ada@example.com").await;
        let (id, link) = link(app, &ada, json!({ "opener": PAGE })).await;
        let page = app.get(&link).send().await.expect(200);
        let policy = page.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'nonce-") && policy.contains("frame-ancestors 'none'")
        );
        assert!(page.text.contains("<code>read</code>") && page.text.contains("ada@example.com"));
        assert!(!page.text.contains("src=") && !page.text.contains("http://"));
        let cookie = cookies(&page);
        let on = decide(app, &link, &cookie, "allow").await.expect(200);
        let url = leads_to(&on.text);
        assert!(url.starts_with(&provider.url()));
        let back = signed_in(&url).await;
        let end = come_back(app, &back, &cookie).await.expect(200);
        assert!(end.text.contains(&format!("data-opener=\"{PAGE}\"")) && end.text.contains("window.opener"));
        assert!(end.header("content-security-policy").contains("script-src 'nonce-"));
        issue(app, &id).await.expect(200);
        // What they read is what their consent says.
        let ask = app
            .get("/api/v1/integration/consents")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(ask.body["items"][0]["granted_permissions"], json!(["read"]));
        assert!(ask.text_at("/items/0/description").contains("double account"));
        assert_eq!(said(app, "connection.created").await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_link_is_for_one_browser_and_ends() {
    each(async |app, _| {
        app_id(app).await;
        let ada = app.register("ada@example.com").await;
        let (id, link) = link(app, &ada, json!({})).await;
        let cookie = cookies(&app.get(&link).send().await.expect(200));
        app.get(&link).send().await.expect(400);
        app.get(&link).header("Cookie", &cookie).send().await.expect(200);
        decide(app, &link, "", "allow").await.expect(400);
        decide(app, &link, "polity_connect_x=y", "deny").await.expect(400);
        decide(app, &link, &cookie, "maybe").await.expect(422);
        assert_eq!(look(app, &ada, &id).await["status"], "pending");
        let end = decide(app, &link, &cookie, "deny").await.expect(400);
        assert!(end.text.contains("access_denied"));
        assert_eq!(look(app, &ada, &id).await["status"], "error");
        decide(app, &link, &cookie, "allow").await.expect(400);
        app.get(&format!("{BASE}/connect?ticket=unknown"))
            .send()
            .await
            .expect(400);
        app.get(&format!("{BASE}/connect")).send().await.expect(400);
    })
    .await;
}

#[tokio::test]
async fn who_has_consented_is_not_asked_again() {
    each(async |app, provider| {
        let app_id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        let (_, link) = link(app, &ada, json!({})).await;
        consent(app, &ada, None, &app_id, &["read"]).await;
        // A browser in which nobody began has to click; what was consented to stays as it was.
        let page = app.get(&link).send().await.expect(200);
        let on = decide(app, &link, &cookies(&page), "allow").await.expect(200);
        let url = leads_to(&on.text);
        assert!(url.starts_with(&provider.url()));
        let back = signed_in(&url).await;
        come_back(app, &back, &cookies(&page)).await.expect(200);
        let ask = app.get("/api/v1/integration/consents").bearer(&ada.access_token);
        assert_eq!(ask.send().await.expect(200).body["total"], 1);
    })
    .await;
}

#[tokio::test]
async fn only_known_origins_are_told_or_sent_to() {
    each(async |app, provider| {
        let app_id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        consent(app, &ada, None, &app_id, &["read"]).await;
        for (name, value) in [
            ("return_to", "https://evil.example/"),
            ("return_to", "https://app.example.com.evil.example/"),
            ("return_to", "https://user@app.example.com/"),
            ("return_to", "javascript:alert(1)"),
            ("return_to", "/here"),
            ("opener", "https://evil.example"),
            ("opener", "null"),
        ] {
            let refused = begin_in(app, &ada, None, json!({ name: value })).await.expect(422);
            assert_eq!(refused.text_at("/errors/0/pointer"), format!("/{name}"), "{value}");
        }
        let way = json!({ "return_to": format!("{PAGE}/done?x=1") });
        let begun = begin_in(app, &ada, None, way).await.expect(201);
        let back = signed_in(begun.text_at("/authorize_url")).await;
        let end = come_back(app, &back, &cookies(&begun)).await.expect(303);
        let id = begun.text_at("/id");
        assert_eq!(
            end.header("location"),
            format!("{PAGE}/done?x=1&connection_id={id}&status=active")
        );
        // Also when it did not work.
        provider.sign_in_as("bob");
        let begun = begin_in(app, &ada, None, json!({ "return_to": PAGE }))
            .await
            .expect(201);
        let mut back = signed_in(begun.text_at("/authorize_url")).await;
        back.remove("code");
        back.insert("error".to_owned(), "<script>".to_owned());
        let end = come_back(app, &back, &cookies(&begun)).await.expect(303);
        assert!(
            end.header("location").ends_with("&status=error"),
            "{}",
            end.header("location")
        );
    })
    .await;
}

#[tokio::test]
async fn a_link_that_is_opened_again_and_again_leaves_one_sign_in_behind() {
    each(async |app, _| {
        let app_id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        consent(app, &ada, None, &app_id, &["read"]).await;
        let begun = begin_in(app, &ada, None, json!({})).await.expect(201);
        let url = url::Url::parse(begun.text_at("/connect_url")).unwrap();
        let link = format!("{}?{}", url.path(), url.query().unwrap());
        for _ in 0..3 {
            app.get(&link)
                .header("Cookie", &cookies(&begun))
                .send()
                .await
                .expect(303);
        }
        let mut read = app.ctx.db.read().await.unwrap();
        let kept = "select count(*) from integration_pending_authorization";
        assert_eq!(read.sql(kept).one::<(i64,)>().await.unwrap(), (1,));
    })
    .await;
}
