//! What becomes of permissions when people and organizations are gone.

use polity_testing::App;
use serde_json::{Value, json};

use super::{By, get, give, give_organization, may};
use crate::organization::{BASE as ORGANIZATIONS, add, organization, remove};

async fn holders(app: &App, name: &str) -> Vec<Value> {
    let path = format!("who-has-access?resource_type=mcp_tool&resource_name={name}");
    get(app, By::Service, &path).await.expect(200).body["permissions"]
        .as_array()
        .unwrap()
        .clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losing_one_organization_touches_nothing_of_another() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let bob = app.register("bob@example.com").await;
        let shop = organization(&app, &ada, "Shop").await;
        let mill = organization(&app, &ada, "Mill").await;
        for organization in [&shop, &mill] {
            add(&app, &ada, organization, &bob, "member").await.expect(200);
            give_organization(&app, organization, "oven", json!({ "access_level": "read_only" }))
                .await
                .expect(200);
            let more = json!({ "organization_id": organization, "permission_source": "organization" });
            give(&app, &bob.user_id, "kettle", "read_write", more).await;
        }
        give(&app, &bob.user_id, "kettle", "read_only", json!({})).await;
        remove(&app, &ada, &shop, &bob).await.expect(200);
        app.settle().await;
        let left = holders(&app, "kettle").await;
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(left.iter().all(|one| one["organization_id"] != shop.as_str()));
        assert!(may(&app, &bob.user_id, "oven", "read_only").await);
        assert!(may(&app, &bob.user_id, "kettle", "read_write").await);
        app.delete(&format!("{ORGANIZATIONS}/{mill}"))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        assert!(
            !may(&app, &bob.user_id, "oven", "read_only").await,
            "at once, before the event is heard"
        );
        assert!(!may(&app, &bob.user_id, "kettle", "read_write").await);
        app.settle().await;
        assert_eq!(holders(&app, "kettle").await.len(), 1);
        get(&app, By::Service, &format!("organizations/{mill}/permissions"))
            .await
            .expect(404);
        assert!(may(&app, &bob.user_id, "kettle", "read_only").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_keeps_what_was_given_since() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let bob = app.register("bob@example.com").await;
        let shop = organization(&app, &ada, "Shop").await;
        add(&app, &ada, &shop, &bob, "member").await.expect(200);
        let more = json!({ "organization_id": shop });
        give(&app, &bob.user_id, "oven", "read_only", more.clone()).await;
        remove(&app, &ada, &shop, &bob).await.expect(200);
        app.advance(std::time::Duration::from_secs(1));
        add(&app, &ada, &shop, &bob, "member").await.expect(200);
        give(&app, &bob.user_id, "kettle", "read_only", more).await;
        app.settle().await;
        assert!(!may(&app, &bob.user_id, "oven", "read_only").await);
        assert!(may(&app, &bob.user_id, "kettle", "read_only").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_person_has_nothing_left_however_much_it_was() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        // More than one transaction removes.
        for part in 0..6 {
            let operations: Vec<Value> = (0..100)
                .map(|n| super::tool(&ada.user_id, &format!("tool {part} {n}"), "read_only", "admin_grant"))
                .collect();
            super::post(&app, By::Service, "bulk-grant", json!({ "operations": operations }))
                .await
                .expect(200);
        }
        let path = format!("/api/v1/accounts/profile/{}", ada.user_id);
        app.delete(&path).bearer(&ada.access_token).send().await.expect(200);
        assert!(!may(&app, &ada.user_id, "tool 0 0", "read_only").await);
        app.settle().await;
        let stats = get(&app, By::Service, "stats").await.expect(200);
        assert_eq!(stats.body["statistics"]["total_permissions"], 0);
        let types = ["authorization_service.authorization.permission.revoked"];
        let said = app.ctx.events.read_after(&app.ctx.db, 0, &types, 1_000).await.unwrap();
        assert_eq!(said.len(), 600);
    })
    .await;
}
