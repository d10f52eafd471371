//! Two at once: of what may happen once, one happens.

use futures::future::join_all;
use serde_json::json;

use super::{app_id, begin_in, come_back, connected, consent, cookies, disconnect, each, issue, look, signed_in};

#[tokio::test]
async fn a_sign_in_is_finished_once() {
    each(async |app, provider| {
        let id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        consent(app, &ada, None, &id, &["read"]).await;
        let begun = begin_in(app, &ada, None, json!({})).await.expect(201);
        let (back, cookie) = (signed_in(begun.text_at("/authorize_url")).await, cookies(&begun));
        let all = join_all((0..8).map(|_| come_back(app, &back, &cookie))).await;
        assert_eq!(all.iter().filter(|answer| answer.status == 200).count(), 1);
        assert_eq!(look(app, &ada, begun.text_at("/id")).await["status"], "active");
        assert_eq!(provider.grants_ended(), 0, "the code was used once");
    })
    .await;
}

#[tokio::test]
async fn one_account_signed_in_several_times_at_once_is_one_connection() {
    each(async |app, provider| {
        let id = app_id(app).await;
        let ada = app.register("ada@example.com").await;
        consent(app, &ada, None, &id, &["read"]).await;
        let mut ways = Vec::new();
        for _ in 0..6 {
            let begun = begin_in(app, &ada, None, json!({})).await.expect(201);
            let back = signed_in(begun.text_at("/authorize_url")).await;
            ways.push((begun.text_at("/id").to_owned(), back, cookies(&begun)));
        }
        let all = join_all(ways.iter().map(|(_, back, cookie)| come_back(app, back, cookie))).await;
        assert!(all.iter().all(|answer| answer.status == 200));
        let mut active = Vec::new();
        for (id, ..) in &ways {
            if look(app, &ada, id).await["status"] == "active" {
                active.push(id.clone());
            }
        }
        assert_eq!(active.len(), 1);
        let token = issue(app, &active[0]).await.expect(200);
        assert!(provider.is_live(token.text_at("/access_token")));
    })
    .await;
}

#[tokio::test]
async fn a_disconnection_wins_over_everything_at_once() {
    each(async |app, provider| {
        let (ada, _, id) = connected(app).await;
        let refresh = || async {
            let path = format!("{}/connections/{id}/refresh", super::BASE);
            app.post(&path).bearer(&ada.access_token).send().await.status
        };
        let end = async {
            let ended = disconnect(app, &ada, &id).await;
            ended.status
        };
        let (ended, others) = tokio::join!(end, join_all((0..6).map(|_| refresh())));
        assert_eq!(ended, 200);
        assert!(
            others.iter().all(|status| [200, 409, 503, 404].contains(status)),
            "{others:?}"
        );
        app.settle().await;
        issue(app, &id).await.expect(409);
        assert_eq!(look(app, &ada, &id).await["status"], "revoked");
        for _ in 0..60 {
            if provider.live() == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            app.settle().await;
        }
        assert_eq!(provider.live(), 0, "whatever a refresh brought was taken back");
    })
    .await;
}

/// What a new master key seals again while a change runs is not put back as the change read it.
#[tokio::test]
async fn a_change_does_not_undo_a_new_key() {
    each(async |app, _| {
        let (ada, app_id, id) = connected(app).await;
        let mut tx = app.ctx.db.begin().await.unwrap();
        for (sql, id) in [
            ("update oauth_connection set external_user_data = $2 where id = $1", &id),
            ("update oauth_app set client_secret = $2 where id = $1", &app_id),
        ] {
            let sealed = b"sealed again".to_vec();
            tx.sql(sql).bind(id.as_str()).bind(&sealed).execute().await.unwrap();
        }
        let changes = async {
            let path = format!("{}/{app_id}", super::APPS);
            let change = app.request(reqwest::Method::PATCH, &path).service();
            let body = json!({ "description": "Ours" });
            tokio::join!(
                super::patch(app, &ada, &id, json!({ "is_sync_enabled": false })),
                change.json(&body).send()
            )
        };
        let commits = async {
            // Long enough for both to have read what was there before, where that is possible.
            tokio::time::sleep(std::time::Duration::from_millis(400)).await;
            tx.commit().await.unwrap();
        };
        let ((one, other), ()) = tokio::join!(changes, commits);
        assert_eq!((one.status, other.status), (200, 200));
        let mut read = app.ctx.db.read().await.unwrap();
        for sql in [
            "select external_user_data from oauth_connection where external_user_data is not null",
            "select client_secret from oauth_app",
        ] {
            let (found,) = read.sql(sql).one::<(Vec<u8>,)>().await.unwrap();
            assert_eq!(found, b"sealed again", "{sql}");
        }
    })
    .await;
}

/// Two people whose connections are with the same accounts, in another order, take their consents back at once.
#[tokio::test]
async fn consents_with_the_same_accounts_end_at_once() {
    each(async |app, provider| {
        let app_id = app_id(app).await;
        let mut people = Vec::new();
        for (name, accounts) in [("ada", ["x", "y"]), ("bob", ["y", "x"])] {
            let person = app.register(&format!("{name}@example.com")).await;
            let consent = consent(app, &person, None, &app_id, &["read"]).await;
            for account in accounts {
                provider.sign_in_as(account);
                super::connected_in(app, &person, None, json!({})).await;
            }
            people.push((person, consent));
        }
        let ends = people.iter().map(|(person, consent)| {
            let ask = app.delete(&format!("/api/v1/integration/consents/{consent}"));
            ask.bearer(&person.access_token).send()
        });
        assert!(join_all(ends).await.iter().all(|answer| answer.status == 200));
    })
    .await;
}
