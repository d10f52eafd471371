//! What becomes of organizations when people are gone.

use std::time::Duration;

use polity_testing::App;
use serde_json::json;

use super::{BASE, add, organization};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_person_leaves_and_the_eldest_admin_inherits() {
    App::each(async |app| {
        let mut people = Vec::new();
        for name in ["ada", "bob", "carol"] {
            people.push(app.register(&format!("{name}@example.com")).await);
        }
        let [ada, bob, carol] = people.as_slice() else {
            unreachable!()
        };
        let inherited = organization(&app, ada, "Inherited").await;
        app.advance(std::time::Duration::from_secs(1));
        add(&app, ada, &inherited, bob, "admin").await.expect(200);
        app.advance(std::time::Duration::from_secs(1));
        add(&app, ada, &inherited, carol, "admin").await.expect(200);
        let orphaned = organization(&app, ada, "Orphaned").await;
        add(&app, ada, &orphaned, carol, "member").await.expect(200);
        let path = format!("/api/v1/accounts/profile/{}", ada.user_id);
        app.delete(&path).bearer(&ada.access_token).send().await.expect(200);
        app.settle().await;
        let owners = app
            .get(&format!("{BASE}/{inherited}/members?role=owner"))
            .service()
            .send()
            .await
            .expect(200);
        assert_eq!(
            (&owners.body["total"], owners.text_at("/members/0/user_id")),
            (&json!(1), bob.user_id.as_str())
        );
        let flagged = app
            .get(&format!("{BASE}/{orphaned}"))
            .service()
            .send()
            .await
            .expect(200);
        assert_eq!(
            (flagged.text_at("/status"), flagged.text_at("/flag")),
            ("suspended", "no owner is left")
        );
        assert_eq!(flagged.body["member_count"], 1);
        app.get(&format!("{BASE}/{orphaned}"))
            .bearer(&carol.access_token)
            .send()
            .await
            .expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_inherits_is_said_and_nothing_is_reinstated_without_an_owner() {
    App::each(async |app| {
        let mut people = Vec::new();
        for name in ["ada", "bob", "carol"] {
            people.push(app.register(&format!("{name}@example.com")).await);
        }
        let [ada, bob, carol] = people.as_slice() else {
            unreachable!()
        };
        let inherited = organization(&app, ada, "Inherited").await;
        add(&app, ada, &inherited, bob, "admin").await.expect(200);
        let orphaned = organization(&app, ada, "Orphaned").await;
        add(&app, ada, &orphaned, carol, "member").await.expect(200);
        let path = format!("/api/v1/accounts/profile/{}", ada.user_id);
        app.delete(&path).bearer(&ada.access_token).send().await.expect(200);
        app.settle().await;
        let types = ["organization_service.role.assigned"];
        let events = app.ctx.events.read_after(&app.ctx.db, 0, &types, 100).await.unwrap();
        let promoted = events.iter().any(|event| {
            event.data["target_user_id"] == json!(bob.user_id)
                && event.data["old_role"] == "admin"
                && event.data["new_role"] == "owner"
        });
        assert!(promoted, "{events:?}");
        let reinstate = async || {
            let body = json!({ "status": "active" });
            app.put(&format!("{BASE}/{orphaned}"))
                .service()
                .json(&body)
                .send()
                .await
        };
        let refused = reinstate().await.expect(400);
        assert!(refused.text.contains("owner"), "{}", refused.text);
        app.put(&format!("{BASE}/{orphaned}/members/{}", carol.user_id))
            .service()
            .json(&json!({ "role": "owner" }))
            .send()
            .await
            .expect(200);
        let active = reinstate().await.expect(200);
        assert_eq!(
            (active.text_at("/status"), &active.body["flag"]),
            ("active", &json!(null))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_became_the_owner_while_their_account_went_leaves_no_organization_without_one() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "admin").await.expect(200);
        // A transfer of another process, which ends a while later.
        let transfer = async {
            let mut tx = app.ctx.db.begin().await.unwrap();
            tx.lock("organization", &id).await.unwrap();
            tokio::time::sleep(Duration::from_millis(700)).await;
            for (who, role) in [(&bob, "owner"), (&ada, "member")] {
                tx.sql("update membership set role = $3 where organization_id = $1 and user_id = $2")
                    .bind(&id)
                    .bind(&who.user_id)
                    .bind(role)
                    .execute()
                    .await
                    .unwrap();
            }
            tx.commit().await.unwrap();
        };
        let gone = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let path = format!("/api/v1/accounts/profile/{}", bob.user_id);
            app.delete(&path).bearer(&bob.access_token).send().await
        };
        let ((), gone) = tokio::join!(transfer, gone);
        gone.expect(200);
        app.settle().await;
        let flagged = app.get(&format!("{BASE}/{id}")).service().send().await.expect(200);
        assert_eq!(flagged.text_at("/status"), "suspended", "{}", flagged.text);
    })
    .await;
}
