//! Consent over HTTP, on both databases.

use polity_testing::{App, Person};
use serde_json::{Value, json};

const BASE: &str = "/api/v1/integration/consents";

/// Somebody's new one: its id.
async fn create(app: &App, owner: &Person, name: &str) -> String {
    let body = json!({ "name": name });
    let made = app
        .post(BASE)
        .bearer(&owner.access_token)
        .json(&body)
        .send()
        .await
        .expect(200);
    made.text_at("/id").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_created_is_its_owners_and_is_there_for_nobody_else() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let eve = app.register("eve@example.com").await;
        let path = format!("{BASE}/{}", create(&app, &ada, "First").await);
        let found = app.get(&path).bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(found.text_at("/name"), "First");
        let foreign = app.get(&path).bearer(&eve.access_token).send().await.expect(404);
        let missing = app
            .get(&format!("{BASE}/nothing"))
            .bearer(&eve.access_token)
            .send()
            .await
            .expect(404);
        assert_eq!(foreign.body["detail"], missing.body["detail"]);
        let body = json!({ "name": "" });
        app.post(BASE)
            .bearer(&ada.access_token)
            .json(&body)
            .send()
            .await
            .expect(422);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_have_every_one_once_and_creating_again_with_a_key_creates_nothing() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let mut made = Vec::new();
        for n in 0..7 {
            made.push(create(&app, &ada, &format!("No {n}")).await);
        }
        for _ in 0..2 {
            let ask = app
                .post(BASE)
                .bearer(&ada.access_token)
                .header("Idempotency-Key", "once");
            let answer = ask.json(&json!({ "name": "Once" })).send().await.expect(200);
            made.push(answer.text_at("/id").to_owned());
        }
        made.sort();
        made.dedup();
        assert_eq!(made.len(), 8);
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("{BASE}?limit=3&cursor={cursor}");
            let page = app.get(&path).bearer(&ada.access_token).send().await.expect(200);
            let items = page.body["items"].as_array().unwrap();
            seen.extend(items.iter().map(|one| one["id"].as_str().unwrap().to_owned()));
            match &page.body["next_cursor"] {
                Value::String(next) => cursor.clone_from(next),
                _ => break,
            }
        }
        seen.sort();
        assert_eq!(seen, made);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_has_more_than_they_may_and_what_is_a_deleted_persons_goes_with_them() {
    let settings = json!({ "consent": { "most_per_owner": 2 } });
    App::each_with(settings, async |app| {
        let ada = app.register("ada@example.com").await;
        for name in ["First", "Second"] {
            create(&app, &ada, name).await;
        }
        let third = app
            .post(BASE)
            .bearer(&ada.access_token)
            .json(&json!({ "name": "Third" }));
        third.send().await.expect(400);
        let path = format!("/api/v1/accounts/profile/{}", ada.user_id);
        app.delete(&path).bearer(&ada.access_token).send().await.expect(200);
        app.settle().await;
        let mut read = app.ctx.db.read().await.unwrap();
        let (left,) = read.sql("select count(*) from consent").one::<(i64,)>().await.unwrap();
        assert_eq!(left, 0);
    })
    .await;
}
