//! Tokens that are handed out, calls through Polity, refreshes, and who did (5.4.2, 5.4.3).

use std::time::Duration;

use polity_testing::{
    Answer, App, Person,
    provider::{Endpoint, Fault, Provider, Settings},
};
use serde_json::{Value, json};

use super::{BASE, connected, each, issue, look, patch, said, seen};

async fn call(app: &App, person: &Person, id: &str, body: Value) -> Answer {
    let ask = app.post(&format!("{BASE}/connections/{id}/proxy"));
    ask.bearer(&person.access_token).json(&body).send().await
}

fn get(provider: &Provider, path: &str) -> Value {
    json!({ "method": "GET", "url": format!("{}/api{path}", provider.url()) })
}

#[tokio::test]
async fn a_token_near_its_end_is_refreshed_once_for_everybody() {
    each(async |app, provider| {
        let (ada, _, id) = connected(app).await;
        let first = issue(app, &id).await.expect(200).text_at("/access_token").to_owned();
        app.advance(Duration::from_mins(58));
        provider.advance(Duration::from_mins(58));
        let all = futures::future::join_all((0..30).map(|_| issue(app, &id))).await;
        assert!(
            all.iter().all(|one| one.status == 200),
            "while it is refreshed, the old one works"
        );
        let mut now = first.clone();
        for _ in 0..100 {
            now = issue(app, &id).await.expect(200).text_at("/access_token").to_owned();
            if now != first {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(now != first && provider.is_live(&now));
        app.settle().await;
        assert_eq!((provider.refreshed(), provider.reuses()), (1, 0));
        let found = look(app, &ada, &id).await;
        assert_eq!(
            (&found["status"], &found["refresh_failures"]),
            (&json!("active"), &json!(0))
        );
        assert_eq!(said(app, "connection.refreshed").await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_the_provider_ended_says_so() {
    each(async |app, provider| {
        let (ada, _, id) = connected(app).await;
        let token = issue(app, &id).await.expect(200).text_at("/access_token").to_owned();
        provider.end_grant(&token);
        app.advance(Duration::from_hours(2));
        let refused = issue(app, &id).await.expect(409);
        assert_eq!(refused.code(), "NEEDS_REAUTHORIZATION");
        let found = seen(app, &ada, &id).await;
        assert_eq!(
            (&found["status"], &found["error"]),
            (&json!("expired"), &json!("invalid_grant"))
        );
        let said = said(app, "connection.expired").await;
        assert_eq!((said.len(), &said[0].data["reason"]), (1, &json!("invalid_grant")));
        assert!(app.last_mail_to("ada@example.com").contains("double"));
    })
    .await;
}

#[tokio::test]
async fn what_fails_for_now_changes_nothing() {
    each(async |app, provider| {
        let (ada, _, id) = connected(app).await;
        app.advance(Duration::from_hours(2));
        provider.fault(Endpoint::Token, Fault::Status(503));
        let refused = issue(app, &id).await.expect(503);
        assert_eq!(refused.code(), "UNAVAILABLE");
        assert!(!refused.header("retry-after").is_empty());
        let found = seen(app, &ada, &id).await;
        assert_eq!(
            (&found["status"], &found["refresh_failures"]),
            (&json!("active"), &json!(1))
        );
        app.advance(Duration::from_mins(1));
        issue(app, &id).await.expect(200);
        assert_eq!(seen(app, &ada, &id).await["refresh_failures"], 0);
    })
    .await;
}

#[tokio::test]
async fn a_call_carries_the_token_and_no_more() {
    each(async |app, provider| {
        let (ada, _, id) = connected(app).await;
        let mut body = get(provider, "/thing?q=1");
        body["headers"] = json!({ "x-echo": "yes" });
        let answer = call(app, &ada, &id, body).await.expect(200);
        assert_eq!(
            (&answer.body["status"], answer.text_at("/json/path")),
            (&json!(200), "/api/thing")
        );
        assert_eq!(answer.text_at("/json/headers/x-echo"), "yes");
        for name in ["cookie", "x-user-id", "x-forwarded-for"] {
            assert!(
                answer.body.pointer(&format!("/json/headers/{name}")).is_none(),
                "{name}"
            );
        }
        let token = issue(app, &id).await.expect(200);
        assert!(
            !answer.text.contains(token.text_at("/access_token")),
            "the caller does not see it"
        );
        let post = json!({ "method": "POST", "url": format!("{}/api/things", provider.url()), "json": { "a": 1 } });
        let answer = call(app, &ada, &id, post).await.expect(200);
        assert_eq!(answer.text_at("/json/method"), "POST");
        let called = said(app, "connection.called").await;
        assert_eq!(
            (called.len(), &called[0].data["url"]),
            (2, &json!("127.0.0.1/api/thing"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_call_goes_to_the_provider_alone() {
    each(async |app, provider| {
        let (ada, _, id) = connected(app).await;
        let elsewhere = Provider::start(Settings::default()).await;
        for url in [
            "https://evil.example/".to_owned(),
            format!("https://127.0.0.1.evil.example/{}", provider.url()),
            format!("{}/api/x", elsewhere.url()),
            provider.url().replace("http://", "http://user:pass@"),
            provider.url().replace("127.0.0.1", "localhost"),
            "http://169.254.169.254/latest/meta-data".to_owned(),
            "file:///etc/passwd".to_owned(),
            "nonsense".to_owned(),
        ] {
            let refused = call(app, &ada, &id, json!({ "method": "GET", "url": url }))
                .await
                .expect(422);
            assert_eq!(refused.text_at("/errors/0/pointer"), "/url", "{url}");
        }
        for name in [
            "Authorization",
            "host",
            "Cookie",
            "X-Forwarded-For",
            "Transfer-Encoding",
        ] {
            let mut body = get(provider, "/x");
            body["headers"] = json!({ name: "x" });
            let refused = call(app, &ada, &id, body).await.expect(422);
            assert_eq!(refused.text_at("/errors/0/pointer"), "/headers", "{name}");
        }
        let mut body = get(provider, "/x");
        body["text"] = "a".into();
        body["json"] = json!({});
        call(app, &ada, &id, body).await.expect(422);
        assert_eq!(elsewhere.calls(Endpoint::Api) + provider.calls(Endpoint::Api), 0);
    })
    .await;
}

#[tokio::test]
async fn a_call_that_is_refused_is_made_once_more_with_a_fresh_token() {
    each(async |app, provider| {
        let (ada, _, id) = connected(app).await;
        let token = issue(app, &id).await.expect(200).text_at("/access_token").to_owned();
        provider.end_access(&token);
        app.advance(Duration::from_mins(2));
        let answer = call(app, &ada, &id, get(provider, "/thing")).await.expect(200);
        assert_eq!(answer.body["status"], 200);
        assert_eq!((provider.refreshed(), provider.calls(Endpoint::Api)), (1, 2));
        // A second refusal is the provider's answer, not another refresh.
        provider.fault(Endpoint::Api, Fault::Status(401));
        provider.fault(Endpoint::Api, Fault::Status(401));
        app.advance(Duration::from_mins(2));
        let answer = call(app, &ada, &id, get(provider, "/thing")).await.expect(200);
        assert_eq!(answer.body["status"], 401);
        assert_eq!((provider.refreshed(), provider.reuses()), (2, 0));
        provider.fault(Endpoint::Api, Fault::Huge);
        let refused = call(app, &ada, &id, get(provider, "/thing")).await.expect(502);
        assert_eq!(refused.code(), "PROVIDER_FAILED");
    })
    .await;
}

#[tokio::test]
async fn its_owner_may_refresh_and_pause_it() {
    each(async |app, provider| {
        let (ada, _, id) = connected(app).await;
        let refresh = async || {
            let ask = app.post(&format!("{BASE}/connections/{id}/refresh"));
            ask.bearer(&ada.access_token).send().await
        };
        // One that is new needs none.
        refresh().await.expect(200);
        assert_eq!(provider.refreshed(), 0);
        app.advance(Duration::from_mins(2));
        refresh().await.expect(200);
        assert_eq!(provider.refreshed(), 1);
        let paused = patch(app, &ada, &id, json!({ "is_active": false })).await.expect(200);
        assert_eq!(paused.text_at("/status"), "inactive");
        assert_eq!(issue(app, &id).await.expect(409).code(), "CONNECTION_STATE");
        patch(app, &ada, &id, json!({ "is_active": true, "is_sync_enabled": false }))
            .await
            .expect(200);
        issue(app, &id).await.expect(200);
        assert_eq!(look(app, &ada, &id).await["is_sync_enabled"], false);
    })
    .await;
}

#[tokio::test]
async fn who_used_a_token_is_known_by_the_second() {
    each(async |app, provider| {
        let (ada, _, id) = connected(app).await;
        for _ in 0..3 {
            issue(app, &id).await.expect(200);
        }
        call(app, &ada, &id, get(provider, "/thing")).await.expect(200);
        let uses = async |query: &str| {
            let ask = app.get(&format!("{BASE}/connections/{id}/uses{query}"));
            ask.bearer(&ada.access_token).send().await.expect(200)
        };
        let mut found = uses("").await;
        for _ in 0..40 {
            if found.body["items"].as_array().unwrap().len() == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            found = uses("").await;
        }
        let items = found.body["items"].as_array().unwrap();
        let of = |purpose: &str| items.iter().find(|one| one["purpose"] == purpose).unwrap();
        assert_eq!((&of("issue")["uses"], &of("proxy")["uses"]), (&json!(3), &json!(1)));
        assert!(of("proxy")["caller"].as_str().unwrap().contains(&ada.user_id));
        let first = uses("?limit=1").await;
        let rest = uses(&format!("?limit=1&cursor={}", first.text_at("/next_cursor"))).await;
        assert_ne!(first.body["items"], rest.body["items"]);
        assert!(rest.body["next_cursor"].is_null());
    })
    .await;
}
