//! Things that happen at the same time.

use polity_testing::App;
use serde_json::json;

use super::{grant_in, granted, happened, is_whole, look, revoke, said, seen, standing};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_grants_at_once_one_is_active() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        // The same terms, all of them: one consent.
        let same = futures::future::join_all((0..6).map(|_| grant_in(&app, &ada, None, json!({})))).await;
        let mut ids: Vec<String> = same
            .into_iter()
            .map(|one| one.expect(201).text_at("/id").to_owned())
            .collect();
        ids.dedup();
        assert_eq!(ids.len(), 1);
        // Each on other terms: the last one is what counts.
        let other = (0..6).map(|n| grant_in(&app, &ada, None, json!({ "description": format!("Text {n}") })));
        for one in futures::future::join_all(other).await {
            one.expect(201);
        }
        let standing = standing(&app, &ada.user_id, "third_party").await;
        assert_eq!(standing["consents_count"], 1);
        assert_eq!(seen(&app, &ada.user_id, "").await.expect(200).body["total"], 7);
        assert_eq!(said(&app, "granted").await.len(), 7);
        assert_eq!(happened(&app, &ada.user_id).await.len(), 7);
        assert!(is_whole(&app, &ada.user_id).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn revoking_many_times_at_once_is_revoking_once() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = granted(&app, &ada, json!({})).await;
        for answer in futures::future::join_all((0..6).map(|_| revoke(&app, &ada, &id))).await {
            answer.expect(200);
        }
        assert_eq!(said(&app, "revoked").await.len(), 1);
        assert_eq!(app.doubles.stopped().len(), 1);
        assert_eq!(happened(&app, &ada.user_id).await, ["granted", "revoked", "enforced"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn granting_and_revoking_at_once_leaves_a_whole_history() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        for n in 0..4 {
            let id = granted(&app, &ada, json!({ "description": format!("Text {n}") })).await;
            let (again, back) = tokio::join!(
                grant_in(&app, &ada, None, json!({ "description": format!("Other {n}") })),
                revoke(&app, &ada, &id)
            );
            let again = again.expect(201).text_at("/id").to_owned();
            back.expect(200);
            // Whichever was first, what was granted last was not taken back.
            assert_eq!(look(&app, &ada.user_id, &id).await["is_active"], false);
            assert_eq!(look(&app, &ada.user_id, &again).await["is_active"], true);
        }
        assert!(is_whole(&app, &ada.user_id).await);
    })
    .await;
}
