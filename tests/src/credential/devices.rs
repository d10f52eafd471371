use std::time::Duration;

use futures::future::join_all;
use polity_testing::{Answer, App, Person};
use serde_json::{Value, json};

async fn register(app: &App, person: &Person, id: &str) -> Answer {
    let body = json!({
        "device_id": id, "organization_id": person.user_id, "device_name": "Frame", "device_type": "smart_frame",
        "metadata": { "room": "kitchen" },
    });
    app.post("/api/v1/auth/device/register")
        .bearer(&person.access_token)
        .json(&body)
        .send()
        .await
}

async fn authenticate(app: &App, id: &str, secret: &str) -> Answer {
    let body = json!({ "device_id": id, "device_secret": secret });
    app.post("/api/v1/auth/device/authenticate").json(&body).send().await
}

async fn verify(app: &App, token: &str) -> Value {
    let answer = app
        .post("/api/v1/auth/device/verify-token")
        .json(&json!({ "token": token }))
        .send()
        .await;
    answer.expect(200).body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_dev_021_a_device_exchanges_its_secret_for_a_day() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let made = register(&app, &ada, "frame").await.expect(200);
        let secret = made.text_at("/device_secret");
        assert!(secret.starts_with("pol_device_"));
        assert_eq!(made.text_at("/status"), "active");
        let done = authenticate(&app, "frame", secret).await.expect(200);
        assert_eq!(
            (&done.body["expires_in"], done.text_at("/device_type")),
            (&json!(86_400), "smart_frame")
        );
        let token = done.text_at("/access_token");
        let found = verify(&app, token).await;
        assert_eq!(
            (&found["valid"], &found["device_id"], &found["organization_id"]),
            (&json!(true), &json!("frame"), &json!(ada.user_id))
        );
        // EC-013: it opens nothing of a person's.
        for path in [
            format!("/api/v1/accounts/profile/{}", ada.user_id),
            "/api/v1/auth/sessions".to_owned(),
        ] {
            app.get(&path).bearer(token).send().await.expect(401);
        }
        let person = app
            .post("/api/v1/auth/verify-token")
            .json(&json!({ "token": token }))
            .send()
            .await;
        assert_eq!(person.body["valid"], false);
        assert_eq!(verify(&app, &ada.access_token).await["error"], "Invalid token type");
        let list = app
            .get(&format!("/api/v1/auth/device/list?organization_id={}", ada.user_id))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(
            (&list.body["count"], &list.body["devices"][0]["authentication_count"]),
            (&json!(1), &json!(1))
        );
        assert!(!list.text.contains("secret"), "{}", list.text);
        app.advance(Duration::from_hours(24));
        assert_eq!(verify(&app, token).await["error"], "Token has expired");
        let ada = Person {
            access_token: super::keys::again(&app, &ada.email).await,
            ..ada
        };
        let twice = register(&app, &ada, "frame").await;
        assert_eq!(twice.expect(400).code(), "DEVICE_EXISTS");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec_007_whatever_is_wrong_with_a_device_the_answer_is_one() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let frame = register(&app, &ada, "frame").await.expect(200);
        let other = register(&app, &ada, "other").await.expect(200);
        let (secret, foreign) = (frame.text_at("/device_secret"), other.text_at("/device_secret"));
        for (id, secret) in [
            ("nobody", secret),
            ("frame", foreign),
            ("frame", "x"),
            ("frame", ada.refresh_token.as_str()),
        ] {
            let refused = authenticate(&app, id, secret).await.expect(401);
            assert_eq!(refused.text_at("/detail"), "Invalid device credentials");
        }
        let mut read = app.ctx.db.read().await.unwrap();
        let (kept,) = read
            .sql("select count(*) from device_log where auth_status = 'failed'")
            .one::<(i64,)>()
            .await
            .unwrap();
        assert_eq!(kept, 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_dev_028_a_new_secret_ends_the_old_one_and_its_tokens() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let made = register(&app, &ada, "frame").await.expect(200);
        let old = made.text_at("/device_secret");
        let token = authenticate(&app, "frame", old)
            .await
            .expect(200)
            .text_at("/access_token")
            .to_owned();
        let query = format!("?organization_id={}", ada.user_id);
        let refresh = |query: &str| {
            let path = format!("/api/v1/auth/device/frame/refresh-secret{query}");
            app.post(&path).bearer(&ada.access_token).send()
        };
        let new = refresh(&query).await.expect(200);
        authenticate(&app, "frame", old).await.expect(401);
        assert_eq!(verify(&app, &token).await["valid"], false);
        let pairing = app
            .post("/api/v1/auth/device/frame/pairing-token")
            .bearer(&token)
            .send();
        pairing.await.expect(401);
        let token = authenticate(&app, "frame", new.text_at("/device_secret"))
            .await
            .expect(200);
        let token = token.text_at("/access_token").to_owned();
        let patch = async |body: Value| {
            let path = format!("/api/v1/auth/device/frame{query}");
            let patch = app.request(reqwest::Method::PATCH, &path).bearer(&ada.access_token);
            patch.json(&body).send().await.expect(200)
        };
        assert_eq!(
            patch(json!({ "is_active": false })).await.text_at("/status"),
            "inactive"
        );
        authenticate(&app, "frame", new.text_at("/device_secret"))
            .await
            .expect(401);
        assert_eq!(verify(&app, &token).await["valid"], false);
        patch(json!({ "is_active": true })).await;
        let resumed = authenticate(&app, "frame", new.text_at("/device_secret"))
            .await
            .expect(200);
        // What was given before it was suspended has ended; what is given afterwards counts.
        let resumed = resumed.text_at("/access_token");
        assert_eq!(verify(&app, &token).await["valid"], false);
        assert_eq!(verify(&app, resumed).await["valid"], true);
        let pairing = app.post("/api/v1/auth/device/frame/pairing-token");
        pairing.bearer(resumed).send().await.expect(200);
        // BR-DEV-023: another organization has no such device.
        let eve = app.register("eve@example.com").await;
        let path = format!("/api/v1/auth/device/frame?organization_id={}", eve.user_id);
        let foreign = app.delete(&path).bearer(&eve.access_token).send().await.expect(400);
        assert_eq!(foreign.text_at("/detail"), "Device not found or unauthorized");
        let path = format!("/api/v1/auth/device/frame{query}");
        app.delete(&path).bearer(&eve.access_token).send().await.expect(403);
        app.delete(&path).bearer(&ada.access_token).send().await.expect(200);
        authenticate(&app, "frame", new.text_at("/device_secret"))
            .await
            .expect(401);
        app.delete(&path).bearer(&ada.access_token).send().await.expect(400);
        register(&app, &ada, "frame").await.expect(400);
        refresh(&query).await.expect(400);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn br_dev_026_a_device_is_paired_once_with_whoever_is_first() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let made = register(&app, &ada, "frame").await.expect(200);
        register(&app, &ada, "other").await.expect(200);
        let done = authenticate(&app, "frame", made.text_at("/device_secret"))
            .await
            .expect(200);
        let device = done.text_at("/access_token").to_owned();
        let issue = async || {
            let request = app.post("/api/v1/auth/device/frame/pairing-token").bearer(&device);
            request.send().await.expect(200).text_at("/pairing_token").to_owned()
        };
        let pair = async |id: &str, token: &str| {
            let body = json!({ "device_id": id, "pairing_token": token, "user_id": ada.user_id });
            app.post("/api/v1/auth/device/pairing-token/verify")
                .bearer(&ada.access_token)
                .json(&body)
                .send()
                .await
                .expect(200)
                .body
        };
        let first = issue().await;
        let second = issue().await;
        assert_eq!(pair("frame", &first).await["error"], "Invalid pairing token");
        assert_eq!(pair("other", &second).await["error"], "Token does not match device");
        assert_eq!(pair("frame", "garbage").await["error"], "Invalid pairing token");
        let answers = join_all((0..20).map(|_| pair("frame", &second))).await;
        assert_eq!(answers.iter().filter(|answer| answer["valid"] == true).count(), 1);
        let late = answers.iter().find(|answer| answer["valid"] == false).unwrap();
        assert_eq!(late["error"], "Token has already been used");
        let third = issue().await;
        app.advance(Duration::from_mins(5));
        assert_eq!(pair("frame", &third).await["error"], "Token has expired");
        app.settle().await;
        let types = [
            "auth_service.device.pairing_token.generated",
            "auth_service.device.pairing.completed",
        ];
        let events = app.ctx.events.read_after(&app.ctx.db, 0, &types, 10).await.unwrap();
        assert_eq!(events.len(), 4);
        let said = serde_json::to_string(&events.iter().map(|event| &event.data).collect::<Vec<_>>()).unwrap();
        assert!(!said.contains("pol_pair_"), "{said}");
        // Nobody pairs somebody else, and a device asks for itself alone.
        let eve = app.register("eve@example.com").await;
        let body = json!({ "device_id": "frame", "pairing_token": third, "user_id": ada.user_id });
        let path = "/api/v1/auth/device/pairing-token/verify";
        app.post(path)
            .bearer(&eve.access_token)
            .json(&body)
            .send()
            .await
            .expect(403);
        app.post("/api/v1/auth/device/other/pairing-token")
            .bearer(&device)
            .send()
            .await
            .expect(400);
        app.post("/api/v1/auth/device/frame/pairing-token")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(403);
        app.post("/api/v1/auth/device/nobody/pairing-token")
            .service()
            .send()
            .await
            .expect(400);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaked_secret_ends_its_tokens_and_so_does_the_end_of_an_organization() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = crate::organization::organization(&app, &ada, "A").await;
        let body = json!({ "device_id": "theirs", "organization_id": id });
        let theirs = app
            .post("/api/v1/auth/device/register")
            .bearer(&ada.access_token)
            .json(&body)
            .send()
            .await
            .expect(200);
        let own = register(&app, &ada, "own").await.expect(200);
        let mut tokens = Vec::new();
        for (device, made) in [("theirs", &theirs), ("own", &own)] {
            let done = authenticate(&app, device, made.text_at("/device_secret"))
                .await
                .expect(200);
            tokens.push(done.text_at("/access_token").to_owned());
        }
        let credentials = polity_identity::credential::Credentials::open(&app.ctx).unwrap();
        let texts = [own.text_at("/device_secret").to_owned()];
        let leaked = polity_identity::credential::revoke_leaked(&credentials, &texts)
            .await
            .unwrap();
        assert_eq!(leaked.revoked.len(), 1);
        let path = format!("/api/v1/organizations/{id}");
        app.delete(&path).bearer(&ada.access_token).send().await.expect(200);
        app.settle().await;
        for (device, made) in [("theirs", &theirs), ("own", &own)] {
            authenticate(&app, device, made.text_at("/device_secret"))
                .await
                .expect(401);
        }
        for (token, device) in tokens.iter().zip(["theirs", "own"]) {
            let begun = std::time::Instant::now();
            let path = format!("/api/v1/auth/device/{device}/pairing-token");
            while app.post(&path).bearer(token).send().await.status != 401 {
                assert!(begun.elapsed() < Duration::from_secs(1), "{device} goes on");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(verify(&app, token).await["valid"], false);
        }
        let body = json!({ "device_id": "late", "organization_id": id });
        app.post("/api/v1/auth/device/register")
            .service()
            .json(&body)
            .send()
            .await
            .expect(400);
        let info = app.get("/api/v1/auth/info").send().await.expect(200);
        assert_eq!(info.body["capabilities"]["device_authentication"], true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_devices_of_a_suspended_organization_rest() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = crate::organization::organization(&app, &ada, "A").await;
        let body = json!({ "device_id": "frame", "organization_id": id });
        let made = app.post("/api/v1/auth/device/register").bearer(&ada.access_token);
        let made = made.json(&body).send().await.expect(200);
        let secret = made.text_at("/device_secret");
        let done = authenticate(&app, "frame", secret).await.expect(200);
        let token = done.text_at("/access_token");
        let pairing = async |status: u16| {
            let request = app.post("/api/v1/auth/device/frame/pairing-token").bearer(token);
            request.send().await.expect(status)
        };
        pairing(200).await;
        crate::organization::set(&app, &id, json!({ "status": "suspended" })).await;
        let refused = authenticate(&app, "frame", secret).await.expect(401);
        assert_eq!(refused.text_at("/detail"), "Invalid device credentials");
        assert_eq!(verify(&app, token).await["valid"], false);
        pairing(400).await;
        crate::organization::set(&app, &id, json!({ "status": "active" })).await;
        authenticate(&app, "frame", secret).await.expect(200);
        assert_eq!(verify(&app, token).await["valid"], true);
        pairing(200).await;
    })
    .await;
}
