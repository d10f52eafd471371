use std::time::Duration;

use polity_testing::App;
use serde_json::{Value, json};

use super::{PASSWORD, login};

async fn register(app: &App, email: &str) -> String {
    let body = json!({ "email": email, "password": PASSWORD, "name": "Ada" });
    let answer = app.post("/api/v1/auth/register").json(&body).send().await.expect(200);
    assert_eq!(answer.body["verification_required"], true);
    let id = answer.text_at("/pending_registration_id").to_owned();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    id
}

async fn verify(app: &App, id: &str, code: &str) -> Value {
    let body = json!({ "pending_registration_id": id, "code": code });
    app.post("/api/v1/auth/verify")
        .json(&body)
        .send()
        .await
        .expect(200)
        .body
}

fn wrong(code: &str) -> String {
    let last = code.as_bytes()[5];
    format!("{}{}", &code[..5], if last == b'0' { '1' } else { '0' })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_reg_011_to_020_a_person_registers_with_a_mailed_code() {
    App::each(async |app| {
        let id = register(&app, "  Ada@Example.COM ").await;
        let code = app.code_for("ada@example.com").await;
        let mail = app.ctx.mail.captured().pop().unwrap().mail;
        assert_eq!((mail.category.as_str(), mail.tags.len()), ("user_registration", 2));
        assert_eq!(
            verify(&app, &id, &wrong(&code)).await["error"],
            "Invalid verification code"
        );
        // Codes are compared trimmed.
        let done = verify(&app, &id, &format!(" {code} ")).await;
        assert_eq!(
            (&done["success"], &done["email"]),
            (&json!(true), &json!("ada@example.com"))
        );
        assert_eq!(
            (&done["token_type"], &done["expires_in"], &done["error"]),
            (&json!("Bearer"), &json!(3600), &Value::Null)
        );
        assert!(done["user_id"].as_str().unwrap().starts_with("usr_"));
        // A registration is spent.
        assert_eq!(verify(&app, &id, &code).await["error"], "Invalid pending registration");
        login(&app, "ADA@example.com", PASSWORD).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_reg_014_expired_beats_wrong_and_five_attempts_are_all() {
    App::each(async |app| {
        let id = register(&app, "ada@example.com").await;
        let code = app.code_for("ada@example.com").await;
        app.advance(Duration::from_mins(10));
        assert_eq!(verify(&app, &id, &wrong(&code)).await["error"], "Verification expired");
        let id = register(&app, "ada@example.com").await;
        let code = app.code_for("ada@example.com").await;
        for _ in 0..5 {
            assert_eq!(
                verify(&app, &id, &wrong(&code)).await["error"],
                "Invalid verification code"
            );
        }
        assert_eq!(
            verify(&app, &id, &code).await["error"],
            "Verification expired",
            "attempts have no end"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_code_replaces_the_old_one_three_times() {
    App::each(async |app| {
        let id = register(&app, "ada@example.com").await;
        let first = app.code_for("ada@example.com").await;
        let resend = || {
            app.post("/api/v1/auth/register/resend")
                .json(&json!({ "pending_registration_id": id }))
                .send()
        };
        for _ in 0..3 {
            resend().await.expect(200);
            app.settle().await;
        }
        assert_eq!(resend().await.expect(400).code(), "REGISTRATION_ENDED");
        let last = app.code_for("ada@example.com").await;
        if first != last {
            assert_eq!(verify(&app, &id, &first).await["success"], false);
        }
        assert_eq!(verify(&app, &id, &last).await["success"], true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_address_answers_like_an_unknown_one_and_makes_nobody() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = register(&app, "ada@example.com").await;
        app.settle().await;
        assert!(app.last_mail_to("ada@example.com").contains("already has an account"));
        for code in ["000000", "123456"] {
            assert_eq!(verify(&app, &id, code).await["error"], "Invalid verification code");
        }
        let there = login(&app, "ada@example.com", PASSWORD).await.expect(200);
        assert_eq!(there.text_at("/user_id"), ada.user_id);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec_004_an_address_taken_meanwhile_makes_no_second_identity() {
    App::each(async |app| {
        let id = register(&app, "ada@example.com").await;
        let code = app.code_for("ada@example.com").await;
        let body = json!({ "user_id": "usr_other", "email": "ada@example.com", "name": "Other" });
        app.post("/api/v1/accounts/ensure")
            .service()
            .json(&body)
            .send()
            .await
            .expect(200);
        assert_eq!(verify(&app, &id, &code).await["error"], "Account creation failed");
        let (identities,) = app
            .ctx
            .db
            .read()
            .await
            .unwrap()
            .sql("select count(*) from identity")
            .one::<(i64,)>()
            .await
            .unwrap();
        assert_eq!(identities, 0, "an orphan login identity was left");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_verified_twice_at_once_makes_one_person() {
    App::each(async |app| {
        let id = register(&app, "ada@example.com").await;
        let code = app.code_for("ada@example.com").await;
        let (one, other) = tokio::join!(verify(&app, &id, &code), verify(&app, &id, &code));
        let successes = [&one, &other].iter().filter(|answer| answer["success"] == true).count();
        assert_eq!(successes, 1, "{one} {other}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_registrations_are_422() {
    App::each(async |app| {
        for (body, pointer) in [
            (json!({ "password": PASSWORD }), "/email"),
            (json!({ "email": "ada@example.com" }), "/password"),
            (json!({ "email": "a@b", "password": PASSWORD }), "/email"),
            (json!({ "email": "a b@example.com", "password": PASSWORD }), "/email"),
            (json!({ "email": "ada@example.com", "password": "short" }), "/password"),
            (
                json!({ "email": "ada@example.com", "password": "x".repeat(1025) }),
                "/password",
            ),
            (
                json!({ "email": "ada@example.com", "password": PASSWORD, "name": "x".repeat(101) }),
                "/name",
            ),
        ] {
            let answer = app.post("/api/v1/auth/register").json(&body).send().await.expect(422);
            assert_eq!(
                (answer.code(), answer.text_at("/errors/0/pointer")),
                ("VALIDATION_FAILED", pointer),
                "{body}"
            );
        }
        let missing = app
            .post("/api/v1/auth/verify")
            .json(&json!({ "code": "1" }))
            .send()
            .await
            .expect(422);
        assert_eq!(missing.text_at("/errors/0/msg"), "Field required");
        app.post("/api/v1/auth/register")
            .json(&json!({ "email": "ada@example.com", "password": "pässwörd 🔑" }))
            .send()
            .await
            .expect(200);
    })
    .await;
}
