use polity_testing::App;
use serde_json::json;

use super::said;

const ACCOUNTS: &str = "/api/v1/account/admin/accounts";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administration_is_for_administrators() {
    App::each(async |app| {
        let (root, ada) = (app.admin().await, app.register("ada@example.com").await);
        assert_eq!(
            app.get(ACCOUNTS).send().await.expect(401).text_at("/detail"),
            "Missing admin bearer token"
        );
        assert_eq!(
            app.get(ACCOUNTS)
                .bearer(&ada.access_token)
                .send()
                .await
                .expect(403)
                .text_at("/detail"),
            "Admin token required"
        );
        app.get(ACCOUNTS).service().send().await.expect(403);
        let list = app
            .get(&format!("{ACCOUNTS}?search=root"))
            .bearer(&root.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(
            (&list.body["total_count"], &list.body["accounts"][0]["admin_roles"]),
            (&json!(1), &json!(["super_admin"]))
        );
        let detail = app
            .get(&format!("{ACCOUNTS}/{}", ada.user_id))
            .bearer(&root.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(
            (detail.text_at("/account_status"), &detail.body["notes"]),
            ("active", &json!([]))
        );
        app.get(&format!("{ACCOUNTS}/usr_nobody"))
            .bearer(&root.access_token)
            .send()
            .await
            .expect(404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_are_checked_in_the_contracts_order_and_said_one_by_one() {
    App::each(async |app| {
        let (root, ada) = (app.admin().await, app.register("ada@example.com").await);
        let set = |token: &str, id: &str, roles: serde_json::Value| {
            app.put(&format!("{ACCOUNTS}/{id}/roles"))
                .bearer(token)
                .json(&json!({ "admin_roles": roles }))
                .send()
        };
        let roles = json!(["support_admin", "billing_admin", "support_admin"]);
        let done = set(&root.access_token, &ada.user_id, roles.clone()).await.expect(200);
        assert_eq!(done.body["admin_roles"], json!(["billing_admin", "support_admin"]));
        set(&root.access_token, &ada.user_id, roles).await.expect(200);
        let body = json!({ "email": "ada@example.com", "password": "correct horse battery" });
        let helper = app
            .post("/api/v1/auth/admin/login")
            .json(&body)
            .send()
            .await
            .expect(200);
        let helper = helper.text_at("/access_token");
        // The texts first, then the caller, then the account.
        let wrong = set(helper, "usr_nobody", json!(["Super_Admin"])).await.expect(400);
        assert_eq!(wrong.code(), "INVALID_ADMIN_ROLES");
        assert!(wrong.text_at("/detail").contains("Valid roles"), "{}", wrong.text);
        let refused = set(helper, "usr_nobody", json!(["super_admin"])).await.expect(403);
        assert!(refused.text_at("/detail").starts_with("only_super_admin_can_assign:"));
        set(&root.access_token, "usr_nobody", json!([])).await.expect(404);
        set(&root.access_token, &ada.user_id, json!("super_admin"))
            .await
            .expect(422);
        set(&root.access_token, &ada.user_id, json!(["billing_admin"]))
            .await
            .expect(200);
        let of_ada = |events: Vec<serde_json::Value>| {
            events
                .into_iter()
                .filter(|e| e["target_user_id"] == ada.user_id)
                .count()
        };
        assert_eq!(
            of_ada(said(&app, "account_service.role.assigned").await),
            2,
            "the same set again says nothing"
        );
        assert_eq!(of_ada(said(&app, "account_service.role.revoked").await), 1);
        let audits = said(&app, "account_service.admin.action.account.set_roles").await;
        assert_eq!(
            audits[0]["changes"],
            json!({ "before": [], "after": ["billing_admin", "support_admin"] })
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_super_admin_stays_also_in_a_race() {
    App::each(async |app| {
        let (root, other) = (app.admin().await, app.admin_named("other@example.com").await);
        let clear = |who: &polity_testing::Person, whom: &str| {
            app.put(&format!("{ACCOUNTS}/{whom}/roles"))
                .bearer(&who.access_token)
                .json(&json!({ "admin_roles": [] }))
                .send()
        };
        let (one, two) = tokio::join!(clear(&root, &other.user_id), clear(&other, &root.user_id));
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses[0], 200);
        // The second was refused as the last one, or had lost the role, or its session, before it asked.
        assert!([400, 401, 403].contains(&statuses[1]), "{statuses:?}");
        let left = if one.status == 200 { &root } else { &other };
        assert_eq!(clear(left, &left.user_id).await.expect(400).code(), "LAST_SUPER_ADMIN");
        let delete = app
            .delete(&format!("/api/v1/accounts/profile/{}", left.user_id))
            .service()
            .send()
            .await;
        assert_eq!(delete.expect(400).code(), "LAST_SUPER_ADMIN");
        let status = app
            .put(&format!("/api/v1/accounts/status/{}", left.user_id))
            .service()
            .json(&json!({ "is_active": false }));
        status.send().await.expect(400);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moderation_follows_its_state_machine() {
    App::each(async |app| {
        let (root, helper, ada) = (
            app.admin().await,
            app.register("helper@example.com").await,
            app.register("ada@example.com").await,
        );
        let roles = json!({ "admin_roles": ["support_admin"] });
        app.put(&format!("{ACCOUNTS}/{}/roles", helper.user_id))
            .bearer(&root.access_token)
            .json(&roles)
            .send()
            .await
            .expect(200);
        let body = json!({ "email": "helper@example.com", "password": "correct horse battery" });
        let helper = app
            .post("/api/v1/auth/admin/login")
            .json(&body)
            .send()
            .await
            .expect(200);
        let helper = helper.text_at("/access_token");
        let set = |token: &str, status: &str| {
            let body = json!({ "status": status, "reason": "spam" });
            app.put(&format!("{ACCOUNTS}/{}/status", ada.user_id))
                .bearer(token)
                .json(&body)
                .send()
        };
        let done = set(helper, "suspended").await.expect(200);
        assert_eq!(done.text_at("/message"), "Account status updated to 'suspended'");
        let claims = app
            .get(&format!("/api/v1/accounts/claims/{}", ada.user_id))
            .service()
            .send()
            .await
            .expect(200);
        assert_eq!(
            (&claims.body["is_active"], claims.text_at("/account_status")),
            (&json!(false), "suspended")
        );
        set(helper, "banned").await.expect(200);
        set(helper, "active").await.expect(403);
        app.put(&format!("/api/v1/accounts/status/{}", ada.user_id))
            .service()
            .json(&json!({ "is_active": true }))
            .send()
            .await
            .expect(403);
        set(&root.access_token, "active").await.expect(200);
        set(helper, "gone").await.expect(422);
        app.put(&format!("{ACCOUNTS}/usr_nobody/status"))
            .bearer(helper)
            .json(&json!({ "status": "banned" }))
            .send()
            .await
            .expect(404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_are_added_and_kept_as_they_are() {
    App::each(async |app| {
        let (root, ada) = (app.admin().await, app.register("ada@example.com").await);
        let path = format!("{ACCOUNTS}/{}/note", ada.user_id);
        let add = |text: &str| {
            app.post(&path)
                .bearer(&root.access_token)
                .json(&json!({ "note": text }))
                .send()
        };
        let note = add("<b>called</b> twice").await.expect(201);
        assert_eq!(
            (note.text_at("/note"), note.text_at("/author_id")),
            ("<b>called</b> twice", root.user_id.as_str())
        );
        assert!(note.text_at("/note_id").starts_with("note_") && note.text_at("/note_id").len() == 17);
        add("").await.expect(422);
        add(&"x".repeat(2001)).await.expect(422);
        app.post(&format!("{ACCOUNTS}/usr_nobody/note"))
            .bearer(&root.access_token)
            .json(&json!({ "note": "x" }))
            .send()
            .await
            .expect(404);
        app.post(&path)
            .bearer(&ada.access_token)
            .json(&json!({ "note": "x" }))
            .send()
            .await
            .expect(403);
    })
    .await;
}
