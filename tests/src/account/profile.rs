use polity_testing::App;
use serde_json::json;

use super::{ensure, said};

fn profile(id: &str) -> String {
    format!("/api/v1/accounts/profile/{id}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_acc_001_to_007_ensure_makes_an_account_once() {
    App::each(async |app| {
        let first = ensure(&app, "usr_a", " Ada@Example.com ", " Ada ").await.expect(200);
        assert_eq!(
            (first.text_at("/email"), first.text_at("/name")),
            ("ada@example.com", "Ada")
        );
        assert_eq!(
            (&first.body["is_active"], &first.body["preferences"]),
            (&json!(true), &json!({}))
        );
        // EC-002: what is there is not touched.
        let second = ensure(&app, "usr_a", "other@example.com", "Other").await.expect(200);
        assert_eq!(first.body, second.body);
        let taken = ensure(&app, "usr_b", "ADA@example.com", "Bob").await.expect(400);
        assert_eq!(taken.code(), "EMAIL_TAKEN");
        assert!(
            taken
                .text_at("/detail")
                .starts_with("Account with email already exists")
        );
        assert_eq!(
            ensure(&app, "  ", "x@example.com", "X")
                .await
                .expect(400)
                .text_at("/detail"),
            "user_id is required"
        );
        assert_eq!(
            ensure(&app, "usr_c", "x@example.com", "   ")
                .await
                .expect(400)
                .text_at("/detail"),
            "name is required"
        );
        for email in ["a@b", "a b@c.d", "a@@c.d", "", "@c.d", "a@.d"] {
            ensure(&app, "usr_c", email, "X").await.expect(422);
        }
        ensure(&app, "usr_c", "x@example.com", &"x".repeat(101))
            .await
            .expect(422);
        let body = json!({ "email": "x@example.com", "name": "X" });
        let missing = app
            .post("/api/v1/accounts/ensure")
            .service()
            .json(&body)
            .send()
            .await
            .expect(422);
        assert_eq!(missing.text_at("/errors/0/msg"), "Field required");
        assert_eq!(said(&app, "account_service.user.created").await.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ensure_is_for_services_and_for_oneself() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let body = |id: &str| json!({ "user_id": id, "email": "ada@example.com", "name": "Ada" });
        let ask = |id: &str| {
            app.post("/api/v1/accounts/ensure")
                .json(&body(id))
                .bearer(&ada.access_token)
                .send()
        };
        ask(&ada.user_id).await.expect(200);
        ask("usr_other").await.expect(403);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_acc_006_fifty_ensures_at_once_make_one_row_and_one_event() {
    App::each(async |app| {
        let app = std::sync::Arc::new(app);
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..50 {
            let app = std::sync::Arc::clone(&app);
            tasks.spawn(async move { ensure(&app, "usr_a", "ada@example.com", &format!("Ada {n}")).await });
        }
        let mut names = std::collections::BTreeSet::new();
        while let Some(answer) = tasks.join_next().await {
            names.insert(answer.unwrap().expect(200).text_at("/name").to_owned());
        }
        assert_eq!(names.len(), 1, "EC-001: all see the winner's data: {names:?}");
        assert_eq!(said(&app, "account_service.user.created").await.len(), 1);
        let (one, other) = tokio::join!(
            ensure(&app, "usr_x", "x@example.com", "X"),
            ensure(&app, "usr_y", "x@example.com", "Y")
        );
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400], "EC-003");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_is_for_oneself_administrators_and_services() {
    App::each(async |app| {
        let (ada, eve, root) = (
            app.register("ada@example.com").await,
            app.register("eve@example.com").await,
            app.admin().await,
        );
        for token in [&ada.access_token, &root.access_token] {
            let answer = app.get(&profile(&ada.user_id)).bearer(token).send().await.expect(200);
            assert_eq!(answer.text_at("/user_id"), ada.user_id);
        }
        app.get(&profile(&ada.user_id)).service().send().await.expect(200);
        app.get(&profile(&ada.user_id))
            .service()
            .on_behalf_of(&ada.user_id)
            .send()
            .await
            .expect(200);
        app.get(&profile(&ada.user_id))
            .service()
            .on_behalf_of(&eve.user_id)
            .send()
            .await
            .expect(403);
        // Whether somebody else exists cannot be told.
        let foreign = app
            .get(&profile(&ada.user_id))
            .bearer(&eve.access_token)
            .send()
            .await
            .expect(403);
        let missing = app
            .get(&profile("usr_nobody"))
            .bearer(&eve.access_token)
            .send()
            .await
            .expect(403);
        assert_eq!(foreign.text_at("/detail"), missing.text_at("/detail"));
        let missing = app.get(&profile("usr_nobody")).service().send().await.expect(404);
        assert_eq!(
            (missing.code(), missing.text_at("/detail")),
            ("ACCOUNT_NOT_FOUND", "Account not found: usr_nobody")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_pro_001_to_006_a_profile_changes_exactly_as_asked() {
    App::each(async |app| {
        ensure(&app, "usr_b", "bob@example.com", "Bob").await.expect(200);
        ensure(&app, "usr_a", "ada@example.com", "Ada").await.expect(200);
        let put = |body: serde_json::Value| app.put(&profile("usr_a")).service().json(&body).send();
        let done = put(json!({ "name": " Ada L ", "preferences": { "a": 1 }, "is_active": false, "user_id": "x" }))
            .await
            .expect(200);
        assert_eq!(
            (done.text_at("/name"), &done.body["is_active"], done.text_at("/user_id")),
            ("Ada L", &json!(true), "usr_a")
        );
        let merged = put(json!({ "preferences": { "b.c": "$" } })).await.expect(200);
        assert_eq!(merged.body["preferences"], json!({ "a": 1, "b.c": "$" }));
        put(json!({})).await.expect(200);
        put(json!({ "name": null, "email": null, "preferences": null }))
            .await
            .expect(200);
        for blank in ["", "   "] {
            put(json!({ "name": blank })).await.expect(400);
        }
        put(json!({ "name": "ü".repeat(100) })).await.expect(200);
        put(json!({ "name": "ü".repeat(101) })).await.expect(422);
        assert_eq!(
            put(json!({ "email": "BOB@example.com" })).await.expect(400).code(),
            "EMAIL_TAKEN"
        );
        for wrong in [
            json!({ "preferences": [] }),
            json!({ "preferences": "x" }),
            json!({ "email": "nonsense" }),
            json!({ "name": 5 }),
        ] {
            put(wrong).await.expect(422);
        }
        let deep = (0..25).fold(json!(1), |inner, _| json!({ "a": inner }));
        put(json!({ "preferences": deep })).await.expect(422);
        put(json!({ "preferences": { "large": "x".repeat(65_000) , "more": "y".repeat(2_000) } }))
            .await
            .expect(422);
        put(json!({ "email": "Ada.New@example.com" })).await.expect(200);
        app.put(&profile("usr_nobody"))
            .service()
            .json(&json!({ "name": "X" }))
            .send()
            .await
            .expect(404);
        let said = said(&app, "account_service.user.profile_updated").await;
        let fields: Vec<_> = said.iter().map(|event| event["updated_fields"].clone()).collect();
        assert_eq!(
            fields,
            [
                json!(["name", "preferences"]),
                json!(["preferences"]),
                json!(["name"]),
                json!(["email"])
            ]
        );
        app.settle().await;
        assert!(
            app.last_mail_to("ada@example.com").contains("ada.new@example.com"),
            "the old address is told"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_pro_001_an_address_wanted_by_two_at_once_goes_to_one() {
    App::each(async |app| {
        for n in 0..20 {
            let (id, other, email) = (format!("usr_{n}"), format!("usr_o{n}"), format!("x{n}@example.com"));
            ensure(&app, &id, &format!("p{n}@example.com"), "P").await.expect(200);
            let body = json!({ "email": email });
            let (changed, made) = tokio::join!(
                app.put(&profile(&id)).service().json(&body).send(),
                ensure(&app, &other, &email, "Q")
            );
            let (won, lost) = if changed.status == 200 {
                (changed, made)
            } else {
                (made, changed)
            };
            assert_eq!(won.expect(200).text_at("/email"), email);
            assert_eq!(lost.expect(400).code(), "EMAIL_TAKEN");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_address_is_the_login_too() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let body = json!({ "email": "new@example.com" });
        app.put(&profile(&ada.user_id))
            .bearer(&ada.access_token)
            .json(&body)
            .send()
            .await
            .expect(200);
        app.settle().await;
        let login = |email: &str| {
            let body = json!({ "email": email, "password": "correct horse battery" });
            app.post("/api/v1/auth/login").json(&body).send()
        };
        login("new@example.com").await.expect(200);
        login("ada@example.com").await.expect(401);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_address_waits_for_its_code_when_the_settings_say_so() {
    App::each_with(json!({ "account": { "confirm_email_changes": true } }), async |app| {
        let ada = app.register("ada@example.com").await;
        let body = json!({ "email": "new@example.com" });
        let answer = app
            .put(&profile(&ada.user_id))
            .bearer(&ada.access_token)
            .json(&body)
            .send()
            .await
            .expect(200);
        assert_eq!(answer.text_at("/email"), "ada@example.com");
        let code = app.code_for("new@example.com").await;
        let confirm = |code: &str| {
            let path = format!("{}/email/confirm", profile(&ada.user_id));
            app.post(&path)
                .bearer(&ada.access_token)
                .json(&json!({ "code": code }))
                .send()
        };
        assert_eq!(confirm("nonsense").await.expect(400).code(), "INVALID_CONFIRMATION");
        assert_eq!(confirm(&code).await.expect(200).text_at("/email"), "new@example.com");
        confirm(&code).await.expect(400);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_match_refuses_who_was_slower() {
    App::each(async |app| {
        ensure(&app, "usr_a", "ada@example.com", "Ada").await.expect(200);
        let tag = app
            .get(&profile("usr_a"))
            .service()
            .send()
            .await
            .header("etag")
            .to_owned();
        assert!(tag.starts_with('"'), "{tag}");
        // The clock stands still: a version moves on all the same.
        let put = |tag: &str, name: &str| {
            app.put(&profile("usr_a"))
                .service()
                .header("If-Match", tag)
                .json(&json!({ "name": name }))
                .send()
        };
        let done = put(&tag, "One").await.expect(200);
        assert_eq!(put(&tag, "Two").await.expect(412).code(), "PRECONDITION_FAILED");
        put(done.header("etag"), "Three").await.expect(200);
        put("*", "Four").await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_prf_001_to_005_preferences_are_merged_also_at_once() {
    App::each(async |app| {
        ensure(&app, "usr_a", "ada@example.com", "Ada").await.expect(200);
        let path = "/api/v1/accounts/preferences/usr_a";
        let put = |body: serde_json::Value| app.put(path).service().json(&body).send();
        let done = put(json!({ "timezone": "Europe/Rome", "unknown": 1 }))
            .await
            .expect(200);
        assert_eq!(done.text_at("/message"), "Preferences updated successfully");
        let (one, other) = tokio::join!(
            put(json!({ "theme": "dark" })),
            put(json!({ "notification_push": false }))
        );
        one.expect(200);
        other.expect(200);
        let there = app.get(&profile("usr_a")).service().send().await.expect(200);
        assert_eq!(
            there.body["preferences"],
            json!({ "timezone": "Europe/Rome", "theme": "dark", "notification_push": false })
        );
        let wrong = put(json!({ "theme": "pink" })).await.expect(422);
        assert_eq!(
            wrong.text_at("/errors/0/msg"),
            "String should match pattern '^(light|dark|auto)$'"
        );
        for wrong in [
            json!({ "timezone": "Mars/Base" }),
            json!({ "language": "toolong" }),
            json!({ "notification_email": "yes" }),
        ] {
            put(wrong).await.expect(422);
        }
        app.put("/api/v1/accounts/preferences/usr_nobody")
            .service()
            .json(&json!({ "theme": "dark" }))
            .send()
            .await
            .expect(404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instructions_are_ones_own() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let path = "/api/v1/users/me/instructions";
        assert_eq!(
            app.get(path).bearer(&ada.access_token).send().await.expect(200).body,
            json!({ "instructions": "" })
        );
        let put = |text: String| {
            app.put(path)
                .bearer(&ada.access_token)
                .json(&json!({ "instructions": text }))
                .send()
        };
        let done = put("ü".repeat(4000)).await.expect(200);
        assert_eq!(done.text_at("/message"), "Custom instructions updated");
        put("ü".repeat(4001)).await.expect(400);
        app.put(path)
            .bearer(&ada.access_token)
            .json(&json!({}))
            .send()
            .await
            .expect(422);
        app.get(path).service().send().await.expect(401);
        let there = app
            .get(path)
            .service()
            .on_behalf_of(&ada.user_id)
            .send()
            .await
            .expect(200);
        assert_eq!(there.text_at("/instructions").chars().count(), 4000);
    })
    .await;
}
