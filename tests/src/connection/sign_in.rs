//! From the beginning of a connection to its token (5.4), and everything that can go wrong on the way (edge case 9).

use std::time::Duration;

use polity_testing::{
    provider::{Endpoint, Fault, Provider},
};
use serde_json::json;
use url::Url;

use super::{
    BASE, all_said, app_id, begin_in, come_back, connected, connected_in, consent, cookies, each, issue, look, new_app, run, said, seen,
    signed_in,
};

#[tokio::test]
async fn a_connection_works() {
    each(async |app, provider| {
        let (ada, app_id, id) = connected(app).await;
        let found = look(app, &ada, &id).await;
        assert_eq!(
            (&found["status"], &found["is_active"]),
            (&json!("active"), &json!(true))
        );
        assert_eq!(
            (&found["oauth_app_id"], &found["granted_scopes"]),
            (&json!(app_id), &json!(["read"]))
        );
        assert!(found["external_user_id"].is_string() && found["external_user_data"].is_object());
        let issued = issue(app, &id).await.expect(200);
        assert!(provider.is_live(issued.text_at("/access_token")));
        assert_eq!(issued.text_at("/token_type"), "Bearer");
        assert_eq!(issued.header("cache-control"), "no-store");
        assert_eq!(said(app, "connection.created").await.len(), 1);
        assert!(!found.to_string().contains(issued.text_at("/access_token")));
    })
    .await;
}

#[tokio::test]
async fn the_address_has_state_and_proof_of_possession() {
    each(async |app, _| {
        let id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        consent(app, &ada, None, &id, &["read"]).await;
        let begun = begin_in(app, &ada, None, json!({})).await.expect(201);
        assert_eq!(
            (begun.text_at("/status"), &begun.body["consent_required"]),
            ("pending", &json!(false))
        );
        let url = Url::parse(begun.text_at("/authorize_url")).unwrap();
        let of = |name: &str| {
            url.query_pairs()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.into_owned())
        };
        // 256 bits, as base64url.
        assert_eq!(of("state").unwrap().len(), 43);
        assert_eq!(
            (of("code_challenge_method").unwrap(), of("response_type").unwrap()),
            ("S256".into(), "code".into())
        );
        assert!(
            of("redirect_uri")
                .unwrap()
                .ends_with("/api/v1/integration/oauth/callback")
        );
        let cookie = begun.header("set-cookie");
        assert!(cookie.contains("HttpOnly; SameSite=Lax; Max-Age=600"), "{cookie}");
    })
    .await;
}

#[tokio::test]
async fn a_state_works_once_in_its_browser_and_in_time() {
    each(async |app, provider| {
        let id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        consent(app, &ada, None, &id, &["read"]).await;
        let begun = begin_in(app, &ada, None, json!({})).await.expect(201);
        let back = signed_in(begun.text_at("/authorize_url")).await;
        // Another browser, with the cookie of another sign-in.
        let other = begin_in(app, &ada, None, json!({})).await.expect(201);
        come_back(app, &back, "").await.expect(400);
        come_back(app, &back, &cookies(&other)).await.expect(400);
        let mut strange = back.clone();
        strange.insert("state".to_owned(), "x".repeat(43));
        come_back(app, &strange, &cookies(&begun)).await.expect(400);
        strange.remove("state");
        come_back(app, &strange, &cookies(&begun)).await.expect(400);
        assert_eq!(provider.calls(Endpoint::Token), 0, "nobody spoils it for the right one");
        come_back(app, &back, &cookies(&begun)).await.expect(200);
        let calls = provider.calls(Endpoint::Token);
        come_back(app, &back, &cookies(&begun)).await.expect(400);
        assert_eq!(provider.calls(Endpoint::Token), calls);
        let connection = begun.text_at("/id");
        assert_eq!(look(app, &ada, connection).await["status"], "active");
        // Too late.
        let back = signed_in(other.text_at("/authorize_url")).await;
        app.advance(Duration::from_mins(10));
        assert_eq!(seen(app, &ada, other.text_at("/id")).await["status"], "error");
        come_back(app, &back, &cookies(&other)).await.expect(400);
        assert_eq!(provider.calls(Endpoint::Token), calls);
        run(app, "connection.give_up").await;
        let ended = seen(app, &ada, other.text_at("/id")).await;
        assert_eq!((&ended["status"], &ended["error"]), (&json!("error"), &json!("Nobody finished the sign-in in time")));
    })
    .await;
}

