//! Assigning roles: shape before authority, and what is answered has happened.

use polity_testing::{App, Person};
use serde_json::{Value, json};

use super::{By, get, post};
use crate::organization::{BASE as ORGANIZATIONS, add, organization};

fn assignment(by: &Person, as_role: &str, to: &Person, role: &str, organization: Option<&str>) -> Value {
    json!({
        "assigner_user_id": by.user_id, "assigner_role": as_role, "assignee_user_id": to.user_id, "assignee_role": role,
        "organization_id": organization,
    })
}

async fn role_of(app: &App, organization: &str, who: &Person) -> String {
    let members = app
        .get(&format!("{ORGANIZATIONS}/{organization}/members"))
        .service()
        .send()
        .await
        .expect(200);
    let all = members.body["members"].as_array().unwrap();
    let found = all.iter().find(|member| member["user_id"] == who.user_id.as_str());
    found.map_or_else(String::new, |member| member["role"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_in_an_organization_are_assigned_by_whom_the_contract_says() {
    App::each(async |app| {
        let mut people = Vec::new();
        for name in ["owner", "admin", "member", "target", "eve"] {
            people.push(app.register(&format!("{name}@example.com")).await);
        }
        let [owner, admin, member, target, eve] = people.as_slice() else {
            unreachable!()
        };
        let shop = organization(&app, owner, "Shop").await;
        add(&app, owner, &shop, admin, "admin").await.expect(200);
        for person in [member, target] {
            add(&app, owner, &shop, person, "member").await.expect(200);
        }
        let assign = async |by: &Person, body: Value| post(&app, By::Person(by), "assign-role", body).await;
        let org = Some(shop.as_str());
        for (by, as_role, role, status) in [
            (owner, "owner", "admin", 200),
            (owner, "owner", "editor", 200),
            (admin, "admin", "viewer", 200),
            (admin, "admin", "guest", 200),
            (admin, "admin", "admin", 403),
            (admin, "admin", "owner", 403),
            (member, "member", "viewer", 403),
            (eve, "owner", "viewer", 403),
            (owner, "admin", "viewer", 403),
            (owner, "owner", "owner", 200),
        ] {
            let before = role_of(&app, &shop, target).await;
            let answer = assign(by, assignment(by, as_role, target, role, org))
                .await
                .expect(status);
            let after = role_of(&app, &shop, target).await;
            if status == 200 {
                let called = if role == "editor" { "member" } else { role };
                assert_eq!((after.as_str(), answer.text_at("/normalized_role")), (called, called));
                assert_eq!(answer.text_at("/scope"), "organization");
            } else {
                assert_eq!((after, answer.text_at("/rule")), (before, "assigner_not_authorized"));
            }
        }
        // Shape before authority: 400 for everybody.
        for by in [owner, eve] {
            for role in ["Owner", "super_admin", "service", "consumer", "", "ｖiewer"] {
                let answer = assign(by, assignment(by, "owner", target, role, org)).await.expect(400);
                assert_eq!(
                    (answer.text_at("/rule"), answer.code()),
                    ("invalid_org_role", "ROLE_REFUSED")
                );
                assert!(answer.text_at("/message").contains("role-taxonomy.md"));
            }
            let mut body = assignment(by, "owner", target, "member", org);
            body["scope"] = "galaxy".into();
            let answer = assign(by, body.clone()).await.expect(400);
            assert_eq!(answer.text_at("/rule"), "unknown_scope");
            body["scope"] = "app".into();
            let answer = assign(by, body).await.expect(403);
            assert_eq!(answer.text_at("/rule"), "app_scope_not_assignable");
        }
        // The body speaks for nobody else, and strangers are told the same of every organization.
        assign(eve, assignment(owner, "owner", target, "viewer", org))
            .await
            .expect(403);
        let foreign = assign(eve, assignment(eve, "owner", target, "viewer", org))
            .await
            .expect(403);
        let missing = assign(eve, assignment(eve, "owner", target, "viewer", Some("org_nothing")))
            .await
            .expect(403);
        assert_eq!(foreign.body["detail"], missing.body["detail"]);
        assign(owner, assignment(owner, "owner", target, "viewer", None))
            .await
            .expect(422);
        let answer = assign(owner, assignment(owner, "owner", eve, "viewer", org))
            .await
            .expect(400);
        assert_eq!(answer.text_at("/rule"), "assignee_not_a_member");
        // A service acts for whom the body names, with what they may.
        let body = assignment(admin, "whatever", member, "viewer", org);
        post(&app, By::Service, "assign-role", body).await.expect(200);
        assert_eq!(role_of(&app, &shop, member).await, "viewer");
        let body = assignment(eve, "owner", member, "member", org);
        post(&app, By::Service, "assign-role", body).await.expect(403);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_owner_stays_one_and_roles_are_in_the_audit_and_said() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let bob = app.register("bob@example.com").await;
        let shop = organization(&app, &ada, "Shop").await;
        add(&app, &ada, &shop, &bob, "member").await.expect(200);
        let org = Some(shop.as_str());
        let body = assignment(&ada, "owner", &ada, "admin", org);
        post(&app, By::Person(&ada), "assign-role", body).await.expect(400);
        let body = assignment(&ada, "owner", &bob, "owner", org);
        post(&app, By::Person(&ada), "assign-role", body).await.expect(200);
        let path = format!("audit?user_id={}&action=assign_role", bob.user_id);
        let audit = get(&app, By::Service, &path).await.expect(200);
        let entry = &audit.body["items"][0];
        assert_eq!(
            json!([
                entry["resource_name"],
                entry["old_access_level"],
                entry["new_access_level"],
                entry["performed_by_user_id"]
            ]),
            json!([shop, "member", "owner", ada.user_id])
        );
        app.settle().await;
        for (name, role) in [("role.assigned", "new_role"), ("role.revoked", "old_role")] {
            let name = format!("authorization_service.{name}");
            let said = app
                .ctx
                .events
                .read_after(&app.ctx.db, 0, &[name.as_str()], 10)
                .await
                .unwrap();
            assert_eq!(said.len(), 1, "{name}");
            assert_eq!(
                (&said[0].data["org_id"], said[0].data[role].is_string()),
                (&json!(shop), true)
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_of_the_platform_are_assigned_by_a_super_admin_alone() {
    App::each(async |app| {
        let root = app.admin().await;
        let ada = app.register("ada@example.com").await;
        let body = |by: &Person, role: &str| {
            let mut body = assignment(by, "super_admin", &ada, role, None);
            body["scope"] = "platform".into();
            body
        };
        let answer = post(&app, By::Person(&root), "assign-role", body(&root, "owner"))
            .await
            .expect(400);
        assert_eq!(answer.text_at("/rule"), "invalid_platform_role");
        assert!(answer.text_at("/message").contains("role-taxonomy.md"));
        let answer = post(&app, By::Person(&ada), "assign-role", body(&ada, "support_admin"))
            .await
            .expect(403);
        assert_eq!(answer.text_at("/rule"), "assigner_not_authorized");
        post(&app, By::Service, "assign-role", body(&root, "support_admin"))
            .await
            .expect(403);
        for role in ["support_admin", "billing_admin", "support_admin"] {
            post(&app, By::Person(&root), "assign-role", body(&root, role))
                .await
                .expect(200);
        }
        let path = format!("/api/v1/account/admin/accounts/{}", ada.user_id);
        let account = app.get(&path).bearer(&root.access_token).send().await.expect(200);
        assert_eq!(account.body["admin_roles"], json!(["billing_admin", "support_admin"]));
        let mut nobody = body(&root, "support_admin");
        nobody["assignee_user_id"] = "usr_nobody".into();
        post(&app, By::Person(&root), "assign-role", nobody).await.expect(404);
    })
    .await;
}
