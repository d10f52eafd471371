//! How many organizations somebody makes, who sees all of them, and how members are found.

use polity_testing::{App, Person};
use reqwest::Method;
use serde_json::json;

use super::{BASE, add, organization};

async fn make(app: &App, owner: &Person, status: u16) {
    let body = json!({ "name": "One more", "billing_email": "billing@example.com" });
    let asked = app.post(BASE).bearer(&owner.access_token).json(&body);
    asked.send().await.expect(status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_kept_from_making_organizations_by_what_others_give_them() {
    App::each_with(json!({ "organization": { "most_owned": 2 } }), async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        for name in ["A", "B"] {
            let id = organization(&app, &ada, name).await;
            add(&app, &ada, &id, &bob, "member").await.expect(200);
            let transfer = app.post(&format!("{BASE}/{id}/transfer")).bearer(&ada.access_token);
            let to = json!({ "user_id": bob.user_id });
            transfer.json(&to).send().await.expect(200);
        }
        // Two are his, and he made none of them.
        let own = organization(&app, &bob, "C").await;
        make(&app, &bob, 200).await;
        make(&app, &bob, 400).await;
        // She made two; that she gave them away does not let her make two more.
        make(&app, &ada, 400).await;
        let gone = app.request(Method::DELETE, &format!("{BASE}/{own}"));
        gone.bearer(&bob.access_token).send().await.expect(200);
        make(&app, &bob, 200).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_all_organizations_is_for_administrators_of_the_platform() {
    App::each(async |app| {
        let root = app.admin().await;
        let ask = || app.get("/api/v1/organization/admin/organizations");
        ask().bearer(&root.access_token).send().await.expect(200);
        ask().service().send().await.expect(403);
        let named = ask().service().on_behalf_of(&root.user_id);
        named.send().await.expect(403);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_found_in_any_case_of_any_alphabet() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@example.com").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "member").await.expect(200);
        let body = json!({ "department": "Übersetzung", "title": "ΣΊΓΜΑ" });
        let change = app.put(&format!("{BASE}/{id}/members/{}", bob.user_id));
        change.bearer(&ada.access_token).json(&body).send().await.expect(200);
        let ask = async |search: &str| {
            let path = format!("{BASE}/{id}/members?search={search}");
            let found = app.get(&path).bearer(&ada.access_token).send().await.expect(200);
            found.body["total"].as_i64().unwrap()
        };
        // über, ÜBER, ίγμα
        for search in ["%C3%BCber", "%C3%9CBER", "%CE%AF%CE%B3%CE%BC%CE%B1"] {
            assert_eq!(ask(search).await, 1, "{search}");
        }
        assert_eq!(ask(&bob.user_id).await, 1);
        // A row from before there was anything to search in.
        let mut tx = app.ctx.db.begin().await.unwrap();
        tx.sql("update membership set search = null where organization_id = $1")
            .bind(&id)
            .execute()
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(ask("bersetzung").await, 1);
        app.advance(std::time::Duration::from_hours(24));
        for _ in 0..400 {
            app.settle().await;
            let mut read = app.ctx.db.read().await.unwrap();
            let (left,) = read
                .sql("select count(*) from membership where search is null")
                .one::<(i64,)>()
                .await
                .unwrap();
            if left == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let bearer = crate::credential::again(&app, &ada.email).await;
        let path = format!("{BASE}/{id}/members?search=%C3%BCber");
        let found = app.get(&path).bearer(&bearer).send().await.expect(200);
        assert_eq!(found.body["total"], 1);
    })
    .await;
}
