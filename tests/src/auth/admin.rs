use polity_testing::{App, BOOTSTRAP_SECRET};
use serde_json::json;

use super::PASSWORD;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_sign_in_by_their_own_door() {
    App::each(async |app| {
        app.admin().await;
        app.register("ada@example.com").await;
        let ask = |email: &str, password: &str| {
            app.post("/api/v1/auth/admin/login")
                .json(&json!({ "email": email, "password": password }))
                .send()
        };
        let root = ask("root@example.com", PASSWORD).await.expect(200);
        assert_eq!(
            (&root.body["expires_in"], &root.body["admin_roles"]),
            (&json!(14_400), &json!(["super_admin"]))
        );
        assert!(root.header("set-cookie").contains("Max-Age=86400"));
        assert_eq!(
            ask("ada@example.com", PASSWORD).await.expect(401).text_at("/detail"),
            "Insufficient admin privileges"
        );
        assert_eq!(
            ask("root@example.com", "wrong password").await.expect(401).code(),
            "INVALID_CREDENTIALS"
        );
        let verify = |token: &str| app.get("/api/v1/auth/admin/verify").bearer(token).send();
        let claims = verify(root.text_at("/access_token")).await.expect(200);
        assert_eq!((claims.text_at("/scope"), claims.text_at("/name")), ("admin", "Root"));
        let ada = app
            .post("/api/v1/auth/login")
            .json(&json!({ "email": "ada@example.com", "password": PASSWORD }))
            .send()
            .await;
        assert_eq!(
            verify(ada.text_at("/access_token"))
                .await
                .expect(401)
                .text_at("/detail"),
            "Not an admin token"
        );
        assert_eq!(
            app.get("/api/v1/auth/admin/verify")
                .send()
                .await
                .expect(401)
                .text_at("/detail"),
            "Missing bearer token"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bootstrap_works_once_and_only_while_there_is_no_super_admin() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let ask = |user: &str, secret: &str| {
            let body = json!({ "user_id": user, "bootstrap_secret": secret });
            app.post("/api/v1/auth/admin/bootstrap").json(&body).send()
        };
        assert_eq!(ask(&ada.user_id, "wrong").await.expect(403).code(), "BOOTSTRAP_CLOSED");
        ask("usr_nobody", BOOTSTRAP_SECRET).await.expect(403);
        let done = ask(&ada.user_id, BOOTSTRAP_SECRET).await.expect(200);
        assert_eq!(
            (done.text_at("/scope"), &done.body["permissions"]),
            ("admin", &json!(["auth.admin"]))
        );
        app.get("/api/v1/account/admin/accounts")
            .bearer(done.text_at("/access_token"))
            .send()
            .await
            .expect(200);
        ask(&ada.user_id, BOOTSTRAP_SECRET).await.expect(403);
    })
    .await;
    App::each_with(json!({ "auth": { "admin_bootstrap_secret": null } }), async |app| {
        let body = json!({ "user_id": "u", "bootstrap_secret": BOOTSTRAP_SECRET });
        app.post("/api/v1/auth/admin/bootstrap")
            .json(&body)
            .send()
            .await
            .expect(403);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_bootstraps_at_once_make_one_administrator() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let ask = |user: &str| {
            let body = json!({ "user_id": user, "bootstrap_secret": BOOTSTRAP_SECRET });
            app.post("/api/v1/auth/admin/bootstrap").json(&body).send()
        };
        let (one, other) = tokio::join!(ask(&ada.user_id), ask(&bob.user_id));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 403]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_set_up_form_refuses_what_cannot_be_stored() {
    App::each(async |app| {
        let token = polity_identity::auth::setup_token(&app.ctx).await.unwrap().unwrap();
        let setup = async |name: &str| {
            let fields = [
                ("token", token.expose()),
                ("email", "root@example.com"),
                ("password", PASSWORD),
                ("name", name),
            ];
            app.post("/setup").form(&fields).send().await
        };
        assert_eq!(setup("Root\0").await.expect(422).code(), "VALIDATION_FAILED");
        setup("Root").await.expect(200);
        setup("Root").await.expect(403);
    })
    .await;
}
