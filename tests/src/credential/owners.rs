//! Whoever has a credential may leave, be removed, be erased; whoever may ask about one is not everybody.

use std::time::Duration;

use polity_testing::App;
use serde_json::json;

use crate::organization::{add, organization};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_removed_meanwhile_leaves_no_token_behind() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "member").await.expect(200);
        let path = format!("/api/v1/integration/tokens?workspace_id={id}");
        let make = || {
            app.post(&path)
                .bearer(&bob.access_token)
                .json(&json!({ "name": "t" }))
                .send()
        };
        let token_id = make().await.expect(201).text_at("/id").to_owned();
        let mut tx = app.ctx.db.begin().await.unwrap();
        // As removing does, which has not committed yet.
        tx.lock("organization", &id).await.unwrap();
        tx.sql("delete from membership where organization_id = $1 and user_id = $2")
            .bind(&id)
            .bind(&bob.user_id)
            .execute()
            .await
            .unwrap();
        let removed = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            tx.commit().await.unwrap();
        };
        let rotate = format!("/api/v1/integration/tokens/{token_id}/rotate?workspace_id={id}");
        let (made, rotated, ()) = tokio::join!(
            make(),
            app.post(&rotate).bearer(&bob.access_token).json(&json!({})).send(),
            removed
        );
        made.expect(404);
        rotated.expect(404);
    })
    .await;
}
