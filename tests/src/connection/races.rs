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
