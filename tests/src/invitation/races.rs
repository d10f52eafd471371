//! What happens to an invitation while something else does. A transaction of the test's own stands for the other process.

use std::time::Duration;

use polity_ports::{Said, organization::MemberAdded};
use polity_testing::App;
use serde_json::json;

use super::{accept, invite, look};
use crate::organization::{BASE, add, organization, remove};

/// Long enough for a request, or a consumer, to reach what the test holds.
const A_WHILE: Duration = Duration::from_millis(700);

/// Accepts an invitation in a transaction that ends a while later.
async fn accepted_slowly(app: &App, invitation: &str) {
    let mut tx = app.ctx.db.begin().await.unwrap();
    tx.sql("update invitation set status = 'accepted', token = null where invitation_id = $1")
        .bind(invitation)
        .execute()
        .await
        .unwrap();
    tokio::time::sleep(A_WHILE).await;
    tx.commit().await.unwrap();
}

/// Status and number of mails of an invitation.
async fn kept(app: &App, invitation: &str) -> (String, i64) {
    let mut read = app.ctx.db.read().await.unwrap();
    read.sql("select status, sent_count from invitation where invitation_id = $1")
        .bind(invitation)
        .one()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_accepted_meanwhile_is_not_mailed_again() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = organization(&app, &ada, "A").await;
        let sent = invite(&app, &ada, &id, "bob@example.com", json!({})).await.expect(200);
        let invitation = sent.text_at("/invitation_id");
        app.advance(Duration::from_mins(2));
        let resend = async {
            tokio::time::sleep(A_WHILE / 3).await;
            let path = format!("/api/v1/invitations/{invitation}/resend");
            app.post(&path).bearer(&ada.access_token).send().await
        };
        let ((), answer) = tokio::join!(accepted_slowly(&app, invitation), resend);
        assert_eq!(
            answer.expect(400).text_at("/detail"),
            "Cannot resend accepted invitation"
        );
        assert_eq!(kept(&app, invitation).await, ("accepted".to_owned(), 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_accepted_meanwhile_stays_so_when_the_organization_goes() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = organization(&app, &ada, "A").await;
        let sent = invite(&app, &ada, &id, "bob@example.com", json!({})).await.expect(200);
        let invitation = sent.text_at("/invitation_id");
        let delete = async {
            tokio::time::sleep(A_WHILE / 3).await;
            let path = format!("{BASE}/{id}");
            app.delete(&path).bearer(&ada.access_token).send().await
        };
        let ((), answer) = tokio::join!(accepted_slowly(&app, invitation), delete);
        answer.expect(200);
        app.settle().await;
        assert_eq!(kept(&app, invitation).await.0, "accepted");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_removed_and_invited_again_is_no_member_because_of_old_news() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "member").await.expect(200);
        remove(&app, &ada, &id, &bob).await.expect(200);
        let sent = invite(&app, &ada, &id, &bob.email, json!({})).await.expect(200);
        // The event of the first membership, heard late.
        let late = MemberAdded {
            organization_id: id.clone(),
            user_id: bob.user_id.clone(),
            role: "member".to_owned(),
            added_by: ada.user_id.clone(),
            permissions: Vec::new(),
            timestamp: app.ctx.clock.now(),
        };
        let mut tx = app.ctx.db.begin().await.unwrap();
        app.ctx.events.publish(&mut tx, late.event()).await.unwrap();
        tx.commit().await.unwrap();
        app.settle().await;
        let token = sent.text_at("/invitation_token");
        look(&app, token).await.expect(200);
        accept(&app, &bob, token).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_looks_waits_for_nobody_who_writes() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = organization(&app, &ada, "A").await;
        let sent = invite(&app, &ada, &id, "bob@example.com", json!({})).await.expect(200);
        app.settle().await;
        // A transaction of somebody else's, for as long as the test looks: on SQLite there is one at a time.
        let tx = app.ctx.db.begin().await.unwrap();
        for (token, status) in [(sent.text_at("/invitation_token"), 200), ("guess", 404)] {
            let answer = tokio::time::timeout(Duration::from_secs(2), look(&app, token)).await;
            answer.expect("looking waits for a writer").expect(status);
        }
        drop(tx);
    })
    .await;
}
