//! Giving and taking: who may, what becomes of it, and many at once.

use std::time::Duration;

use polity_testing::{App, Person};
use serde_json::{Value, json};

use super::{BASE, By, get, give, give_organization, may, post, tool};
use crate::organization::{add, organization};

/// An administrator with roles, but not super_admin.
pub(super) async fn support(app: &App, root: &Person) -> Person {
    let support = app.admin_named("support@example.com").await;
    app.put(&format!("/api/v1/account/admin/accounts/{}/roles", support.user_id))
        .bearer(&root.access_token)
        .json(&json!({ "admin_roles": ["support_admin"] }))
        .send()
        .await
        .expect(200);
    app.settle().await;
    let body = json!({ "email": support.email, "password": "correct horse battery" });
    let answer = app
        .post("/api/v1/auth/admin/login")
        .json(&body)
        .send()
        .await
        .expect(200);
    Person {
        access_token: answer.text_at("/access_token").to_owned(),
        ..support
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gives_more_than_they_have_nor_to_themselves() {
    App::each(async |app| {
        let root = app.admin().await;
        let support = support(&app, &root).await;
        let ada = app.register("ada@example.com").await;
        let grant = |by, body| post(&app, by, "grant", body);
        let to_ada = |level| tool(&ada.user_id, "oven", level, "admin_grant");
        // A person is nobody's administrator.
        grant(By::Person(&ada), to_ada("read_only")).await.expect(403);
        let eve = app.register("eve@example.com").await;
        grant(By::Person(&eve), to_ada("read_only")).await.expect(403);
        // An administrator gives what they have.
        grant(By::Person(&support), to_ada("read_only")).await.expect(403);
        give(&app, &support.user_id, "oven", "read_write", json!({})).await;
        grant(By::Person(&support), to_ada("read_write")).await.expect(200);
        let answer = grant(By::Person(&support), to_ada("admin")).await.expect(403);
        assert!(
            answer.text_at("/detail").contains("more than you have"),
            "{}",
            answer.text
        );
        let to_self = tool(&support.user_id, "oven", "read_only", "admin_grant");
        grant(By::Person(&support), to_self).await.expect(403);
        // A super_admin gives everything, to themselves too.
        grant(By::Person(&root), to_ada("owner")).await.expect(200);
        grant(By::Person(&root), tool(&root.user_id, "oven", "owner", "admin_grant"))
            .await
            .expect(200);
        // Whom the body names is the caller, or a service says so.
        let mut body = to_ada("read_only");
        body["granted_by_user_id"] = eve.user_id.clone().into();
        grant(By::Person(&root), body.clone()).await.expect(403);
        grant(By::Service, body.clone()).await.expect(200);
        body["granted_by_user_id"] = root.user_id.clone().into();
        grant(By::Person(&root), body).await.expect(200);
        // A service that acts for somebody has their rights.
        let on_behalf = app.post(&format!("{BASE}/grant")).service().on_behalf_of(&eve.user_id);
        on_behalf.json(&to_ada("read_only")).send().await.expect(403);
        // What was refused is in the audit.
        let path = format!("audit?user_id={}&action=grant&limit=1000", ada.user_id);
        let audit = get(&app, By::Person(&root), &path).await.expect(200);
        let refused = audit.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["success"] == false);
        assert_eq!(refused.count(), 5, "{}", audit.text);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_of_an_organization_give_what_it_has_to_its_members() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let bob = app.register("bob@example.com").await;
        let eve = app.register("eve@example.com").await;
        let shop = organization(&app, &ada, "Shop").await;
        let other = organization(&app, &eve, "Other").await;
        add(&app, &ada, &shop, &bob, "member").await.expect(200);
        give_organization(&app, &shop, "oven", json!({ "access_level": "read_write" }))
            .await
            .expect(200);
        give_organization(&app, &other, "oven", json!({ "access_level": "owner" }))
            .await
            .expect(200);
        add(&app, &eve, &other, &ada, "member").await.expect(200);
        let body = |to: &Person, level: &str, organization: &str| {
            let mut body = tool(&to.user_id, "oven", level, "organization");
            body["organization_id"] = organization.into();
            body
        };
        let grant = |by: &Person, body| {
            let by = by.clone();
            let app = &app;
            async move { post(app, By::Person(&by), "grant", body).await }
        };
        grant(&ada, body(&bob, "read_write", &shop)).await.expect(200);
        // What she has by the other organization is not the shop's to give.
        grant(&ada, body(&bob, "owner", &shop)).await.expect(403);
        grant(&ada, body(&eve, "read_only", &shop)).await.expect(400);
        grant(&ada, body(&ada, "read_only", &shop)).await.expect(403);
        grant(&bob, body(&eve, "read_only", &shop)).await.expect(403);
        // Organizations of others, and those that are not there, sound alike.
        let foreign = grant(&ada, body(&bob, "read_only", &other)).await.expect(403);
        let missing = grant(&ada, body(&bob, "read_only", "org_nothing")).await.expect(403);
        assert_eq!(foreign.body["detail"], missing.body["detail"]);
        let mut wrong = body(&bob, "read_only", &shop);
        wrong["permission_source"] = "admin_grant".into();
        grant(&ada, wrong).await.expect(403);
        // Taking: who gave it, who runs the organization; nobody else learns that it is there.
        let revoke = json!({ "user_id": bob.user_id, "resource_type": "mcp_tool", "resource_name": "oven" });
        let take = |by: &Person| {
            let (by, body, app) = (by.clone(), revoke.clone(), &app);
            async move { post(app, By::Person(&by), "revoke", body).await }
        };
        assert_eq!(take(&eve).await.expect(404).text_at("/detail"), "Permission not found");
        take(&bob).await.expect(403);
        take(&ada).await.expect(200);
        take(&ada).await.expect(404);
        // A suspended organization gives nothing.
        crate::organization::set(&app, &shop, json!({ "status": "suspended" })).await;
        grant(&ada, body(&bob, "read_only", &shop)).await.expect(403);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_grt_010_what_is_given_again_is_changed_in_place() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        give(&app, &ada.user_id, "oven", "read_only", json!({ "reason": "first" })).await;
        let holders = async || {
            let path = "who-has-access?resource_type=mcp_tool&resource_name=oven";
            get(&app, By::Service, path).await.expect(200).body["permissions"].clone()
        };
        let first = holders().await;
        app.advance(Duration::from_secs(10));
        give(&app, &ada.user_id, "oven", "admin", json!({ "reason": "second" })).await;
        let second = holders().await;
        assert_eq!(second.as_array().unwrap().len(), 1);
        assert_eq!(
            (
                &second[0]["id"],
                &second[0]["created_at"],
                &second[0]["access_level"],
                &second[0]["reason"]
            ),
            (
                &first[0]["id"],
                &first[0]["created_at"],
                &json!("admin"),
                &json!("second")
            )
        );
        assert_ne!(second[0]["updated_at"], first[0]["updated_at"]);
        let revoke =
            json!({ "user_id": ada.user_id, "resource_type": "mcp_tool", "resource_name": "oven", "reason": "third" });
        app.advance(Duration::from_secs(10));
        post(&app, By::Service, "revoke", revoke.clone()).await.expect(200);
        post(&app, By::Service, "revoke", revoke).await.expect(404);
        assert_eq!(holders().await, json!([]));
        app.advance(Duration::from_secs(10));
        give(&app, &ada.user_id, "oven", "read_only", json!({})).await;
        assert_ne!(
            holders().await[0]["id"],
            first[0]["id"],
            "a new permission is a fresh one"
        );
        let path = format!(
            "audit?user_id={}&resource_type=mcp_tool&resource_name=oven",
            ada.user_id
        );
        let audit = get(&app, By::Service, &path).await.expect(200);
        let steps: Vec<Value> = audit.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .filter(|entry| entry["success"] == true)
            .map(|entry| {
                json!([
                    entry["action"],
                    entry["old_access_level"],
                    entry["new_access_level"],
                    entry["reason"]
                ])
            })
            .collect();
        assert_eq!(
            steps,
            [
                json!(["grant", null, "read_only", "first"]),
                json!(["grant", "read_only", "admin", "second"]),
                json!(["revoke", "admin", null, "third"]),
                json!(["grant", null, "read_only", null]),
            ]
        );
        app.settle().await;
        let types = ["authorization_service.authorization.permission.revoked"];
        let said = app.ctx.events.read_after(&app.ctx.db, 0, &types, 10).await.unwrap();
        assert_eq!(
            (said.len(), &said[0].data["previous_access_level"]),
            (1, &json!("admin"))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_grants_say_what_is_wrong() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let grant = |change: Value| {
            let mut body = tool(&ada.user_id, "oven", "read_only", "admin_grant");
            for (key, value) in change.as_object().unwrap() {
                body[key] = value.clone();
            }
            post(&app, By::Service, "grant", body)
        };
        // BR-GRT-008; the moment it is now is past.
        for past in ["2020-01-01T00:00:00Z", "2027-01-15T08:00:00Z", "2027-01-15T08:00:00"] {
            let answer = grant(json!({ "expires_at": past })).await.expect(422);
            assert_eq!(
                answer.text_at("/errors/0/msg"),
                "Expiry date must be in the future",
                "{past}"
            );
        }
        grant(json!({ "expires_at": "soon" })).await.expect(422);
        grant(json!({ "access_level": "all" })).await.expect(422);
        grant(json!({ "permission_source": "me" })).await.expect(422);
        grant(json!({ "reason": "x".repeat(501) })).await.expect(422);
        // BR-GRT-001.
        let answer = grant(json!({ "user_id": "usr_nobody" })).await.expect(400);
        assert_eq!(answer.text_at("/detail"), "User not found");
        let answer = grant(json!({ "organization_id": "org_nothing" })).await.expect(400);
        assert_eq!(answer.text_at("/detail"), "Organization not found");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_operations_are_carried_out_in_order_each_on_its_own() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let operation = |kind: &str, user: &str, name: &str, level: &str| {
            let mut body = tool(user, name, level, "admin_grant");
            body["operation_type"] = kind.into();
            body
        };
        let past = {
            let mut body = operation("grant", &ada.user_id, "d", "read_only");
            body["expires_at"] = "2020-01-01T00:00:00Z".into();
            body
        };
        let operations = json!([
            operation("grant", &ada.user_id, "a", "read_only"),
            operation("grant", "usr_nobody", "a", "read_only"),
            operation("revoke", &ada.user_id, "a", "read_only"),
            operation("grant", &ada.user_id, "b", "read_only"),
            operation("revoke", &ada.user_id, "c", "read_only"),
            operation("grant", &ada.user_id, "b", "admin"),
            past,
            operation("revoke", &ada.user_id, "b", "admin"),
            operation("grant", &ada.user_id, "b", "read_write"),
        ]);
        let body = json!({ "operations": operations, "batch_reason": "spring cleaning" });
        let answer = post(&app, By::Service, "bulk-grant", body).await.expect(200);
        let results: Vec<bool> = answer.body["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|result| result["success"] == true)
            .collect();
        assert_eq!(results, [true, false, true, true, false, true, false, true, true]);
        assert_eq!(
            (&answer.body["successful"], &answer.body["failed"]),
            (&json!(6), &json!(3))
        );
        assert_eq!(answer.text_at("/results/1/error_message"), "User not found");
        assert_eq!(answer.text_at("/results/4/error_message"), "Permission not found");
        assert_eq!(
            answer.text_at("/results/6/error_message"),
            "Expiry date must be in the future"
        );
        assert!(!may(&app, &ada.user_id, "a", "read_only").await);
        assert!(may(&app, &ada.user_id, "b", "read_write").await);
        assert!(!may(&app, &ada.user_id, "b", "admin").await);
        app.settle().await;
        let said = async |what: &str| {
            let name = format!("authorization_service.authorization.{what}");
            app.ctx
                .events
                .read_after(&app.ctx.db, 0, &[name.as_str()], 100)
                .await
                .unwrap()
        };
        assert_eq!(said("permission.granted").await.len(), 4);
        assert_eq!(said("permission.revoked").await.len(), 2);
        let bulk = said("bulk.granted").await;
        assert_eq!((bulk.len(), &bulk[0].data["permission_count"]), (1, &json!(4)));
        assert_eq!(said("bulk.revoked").await.len(), 1);
        // EC-019: nothing to do is done; too much is refused, as is what has no shape.
        let none = post(&app, By::Service, "bulk-revoke", json!({ "operations": [] }))
            .await
            .expect(200);
        assert_eq!(
            (&none.body["total_operations"], &none.body["results"]),
            (&json!(0), &json!([]))
        );
        let many: Vec<Value> = (0..101)
            .map(|n| operation("grant", &ada.user_id, &n.to_string(), "read_only"))
            .collect();
        post(&app, By::Service, "bulk-grant", json!({ "operations": many }))
            .await
            .expect(422);
        post(
            &app,
            By::Service,
            "bulk-grant",
            json!({ "operations": [{ "user_id": "x" }] }),
        )
        .await
        .expect(422);
        let mut shapeless = operation("grant", &ada.user_id, "x", "read_only");
        shapeless.as_object_mut().unwrap().remove("access_level");
        let body = json!({ "operations": [operation("grant", &ada.user_id, "y", "read_only"), shapeless] });
        let answer = post(&app, By::Service, "bulk-grant", body).await.expect(422);
        assert_eq!(answer.text_at("/errors/0/pointer"), "/operations/1/access_level");
        assert!(!may(&app, &ada.user_id, "y", "read_only").await);
        let hundred: Vec<Value> = (0..100)
            .map(|n| operation("grant", &ada.user_id, &n.to_string(), "read_only"))
            .collect();
        let answer = post(&app, By::Service, "bulk-grant", json!({ "operations": hundred }))
            .await
            .expect(200);
        assert_eq!(answer.body["successful"], 100);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec_003_grants_and_revocations_at_once_leave_one_state_and_a_whole_audit() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let revoke = json!({ "user_id": ada.user_id, "resource_type": "mcp_tool", "resource_name": "oven" });
        let mut calls = Vec::new();
        for n in 0..40 {
            let (app, ada, revoke) = (&app, &ada, revoke.clone());
            calls.push(Box::pin(async move {
                let answer = if n % 2 == 0 {
                    let level = if n % 4 == 0 { "read_only" } else { "admin" };
                    let body = tool(&ada.user_id, "oven", level, "admin_grant");
                    post(app, By::Service, "grant", body).await
                } else {
                    post(app, By::Service, "revoke", revoke).await
                };
                (n % 2 == 0, answer.status)
            }));
        }
        let done = futures::future::join_all(calls).await;
        let granted = done
            .iter()
            .filter(|(is_grant, status)| *is_grant && *status == 200)
            .count();
        let revoked = done
            .iter()
            .filter(|(is_grant, status)| !is_grant && *status == 200)
            .count();
        assert_eq!(granted, 20, "{done:?}");
        assert!(
            done.iter()
                .all(|(is_grant, status)| *status == 200 || (!is_grant && *status == 404))
        );
        let path = format!("audit?user_id={}&limit=1000", ada.user_id);
        let audit = get(&app, By::Service, &path).await.expect(200);
        let count = |action: &str| {
            let entries = audit.body["items"].as_array().unwrap().iter();
            entries
                .filter(|entry| entry["action"] == action && entry["success"] == true)
                .count()
        };
        assert_eq!((count("grant"), count("revoke")), (granted, revoked));
        // What the audit says began anew, less what was taken, is what is there.
        let begun = audit.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["action"] == "grant" && entry["old_access_level"].is_null())
            .count();
        let path = "who-has-access?resource_type=mcp_tool&resource_name=oven";
        let left = get(&app, By::Service, path).await.expect(200).body["permissions"]
            .as_array()
            .unwrap()
            .len();
        assert_eq!(begun - revoked, left);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_permissions_are_removed_and_said() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let end = polity_testing::start_of_time() + Duration::from_secs(10);
        for n in 0..7 {
            let more = if n < 5 { json!({ "expires_at": end }) } else { json!({}) };
            give(&app, &ada.user_id, &format!("tool{n}"), "read_only", more).await;
        }
        let clean = async || {
            let answer = post(&app, By::Service, "cleanup-expired", json!({})).await.expect(200);
            answer.body["cleaned_count"].as_i64().unwrap()
        };
        assert_eq!(clean().await, 0);
        app.advance(Duration::from_secs(10));
        // EC-016: what is given anew at this moment stays.
        give(&app, &ada.user_id, "tool0", "read_write", json!({})).await;
        assert_eq!(clean().await, 4);
        assert_eq!(clean().await, 0);
        let stats = get(&app, By::Service, "stats").await.expect(200);
        let expected = json!({ "total_permissions": 3, "active_users": 1, "resource_types": 1 });
        assert_eq!(stats.body["statistics"], expected);
        post(&app, By::Person(&ada), "cleanup-expired", json!({}))
            .await
            .expect(403);
        get(&app, By::Person(&ada), "stats").await.expect(403);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_into_the_audit_is_a_right_like_any_other() {
    App::each(async |app| {
        let root = app.admin().await;
        let carol = app.register("carol@example.com").await;
        let paths = [
            "audit",
            "resources",
            "who-has-access?resource_type=prompt&resource_name=basic_assistant",
        ];
        for path in paths {
            get(&app, By::Person(&carol), path).await.expect(403);
            get(&app, By::Person(&root), path).await.expect(200);
        }
        let body = json!({
            "user_id": carol.user_id, "resource_type": "api_endpoint", "resource_name": "authorization.audit",
            "access_level": "read_only", "permission_source": "admin_grant",
        });
        post(&app, By::Person(&root), "grant", body.clone()).await.expect(200);
        for path in paths {
            get(&app, By::Person(&carol), path).await.expect(200);
        }
        post(&app, By::Person(&carol), "cleanup-expired", json!({}))
            .await
            .expect(403);
        post(&app, By::Person(&root), "revoke", body).await.expect(200);
        for path in paths {
            get(&app, By::Person(&carol), path).await.expect(403);
        }
    })
    .await;
}
