use std::time::Duration;

use polity_testing::App;
use serde_json::{Value, json};

use super::{PASSWORD, verify_token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_token_always_answers_200_and_says_why_not() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let good = verify_token(&app, &ada.access_token).await;
        assert_eq!(
            (&good.body["valid"], good.text_at("/provider"), good.text_at("/user_id")),
            (&json!(true), "polity", ada.user_id.as_str())
        );
        assert!(good.body.get("error").is_none() && good.body["role"].is_null() && good.body["scopes"].is_null());
        let mut parts: Vec<&str> = ada.access_token.split('.').collect();
        parts[2] = "";
        let unsigned = parts.join(".");
        // A header that says "none", with our claims.
        let none = format!(
            "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.",
            ada.access_token.split('.').nth(1).unwrap()
        );
        for token in [
            "",
            "garbage",
            "a.b.c",
            unsigned.as_str(),
            none.as_str(),
            ada.refresh_token.as_str(),
            &"x".repeat(60_000),
        ] {
            let answer = verify_token(&app, token).await;
            assert_eq!(answer.body["valid"], false, "{token:.40}");
            assert!(answer.text_at("/error").starts_with("Invalid token"), "{}", answer.text);
            assert!(answer.body["user_id"].is_null() && answer.body["email"].is_null());
        }
        let body = json!({ "token": ada.access_token, "provider": "nobody" });
        let answer = app
            .post("/api/v1/auth/verify-token")
            .json(&body)
            .send()
            .await
            .expect(200);
        assert_eq!(answer.text_at("/error"), "Unsupported provider: nobody");
        app.post("/api/v1/auth/verify-token")
            .json(&json!({}))
            .send()
            .await
            .expect(422);
        // BR-TOK-003: at the second of its end it has ended.
        app.advance(Duration::from_secs(3599));
        assert_eq!(verify_token(&app, &ada.access_token).await.body["valid"], true);
        app.advance(Duration::from_secs(1));
        assert_eq!(
            verify_token(&app, &ada.access_token).await.text_at("/error"),
            "Token has expired"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_token_answers_200_when_revocations_cannot_be_read_too() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let mut tx = app.ctx.db.begin().await.unwrap();
        tx.sql("alter table revocation rename to revocation_gone")
            .execute()
            .await
            .unwrap();
        tx.commit().await.unwrap();
        // What was read before is believed for a second.
        for _ in 0..100_000 {
            let answer = verify_token(&app, &ada.access_token).await;
            if answer.body["valid"] == false {
                assert_eq!(answer.text_at("/error"), "The token cannot be verified now; try again");
                assert!(answer.body["user_id"].is_null());
                return;
            }
        }
        panic!("a token counts though nobody knows whether it was revoked");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_signed_with_a_published_key_and_survive_its_rotation() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let set = app.get("/.well-known/jwks.json").send().await.expect(200);
        let header = jsonwebtoken::decode_header(&ada.access_token).unwrap();
        assert_eq!(header.alg, jsonwebtoken::Algorithm::EdDSA);
        let jwks: jsonwebtoken::jwk::JwkSet = serde_json::from_value(set.body).unwrap();
        let jwk = jwks.find(&header.kid.unwrap()).expect("the key is published");
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
        validation.validate_exp = false;
        let key = jsonwebtoken::DecodingKey::from_jwk(jwk).unwrap();
        let claims = jsonwebtoken::decode::<Value>(&ada.access_token, &key, &validation)
            .unwrap()
            .claims;
        assert_eq!(
            (&claims["type"], &claims["scope"], &claims["sub"]),
            (&json!("access"), &json!("user"), &json!(ada.user_id))
        );
        let mut tx = app.ctx.db.begin().await.unwrap();
        app.ctx
            .jobs
            .enqueue(
                &mut tx,
                polity_kernel::job::NewJob::new("auth.rotate_signing_key", Value::Null),
            )
            .await
            .unwrap();
        tx.commit().await.unwrap();
        app.settle().await;
        let bob = app.register("bob@example.com").await;
        assert_ne!(
            jsonwebtoken::decode_header(&bob.access_token).unwrap().kid,
            jsonwebtoken::decode_header(&ada.access_token).unwrap().kid
        );
        for token in [&ada.access_token, &bob.access_token] {
            assert_eq!(verify_token(&app, token).await.body["valid"], true);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_an_earlier_platform_count_only_with_its_secret() {
    let secret = "test-only-legacy-secret-0123456789abcdef";
    let claims = json!({
        "iss": "isA_user", "sub": "usr_old", "iat": 1_799_999_000, "exp": 1_800_001_000, "jti": "j", "type": "access",
        "scope": "user", "email": "old@example.com", "permissions": ["p"], "metadata": { "subscription_level": "pro" },
    });
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
    App::each(async |app| {
        assert_eq!(verify_token(&app, &token).await.body["valid"], false);
    })
    .await;
    App::each_with(json!({ "auth": { "legacy_jwt_secret": secret } }), async |app| {
        let answer = verify_token(&app, &token).await;
        assert_eq!(
            (&answer.body["valid"], answer.text_at("/subscription_level")),
            (&json!(true), "pro"),
            "{}",
            answer.text
        );
        let mut other = claims.clone();
        other["iss"] = json!("somebody");
        let forged = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &other, &key).unwrap();
        assert_eq!(
            verify_token(&app, &forged).await.text_at("/error"),
            "Invalid token issuer"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_info_is_composed_of_token_and_account() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let ask = |token: &str| {
            app.post("/api/v1/auth/user-info")
                .json(&json!({ "token": token }))
                .send()
        };
        let info = ask(&ada.access_token).await.expect(200);
        assert_eq!(
            (info.text_at("/sub"), info.text_at("/preferred_username")),
            (ada.user_id.as_str(), "ada")
        );
        assert_eq!(
            (&info.body["account_active"], &info.body["account_missing"]),
            (&json!(true), &json!(false))
        );
        let root = app.admin().await;
        let info = ask(&root.access_token).await.expect(200);
        assert_eq!(
            (&info.body["roles"], &info.body["admin_roles"]),
            (&json!(["admin"]), &json!(["super_admin"]))
        );
        ask("garbage").await.expect(401);
        app.get("/api/v1/auth/user-info").send().await.expect(405);
        app.post("/api/v1/auth/user-info")
            .json(&json!({}))
            .send()
            .await
            .expect(422);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_pairs_are_for_services_and_administrators() {
    App::each(async |app| {
        let (root, ada) = (app.admin().await, app.register("ada@example.com").await);
        let body = json!({
            "user_id": "usr_x", "email": "X@example.com", "permissions": ["a", "b"],
            "metadata": { "admin_roles": ["super_admin"], "username": "x" },
        });
        let ask = || app.post("/api/v1/auth/token-pair").json(&body);
        ask().send().await.expect(401);
        let refused = ask().bearer(&ada.access_token).send().await.expect(403);
        assert_eq!(refused.text_at("/detail"), "Admin permission required");
        ask().service().on_behalf_of(&ada.user_id).send().await.expect(403);
        ask().bearer(&root.access_token).send().await.expect(200);
        let pair = ask().service().send().await.expect(200);
        let claims = verify_token(&app, pair.text_at("/access_token")).await;
        assert_eq!(
            (claims.text_at("/email"), &claims.body["permissions"]),
            ("x@example.com", &json!(["a", "b"]))
        );
        assert!(claims.body["role"].is_null(), "metadata made an administrator");
        app.get("/api/v1/account/admin/accounts")
            .bearer(pair.text_at("/access_token"))
            .send()
            .await
            .expect(403);
        let again = json!({ "refresh_token": pair.text_at("/refresh_token") });
        app.post("/api/v1/auth/refresh").json(&again).send().await.expect(200);
        app.post("/api/v1/auth/token-pair")
            .service()
            .json(&json!({ "user_id": "x" }))
            .send()
            .await
            .expect(422);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_pair_makes_more_of_somebody_than_they_are() {
    App::each(async |app| {
        let (root, other) = (app.admin().await, app.admin_named("other@example.com").await);
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let roles = format!("/api/v1/account/admin/accounts/{}/roles", other.user_id);
        let support = json!({ "admin_roles": ["support_admin"] });
        app.put(&roles)
            .bearer(&root.access_token)
            .json(&support)
            .send()
            .await
            .expect(200);
        app.settle().await;
        let credentials = json!({ "email": "other@example.com", "password": PASSWORD });
        let other = app.post("/api/v1/auth/admin/login").json(&credentials).send().await;
        let pair = |user_id: &str| {
            let body = json!({ "user_id": user_id, "email": "x@example.com" });
            app.post("/api/v1/auth/token-pair").json(&body)
        };
        // As the super_admin, a support_admin could change their address and reset their password.
        let support = other.text_at("/access_token");
        pair(&ada.user_id).bearer(support).send().await.expect(200);
        pair(&root.user_id).bearer(support).send().await.expect(403);
        pair(&root.user_id).bearer(&root.access_token).send().await.expect(200);
        let before = pair(&bob.user_id).service().send().await.expect(200);
        let delete = format!("/api/v1/accounts/profile/{}", bob.user_id);
        app.delete(&delete).service().send().await.expect(200);
        app.settle().await;
        pair(&bob.user_id).service().send().await.expect(403);
        let refresh = json!({ "refresh_token": before.text_at("/refresh_token") });
        app.post("/api/v1/auth/refresh").json(&refresh).send().await.expect(401);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_that_could_never_be_verified_is_not_issued() {
    App::each(async |app| {
        let body = json!({ "user_id": "u", "email": "x@example.com", "metadata": { "much": "x".repeat(20_000) } });
        let answer = app
            .post("/api/v1/auth/token-pair")
            .service()
            .json(&body)
            .send()
            .await
            .expect(422);
        assert_eq!(answer.text_at("/errors/0/pointer"), "/metadata");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn development_routes_exist_in_development_alone() {
    App::each(async |app| {
        let root = app.admin().await;
        let body = json!({ "user_id": "u", "email": "u@example.com" });
        app.post("/api/v1/auth/dev-token")
            .bearer(&root.access_token)
            .json(&body)
            .send()
            .await
            .expect(404);
        app.get("/api/v1/auth/dev/mailbox").send().await.expect(404);
        app.post("/api/v1/auth/dev-bypass").json(&body).send().await.expect(404);
    })
    .await;
    App::each_with(json!({ "environment": "development" }), async |app| {
        let root = app.admin().await;
        let body = json!({ "user_id": "u", "email": "u@example.com", "expires_in": 60, "subscription_level": "pro" });
        app.post("/api/v1/auth/dev-token").json(&body).send().await.expect(401);
        let token = app
            .post("/api/v1/auth/dev-token")
            .bearer(&root.access_token)
            .json(&body)
            .send()
            .await
            .expect(200);
        let claims = verify_token(&app, token.text_at("/token")).await;
        assert_eq!(claims.text_at("/subscription_level"), "pro");
        for wrong in [
            json!({ "user_id": "u", "email": "u@example.com", "expires_in": 0 }),
            json!({ "user_id": "u", "email": "u@example.com", "expires_in": 86_401 }),
            json!({ "user_id": "u", "email": "u@example.com", "subscription_level": "gold" }),
        ] {
            app.post("/api/v1/auth/dev-token")
                .bearer(&root.access_token)
                .json(&wrong)
                .send()
                .await
                .expect(422);
        }
        let register = json!({ "email": "new@example.com", "password": PASSWORD });
        let pending = app
            .post("/api/v1/auth/register")
            .json(&register)
            .send()
            .await
            .expect(200);
        let path = format!(
            "/api/v1/auth/dev/pending-registration/{}",
            pending.text_at("/pending_registration_id")
        );
        let look = app.get(&path).send().await.expect(200);
        assert_eq!(
            look.text_at("/verification_code"),
            app.code_for("new@example.com").await
        );
        app.get("/api/v1/auth/dev/pending-registration/nothing")
            .send()
            .await
            .expect(404);
        let mailbox = app.get("/api/v1/auth/dev/mailbox").send().await.expect(200);
        assert_eq!(mailbox.text_at("/mails/0/to"), "new@example.com");
        app.post("/api/v1/auth/dev-bypass").json(&body).send().await.expect(404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_says_what_it_is() {
    App::each(async |app| {
        assert_eq!(
            app.get("/api/v1/auth/info")
                .send()
                .await
                .expect(200)
                .text_at("/service"),
            "auth_microservice"
        );
        assert_eq!(
            app.get("/api/v1/auth/stats")
                .send()
                .await
                .expect(200)
                .text_at("/status"),
            "operational"
        );
        let health = app.get("/api/v1/auth/health").send().await.expect(200);
        assert_eq!(
            (health.text_at("/service"), &health.body["port"]),
            ("auth_service", &json!(8201))
        );
        let health = app.get("/api/v1/accounts/health").send().await.expect(200);
        assert_eq!(
            (health.text_at("/service"), &health.body["port"]),
            ("account_service", &json!(8202))
        );
        assert_eq!(
            app.get("/health/detailed").send().await.expect(200).body["database_connected"],
            true
        );
        assert!(
            app.get("/metrics")
                .send()
                .await
                .expect(200)
                .text
                .contains("polity_http_request_seconds")
        );
    })
    .await;
}
