use polity_kernel::job::NewJob;
use polity_testing::App;
use serde_json::json;

use super::{ensure, said};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_sts_002_deleting_is_soft_idempotent_and_said_once() {
    App::each(async |app| {
        ensure(&app, "usr_a", "ada@example.com", "Ada").await.expect(200);
        let delete = |id: &str| {
            app.delete(&format!("/api/v1/accounts/profile/{id}?reason=bye"))
                .service()
                .send()
        };
        for id in ["usr_a", "usr_a", "usr_nobody"] {
            assert_eq!(
                delete(id).await.expect(200).text_at("/message"),
                "Account deleted successfully"
            );
        }
        assert_eq!(said(&app, "account_service.user.deleted").await.len(), 1);
        app.get("/api/v1/accounts/profile/usr_a")
            .service()
            .send()
            .await
            .expect(404);
        app.put("/api/v1/accounts/profile/usr_a")
            .service()
            .json(&json!({ "name": "X" }))
            .send()
            .await
            .expect(404);
        // BR-STS-006, BR-ACC-002: claims show it, the address stays taken, and ensure does not bring it back.
        assert_eq!(
            app.get("/api/v1/accounts/claims/usr_a")
                .service()
                .send()
                .await
                .expect(200)
                .body["is_active"],
            false
        );
        let history = app.get("/api/v1/accounts/status-history/usr_a").service().send().await;
        assert_eq!(
            (history.body.as_array().unwrap().len(), history.text_at("/0/reason")),
            (1, "bye"),
            "BR-STS-004"
        );
        ensure(&app, "usr_b", "ada@example.com", "Bob").await.expect(400);
        assert_eq!(
            ensure(&app, "usr_a", "ada@example.com", "Ada").await.expect(200).body["is_active"],
            false
        );
        let long = "x".repeat(256);
        app.delete(&format!("/api/v1/accounts/profile/usr_a?reason={long}"))
            .service()
            .send()
            .await
            .expect(422);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_sts_001_to_005_status_is_set_said_and_kept() {
    App::each(async |app| {
        ensure(&app, "usr_a", "ada@example.com", "Ada").await.expect(200);
        let set = |active: bool| {
            let body = json!({ "is_active": active, "reason": "because" });
            app.put("/api/v1/accounts/status/usr_a").service().json(&body).send()
        };
        assert_eq!(
            set(false).await.expect(200).text_at("/message"),
            "Account deactivated successfully"
        );
        set(false).await.expect(200);
        assert_eq!(
            set(true).await.expect(200).text_at("/message"),
            "Account activated successfully"
        );
        set(true).await.expect(200);
        let said = said(&app, "account_service.user.status_changed").await;
        let changed: Vec<_> = said
            .iter()
            .map(|event| (event["is_active"].clone(), event["changed"].clone()))
            .collect();
        let wanted = [(false, true), (false, false), (true, true), (true, false)].map(|(a, c)| (json!(a), json!(c)));
        assert_eq!(changed, wanted);
        let history = app
            .get("/api/v1/accounts/status-history/usr_a")
            .service()
            .send()
            .await
            .expect(200);
        assert_eq!(
            (history.body.as_array().unwrap().len(), history.text_at("/0/reason")),
            (4, "because")
        );
        app.put("/api/v1/accounts/status/usr_nobody")
            .service()
            .json(&json!({ "is_active": true }))
            .send()
            .await
            .expect(404);
        app.put("/api/v1/accounts/status/usr_a")
            .service()
            .json(&json!({}))
            .send()
            .await
            .expect(422);
        app.get("/api/v1/accounts/status-history/usr_nobody")
            .service()
            .send()
            .await
            .expect(404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_erased_stays_erased_and_frees_its_address() {
    App::each(async |app| {
        let root = app.admin().await;
        ensure(&app, "usr_a", "ada@example.com", "Ada").await.expect(200);
        // Nobody can stand in the way of an erasure by taking the address it will need.
        ensure(&app, "usr_x", "erased+usr_a@erased.invalid", "X")
            .await
            .expect(422);
        let admin = |action: &str| format!("/api/v1/account/admin/accounts/usr_a/{action}");
        let note = json!({ "note": "Ada called" });
        let add = app.post(&admin("note")).bearer(&root.access_token).json(&note);
        add.send().await.expect(201);
        let erase = || app.post("/api/v1/accounts/erase/usr_a").service().send();
        let first = erase().await.expect(200);
        app.advance(std::time::Duration::from_hours(24));
        assert_eq!(
            first.body["erase_at"],
            erase().await.expect(200).body["erase_at"],
            "asking again does not put it off"
        );
        app.advance(std::time::Duration::from_hours(30 * 24));
        let mut tx = app.ctx.db.begin().await.unwrap();
        let due = NewJob::new("account.erase_due", json!(null));
        app.ctx.jobs.enqueue(&mut tx, due).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(said(&app, "account_service.user.erased").await.len(), 1);
        let export = app
            .get("/api/v1/accounts/export/usr_a")
            .service()
            .send()
            .await
            .expect(200);
        assert!(!export.text.to_lowercase().contains("ada"), "{}", export.text);
        // Nothing brings it back, and nothing changes it.
        let root = app.admin_named("later@example.com").await;
        let active = json!({ "status": "active" });
        let roles = json!({ "admin_roles": ["support_admin"] });
        for request in [
            app.post(&admin("restore")),
            app.put(&admin("status")).json(&active),
            app.put(&admin("roles")).json(&roles),
            app.post(&admin("note")).json(&note),
        ] {
            request.bearer(&root.access_token).send().await.expect(404);
        }
        let status = json!({ "is_active": true });
        let set = app.put("/api/v1/accounts/status/usr_a").service().json(&status);
        set.send().await.expect(404);
        erase().await.expect(404);
        ensure(&app, "usr_b", "ada@example.com", "Ada").await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_can_take_their_data_along() {
    App::each(async |app| {
        let (ada, eve) = (
            app.register("ada@example.com").await,
            app.register("eve@example.com").await,
        );
        let path = format!("/api/v1/accounts/export/{}", ada.user_id);
        let export = app.get(&path).bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(
            (export.text_at("/account/email"), &export.body["notes"]),
            ("ada@example.com", &json!([]))
        );
        app.get(&path).bearer(&eve.access_token).send().await.expect(403);
        app.get("/api/v1/accounts/export/usr_nobody")
            .service()
            .send()
            .await
            .expect(404);
        app.get(&format!("/api/v1/accounts/claims/{}", ada.user_id))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        app.get(&format!("/api/v1/accounts/claims/{}", ada.user_id))
            .bearer(&eve.access_token)
            .send()
            .await
            .expect(403);
        app.get("/api/v1/accounts/claims/usr_nobody")
            .service()
            .send()
            .await
            .expect(404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_in_marks_a_person_as_seen() {
    App::each(async |app| {
        let (root, ada) = (app.admin().await, app.register("ada@example.com").await);
        app.settle().await;
        let path = format!("/api/v1/account/admin/accounts/{}", ada.user_id);
        let detail = app.get(&path).bearer(&root.access_token).send().await.expect(200);
        assert!(detail.body["last_seen_at"].is_string(), "{}", detail.text);
    })
    .await;
}
