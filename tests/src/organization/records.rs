use polity_testing::App;
use serde_json::{Value, json};

use super::{BASE, add, organization, set};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_org_003_whoever_makes_an_organization_owns_it() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let body = json!({
            "name": "  Analytical Engines ", "billing_email": "Billing@Example.com", "type": "business",
            "settings": { "color": "brass" }, "display_name": "AE",
        });
        let made = app
            .post(BASE)
            .bearer(&ada.access_token)
            .json(&body)
            .send()
            .await
            .expect(200);
        let id = made.text_at("/organization_id");
        assert!(id.starts_with("org_"), "{id}");
        assert_eq!(
            (
                made.text_at("/name"),
                made.text_at("/billing_email"),
                made.text_at("/user_role")
            ),
            ("Analytical Engines", "billing@example.com", "owner")
        );
        assert_eq!(
            (
                &made.body["member_count"],
                made.text_at("/plan"),
                made.text_at("/status")
            ),
            (&json!(1), "free", "active")
        );
        let got = app
            .get(&format!("{BASE}/{id}"))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(
            (&got.body["settings"]["color"], got.text_at("/display_name")),
            (&json!("brass"), "AE")
        );
        let older = app
            .get(&format!("/api/v1/organizations/{id}"))
            .bearer(&ada.access_token)
            .send()
            .await;
        assert_eq!(older.expect(200).body, got.body);
        let list = app.get(BASE).bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(
            (&list.body["total"], list.text_at("/organizations/0/user_role")),
            (&json!(1), "owner")
        );
        let users = format!("/api/v1/organizations/users/{}", ada.user_id);
        assert_eq!(app.get(&users).service().send().await.expect(200).body["total"], 1);
        app.settle().await;
        let types = [
            "organization_service.organization.created",
            "organization_service.organization.member_added",
        ];
        assert_eq!(
            app.ctx
                .events
                .read_after(&app.ctx.db, 0, &types, 10)
                .await
                .unwrap()
                .len(),
            2
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_an_organization_is_refused() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let good = json!({ "name": "A", "billing_email": "a@example.com" });
        for (name, value, status) in [
            ("name", json!("   "), 422),
            ("name", json!("x".repeat(101)), 422),
            ("billing_email", json!("nowhere"), 422),
            ("plan", json!("gold"), 422),
            ("plan", json!("enterprise"), 400),
            ("type", json!("cult"), 422),
            ("settings", json!({ "x": "y".repeat(70_000) }), 422),
        ] {
            let mut body = good.clone();
            body[name] = value;
            let answer = app.post(BASE).bearer(&ada.access_token).json(&body).send().await;
            assert_eq!(answer.status, status, "{name}: {}", answer.text);
        }
        app.post(BASE).json(&good).send().await.expect(401);
        app.post(BASE).service().json(&good).send().await.expect(400);
        let made = app
            .post(BASE)
            .service()
            .on_behalf_of(&ada.user_id)
            .json(&good)
            .send()
            .await;
        made.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_a_stranger_an_organization_is_not_there() {
    App::each(async |app| {
        let (ada, eve) = (
            app.register("ada@example.com").await,
            app.register("eve@example.com").await,
        );
        let id = organization(&app, &ada, "Hidden").await;
        for id in [id.as_str(), "org_none"] {
            for request in [
                app.get(&format!("{BASE}/{id}")),
                app.put(&format!("{BASE}/{id}")).json(&json!({ "name": "Mine" })),
                app.delete(&format!("{BASE}/{id}")),
                app.get(&format!("{BASE}/{id}/rate-limits")),
                app.put(&format!("{BASE}/{id}/rate-limits")).json(&json!({})),
                app.get(&format!("{BASE}/{id}/members")),
                app.post(&format!("{BASE}/{id}/members"))
                    .json(&json!({ "user_id": eve.user_id })),
                app.put(&format!("{BASE}/{id}/members/{}", ada.user_id))
                    .json(&json!({ "role": "viewer" })),
                app.delete(&format!("{BASE}/{id}/members/{}", ada.user_id)),
                app.get(&format!("{BASE}/{id}/stats")),
                app.get(&format!("{BASE}/{id}/usage")),
                app.get(&format!("{BASE}/{id}/audit")),
                app.post(&format!("{BASE}/{id}/transfer"))
                    .json(&json!({ "user_id": eve.user_id })),
                app.post(&format!("{BASE}/context"))
                    .json(&json!({ "organization_id": id })),
            ] {
                let answer = request.bearer(&eve.access_token).send().await.expect(404);
                assert_eq!(
                    (answer.code(), answer.text_at("/detail")),
                    ("ORGANIZATION_NOT_FOUND", "Organization not found")
                );
            }
        }
        let users = format!("/api/v1/organizations/users/{}", ada.user_id);
        app.get(&users).bearer(&eve.access_token).send().await.expect(403);
        app.get("/api/v1/organization/admin/organizations")
            .bearer(&eve.access_token)
            .send()
            .await
            .expect(403);
        app.get("/api/v1/organization/stats")
            .bearer(&eve.access_token)
            .send()
            .await
            .expect(403);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_upd_a_plan_is_bought_and_a_status_is_the_platforms() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "member").await.expect(200);
        let put = async |who: &polity_testing::Person, body: Value| {
            app.put(&format!("{BASE}/{id}"))
                .bearer(&who.access_token)
                .json(&body)
                .send()
                .await
        };
        let renamed = put(&ada, json!({ "name": "B", "domain": "example.com" }))
            .await
            .expect(200);
        assert_eq!(
            (renamed.text_at("/name"), renamed.text_at("/domain")),
            ("B", "example.com")
        );
        assert_eq!(
            put(&ada, json!({ "domain": null })).await.expect(200).body["domain"],
            Value::Null
        );
        put(&ada, json!({ "plan": "enterprise" })).await.expect(403);
        put(&ada, json!({ "status": "suspended" })).await.expect(403);
        put(&bob, json!({ "name": "C" })).await.expect(403);
        assert_eq!(
            set(&app, &id, json!({ "plan": "professional" })).await.text_at("/plan"),
            "professional"
        );
        put(&ada, json!({ "plan": "professional", "name": "D" }))
            .await
            .expect(200);
        set(&app, &id, json!({ "status": "suspended" })).await;
        put(&ada, json!({ "name": "E" })).await.expect(403);
        let seen = app
            .get(&format!("{BASE}/{id}"))
            .bearer(&bob.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!((seen.text_at("/status"), seen.text_at("/name")), ("suspended", "D"));
        set(&app, &id, json!({ "status": "active" })).await;
        app.settle().await;
        let types = ["organization_service.organization.updated"];
        let events = app.ctx.events.read_after(&app.ctx.db, 0, &types, 20).await.unwrap();
        assert_eq!(events[0].data["updated_fields"], json!(["name", "domain"]));
        let trail = app
            .get(&format!("{BASE}/{id}/audit?limit=2"))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        let next = format!("{BASE}/{id}/audit?cursor={}", trail.text_at("/next_cursor"));
        let rest = app.get(&next).bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(trail.body["items"].as_array().unwrap().len(), 2);
        assert!(
            rest.text.contains("organization.created") && rest.text.contains("member.added"),
            "{}",
            rest.text
        );
        app.get(&format!("{BASE}/{id}/audit"))
            .bearer(&bob.access_token)
            .send()
            .await
            .expect(403);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_del_a_deleted_organization_is_gone_from_everything() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "admin").await.expect(200);
        let path = format!("{BASE}/{id}");
        let context = json!({ "organization_id": id });
        app.post(&format!("{BASE}/context"))
            .bearer(&bob.access_token)
            .json(&context)
            .send()
            .await
            .expect(200);
        app.delete(&path).bearer(&bob.access_token).send().await.expect(403);
        let gone = app.delete(&path).bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(gone.text_at("/message"), "Organization deleted successfully");
        for who in [&ada, &bob] {
            app.get(&path).bearer(&who.access_token).send().await.expect(404);
            assert_eq!(
                app.get(BASE).bearer(&who.access_token).send().await.expect(200).body["total"],
                0
            );
        }
        app.put(&path)
            .bearer(&ada.access_token)
            .json(&json!({ "name": "B" }))
            .send()
            .await
            .expect(404);
        app.delete(&path).service().send().await.expect(404);
        let context = app
            .get(&format!("{BASE}/context"))
            .bearer(&bob.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(context.text_at("/context_type"), "individual");
        let root = app.admin().await;
        let all = app
            .get("/api/v1/organization/admin/organizations")
            .bearer(&root.access_token)
            .send()
            .await;
        assert_eq!(all.expect(200).body["total"], 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_find_organizations_and_see_real_figures() {
    App::each(async |app| {
        let (ada, root) = (app.register("ada@example.com").await, app.admin().await);
        let first = organization(&app, &ada, "Percent % Sign").await;
        organization(&app, &ada, "Other").await;
        set(&app, &first, json!({ "plan": "starter" })).await;
        let ask = async |query: &str| {
            let path = format!("/api/v1/organization/admin/organizations{query}");
            let answer = app.get(&path).bearer(&root.access_token).send().await.expect(200);
            answer.body["total"].as_i64().unwrap()
        };
        assert_eq!(ask("").await, 2);
        assert_eq!(
            (ask("?search=percent%20%25").await, ask("?search=%25%25").await),
            (1, 0)
        );
        assert_eq!((ask("?plan=starter").await, ask("?status=suspended").await), (1, 0));
        let stats = app.get("/api/v1/organization/stats").service().send().await.expect(200);
        assert_eq!(
            (
                &stats.body["total_organizations"],
                &stats.body["total_members"],
                &stats.body["requests_today"]
            ),
            (&json!(2), &json!(2), &json!(0))
        );
        let (text, _) = crate::credential::key_in(&app, &ada, &first, json!({})).await;
        crate::credential::verify(&app, &text, json!({})).await.expect(200);
        let usage = format!("/api/v1/auth/rate-limits/usage-vs-limit?organization_id={first}");
        app.get(&usage).bearer(&ada.access_token).send().await.expect(200);
        let stats = app
            .get(&format!("{BASE}/{first}/stats"))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(stats.body["api_calls_this_month"], 1);
        let usage = app
            .get(&format!("{BASE}/{first}/usage"))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(usage.body["api_calls"], 1);
        let wrong = "usage?start_date=2030-01-02T00:00:00Z&end_date=2030-01-01T00:00:00Z";
        app.get(&format!("{BASE}/{first}/{wrong}"))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(422);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_input_is_no_error_of_the_program() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let id = organization(&app, &ada, "A").await;
        let path = format!("{BASE}/{id}");
        for (path, statuses) in [
            (
                format!("{path}/usage?start_date=-200000-01-01T00:00:00Z"),
                [200, 422].as_slice(),
            ),
            (
                format!("{path}/usage?end_date=%2B200000-01-01T00:00:00Z"),
                [200, 422].as_slice(),
            ),
            (
                format!("{path}/usage?start_date=9999-12-31T23:59:59Z"),
                [200, 422].as_slice(),
            ),
            (format!("{path}/members?search=%00"), [422].as_slice()),
            (format!("{path}/members?search=%25%5C_"), [200].as_slice()),
            (format!("{path}/members?offset=1000000000"), [200].as_slice()),
            (format!("{BASE}/%00"), [404, 422].as_slice()),
            (format!("{BASE}/users/%00"), [403, 422].as_slice()),
            ("/api/v1/organizations/health".to_owned(), [200].as_slice()),
        ] {
            let answer = app.get(&path).bearer(&ada.access_token).send().await;
            assert!(statuses.contains(&answer.status), "{path}: {}", answer.text);
        }
        let bodies = [
            json!({ "settings": { "a\u{0}b": 1 } }),
            json!({ "settings": { "n": 1e300, "m": u64::MAX, "s": "\u{ffff}" } }),
            json!({ "security": { "allowed_email_domains": ["\u{0}"] } }),
        ];
        for body in bodies {
            let answer = app.put(&path).bearer(&ada.access_token).json(&body).send().await;
            assert!(answer.status < 500, "{body}: {}", answer.text);
        }
        let leave = format!("{path}/members/{}?reason=%00", ada.user_id);
        let answer = app.delete(&leave).bearer(&ada.access_token).send().await;
        assert!(matches!(answer.status, 400 | 422), "{}", answer.text);
        let deep = format!("{{\"settings\":{}1{}}}", "{\"a\":".repeat(120), "}".repeat(120));
        let answer = app
            .put(&path)
            .bearer(&ada.access_token)
            .body("application/json", deep)
            .send()
            .await;
        assert!(answer.status < 500, "{}", answer.text);
    })
    .await;
}
