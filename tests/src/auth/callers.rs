//! Credentials in requests: what a proxy and we could read differently proves nothing.

use polity_testing::{App, SERVICE_SECRET};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_is_there_twice_is_refused() {
    App::each(async |app| {
        let (ada, eve) = (
            app.register("ada@example.com").await,
            app.register("eve@example.com").await,
        );
        let sessions = || app.get("/api/v1/auth/sessions");
        sessions()
            .bearer(&ada.access_token)
            .bearer(&eve.access_token)
            .send()
            .await
            .expect(401);
        sessions()
            .service()
            .header("X-Internal-Service-Secret", SERVICE_SECRET)
            .on_behalf_of(&ada.user_id)
            .send()
            .await
            .expect(401);
        // A gateway that adds its header beside the client's own.
        sessions()
            .on_behalf_of(&eve.user_id)
            .service()
            .on_behalf_of(&ada.user_id)
            .send()
            .await
            .expect(401);
        sessions().service().on_behalf_of(&ada.user_id).send().await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_is_for_one_thing() {
    App::each(async |app| {
        let root = app.admin().await;
        let (ada, eve) = (
            app.register("ada@example.com").await,
            app.register("eve@example.com").await,
        );
        let note = async |user_id: &str| {
            app.post(&format!("/api/v1/account/admin/accounts/{user_id}/note"))
                .bearer(&root.access_token)
                .header("Idempotency-Key", "one")
                .json(&json!({ "note": "called" }))
                .send()
                .await
        };
        note(&ada.user_id).await.expect(201);
        assert_eq!(note(&eve.user_id).await.expect(422).code(), "IDEMPOTENCY_MISMATCH");
        note(&ada.user_id).await.expect(201);
    })
    .await;
}
