use std::time::Duration;

use polity_testing::App;
use serde_json::{Value, json};

use super::{PASSWORD, cookie, login, overtake, slow_passwords};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_in_opens_a_session_and_sets_the_cookie() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let answer = login(&app, " ADA@example.com", PASSWORD).await.expect(200);
        assert_eq!(answer.text_at("/user_id"), ada.user_id);
        assert_eq!(
            (&answer.body["refresh_token"], &answer.body["expires_in"]),
            (&Value::Null, &json!(3600))
        );
        let header = answer.header("set-cookie");
        for part in [
            "refresh_token=pol_refresh_",
            "HttpOnly",
            "SameSite=Lax",
            "Path=/",
            "Max-Age=604800",
            "Secure",
        ] {
            assert!(header.contains(part), "{header} has no {part}");
        }
        assert!(!header.contains("Domain"));
    })
    .await;
    App::each_with(
        json!({ "auth": { "return_refresh_token_in_body": true, "secure_cookies": false } }),
        async |app| {
            app.register("ada@example.com").await;
            let answer = login(&app, "ada@example.com", PASSWORD).await.expect(200);
            assert_eq!(answer.text_at("/refresh_token"), cookie(&answer));
            assert!(!answer.header("set-cookie").contains("Secure"));
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_address_and_a_wrong_password_answer_the_same() {
    App::each(async |app| {
        app.register("ada@example.com").await;
        let unknown = login(&app, "nobody@example.com", PASSWORD).await.expect(401);
        let wrong = login(&app, "ada@example.com", "wrong password").await.expect(401);
        assert_eq!(
            (unknown.code(), unknown.text_at("/detail")),
            ("INVALID_CREDENTIALS", "Invalid email or password")
        );
        for member in ["type", "title", "status", "detail", "code"] {
            assert_eq!(unknown.body[member], wrong.body[member]);
        }
        app.post("/api/v1/auth/login")
            .json(&json!({ "email": "ada@example.com" }))
            .send()
            .await
            .expect(422);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_passwords_lock_an_address_for_a_growing_while_known_or_not() {
    App::each(async |app| {
        app.register("ada@example.com").await;
        for email in ["ada@example.com", "nobody@example.com"] {
            for _ in 0..6 {
                assert_eq!(
                    login(&app, email, "wrong password").await.expect(401).code(),
                    "INVALID_CREDENTIALS"
                );
            }
        }
        // The right password too, and with the same words.
        assert_eq!(
            login(&app, "ada@example.com", PASSWORD).await.expect(401).code(),
            "INVALID_CREDENTIALS"
        );
        app.advance(Duration::from_secs(3));
        login(&app, "ada@example.com", PASSWORD).await.expect(200);
        // And what was wrong before is forgotten.
        login(&app, "ada@example.com", "wrong password").await.expect(401);
        login(&app, "ada@example.com", PASSWORD).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_at_once_are_locked_out_like_guesses_in_a_row() {
    App::each_with(slow_passwords(), async |app| {
        app.register("ada@example.com").await;
        for _ in 0..4 {
            login(&app, "ada@example.com", "wrong password").await.expect(401);
        }
        let fifth = login(&app, "ada@example.com", "wrong password");
        let (fifth, right) = overtake(&app, fifth, login(&app, "ada@example.com", PASSWORD)).await;
        fifth.expect(401);
        let mut read = app.ctx.db.read().await.unwrap();
        let counted = read
            .sql("select failures from login_failure")
            .all::<(i64,)>()
            .await
            .unwrap();
        // Either the fifth came first, and the right one was too late; or it came afterwards, and was the first again.
        let expected = if right.status == 200 { 1 } else { 5 };
        assert_eq!(counted, [(expected,)], "{}", right.text);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_a_member_of_an_organization_that_is_not_there() {
    App::each(async |app| {
        app.register("ada@example.com").await;
        let body = json!({ "email": "ada@example.com", "password": PASSWORD, "organization_id": "org_1" });
        assert_eq!(
            app.post("/api/v1/auth/login")
                .json(&body)
                .send()
                .await
                .expect(403)
                .code(),
            "FORBIDDEN"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests_from_one_address_are_429_and_services_are_not_limited() {
    App::each_with(
        json!({ "auth": { "rate_limits": { "enabled": true, "login_per_minute": 3 } } }),
        async |app| {
            for _ in 0..3 {
                let answer = login(&app, "nobody@example.com", PASSWORD).await.expect(401);
                assert!(!answer.header("x-ratelimit-limit").is_empty(), "{:?}", answer.headers);
            }
            let answer = login(&app, "nobody@example.com", PASSWORD).await.expect(429);
            assert_eq!(
                (answer.code(), answer.text_at("/error")),
                ("RATE_LIMITED", "Rate limit exceeded")
            );
            assert!(answer.body["retry_after"].as_u64().unwrap() > 0);
            assert!(!answer.header("retry-after").is_empty());
            let body = json!({ "email": "nobody@example.com", "password": PASSWORD });
            app.post("/api/v1/auth/login")
                .service()
                .json(&body)
                .send()
                .await
                .expect(401);
            // A header of the client's own changes nothing: no proxy is trusted.
            app.post("/api/v1/auth/login")
                .header("X-Forwarded-For", "203.0.113.9")
                .json(&body)
                .send()
                .await
                .expect(429);
            app.advance(Duration::from_mins(1));
            login(&app, "nobody@example.com", PASSWORD).await.expect(401);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_ses_041_to_045_sessions_are_listed_and_ended() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let eve = app.register("eve@example.com").await;
        let second = login(&app, "ada@example.com", PASSWORD).await.expect(200);
        let second = second.text_at("/access_token").to_owned();
        let list = async |token: &str| app.get("/api/v1/auth/sessions").bearer(token).send().await.expect(200);
        let sessions = list(&ada.access_token).await;
        assert_eq!(sessions.body["total"], 2);
        let theirs = list(&eve.access_token)
            .await
            .text_at("/sessions/0/session_id")
            .to_owned();
        let path = |id: &str| format!("/api/v1/auth/sessions/{id}");
        let foreign = app
            .delete(&path(&theirs))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(404);
        let missing = app
            .delete(&path("ses_nothing"))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(404);
        assert_eq!(foreign.code(), missing.code());
        let other = sessions.body["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["current"] == false)
            .unwrap();
        app.delete(&path(other["session_id"].as_str().unwrap()))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        app.get("/api/v1/auth/sessions")
            .bearer(&second)
            .send()
            .await
            .expect(401);
        app.delete("/api/v1/auth/sessions")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        app.get("/api/v1/auth/sessions")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(401);
        list(&eve.access_token).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_ends_the_session_and_clears_the_cookie() {
    App::each(async |app| {
        app.register("ada@example.com").await;
        let session = login(&app, "ada@example.com", PASSWORD).await.expect(200);
        let header = format!("refresh_token={}", cookie(&session));
        let foreign = app
            .post("/api/v1/auth/logout")
            .header("Cookie", &header)
            .header("Origin", "https://evil.example");
        foreign.send().await.expect(403);
        let out = app
            .post("/api/v1/auth/logout")
            .header("Cookie", &header)
            .send()
            .await
            .expect(200);
        assert!(out.header("set-cookie").contains("Max-Age=0"));
        app.get("/api/v1/auth/sessions")
            .bearer(session.text_at("/access_token"))
            .send()
            .await
            .expect(401);
        app.post("/api/v1/auth/refresh")
            .header("Cookie", &header)
            .send()
            .await
            .expect(401);
        // Nothing to sign out of is no error.
        app.post("/api/v1/auth/logout").send().await.expect(200);
        app.post("/api/v1/auth/logout")
            .bearer("garbage")
            .send()
            .await
            .expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cookies_domain_is_set_for_hosts_under_it_alone() {
    App::each_with(json!({ "auth": { "cookie_domain": ".example.com" } }), async |app| {
        app.register("ada@example.com").await;
        let body = json!({ "email": "ada@example.com", "password": PASSWORD });
        for (host, domain) in [
            ("example.com", true),
            ("app.example.com:8443", true),
            ("notexample.com", false),
            ("example.com.evil.org", false),
            ("127.0.0.1", false),
        ] {
            let login = app.post("/api/v1/auth/login").header("Host", host).json(&body);
            let logout = app.post("/api/v1/auth/logout").header("Host", host);
            for answer in [login.send().await.expect(200), logout.send().await.expect(200)] {
                let cookie = answer.header("set-cookie").to_owned();
                assert_eq!(cookie.contains("; Domain=example.com"), domain, "{host}: {cookie}");
                assert_eq!(cookie.contains("Domain"), domain, "{host}: {cookie}");
            }
        }
    })
    .await;
}
