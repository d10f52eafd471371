//! Connections end, with everything they rest on (5.7.2, edge case 11), and the provider is told.

use std::time::Duration;

use polity_testing::{
    App, Person,
    provider::{Endpoint, Fault},
};
use serde_json::json;

use super::{BASE, app_id, connected, connected_in, consent, disconnect, each, issue, look, run, said};

async fn organization(app: &App, owner: &Person) -> String {
    let body = json!({ "name": "Acme", "billing_email": owner.email });
    let ask = app.post("/api/v1/organizations").bearer(&owner.access_token);
    ask.json(&body)
        .send()
        .await
        .expect(200)
        .text_at("/organization_id")
        .to_owned()
}

async fn status(app: &App, id: &str) -> String {
    let ask = app.get(&format!("{BASE}/connections/{id}")).service();
    // A service in its own name sees every connection, but only a person's guard lets it in.
    ask.send().await.text_at("/status").to_owned()
}

#[tokio::test]
async fn disconnecting_erases_here_and_takes_back_there() {
    each(async |app, provider| {
        let (ada, _, id) = connected(app).await;
        let token = issue(app, &id).await.expect(200).text_at("/access_token").to_owned();
        let done = disconnect(app, &ada, &id).await.expect(200);
        assert_eq!(done.text_at("/message"), "Connection disconnected successfully");
        issue(app, &id).await.expect(409);
        assert_eq!(
            disconnect(app, &ada, &id).await.expect(404).code(),
            "CONNECTION_NOT_FOUND"
        );
        let found = look(app, &ada, &id).await;
        assert_eq!(
            (&found["status"], &found["external_user_email"]),
            (&json!("revoked"), &json!(null))
        );
        app.settle().await;
        assert!(!provider.is_live(&token));
        let said = said(app, "connection.revoked").await;
        assert_eq!((said.len(), &said[0].data["reason"]), (1, &json!("revoked")));
        let mut read = app.ctx.db.read().await.unwrap();
        for table in [
            "select count(*) from integration_grant where sealed is not null",
            "select count(*) from oauth_take_back",
        ] {
            let (left,) = read.sql(table).one::<(i64,)>().await.unwrap();
            assert_eq!(left, 0, "{table}");
        }
        drop(read);
        // The consent went with it.
        let ask = app
            .get("/api/v1/integration/consents")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(ask.text_at("/items/0/status"), "revoked");
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_fails_is_told_again() {
    each(async |app, provider| {
        let (ada, _, id) = connected(app).await;
        let token = issue(app, &id).await.expect(200).text_at("/access_token").to_owned();
        provider.fault(Endpoint::Revoke, Fault::Status(503));
        disconnect(app, &ada, &id).await.expect(200);
        app.settle().await;
        assert!(provider.is_live(&token));
        app.advance(Duration::from_hours(1));
        app.settle().await;
        assert!(!provider.is_live(&token));
    })
    .await;
}

#[tokio::test]
async fn an_account_that_is_connected_twice_survives_one_disconnection() {
    each(async |app, provider| {
        let (ada, app_id, id) = connected(app).await;
        let acme = organization(app, &ada).await;
        consent(app, &ada, Some(&acme), &app_id, &["read"]).await;
        let second = connected_in(app, &ada, Some(&acme), json!({})).await;
        disconnect(app, &ada, &id).await.expect(200);
        app.settle().await;
        assert_eq!(provider.calls(Endpoint::Revoke), 0);
        let token = issue(app, &second).await.expect(200);
        assert!(provider.is_live(token.text_at("/access_token")));
        disconnect(app, &ada, &second).await.expect(200);
        app.settle().await;
        assert_eq!(provider.calls(Endpoint::Revoke), 1);
    })
    .await;
}

#[tokio::test]
async fn a_consent_that_is_withdrawn_ends_what_rests_on_it_at_once() {
    each(async |app, _| {
        let app_id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        let consent = consent(app, &ada, None, &app_id, &["read"]).await;
        let id = connected_in(app, &ada, None, json!({})).await;
        issue(app, &id).await.expect(200);
        let ask = app.delete(&format!("/api/v1/integration/consents/{consent}"));
        ask.bearer(&ada.access_token).send().await.expect(200);
        issue(app, &id).await.expect(409);
        assert_eq!(look(app, &ada, &id).await["status"], "revoked");
        let said = said(app, "connection.revoked").await;
        assert_eq!(said[0].data["reason"], "consent_ended");
    })
    .await;
}

#[tokio::test]
async fn a_narrower_consent_ends_what_needs_more() {
    each(async |app, _| {
        let (ada, app_id, id) = connected(app).await;
        // Fewer than were given, and still what it needs.
        consent(app, &ada, None, &app_id, &["read"]).await;
        issue(app, &id).await.expect(200);
        consent(app, &ada, None, &app_id, &["write"]).await;
        issue(app, &id).await.expect(409);
    })
    .await;
}

#[tokio::test]
async fn connections_go_with_their_owner_the_member_and_the_organization() {
    each(async |app, provider| {
        let app_id = app_id(app).await;
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let acme = organization(app, &ada).await;
        let body = json!({ "user_id": bob.user_id, "role": "member" });
        let path = format!("/api/v1/organizations/{acme}/members");
        app.post(&path)
            .bearer(&ada.access_token)
            .json(&body)
            .send()
            .await
            .expect(200);
        let mut ids = Vec::new();
        for (person, account) in [(&ada, "ada"), (&bob, "bob")] {
            provider.sign_in_as(account);
            consent(app, person, Some(&acme), &app_id, &["read"]).await;
            consent(app, person, None, &app_id, &["read"]).await;
            ids.push(connected_in(app, person, Some(&acme), json!({})).await);
            ids.push(connected_in(app, person, None, json!({})).await);
        }
        let (adas, adas_own, bobs, bobs_own) = (&ids[0], &ids[1], &ids[2], &ids[3]);
        let path = format!("/api/v1/organizations/{acme}/members/{}", bob.user_id);
        app.delete(&path).bearer(&ada.access_token).send().await.expect(200);
        app.settle().await;
        issue(app, bobs).await.expect(409);
        issue(app, bobs_own).await.expect(200);
        app.delete(&format!("/api/v1/organizations/{acme}"))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        app.settle().await;
        issue(app, adas).await.expect(409);
        issue(app, adas_own).await.expect(200);
        let path = format!("/api/v1/accounts/profile/{}?reason=test", bob.user_id);
        app.delete(&path).bearer(&bob.access_token).send().await.expect(200);
        app.settle().await;
        issue(app, bobs_own).await.expect(409);
        assert_eq!(status(app, bobs_own).await, "");
        let reasons: Vec<String> = said(app, "connection.revoked")
            .await
            .iter()
            .map(|event| event.data["reason"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(reasons, ["member_removed", "organization_deleted", "user_deleted"]);
    })
    .await;
}

#[tokio::test]
async fn what_ended_is_forgotten_after_a_while() {
    each(async |app, _| {
        let (ada, _, id) = connected(app).await;
        disconnect(app, &ada, &id).await.expect(200);
        app.advance(Duration::from_hours(24 * 31));
        run(app, "connection.clean_up").await;
        let ask = app.get(&format!("{BASE}/connections/{id}")).service();
        ask.on_behalf_of(&ada.user_id).send().await.expect(404);
    })
    .await;
}

#[tokio::test]
async fn hundreds_of_connections_end_with_their_consent() {
    each(async |app, _| {
        let app_id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        let consent = consent(app, &ada, None, &app_id, &["read"]).await;
        let id = connected_in(app, &ada, None, json!({})).await;
        let mut tx = app.ctx.db.begin().await.unwrap();
        for number in 0..499 {
            let (other, account) = (format!("con_copy{number}"), format!("account {number}"));
            tx.sql(
                "insert into oauth_connection (id, user_id, workspace_id, oauth_app_id, status, is_sync_enabled, is_shared,
                     requested_scopes, granted_scopes, missing_scopes, external_user_id, refresh_failures, is_opened,
                     created_at, updated_at)
                 select $1, user_id, workspace_id, oauth_app_id, status, is_sync_enabled, is_shared, requested_scopes,
                     granted_scopes, missing_scopes, $3, 0, false, created_at, updated_at
                 from oauth_connection where id = $2",
            )
            .bind(other.as_str())
            .bind(id.as_str())
            .bind(account.as_str())
            .execute()
            .await
            .unwrap();
            tx.sql(
                "insert into integration_grant (id, provider, owner, account, status, sealed, scopes, version, expires_at,
                     next_refresh_at, refresh_failures, last_error, fence, intent, lease_until, created_at)
                 select $1, provider, owner, account, status, sealed, scopes, version, expires_at, next_refresh_at,
                     refresh_failures, last_error, fence, intent, lease_until, created_at
                 from integration_grant where id = $2",
            )
            .bind(other.as_str())
            .bind(id.as_str())
            .execute()
            .await
            .unwrap();
        }
        tx.commit().await.unwrap();
        let ask = app.delete(&format!("/api/v1/integration/consents/{consent}"));
        ask.bearer(&ada.access_token).send().await.expect(200);
        issue(app, &id).await.expect(409);
        let mut read = app.ctx.db.read().await.unwrap();
        let left = "select count(*) from integration_grant where sealed is not null";
        assert_eq!(read.sql(left).one::<(i64,)>().await.unwrap(), (0,));
    })
    .await;
}

#[tokio::test]
async fn of_who_is_gone_it_is_not_kept_who_they_are_elsewhere() {
    each(async |app, _| {
        let (ada, _, _) = connected(app).await;
        let path = format!("/api/v1/accounts/profile/{}?reason=test", ada.user_id);
        app.delete(&path).bearer(&ada.access_token).send().await.expect(200);
        app.settle().await;
        let mut read = app.ctx.db.read().await.unwrap();
        let kept =
            "select count(*) from oauth_connection where external_user_id <> '' or external_user_email is not null";
        assert_eq!(read.sql(kept).one::<(i64,)>().await.unwrap(), (0,));
    })
    .await;
}

#[tokio::test]
async fn an_app_stays_until_its_provider_knows_what_ended() {
    each(async |app, provider| {
        let (ada, app_id, id) = connected(app).await;
        let token = issue(app, &id).await.expect(200).text_at("/access_token").to_owned();
        provider.fault(Endpoint::Revoke, Fault::Status(503));
        disconnect(app, &ada, &id).await.expect(200);
        app.settle().await;
        let delete = async || app.delete(&format!("{}/{app_id}", super::APPS)).service().send().await;
        assert_eq!(delete().await.expect(409).code(), "APP_IN_USE");
        app.advance(Duration::from_hours(1));
        app.settle().await;
        delete().await.expect(200);
        assert!(!provider.is_live(&token));
    })
    .await;
}
