//! What a provider can do to us, and what its answers do to connections that work.

use std::{path::Path, time::Duration};

use polity_testing::{
    App, Backend,
    provider::{Endpoint, Fault, Provider, Rotation, Settings},
};
use serde_json::{Value, json};

use super::{
    APPS, BASE, app_id, begin_in, come_back, connected, consent, cookies, each, each_with, issue, look, new_app, said,
    seen, signed_in,
};

async fn call(app: &App, person: &polity_testing::Person, id: &str, body: Value) -> polity_testing::Answer {
    let ask = app.post(&format!("{BASE}/connections/{id}/proxy"));
    ask.bearer(&person.access_token).json(&body).send().await
}

fn get(provider: &Provider) -> Value {
    json!({ "method": "GET", "url": format!("{}/api/thing", provider.url()) })
}

/// Providers whose tokens last, and are not refreshed, such as GitHub's.
const LASTING: &str = "refresh = \"none\"\nrecovery = \"reauthorize\"";

#[tokio::test]
async fn what_cannot_be_refreshed_is_not_ended_by_the_wish() {
    each_with(Settings::default(), LASTING, async |app, _| {
        let (ada, _, id) = connected(app).await;
        app.advance(Duration::from_mins(2));
        let ask = app.post(&format!("{BASE}/connections/{id}/refresh"));
        ask.bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(look(app, &ada, &id).await["status"], "active");
        issue(app, &id).await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn one_refusal_does_not_end_a_connection_and_a_dead_token_does() {
    each_with(Settings::default(), LASTING, async |app, provider| {
        let (ada, _, id) = connected(app).await;
        app.advance(Duration::from_mins(2));
        // An address that takes no bearer tokens at all.
        provider.fault(Endpoint::Api, Fault::Status(401));
        let answer = call(app, &ada, &id, get(provider)).await.expect(200);
        assert_eq!(answer.body["status"], 401);
        assert_eq!(look(app, &ada, &id).await["status"], "active");
        let token = issue(app, &id).await.expect(200).text_at("/access_token").to_owned();
        provider.end_grant(&token);
        let refused = call(app, &ada, &id, get(provider)).await.expect(409);
        assert_eq!(refused.code(), "NEEDS_REAUTHORIZATION");
        assert_eq!(look(app, &ada, &id).await["status"], "expired");
    })
    .await;
}

#[tokio::test]
async fn a_sign_in_that_fails_takes_nothing_from_the_account_that_is_connected() {
    each(async |app, provider| {
        let (ada, _, id) = connected(app).await;
        let ask = app.post(&format!("{BASE}/connections/{id}/reconnect"));
        let begun = ask.bearer(&ada.access_token).json(&json!({})).send().await.expect(200);
        provider.fault(Endpoint::Token, Fault::Scope("other".into()));
        let back = signed_in(begun.text_at("/authorize_url")).await;
        come_back(app, &back, &cookies(&begun)).await.expect(400);
        app.settle().await;
        // Many providers end every token of the account with one.
        assert_eq!(provider.calls(Endpoint::Revoke), 0);
        provider.fault(Endpoint::Userinfo, Fault::Status(500));
        let ask = app.post(&format!("{BASE}/connections/{id}/reconnect"));
        let begun = ask.bearer(&ada.access_token).json(&json!({})).send().await.expect(200);
        let back = signed_in(begun.text_at("/authorize_url")).await;
        come_back(app, &back, &cookies(&begun)).await.expect(400);
        app.settle().await;
        assert_eq!(provider.calls(Endpoint::Revoke), 0);
        assert_eq!(look(app, &ada, &id).await["status"], "active");
    })
    .await;
}

#[tokio::test]
async fn a_call_is_recorded_whatever_comes_of_it() {
    each(async |app, provider| {
        let (ada, _, id) = connected(app).await;
        provider.fault(Endpoint::Api, Fault::DropAfter);
        call(app, &ada, &id, get(provider)).await.expect(503);
        let called = said(app, "connection.called").await;
        assert_eq!((called.len(), &called[0].data["status"]), (1, &json!(null)));
        // Who goes away meanwhile leaves a trace too.
        provider.fault(Endpoint::Api, Fault::Slow(Duration::from_millis(400)));
        let left = call(app, &ada, &id, get(provider));
        assert!(tokio::time::timeout(Duration::from_millis(150), left).await.is_err());
        for _ in 0..100 {
            if said(app, "connection.called").await.len() == 2 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the call was not recorded");
    })
    .await;
}

#[tokio::test]
async fn a_browser_that_goes_away_takes_no_tokens_along() {
    each(async |app, provider| {
        let app_id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        consent(app, &ada, None, &app_id, &["read"]).await;
        let begun = begin_in(app, &ada, None, json!({})).await.expect(201);
        let back = signed_in(begun.text_at("/authorize_url")).await;
        provider.fault(Endpoint::Token, Fault::Slow(Duration::from_millis(400)));
        let cookie = cookies(&begun);
        let left = come_back(app, &back, &cookie);
        assert!(tokio::time::timeout(Duration::from_millis(150), left).await.is_err());
        for _ in 0..100 {
            if look(app, &ada, begun.text_at("/id")).await["status"] == "active" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the tokens were lost");
    })
    .await;
}

#[tokio::test]
async fn a_token_that_cannot_be_used_connects_nobody() {
    each(async |app, provider| {
        let app_id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        consent(app, &ada, None, &app_id, &["read"]).await;
        provider.fault(Endpoint::Token, Fault::TokenType("mac".into()));
        let begun = begin_in(app, &ada, None, json!({})).await.expect(201);
        let back = signed_in(begun.text_at("/authorize_url")).await;
        come_back(app, &back, &cookies(&begun)).await.expect(400);
        assert_eq!(look(app, &ada, begun.text_at("/id")).await["status"], "error");
    })
    .await;
}

#[tokio::test]
async fn a_provider_whose_tokens_last_no_time_is_not_asked_without_end() {
    let like = Settings {
        rotation: Rotation::Stable,
        ..Settings::default()
    };
    each_with(like, "", async |app, provider| {
        for _ in 0..40 {
            provider.fault(Endpoint::Token, Fault::ExpiresIn(0));
        }
        let (ada, _, id) = connected(app).await;
        app.advance(Duration::from_millis(1_500));
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(provider.refreshed() <= 2, "{} refreshes", provider.refreshed());
        assert_eq!(seen(app, &ada, &id).await["status"], "active");
    })
    .await;
}

async fn with_catalogue(app_at: Backend, folder: &Path, provider: &Provider, test: impl AsyncFn(&App)) {
    let settings = super::settings(provider, folder, "");
    if let Some(app) = App::start_on(app_at, settings).await {
        test(&app).await;
    }
}

#[tokio::test]
async fn an_app_whose_provider_is_gone_hides_no_other() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let provider = Provider::start(Settings::default()).await;
        let folder = tempfile::tempdir().unwrap();
        with_catalogue(backend, folder.path(), &provider, async |app| {
            app_id(app).await;
            let gone = new_app(app, json!({ "name": "gone", "provider": "github" }))
                .await
                .expect(201);
            let mut tx = app.ctx.db.begin().await.unwrap();
            tx.sql("update oauth_app set provider = 'gone' where name = 'gone'")
                .execute()
                .await
                .unwrap();
            tx.commit().await.unwrap();
            let ada = app.register("ada@example.com").await;
            let ask = app.get(&format!("{BASE}/apps")).bearer(&ada.access_token);
            assert_eq!(ask.send().await.expect(200).body["total"], 1);
            let path = format!("{APPS}/{}", gone.text_at("/id"));
            let list = app.get(APPS).service().send().await.expect(200);
            assert_eq!(list.body["total"], 2);
            let found = app.get(&path).service().send().await.expect(200);
            assert_eq!(
                (&found.body["provider"], &found.body["token_url"]),
                (&json!("gone"), &json!(null))
            );
            let ask = app.request(reqwest::Method::PATCH, &path).service();
            ask.json(&json!({ "is_enabled": false })).send().await.expect(200);
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_provider_repeats_of_the_token_is_not_told() {
    each(async |app, provider| {
        let (ada, _, id) = connected(app).await;
        let token = issue(app, &id).await.expect(200).text_at("/access_token").to_owned();
        let mut body = get(provider);
        body["url"] = format!("{}/api/next?a={token}&b={token}!", provider.url()).into();
        let answer = call(app, &ada, &id, body).await.expect(200);
        assert!(!answer.text.contains(&token), "{}", answer.text);
        assert_eq!(answer.text_at("/json/query"), "a=[hidden]&b=[hidden]!");
    })
    .await;
}
