use std::time::Duration;

use polity_testing::App;
use serde_json::{Value, json};

use super::{key, new_key, verify};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_api_031_a_key_is_shown_once_and_verified_by_services() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let more = json!({ "permissions": ["reports.read"], "scopes": ["read:tasks"], "expires_days": 30 });
        let made = new_key(&app, &ada, more).await.expect(200);
        let text = made.text_at("/api_key");
        assert!(text.starts_with("pol_user_") && text.len() == 58, "{text}");
        assert!(made.text_at("/key_id").starts_with("key_"));
        assert_eq!(made.body["owner_type"], "organization");
        let found = verify(&app, text, json!({})).await.expect(200);
        assert_eq!(
            (
                &found.body["valid"],
                found.text_at("/organization_id"),
                &found.body["permissions"]
            ),
            (&json!(true), ada.user_id.as_str(), &json!(["reports.read"]))
        );
        assert_eq!(found.body["scopes"], json!(["read:tasks"]));
        let listed = app
            .get(&format!("/api/v1/auth/api-keys/{}", ada.user_id))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        assert!(
            !listed.text.contains(text) && !listed.text.contains("hash"),
            "{}",
            listed.text
        );
        assert_eq!(listed.body["total"], 1);
        let preview = listed.text_at("/api_keys/0/key_preview");
        assert_eq!(preview, format!("pol_user_...{}", &text[text.len() - 8..]));
        assert_eq!(listed.body["api_keys"][0]["is_active"], true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec_010_what_is_no_key_is_refused_with_one_answer() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let (text, _) = key(&app, &ada, json!({})).await;
        let mut wrong = text.clone();
        let last = wrong.pop().unwrap();
        wrong.push(if last == 'a' { 'b' } else { 'a' });
        let long = "pol_user_".to_owned() + &"x".repeat(900_000);
        let device = app
            .post("/api/v1/auth/device/register")
            .bearer(&ada.access_token)
            .json(&json!({ "device_id": "frame", "organization_id": ada.user_id }))
            .send()
            .await
            .expect(200);
        for text in [
            wrong.as_str(),
            &long,
            &text.replace("pol_user_", "pol_userr_"),
            &text.replace("pol_user_", "POL_user_"),
            &text.replace("pol_user_", "pol_token_"),
            &text.replace("pol_", "p\u{43e}l_"),
            &format!("{text} "),
            "",
            "isa_abc",
            &ada.access_token,
            &ada.refresh_token,
            device.text_at("/device_secret"),
        ] {
            let answer = verify(&app, text, json!({})).await.expect(200);
            assert_eq!(
                (&answer.body["valid"], answer.text_at("/error")),
                (&json!(false), "Invalid API key"),
                "{text:.60}"
            );
            assert_eq!(answer.body["organization_id"], Value::Null);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_api_035_disabled_revoked_and_expired_keys_fail_and_revoked_ones_stay_so() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let (text, id) = key(&app, &ada, json!({ "expires_days": 1 })).await;
        let path = format!("/api/v1/auth/api-keys/{id}?organization_id={}", ada.user_id);
        let patch = async |body: Value| {
            app.request(reqwest::Method::PATCH, &path)
                .bearer(&ada.access_token)
                .json(&body)
                .send()
                .await
        };
        let error = async || {
            verify(&app, &text, json!({}))
                .await
                .expect(200)
                .text_at("/error")
                .to_owned()
        };
        assert_eq!(error().await, "");
        patch(json!({ "is_active": false })).await.expect(200);
        assert_eq!(error().await, "Invalid API key");
        patch(json!({ "is_active": true, "name": "renamed" })).await.expect(200);
        assert_eq!(error().await, "");
        app.advance(Duration::from_hours(24));
        assert_eq!(error().await, "API key has expired");
        let ada = again(&app, &ada.email).await;
        let gone = app.delete(&path).bearer(&ada).send().await.expect(200);
        assert_eq!(gone.text_at("/message"), "API key revoked");
        assert_eq!(error().await, "Invalid API key");
        let back = app
            .request(reqwest::Method::PATCH, &path)
            .bearer(&ada)
            .json(&json!({ "is_active": true }))
            .send()
            .await;
        assert_eq!(back.expect(409).code(), "CREDENTIAL_OVER");
        let absent = path.replace(&id, "key_none");
        let absent = app.delete(&absent).bearer(&ada).send().await.expect(400);
        assert_eq!(absent.text_at("/detail"), "API key not found");
    })
    .await;
}

