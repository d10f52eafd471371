//! Whose account it is, and that what is kept holds no token.

use serde_json::{Value, json};

use super::*;

const USERINFO: &str = "userinfo_url = \"https://id.example.com/me\"\nidentity = { source = \"userinfo\", id = \"/id\", \
                        email = \"/mail/0\", name = \"/a~1b\" }";

async fn exchanged(client: &Client, app: &App) -> Exchanged {
    let (_, begun) = client.authorize(app, "https://me.example.com/", &[]).unwrap();
    client.exchange(app, &"c".into(), &begun).await.unwrap()
}

#[tokio::test]
async fn userinfo_says_it() {
    let body = json!({ "id": 583_231, "mail": ["ada@example.com"], "a/b": "é".repeat(200), "token": "hush" });
    let token = (200, r#"{"access_token":"a1"}"#);
    let (client, app, sent) = set_up(USERINFO, &[token, (200, &body.to_string())]);
    let exchanged = exchanged(&client, &app).await;
    let account = client.account(&app, &exchanged).await.unwrap();
    assert_eq!(
        (account.id.as_str(), account.email.as_deref()),
        ("583231", Some("ada@example.com"))
    );
    assert_eq!(account.name.unwrap().len(), 254, "cut between letters");
    assert_eq!(account.data["mail"], json!(["ada@example.com"]));
    assert_eq!(account.data.get("token"), None);
    assert_eq!(sent.header("authorization").unwrap(), "Bearer a1");
}

#[tokio::test]
async fn some_are_asked_by_post() {
    let more = "userinfo_url = \"https://id.example.com/graphql\"\nidentity = { source = \"userinfo_post\", id = \"/data/id\", \
                body = '{\"query\":\"{id}\"}' }";
    let answers = [(200, r#"{"access_token":"a1"}"#), (200, r#"{"data":{"id":"u1"}}"#)];
    let (client, app, sent) = set_up(more, &answers);
    let exchanged = exchanged(&client, &app).await;
    assert_eq!(client.account(&app, &exchanged).await.unwrap().id, "u1");
    assert_eq!(sent.form()["query"], "{id}");
    assert_eq!(
        sent.seen.lock().unwrap().last().unwrap().method,
        crate::http::Method::Post
    );
}

#[tokio::test]
async fn the_token_answer_says_it() {
    let more = "identity = { source = \"token\", id = \"/authed_user/id\", name = \"/team/name\" }";
    let body = json!({
        "access_token": "hush-access-token", "refresh_token": "hush-r", "id_token": "hush-i", "token_type": "bot",
        "team": { "name": "Acme", "echo": "it is hush-access-token", "again": "hush-r" },
        "authed_user": { "id": "U1", "access_token": "hush-u", "refreshToken": "hush-v" },
        "incoming_webhook": { "url": "https://hooks.example.com/hush" },
    });
    let (client, app, _) = set_up(more, &[(200, &body.to_string())]);
    let exchanged = exchanged(&client, &app).await;
    let account = client.account(&app, &exchanged).await.unwrap();
    assert_eq!((account.id.as_str(), account.name.as_deref()), ("U1", Some("Acme")));
    assert_eq!(
        exchanged.answer,
        json!({ "token_type": "bot", "team": { "name": "Acme" }, "authed_user": { "id": "U1" } })
    );
    assert!(!format!("{exchanged:?} {account:?}").contains("hush"));
}

#[tokio::test]
async fn who_it_is_has_to_be_said() {
    let token = (200, r#"{"access_token":"a1"}"#);
    let long = json!({ "id": "x".repeat(256) }).to_string();
    for said in [
        "{}",
        r#"{"id":null}"#,
        r#"{"id":" "}"#,
        r#"{"id":{}}"#,
        r#"{"id":"a\u0000"}"#,
        "[]",
        &long,
    ] {
        let (client, app, _) = set_up(USERINFO, &[token, (200, said)]);
        let exchanged = exchanged(&client, &app).await;
        let failure = client.account(&app, &exchanged).await.unwrap_err();
        assert!(matches!(failure, Failure::Misconfigured { .. }), "{said:.40} {failure}");
    }
    let (client, app, _) = set_up(USERINFO, &[token, (503, "")]);
    let exchanged = exchanged(&client, &app).await;
    let failure = client.account(&app, &exchanged).await.unwrap_err();
    assert!(matches!(failure, Failure::Transient { .. }), "{failure}");
    let (client, app, _) = set_up("", &[]);
    let failure = client.account(&app, &exchanged).await.unwrap_err();
    assert!(matches!(failure, Failure::Misconfigured { .. }), "{failure}");
}

#[tokio::test]
async fn what_is_kept_is_small() {
    let deep = (0..60).fold(json!("x"), |inner, _| json!([inner]));
    let wide: Vec<Value> = (0..3000).map(|n| json!({ "n": n, "text": "\u{1}\"" })).collect();
    let body = json!({ "access_token": "a1", "deep": deep, "long": "y".repeat(3000), "wide": wide });
    let (client, app, _) = set_up("", &[(200, &body.to_string())]);
    let answer = exchanged(&client, &app).await.answer;
    assert!(answer.to_string().len() <= 16 * 1024, "{}", answer.to_string().len());
    assert!(answer.get("long").is_none() && answer["wide"].as_array().unwrap().len() > 100);
}

#[tokio::test]
async fn a_secret_that_is_repeated_is_not_kept() {
    let body = r#"{"access_token":"a1","debug":"s \u00fc","also":"kept"}"#;
    let (client, app, _) = set_up("", &[(200, body)]);
    let begun = client.authorize(&app, "https://me.example.com/back", &[]).unwrap().1;
    let exchanged = client.exchange(&app, &"c".into(), &begun).await.unwrap();
    assert_eq!(exchanged.answer, serde_json::json!({ "also": "kept" }));
}