#[tokio::test]
async fn the_person_may_finish_what_their_app_received() {
    each(async |app, _| {
        let id = app_id(app).await;
        let (ada, eve) = (
            app.register("ada@example.com").await,
            app.register("eve@example.com").await,
        );
        consent(app, &ada, None, &id, &["read"]).await;
        let begun = begin_in(app, &ada, None, json!({})).await.expect(201);
        let back = signed_in(begun.text_at("/authorize_url")).await;
        let post = async |person: &polity_testing::Person, body: serde_json::Value| {
            let ask = app.post(&format!("{BASE}/callback"));
            ask.bearer(&person.access_token).json(&body).send().await
        };
        let body = json!({ "state": back["state"], "code": back["code"] });
        let refused = post(&eve, body.clone()).await.expect(400);
        assert_eq!(refused.code(), "SIGN_IN_UNKNOWN");
        post(&ada, json!({ "state": back["state"] })).await.expect(422);
        let done = post(&ada, body.clone()).await.expect(200);
        assert_eq!(
            (done.text_at("/id"), done.text_at("/status")),
            (begun.text_at("/id"), "active")
        );
        post(&ada, body).await.expect(400);
    })
    .await;
}

#[tokio::test]
async fn a_refusal_and_a_provider_that_fails_leave_an_error() {
    each(async |app, provider| {
        let id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        consent(app, &ada, None, &id, &["read"]).await;
        let fails = async |fault: Option<(Endpoint, Fault)>, word: &str| {
            let begun = begin_in(app, &ada, None, json!({})).await.expect(201);
            if let Some((endpoint, fault)) = fault {
                provider.fault(endpoint, fault);
            }
            let back = signed_in(begun.text_at("/authorize_url")).await;
            let page = come_back(app, &back, &cookies(&begun)).await.expect(400);
            assert!(page.text.contains(word), "{}", page.text);
            let found = look(app, &ada, begun.text_at("/id")).await;
            assert_eq!(found["status"], "error");
            issue(app, begun.text_at("/id")).await.expect(409);
        };
        fails(Some((Endpoint::Authorize, Fault::Denied)), "access_denied").await;
        fails(Some((Endpoint::Token, Fault::Status(500))), "500").await;
        fails(
            Some((Endpoint::Token, Fault::Error("invalid_grant".into()))),
            "invalid_grant",
        )
        .await;
        fails(Some((Endpoint::Token, Fault::Html)), "could not be used").await;
        fails(Some((Endpoint::Token, Fault::WrongJson)), "could not be used").await;
        fails(Some((Endpoint::Token, Fault::Huge)), "could not be used").await;
        fails(Some((Endpoint::Token, Fault::DropAfter)), "could not be used").await;
        fails(Some((Endpoint::Userinfo, Fault::Status(500))), "500").await;
        // What came to nothing is taken back there.
        app.settle().await;
        assert_eq!(provider.taken_back().len(), 1);
        assert_eq!(said(app, "connection.created").await.len(), 0);
    })
    .await;
}

