//! What becomes of organizations when people are gone.

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
