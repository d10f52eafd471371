//! Checks: who may use what, in which order, and who may ask.

use std::time::Duration;

use polity_ports::{authorization::Tier, project::ProjectRole};
use polity_testing::{App, BROKEN_PROJECT};
use serde_json::{Value, json};

use super::{BASE, By, get, give, give_organization, may, post, tool};
use crate::organization::{add, organization, remove, set};

fn ask(user_id: &str, of: &str, name: &str, level: &str) -> Value {
    json!({ "user_id": user_id, "resource_type": of, "resource_name": name, "required_access_level": level })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_acl_006_each_stage_answers_as_the_contract_says() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        app.doubles.pays(&ada.user_id, Tier::Pro);
        let check = async |of: &str, name: &str, level: &str, organization: Option<&str>| {
            let mut body = ask(&ada.user_id, of, name, level);
            body["organization_id"] = organization.into();
            post(&app, By::Person(&ada), "check-access", body)
                .await
                .expect(200)
                .body
        };
        let answer = check("ai_model", "advanced_llm", "read_write", None).await;
        assert_eq!(answer["reason"], "Subscription access: read_write");
        assert_eq!(answer["subscription_tier"], "pro");
        assert_eq!(
            answer["metadata"],
            json!({ "subscription_required": "pro", "resource_category": "ai_models" })
        );
        let answer = check("database", "analytics_db", "read_only", None).await;
        assert_eq!(
            (
                &answer["has_access"],
                &answer["user_access_level"],
                &answer["permission_source"]
            ),
            (&json!(false), &json!("none"), &json!("system_default"))
        );
        assert_eq!(
            answer["reason"],
            "Insufficient permissions for database:analytics_db, required: read_only"
        );
        let shop = organization(&app, &ada, "Shop").await;
        set(&app, &shop, json!({ "plan": "professional" })).await;
        let body = json!({ "access_level": "admin", "org_plan_required": "growth" });
        give_organization(&app, &shop, "oven", body).await.expect(200);
        let answer = check("mcp_tool", "oven", "read_write", Some(&shop)).await;
        assert_eq!(answer["reason"], "Organization permission: admin");
        assert_eq!(answer["organization_plan"], "growth");
        assert_eq!(
            answer["metadata"],
            json!({ "organization_id": shop, "org_plan": "growth", "plan_required": "growth" })
        );
        // Not named, it counts as if each member had been given it.
        let answer = check("mcp_tool", "oven", "read_write", None).await;
        assert_eq!(answer["reason"], "User permission: admin");
        let mut other = tool(&ada.user_id, "kettle", "read_write", "system_default");
        post(&app, By::Service, "grant", other.clone()).await.expect(200);
        let answer = check("mcp_tool", "kettle", "read_only", None).await;
        assert_eq!(answer["reason"], "User permission: read_write");
        other["permission_source"] = "admin_grant".into();
        other["expires_at"] = "2027-01-15T09:00:00".into();
        post(&app, By::Service, "grant", other).await.expect(200);
        let answer = check("mcp_tool", "kettle", "read_only", None).await;
        assert_eq!(answer["reason"], "Admin-granted permission: read_write");
        assert_eq!(answer["expires_at"], "2027-01-15T09:00:00.000000Z");
        // BR-ACL-008: less than needed does not stop what follows.
        give(&app, &ada.user_id, "oven", "read_only", json!({})).await;
        let answer = check("mcp_tool", "oven", "admin", Some(&shop)).await;
        assert_eq!(answer["reason"], "Organization permission: admin");
        // EC-011: an organization one is not in is no error.
        let answer = check("ai_model", "advanced_llm", "read_write", Some("org_nothing")).await;
        assert_eq!(answer["reason"], "Subscription access: read_write");
        assert_eq!(answer["organization_plan"], Value::Null);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec_001_nobody_and_somebody_inactive_are_refused_alike() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        assert!(may(&app, &ada.user_id, "weather_api", "read_only").await);
        let path = format!("/api/v1/accounts/status/{}", ada.user_id);
        app.put(&path)
            .service()
            .json(&json!({ "is_active": false }))
            .send()
            .await
            .expect(200);
        let answer = async |id: &str| {
            let body = ask(id, "mcp_tool", "weather_api", "none");
            let mut body = post(&app, By::Service, "check-access", body).await.expect(200).body;
            assert_eq!(body["has_access"], false);
            body.as_object_mut().unwrap().remove("timestamp");
            body
        };
        let inactive = answer(&ada.user_id).await;
        assert_eq!(inactive["reason"], "User not found or inactive");
        assert_eq!(inactive, answer("usr_nobody").await);
        app.put(&path)
            .service()
            .json(&json!({ "is_active": true }))
            .send()
            .await
            .expect(200);
        assert!(may(&app, &ada.user_id, "weather_api", "read_only").await);
        assert!(may(&app, &ada.user_id, "anything", "none").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_ask_about_whom() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let eve = app.register("eve@example.com").await;
        let root = app.admin().await;
        let body = ask(&ada.user_id, "mcp_tool", "weather_api", "read_only");
        for path in ["check-access", "explain"] {
            post(&app, By::Person(&root), path, body.clone()).await.expect(200);
            post(&app, By::Service, path, body.clone()).await.expect(200);
            let answer = post(&app, By::Person(&eve), path, body.clone()).await.expect(403);
            assert_eq!(answer.code(), "FORBIDDEN");
        }
        post(&app, By::Person(&ada), "check-access", body.clone())
            .await
            .expect(200);
        post(&app, By::Person(&ada), "explain", body.clone()).await.expect(403);
        // A service that acts for somebody asks about them alone.
        let on_behalf = |id: &str| {
            app.post(&format!("{BASE}/check-access"))
                .service()
                .on_behalf_of(id)
                .json(&body)
        };
        on_behalf(&ada.user_id).send().await.expect(200);
        on_behalf(&eve.user_id).send().await.expect(403);
        // An API key is not a person.
        let (key, _) = crate::credential::key(&app, &ada, json!({})).await;
        app.post(&format!("{BASE}/check-access"))
            .header("X-API-Key", &key)
            .json(&body)
            .send()
            .await
            .expect(403);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_acl_001_bad_questions_are_422_and_name_the_place() {
    App::each(async |app| {
        let id = "usr_a";
        let long = "x".repeat(256);
        for (body, place) in [
            (json!({ "resource_type": "mcp_tool", "resource_name": "x" }), "/user_id"),
            (json!({ "user_id": id, "resource_name": "x" }), "/resource_type"),
            (json!({ "user_id": id, "resource_type": "mcp_tool" }), "/resource_name"),
            (ask("  ", "mcp_tool", "x", "read_only"), "/user_id"),
            (ask(id, "mcp_tool", " ", "read_only"), "/resource_name"),
            (ask(id, "mcp_tool", &long, "read_only"), "/resource_name"),
            (ask(id, "toaster", "x", "read_only"), "/resource_type"),
            (ask(id, "mcp_tool", "x", "READ_ONLY"), "/required_access_level"),
        ] {
            let answer = post(&app, By::Service, "check-access", body.clone()).await.expect(422);
            assert_eq!(answer.text_at("/errors/0/pointer"), place, "{body}");
        }
        // EC-013: 255 letters of any alphabet, compared as they are; EC-015: no context is an empty one.
        let name = "ж".repeat(255);
        let ada = app.register("ada@example.com").await;
        give(&app, &ada.user_id, &name, "read_only", json!({})).await;
        assert!(may(&app, &ada.user_id, &name, "read_only").await);
        assert!(!may(&app, &ada.user_id, &name.to_uppercase(), "read_only").await);
        give(&app, &ada.user_id, "cafe\u{301}", "read_only", json!({})).await;
        assert!(may(&app, &ada.user_id, "caf\u{e9}", "read_only").await);
        for context in [Value::Null, json!({}), json!({ "has_access": true })] {
            let mut body = ask(&ada.user_id, "mcp_tool", "nothing", "read_only");
            body["context"] = context;
            let answer = post(&app, By::Service, "check-access", body).await.expect(200);
            assert_eq!(answer.body["has_access"], false);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec_002_a_permission_ends_when_it_ends_though_it_was_remembered() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let end = polity_testing::start_of_time() + Duration::from_secs(30);
        give(&app, &ada.user_id, "oven", "admin", json!({ "expires_at": end })).await;
        assert!(may(&app, &ada.user_id, "oven", "admin").await);
        app.advance(Duration::from_micros(29_999_999));
        assert!(may(&app, &ada.user_id, "oven", "admin").await);
        app.advance(Duration::from_micros(1));
        assert!(!may(&app, &ada.user_id, "oven", "admin").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_decision_rests_on_counts_at_once_when_it_changes() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let bob = app.register("bob@example.com").await;
        let shop = organization(&app, &ada, "Shop").await;
        add(&app, &ada, &shop, &bob, "member").await.expect(200);
        let oven = async || may(&app, &bob.user_id, "oven", "read_only").await;
        assert!(!oven().await);
        give_organization(&app, &shop, "oven", json!({ "access_level": "read_only" }))
            .await
            .expect(200);
        assert!(oven().await);
        let body = json!({ "access_level": "read_only", "org_plan_required": "growth" });
        give_organization(&app, &shop, "oven", body).await.expect(200);
        assert!(!oven().await);
        set(&app, &shop, json!({ "plan": "professional" })).await;
        assert!(oven().await);
        set(&app, &shop, json!({ "status": "suspended" })).await;
        assert!(!oven().await);
        set(&app, &shop, json!({ "status": "active" })).await;
        assert!(oven().await);
        remove(&app, &ada, &shop, &bob).await.expect(200);
        assert!(!oven().await);
        add(&app, &ada, &shop, &bob, "viewer").await.expect(200);
        assert!(oven().await);
        let path = format!("{BASE}/organizations/{shop}/permissions/mcp_tool/oven");
        app.delete(&path).service().send().await.expect(200);
        assert!(!oven().await);
        app.delete(&path).service().send().await.expect(404);
        // The catalogue too.
        let entry = format!("{BASE}/resources/mcp_tool/oven");
        let body = json!({ "resource_category": "kitchen", "subscription_tier_required": "free", "access_level": "read_only" });
        app.put(&entry).service().json(&body).send().await.expect(200);
        assert!(oven().await);
        app.delete(&entry).service().send().await.expect(200);
        assert!(!oven().await);
        app.delete(&entry).service().send().await.expect(404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_organization_one_acts_in_is_the_one_that_is_asked() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let shop = organization(&app, &ada, "Shop").await;
        give_organization(&app, &shop, "oven", json!({ "access_level": "read_only" }))
            .await
            .expect(200);
        let reason = async || {
            let body = ask(&ada.user_id, "mcp_tool", "oven", "read_only");
            let answer = post(&app, By::Person(&ada), "check-access", body).await.expect(200);
            answer.text_at("/reason").to_owned()
        };
        assert_eq!(reason().await, "User permission: read_only");
        let act_in = async |organization: Value| {
            app.post("/api/v1/organization/organizations/context")
                .bearer(&ada.access_token)
                .json(&json!({ "organization_id": organization }))
                .send()
                .await
                .expect(200)
        };
        act_in(json!(shop)).await;
        assert_eq!(reason().await, "Organization permission: read_only");
        act_in(Value::Null).await;
        assert_eq!(reason().await, "User permission: read_only");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_checks_in_one_call_answer_as_one_by_one_and_explanations_agree() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        app.doubles.pays(&ada.user_id, Tier::Pro);
        give(&app, &ada.user_id, "oven", "read_write", json!({})).await;
        let mut checks = Vec::new();
        for (of, name) in [
            ("mcp_tool", "oven"),
            ("mcp_tool", "weather_api"),
            ("ai_model", "advanced_llm"),
            ("prompt", "x"),
        ] {
            for level in ["none", "read_only", "read_write", "admin"] {
                checks.push(json!({ "resource_type": of, "resource_name": name, "required_access_level": level }));
            }
        }
        let body = json!({ "user_id": ada.user_id, "checks": checks });
        let batch = post(&app, By::Person(&ada), "check-access/batch", body)
            .await
            .expect(200);
        for (at, check) in checks.iter().enumerate() {
            let mut body = check.clone();
            body["user_id"] = ada.user_id.clone().into();
            let one = post(&app, By::Service, "check-access", body.clone())
                .await
                .expect(200)
                .body;
            let explained = post(&app, By::Service, "explain", body).await.expect(200).body;
            for (member, value) in one.as_object().unwrap() {
                assert_eq!(batch.body["results"][at][member], *value, "{check}");
                assert_eq!(explained[member], *value, "{check}");
            }
            assert_eq!(batch.body["results"][at]["resource_name"], check["resource_name"]);
            let stages = explained["stages"].as_array().unwrap();
            let granted = stages.iter().filter(|stage| stage["outcome"] == "granted").count();
            assert!(granted <= 1 && stages.len() <= 4, "{stages:?}");
        }
        let explained = post(
            &app,
            By::Service,
            "explain",
            ask(&ada.user_id, "database", "analytics_db", "read_only"),
        )
        .await;
        let explained = explained.expect(200);
        let stages: Vec<(&str, &str)> = (0..4)
            .map(|at| {
                let stage = &explained.body["stages"][at];
                (stage["stage"].as_str().unwrap(), stage["reason"].as_str().unwrap())
            })
            .collect();
        assert_eq!(
            stages,
            [
                ("admin_grant", "No administrator has given anything"),
                ("organization", "No organization was named, and they act in none"),
                (
                    "subscription",
                    "Subscription tier 'pro' insufficient, requires 'enterprise'"
                ),
                ("user_grant", "Nothing else was given"),
            ]
        );
        let many: Vec<Value> = (0..101).map(|_| checks[0].clone()).collect();
        let body = json!({ "user_id": ada.user_id, "checks": many });
        post(&app, By::Person(&ada), "check-access/batch", body)
            .await
            .expect(422);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn projects_are_checked_by_the_shares_that_were_accepted() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let check = async |project: &str, action: &str| {
            let body = json!({ "user_id": ada.user_id, "resource_id": project, "action": action });
            post(&app, By::Person(&ada), "check", body).await.expect(200).body
        };
        for (role, write, admin) in [
            (ProjectRole::Owner, true, true),
            (ProjectRole::Editor, true, false),
            (ProjectRole::Viewer, false, false),
        ] {
            app.doubles.shares("prj_a", &ada.user_id, role);
            assert_eq!(check("prj_a", "read").await, json!({ "allowed": true, "reason": null }));
            assert_eq!(check("prj_a", "write").await["allowed"], write);
            assert_eq!(check("prj_a", "admin").await["allowed"], admin);
        }
        assert_eq!(
            check("prj_a", "write").await["reason"],
            "role 'viewer' is read-only on project prj_a"
        );
        let none = format!("user {} has no accepted share on project prj_b", ada.user_id);
        assert_eq!(
            check("prj_b", "write").await,
            json!({ "allowed": false, "reason": none })
        );
        // As earlier clients expect, whoever is known may read.
        assert_eq!(check("prj_b", "read").await["allowed"], true);
        let retry = json!({ "allowed": false, "reason": "could not verify project role; please retry" });
        assert_eq!(check(BROKEN_PROJECT, "admin").await, retry);
        let nobody = json!({ "user_id": "usr_nobody", "resource_id": "prj_a", "action": "read" });
        let answer = post(&app, By::Service, "check", nobody).await.expect(200);
        assert_eq!(answer.body["allowed"], false);
        for (member, value, text) in [
            (
                "resource_type",
                "album",
                "unsupported resource_type 'album'; expected project",
            ),
            (
                "action",
                "own",
                "invalid action 'own'; expected one of read | write | admin",
            ),
        ] {
            let mut body = json!({ "user_id": ada.user_id, "resource_id": "prj_a", "action": "read" });
            body[member] = value.into();
            let answer = post(&app, By::Service, "check", body).await.expect(400);
            assert_eq!(answer.text_at("/detail"), text);
        }
        let body = json!({ "user_id": ada.user_id, "action": "read" });
        post(&app, By::Service, "check", body).await.expect(422);
    })
    .await;
    let strict = json!({ "authorization": { "strict_project_reads": true } });
    App::each_with(strict, async |app| {
        let ada = app.register("ada@example.com").await;
        let read = async |project: &str| {
            let body = json!({ "user_id": ada.user_id, "resource_id": project, "action": "read" });
            post(&app, By::Person(&ada), "check", body).await.expect(200).body["allowed"] == true
        };
        app.doubles.shares("prj_open", &ada.user_id, ProjectRole::Reader);
        assert!(read("prj_open").await && !read("prj_closed").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_said_once_a_minute_and_the_last_check_is_known() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        for _ in 0..20 {
            assert!(!may(&app, &ada.user_id, "oven", "admin").await);
        }
        assert!(!may(&app, &ada.user_id, "oven", "owner").await);
        app.advance(Duration::from_mins(1));
        assert!(!may(&app, &ada.user_id, "oven", "admin").await);
        let path = format!("audit?user_id={}&action=check", ada.user_id);
        let mut entries = Vec::new();
        for _ in 0..100 {
            entries = get(&app, By::Service, &path).await.expect(200).body["items"]
                .as_array()
                .unwrap()
                .clone();
            if entries.len() >= 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let levels: Vec<&str> = entries
            .iter()
            .filter_map(|entry| entry["new_access_level"].as_str())
            .collect();
        assert_eq!(levels, ["admin", "admin"]);
        assert!(entries.iter().all(|entry| entry["success"] == false));
        app.settle().await;
        let said = app.ctx.events.read_after(
            &app.ctx.db,
            0,
            &["authorization_service.authorization.access.denied"],
            100,
        );
        assert_eq!(said.await.unwrap().len(), 2);
        let summary = get(&app, By::Person(&ada), &format!("user-permissions/{}", ada.user_id))
            .await
            .expect(200);
        assert_eq!(
            summary.text_at("/last_access_check"),
            polity_kernel::clock::rfc3339(app.ctx.clock.now())
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn earlier_paths_answer_alike_and_people_are_limited() {
    let settings = json!({ "authorization": { "checks_per_minute": 5 } });
    App::each_with(settings, async |app| {
        let ada = app.register("ada@example.com").await;
        let body = ask(&ada.user_id, "mcp_tool", "weather_api", "read_only");
        for path in ["/api/v1/access/check", "/api/v1/authorization/check-access"] {
            let answer = app.post(path).service().json(&body).send().await.expect(200);
            assert_eq!(answer.body["has_access"], true, "{path}");
        }
        let grant = tool(&ada.user_id, "oven", "read_only", "admin_grant");
        app.post("/api/v1/permissions/grant")
            .service()
            .json(&grant)
            .send()
            .await
            .expect(200);
        app.post("/api/v1/permissions/revoke")
            .service()
            .json(&grant)
            .send()
            .await
            .expect(200);
        for path in ["bulk-grant", "bulk-revoke"] {
            let path = format!("/api/v1/permissions/{path}");
            let answer = app
                .post(&path)
                .service()
                .json(&json!({ "operations": [] }))
                .send()
                .await;
            assert_eq!(answer.expect(200).body["total_operations"], 0);
        }
        for path in ["permissions", "permissions/summary", "accessible-resources"] {
            let path = format!("/api/v1/users/{}/{path}", ada.user_id);
            app.get(&path).bearer(&ada.access_token).send().await.expect(200);
        }
        app.get("/api/v1/stats").service().send().await.expect(200);
        let info = app.get(&format!("{BASE}/info")).send().await.expect(200);
        assert_eq!(info.body["service"], "authorization_service");
        let health = app.get(&format!("{BASE}/health")).send().await.expect(200);
        assert_eq!(
            (&health.body["service"], &health.body["port"]),
            (&json!("authorization_service"), &json!(8204))
        );
        for _ in 0..5 {
            post(&app, By::Person(&ada), "check-access", body.clone())
                .await
                .expect(200);
        }
        let answer = post(&app, By::Person(&ada), "check-access", body.clone())
            .await
            .expect(429);
        assert!(!answer.header("retry-after").is_empty() && answer.code() == "RATE_LIMITED");
        for _ in 0..20 {
            post(&app, By::Service, "check-access", body.clone()).await.expect(200);
        }
    })
    .await;
}