/// A new access token: the clock has moved past the end of the first one.
pub(crate) async fn again(app: &App, email: &str) -> String {
    let body = json!({ "email": email, "password": "correct horse battery" });
    let answer = app.post("/api/v1/auth/login").json(&body).send().await.expect(200);
    answer.text_at("/access_token").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_api_033_a_key_is_made_in_ones_own_organization_and_seen_there_alone() {
    App::each(async |app| {
        let (ada, eve) = (
            app.register("ada@example.com").await,
            app.register("eve@example.com").await,
        );
        let body = json!({ "organization_id": ada.user_id });
        let refused = new_key(&app, &eve, body).await.expect(403);
        assert_eq!(
            refused.text_at("/detail"),
            "You can only create API keys for your own organization"
        );
        let (_, id) = key(&app, &ada, json!({})).await;
        let eve = &eve.access_token;
        let query = format!("?organization_id={}", ada.user_id);
        for request in [
            app.get(&format!("/api/v1/auth/api-keys/{}", ada.user_id)),
            app.delete(&format!("/api/v1/auth/api-keys/{id}{query}")),
            app.get(&format!("/api/v1/auth/api-keys/{id}/rate-limits{query}")),
            app.get(&format!("/api/v1/auth/rate-limits/usage-vs-limit{query}")),
            app.get(&format!("/api/v1/auth/api-keys/{id}/usage{query}&granularity=day")),
            app.put(&format!("/api/v1/auth/api-keys/{id}/rate-limits{query}"))
                .json(&json!({})),
            app.post(&format!("/api/v1/auth/api-keys/{id}/rotate{query}"))
                .json(&json!({})),
        ] {
            assert_eq!(request.bearer(eve).send().await.expect(403).code(), "FORBIDDEN");
        }
        // In her own organization there is no such key.
        let own = "?organization_id=".to_owned() + &app.whoami(eve).await;
        let path = format!("/api/v1/auth/api-keys/{id}/rate-limits{own}");
        app.get(&path).bearer(eve).send().await.expect(404);
        app.delete(&format!("/api/v1/auth/api-keys/{id}{own}"))
            .bearer(eve)
            .send()
            .await
            .expect(400);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_is_refused_with_what_is_wrong() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        for (more, status, part) in [
            (
                json!({ "expires_days": 3, "expires_at": "2030-01-01T00:00:00Z" }),
                400,
                "not both",
            ),
            (json!({ "expires_at": "2020-01-01T00:00:00Z" }), 400, "future"),
            (json!({ "owner_type": "nobody" }), 400, "owner_type"),
            (json!({ "owner_type": "service_account" }), 400, "service_account_id"),
            (json!({ "service_account_id": "bot" }), 400, "service_account_id"),
            (json!({ "expires_days": 366 }), 422, "365"),
            (json!({ "name": "" }), 422, "name"),
            (json!({ "ip_allowlist": ["10.0.0.0/33"] }), 422, "ip_allowlist"),
            (json!({ "ip_allowlist": ["example.com"] }), 422, "ip_allowlist"),
            (
                json!({ "rate_limits": { "requests_per_minute": -1 } }),
                422,
                "rate_limits",
            ),
            (
                json!({ "rate_limits": { "requests_per_hour": 1 } }),
                422,
                "requests_per_hour",
            ),
            (json!({ "project_id": "prj_1" }), 422, "project"),
            (json!({ "spend_limit": 5 }), 422, "spend"),
            (
                json!({ "credits": { "remaining": 5, "refill_amount": 5 } }),
                422,
                "refill",
            ),
        ] {
            let answer = new_key(&app, &ada, more.clone()).await;
            assert_eq!(answer.status, status, "{more}: {}", answer.text);
            assert!(answer.text.contains(part), "{more}: {}", answer.text);
        }
        let path = format!("/api/v1/auth/api-keys/{}", ada.user_id);
        let listed = app.get(&path).bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(listed.body["total"], 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_api_034_a_restricted_key_counts_where_it_is_restricted_to() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let nets =
            json!({ "ip_allowlist": ["192.0.2.7", "198.51.100.0/24", "2001:db8::/32", "::ffff:203.0.113.0/120"] });
        let (text, _) = key(&app, &ada, nets).await;
        let ask = async |more: Value| verify(&app, &text, more).await.expect(200).body["valid"] == true;
        for ip in [
            "192.0.2.7",
            "::ffff:192.0.2.7",
            "198.51.100.200",
            "2001:db8:1::1",
            "203.0.113.9",
        ] {
            assert!(ask(json!({ "ip_address": ip })).await, "{ip}");
        }
        for ip in ["192.0.2.8", "2001:db9::1", "::ffff:192.0.2.8", "203.0.114.1", "::1"] {
            assert!(!ask(json!({ "ip_address": ip })).await, "{ip}");
        }
        let silent = verify(&app, &text, json!({})).await;
        assert_eq!(silent.text_at("/error"), "IP address is not allowed for this API key");
        verify(&app, &text, json!({ "ip_address": "nowhere" }))
            .await
            .expect(422);
        // The program looks at the client's own address, and the test is on the loopback one.
        let direct = app
            .get("/api/v1/integration/tokens/scopes")
            .header("X-API-Key", &text)
            .send()
            .await;
        assert_eq!(
            direct.expect(401).text_at("/detail"),
            "IP address is not allowed for this API key"
        );
        let body = json!({ "organization_id": ada.user_id, "name": "for a project", "project_id": "prj_1" });
        let made = app
            .post("/api/v1/auth/api-keys")
            .service()
            .json(&body)
            .send()
            .await
            .expect(200);
        let text = made.text_at("/api_key");
        let project = async |more: Value| verify(&app, text, more).await.expect(200);
        assert_eq!(project(json!({ "project_id": "prj_1" })).await.body["valid"], true);
        let other = project(json!({ "project_id": "prj_2" })).await;
        assert_eq!(other.text_at("/error"), "API key is not scoped to project prj_2");
        assert_eq!(project(json!({})).await.body["valid"], false);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_key_goes_on_for_its_grace_and_no_longer() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let (old, id) = key(&app, &ada, json!({ "permissions": ["a"] })).await;
        let path = format!("/api/v1/auth/api-keys/{id}/rotate?organization_id={}", ada.user_id);
        let rotate = async |path: &str, grace: u32| {
            app.post(path)
                .bearer(&ada.access_token)
                .json(&json!({ "grace_seconds": grace }))
                .send()
                .await
        };
        let made = rotate(&path, 600).await.expect(200);
        let new = made.text_at("/api_key").to_owned();
        assert_eq!(made.text_at("/rotated_from_id"), id);
        let valid = async |text: &str| verify(&app, text, json!({})).await.body["valid"] == true;
        assert!(valid(&old).await && valid(&new).await);
        assert_eq!(verify(&app, &new, json!({})).await.body["permissions"], json!(["a"]));
        assert_eq!(rotate(&path, 600).await.expect(409).code(), "CREDENTIAL_OVER");
        app.advance(Duration::from_mins(10));
        assert!(!valid(&old).await && valid(&new).await);
        let path = path.replace(&id, made.text_at("/key_id"));
        let third = rotate(&path, 0).await.expect(200);
        assert!(!valid(&new).await && valid(third.text_at("/api_key")).await);
        rotate(&path, 604_801).await.expect(422);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_makes_one_key() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let ask = || {
            app.post("/api/v1/auth/api-keys")
                .bearer(&ada.access_token)
                .header("Idempotency-Key", "once")
                .json(&json!({ "organization_id": ada.user_id, "name": "one" }))
                .send()
        };
        let (one, other) = tokio::join!(ask(), ask());
        assert_eq!(
            one.expect(200).text_at("/api_key"),
            other.expect(200).text_at("/api_key")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_does_not_make_an_administrator() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let (text, _) = key(&app, &ada, json!({ "permissions": ["auth.admin", "*"] })).await;
        let (all, _) = key(&app, &ada, json!({})).await;
        for text in [&text, &all] {
            for path in [
                "/api/v1/account/admin/accounts".to_owned(),
                format!("/api/v1/accounts/profile/{}", ada.user_id),
                "/api/v1/auth/sessions".to_owned(),
                "/api/v1/integration/admin/scopes".to_owned(),
                "/api/v1/integration/tokens".to_owned(),
            ] {
                let answer = app.get(&path).header("X-API-Key", text).send().await;
                assert!(matches!(answer.status, 401 | 403 | 404), "{path}: {}", answer.text);
            }
            let body = json!({ "organization_id": ada.user_id, "name": "more" });
            app.post("/api/v1/auth/api-keys")
                .bearer(text)
                .json(&body)
                .send()
                .await
                .expect(403);
            let body = json!({ "user_id": ada.user_id, "email": ada.email });
            app.post("/api/v1/auth/token-pair")
                .bearer(text)
                .json(&body)
                .send()
                .await
                .expect(403);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_learns_of_its_own_organizations_keys_alone() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let account = json!({ "owner_type": "service_account", "service_account_id": "gateway" });
        let mut narrow = account.clone();
        narrow["scopes"] = json!(["auth.api_keys.verify"]);
        let (gateway, _) = key(&app, &ada, narrow).await;
        assert!(gateway.starts_with("pol_service_"));
        let mut wrong = account;
        wrong["scopes"] = json!(["read:tasks"]);
        let (other, _) = key(&app, &ada, wrong).await;
        let ((own, _), (foreign, _)) = (key(&app, &ada, json!({})).await, key(&app, &bob, json!({})).await);
        let ask = async |with: &str, text: &str| {
            app.post("/api/v1/auth/verify-api-key")
                .header("X-API-Key", with)
                .json(&json!({ "api_key": text }))
                .send()
                .await
        };
        assert_eq!(ask(&gateway, &own).await.expect(200).body["valid"], true);
        let foreign = ask(&gateway, &foreign).await.expect(200);
        assert_eq!(foreign.text_at("/error"), "Invalid API key");
        ask(&other, &own).await.expect(403);
        let body = json!({ "api_key": own });
        let person = app
            .post("/api/v1/auth/verify-api-key")
            .bearer(&ada.access_token)
            .json(&body);
        person.send().await.expect(403);
        app.post("/api/v1/auth/verify-api-key")
            .service()
            .json(&json!({}))
            .send()
            .await
            .expect(422);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaked_texts_are_revoked_whosever_they_are() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let ((one, id), (two, _)) = (key(&app, &ada, json!({})).await, key(&app, &ada, json!({})).await);
        let credentials = polity_identity::credential::Credentials::open(&app.ctx).unwrap();
        let unknown = polity_kernel::TokenText::generate(polity_kernel::TokenKind::USER);
        let texts = [
            one.clone(),
            one.clone(),
            unknown.expose().to_owned(),
            "pol_user_nothing".to_owned(),
        ];
        let leaked = polity_identity::credential::revoke_leaked(&credentials, &texts)
            .await
            .unwrap();
        assert_eq!((leaked.found, leaked.revoked), (2, vec![id]));
        assert_eq!(verify(&app, &one, json!({})).await.text_at("/error"), "Invalid API key");
        assert_eq!(verify(&app, &two, json!({})).await.body["valid"], true);
        app.settle().await;
        let events = app
            .ctx
            .events
            .read_after(&app.ctx.db, 0, &["auth_service.apikey.revoked"], 10)
            .await
            .unwrap();
        assert_eq!(events[0].data["reason"], "leaked");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_and_tokens_of_a_deleted_person_are_worth_nothing() {
    App::each(async |app| {
        let (ada, root) = (app.register("ada@example.com").await, app.admin().await);
        let (text, _) = key(&app, &ada, json!({})).await;
        let (token, _) = super::token(&app, &ada, json!({})).await;
        super::own(&app, &token).await.expect(200);
        assert_eq!(verify(&app, &text, json!({})).await.body["valid"], true);
        let path = format!("/api/v1/account/admin/accounts/{}/status", ada.user_id);
        let status = async |status: &str| {
            let body = json!({ "status": status });
            app.put(&path)
                .bearer(&root.access_token)
                .json(&body)
                .send()
                .await
                .expect(200);
            app.settle().await;
        };
        status("suspended").await;
        super::own(&app, &token).await.expect(401);
        assert_eq!(verify(&app, &text, json!({})).await.body["valid"], false);
        status("active").await;
        assert_eq!(verify(&app, &text, json!({})).await.body["valid"], true);
        super::own(&app, &token).await.expect(200);
        let path = format!("/api/v1/accounts/profile/{}", ada.user_id);
        let fresh = again(&app, &ada.email).await;
        app.delete(&path).bearer(&fresh).send().await.expect(200);
        app.settle().await;
        super::own(&app, &token).await.expect(401);
        assert_eq!(verify(&app, &text, json!({})).await.body["valid"], false);
        let events = app
            .ctx
            .events
            .read_after(&app.ctx.db, 0, &["auth_service.apikey.revoked"], 10)
            .await
            .unwrap();
        assert_eq!(events[0].data["reason"], "user_deleted");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_not_limited_by_its_address() {
    App::each_with(json!({ "auth": { "rate_limits": { "enabled": true } } }), async |app| {
        let ada = app.register("ada@example.com").await;
        let account = json!({ "owner_type": "service_account", "service_account_id": "gateway", "scopes": ["auth.api_keys.verify"] });
        let ((gateway, _), (text, _)) = (key(&app, &ada, account).await, key(&app, &ada, json!({})).await);
        let ask = || app.post("/api/v1/auth/verify-api-key").json(&json!({ "api_key": text }));
        for _ in 0..100 {
            ask().header("X-API-Key", &gateway).send().await.expect(200);
        }
        // Whoever only guesses is.
        let mut limited = false;
        for n in 0..100 {
            limited |= ask().header("X-API-Key", &format!("guess{n}")).send().await.status == 429;
        }
        assert!(limited);
    })
    .await;
}
