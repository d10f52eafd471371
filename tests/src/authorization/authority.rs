//! Whose word counts: what nobody can give, themselves or through others.

use std::time::Duration;

use polity_testing::{App, Person};
use serde_json::{Value, json};

use super::{BASE, By, get, give, give_organization, grants::support, may, post, tool};
use crate::organization::{add, organization};

async fn put(app: &App, by: &Person, path: &str, body: Value) -> polity_testing::Answer {
    app.put(&format!("{BASE}/{path}"))
        .bearer(&by.access_token)
        .json(&body)
        .send()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_everybody_or_an_organization_has_is_given_by_a_super_admin_or_a_service() {
    App::each(async |app| {
        let root = app.admin().await;
        let support = support(&app, &root).await;
        let ada = app.register("ada@example.com").await;
        let shop = organization(&app, &ada, "Shop").await;
        add(&app, &ada, &shop, &support, "member").await.expect(200);
        let entry = json!({ "resource_category": "x", "subscription_tier_required": "free", "access_level": "owner" });
        let own = json!({ "access_level": "owner" });
        let of_shop = format!("organizations/{shop}/permissions/mcp_tool/oven");
        // Who is in it, or is everybody, would give to themselves.
        put(&app, &support, "resources/mcp_tool/oven", entry.clone())
            .await
            .expect(403);
        put(&app, &support, &of_shop, own.clone()).await.expect(403);
        assert!(!may(&app, &support.user_id, "oven", "read_only").await);
        put(&app, &root, &of_shop, own).await.expect(200);
        put(&app, &root, "resources/mcp_tool/oven", entry).await.expect(200);
        assert!(may(&app, &support.user_id, "oven", "owner").await);
        // Any administrator takes.
        for path in ["resources/mcp_tool/oven", &of_shop] {
            let path = format!("{BASE}/{path}");
            app.delete(&path).bearer(&support.access_token).send().await.expect(200);
        }
        assert!(!may(&app, &support.user_id, "oven", "read_only").await);
        // What was done to them is in the audit like everything else.
        let audit = get(
            &app,
            By::Person(&root),
            "audit?resource_type=mcp_tool&resource_name=oven",
        )
        .await;
        let mut steps: Vec<String> = audit.expect(200).body["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["action"] != "check")
            .map(|entry| {
                let text = |member: &str| entry[member].as_str().unwrap_or("-").to_owned();
                let parts = [
                    "action",
                    "user_id",
                    "old_access_level",
                    "new_access_level",
                    "performed_by_user_id",
                ];
                parts.map(text).join(" ")
            })
            .collect();
        steps.sort();
        let (root, support) = (&root.user_id, &support.user_id);
        let mut expected = [
            format!("grant {shop} - owner {root}"),
            format!("grant * - owner {root}"),
            format!("revoke {shop} owner - {support}"),
            format!("revoke * owner - {support}"),
        ];
        expected.sort();
        assert_eq!(steps, expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_in_an_organization_is_given_in_it_alone() {
    App::each(async |app| {
        let root = app.admin().await;
        let support = support(&app, &root).await;
        let ada = app.register("ada@example.com").await;
        let shop = organization(&app, &ada, "Shop").await;
        add(&app, &ada, &shop, &support, "member").await.expect(200);
        give_organization(&app, &shop, "oven", json!({ "access_level": "read_write" }))
            .await
            .expect(200);
        let more = json!({ "organization_id": shop });
        give(&app, &support.user_id, "kettle", "read_only", more.clone()).await;
        for name in ["oven", "kettle"] {
            let mut body = tool(&ada.user_id, name, "read_only", "admin_grant");
            post(&app, By::Person(&support), "grant", body.clone())
                .await
                .expect(403);
            body["organization_id"] = shop.clone().into();
            post(&app, By::Person(&support), "grant", body).await.expect(200);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gives_for_longer_than_they_have_it() {
    App::each(async |app| {
        let root = app.admin().await;
        let support = support(&app, &root).await;
        let ada = app.register("ada@example.com").await;
        let end = polity_testing::start_of_time() + Duration::from_hours(1);
        give(&app, &support.user_id, "oven", "admin", json!({ "expires_at": end })).await;
        let source = json!({ "permission_source": "system_default" });
        give(&app, &support.user_id, "oven", "read_only", source).await;
        for (level, until, status) in [
            ("admin", Value::Null, 403),
            ("admin", json!(end + Duration::from_micros(1)), 403),
            ("read_write", Value::Null, 403),
            ("admin", json!(end), 200),
            ("read_only", Value::Null, 200),
        ] {
            let mut body = tool(&ada.user_id, "oven", level, "admin_grant");
            body["expires_at"] = until;
            post(&app, By::Person(&support), "grant", body.clone())
                .await
                .expect(status);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_of_the_platform_that_are_given_at_once_are_all_kept() {
    App::each(async |app| {
        let root = app.admin().await;
        let ada = app.register("ada@example.com").await;
        let roles = ["billing_admin", "compliance_admin", "product_admin", "support_admin"];
        let calls = roles.map(|role| {
            let body = json!({
                "assigner_user_id": root.user_id, "assigner_role": "super_admin", "assignee_user_id": ada.user_id,
                "assignee_role": role, "scope": "platform",
            });
            post(&app, By::Person(&root), "assign-role", body)
        });
        for answer in futures::future::join_all(calls).await {
            answer.expect(200);
        }
        let path = format!("/api/v1/account/admin/accounts/{}", ada.user_id);
        let account = app.get(&path).bearer(&root.access_token).send().await.expect(200);
        let mut kept: Vec<&str> = account.body["admin_roles"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        kept.sort_unstable();
        assert_eq!(kept, roles);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_assigns_roles_in_the_name_of_who_may_not_act() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let bob = app.register("bob@example.com").await;
        let shop = organization(&app, &ada, "Shop").await;
        add(&app, &ada, &shop, &bob, "member").await.expect(200);
        let path = format!("/api/v1/accounts/status/{}", ada.user_id);
        let body = json!({ "is_active": false });
        app.put(&path).service().json(&body).send().await.expect(200);
        let body = json!({
            "assigner_user_id": ada.user_id, "assigner_role": "owner", "assignee_user_id": bob.user_id,
            "assignee_role": "admin", "organization_id": shop,
        });
        let answer = post(&app, By::Service, "assign-role", body).await.expect(403);
        assert_eq!(answer.text_at("/rule"), "assigner_not_authorized");
        // That it was tried is in the audit.
        let path = format!("audit?user_id={}&action=assign_role", bob.user_id);
        let audit = get(&app, By::Service, &path).await.expect(200);
        let entry = &audit.body["items"][0];
        assert_eq!(
            json!([
                entry["success"],
                entry["new_access_level"],
                entry["performed_by_user_id"]
            ]),
            json!([false, "admin", ada.user_id])
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_in_an_organization_waits_for_who_changes_its_members() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let bob = app.register("bob@example.com").await;
        let shop = organization(&app, &ada, "Shop").await;
        add(&app, &ada, &shop, &bob, "member").await.expect(200);
        give_organization(&app, &shop, "oven", json!({ "access_level": "read_write" }))
            .await
            .expect(200);
        let mut body = tool(&bob.user_id, "oven", "read_only", "organization");
        body["organization_id"] = shop.clone().into();
        // Nothing is given, too, of what one has.
        let mut nothing = body.clone();
        nothing["resource_name"] = "anything".into();
        nothing["access_level"] = "none".into();
        post(&app, By::Person(&ada), "grant", nothing).await.expect(403);
        // As whoever removes a member holds it.
        let mut tx = app.ctx.db.begin().await.unwrap();
        tx.lock("organization", &shop).await.unwrap();
        let mut grant = std::pin::pin!(post(&app, By::Person(&ada), "grant", body));
        let waited = tokio::time::timeout(Duration::from_millis(400), &mut grant).await;
        assert!(waited.is_err(), "it was given while members were changed");
        drop(tx);
        grant.await.expect(200);
    })
    .await;
}