#[tokio::test]
async fn fewer_scopes_than_needed_are_an_error_that_names_them() {
    each(async |app, provider| {
        let id = new_app(app, json!({ "required_scopes": ["read", "write"] }))
            .await
            .expect(201);
        let ada = app.register("ada@example.com").await;
        consent(app, &ada, None, id.text_at("/id"), &["read", "write"]).await;
        provider.fault(Endpoint::Token, Fault::Scope("read".into()));
        let begun = begin_in(app, &ada, None, json!({})).await.expect(201);
        let back = signed_in(begun.text_at("/authorize_url")).await;
        let page = come_back(app, &back, &cookies(&begun)).await.expect(400);
        assert!(page.text.contains("did not give write"), "{}", page.text);
        let found = look(app, &ada, begun.text_at("/id")).await;
        assert_eq!(
            (&found["status"], &found["missing_scopes"]),
            (&json!("error"), &json!(["write"]))
        );
        app.settle().await;
        assert_eq!(provider.taken_back().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn the_consent_is_read_again_when_the_tokens_come() {
    each(async |app, provider| {
        let id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        let consent = consent(app, &ada, None, &id, &["read"]).await;
        let begun = begin_in(app, &ada, None, json!({})).await.expect(201);
        let back = signed_in(begun.text_at("/authorize_url")).await;
        let ask = app.delete(&format!("/api/v1/integration/consents/{consent}"));
        ask.bearer(&ada.access_token).send().await.expect(200);
        // What waited for it ended with it.
        come_back(app, &back, &cookies(&begun)).await.expect(400);
        assert_eq!(look(app, &ada, begun.text_at("/id")).await["status"], "revoked");
        assert_eq!(provider.live(), 0);
    })
    .await;
}

#[tokio::test]
async fn an_app_that_is_closed_meanwhile_connects_nobody() {
    each(async |app, provider| {
        let id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        consent(app, &ada, None, &id, &["read"]).await;
        let begun = begin_in(app, &ada, None, json!({})).await.expect(201);
        let back = signed_in(begun.text_at("/authorize_url")).await;
        let ask = app.request(reqwest::Method::PATCH, &format!("{}/{id}", super::APPS));
        ask.service()
            .json(&json!({ "is_enabled": false }))
            .send()
            .await
            .expect(200);
        come_back(app, &back, &cookies(&begun)).await.expect(400);
        begin_in(app, &ada, None, json!({})).await.expect(404);
        app.settle().await;
        assert_eq!(provider.live(), 0, "the tokens were taken back");
    })
    .await;
}

#[tokio::test]
async fn the_same_account_again_is_the_same_connection() {
    each(async |app, provider| {
        let (ada, _, id) = connected(app).await;
        let begun = begin_in(app, &ada, None, json!({})).await.expect(201);
        let back = signed_in(begun.text_at("/authorize_url")).await;
        come_back(app, &back, &cookies(&begun)).await.expect(200);
        let replaced = look(app, &ada, begun.text_at("/id")).await;
        assert_eq!(
            (&replaced["status"], &replaced["replaced_by"]),
            (&json!("revoked"), &json!(id))
        );
        assert!(provider.is_live(issue(app, &id).await.expect(200).text_at("/access_token")));
        // Another account is another one.
        provider.sign_in_as("bob");
        let second = connected_in(app, &ada, None, json!({})).await;
        provider.sign_in_as("ada");
        let found = look(app, &ada, &second).await;
        assert_eq!(found["status"], "active");
        assert_ne!(
            found["external_user_id"],
            look(app, &ada, &id).await["external_user_id"]
        );
    })
    .await;
}

#[tokio::test]
async fn whoever_reconnects_has_to_be_the_same_there() {
    each(async |app, provider| {
        let (ada, _, id) = connected(app).await;
        let again = async || {
            let ask = app.post(&format!("{BASE}/connections/{id}/reconnect"));
            ask.bearer(&ada.access_token).json(&json!({})).send().await.expect(200)
        };
        let before = issue(app, &id).await.expect(200);
        provider.sign_in_as("bob");
        let begun = again().await;
        let back = signed_in(begun.text_at("/authorize_url")).await;
        let page = come_back(app, &back, &cookies(&begun)).await.expect(400);
        assert!(page.text.contains("another account"), "{}", page.text);
        assert_eq!(look(app, &ada, &id).await["status"], "active");
        assert_eq!(
            issue(app, &id).await.text_at("/access_token"),
            before.text_at("/access_token")
        );
        provider.sign_in_as("ada");
        let begun = again().await;
        let back = signed_in(begun.text_at("/authorize_url")).await;
        come_back(app, &back, &cookies(&begun)).await.expect(200);
        app.settle().await;
        assert_ne!(
            issue(app, &id).await.text_at("/access_token"),
            before.text_at("/access_token")
        );
        let said = said(app, "connection.created").await;
        assert_eq!(said.last().unwrap().data["is_reconnected"], true);
    })
    .await;
}

/// `Provider` tells what its tests need; this one shows that no token is stored in clear.
#[tokio::test]
async fn no_token_is_stored_in_clear() {
    each(async |app, provider: &Provider| {
        let (_, _, id) = connected(app).await;
        let token = issue(app, &id).await.expect(200).text_at("/access_token").to_owned();
        assert!(provider.is_live(&token));
        let (sealed,) = app
            .ctx
            .db
            .read()
            .await
            .unwrap()
            .sql("select sealed from integration_grant limit 1")
            .one::<(Vec<u8>,)>()
            .await
            .unwrap();
        assert!(!sealed.windows(token.len()).any(|part| part == token.as_bytes()));
        for event in all_said(app).await {
            assert!(!event.data.to_string().contains(&token));
        }
    })
    .await;
}
