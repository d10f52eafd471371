use polity_testing::App;
use serde_json::{Value, json};

use super::ensure;

fn ids(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|one| one["user_id"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_qry_001_to_005_lists_are_paged_filtered_and_stable() {
    App::each(async |app| {
        for n in 0..7 {
            ensure(
                &app,
                &format!("usr_{n}"),
                &format!("p{n}@example.com"),
                &format!("Person {n}"),
            )
            .await
            .expect(200);
            if n < 4 {
                app.advance(std::time::Duration::from_secs(1));
            }
        }
        app.delete("/api/v1/accounts/profile/usr_5")
            .service()
            .send()
            .await
            .expect(200);
        let list = async |query: &str| {
            app.get(&format!("/api/v1/accounts{query}"))
                .service()
                .send()
                .await
                .expect(200)
                .body
        };
        let all = list("").await;
        assert_eq!(
            (&all["total_count"], &all["page_size"], &all["has_next"]),
            (&json!(7), &json!(50), &json!(false))
        );
        // Newest first, then by id.
        assert_eq!(
            ids(&all["accounts"]),
            ["usr_4", "usr_5", "usr_6", "usr_3", "usr_2", "usr_1", "usr_0"]
        );
        let page = list("?page=2&page_size=3").await;
        assert_eq!(
            (ids(&page["accounts"]), &page["has_next"]),
            (vec!["usr_3", "usr_2", "usr_1"], &json!(true))
        );
        let beyond = list("?page=9&page_size=3").await;
        assert_eq!(
            (beyond["accounts"].as_array().unwrap().len(), &beyond["has_next"]),
            (0, &json!(false))
        );
        assert_eq!(list("?is_active=false").await["total_count"], 1);
        let found = list("?is_active=true&search=PERSON").await;
        assert_eq!(found["total_count"], 6, "the count minds the filter");
        // A cursor walks the same list without gaps or repetitions.
        let (mut walked, mut query) = (Vec::new(), "?page_size=2&cursor=".to_owned());
        loop {
            let part = list(&query).await;
            assert!(part.get("total_count").is_none(), "nobody counts for a cursor");
            walked.extend(ids(&part["accounts"]).into_iter().map(str::to_owned));
            let Some(next) = part["next_cursor"].as_str() else {
                break;
            };
            query = format!("?page_size=2&cursor={next}");
        }
        assert_eq!(walked, ids(&all["accounts"]));
        for wrong in [
            "?page=0",
            "?page_size=0",
            "?page_size=101",
            "?page=x",
            "?is_active=maybe",
        ] {
            app.get(&format!("/api/v1/accounts{wrong}"))
                .service()
                .send()
                .await
                .expect(422);
        }
        let wrong = app.get("/api/v1/accounts?page_size=101").service().send().await;
        assert_eq!(
            wrong.text_at("/errors/0/msg"),
            "Input should be less than or equal to 100"
        );
        app.get("/api/v1/accounts?cursor=nonsense")
            .service()
            .send()
            .await
            .expect(400);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_qry_002_search_takes_every_character_for_itself() {
    App::each(async |app| {
        for (id, email, name) in [
            ("usr_1", "ada@example.com", "Ada Lovelace"),
            ("usr_2", "100%@example.com", "Per Cent"),
            ("usr_3", "x_y@example.com", "Under_Score \\ Back"),
            ("usr_4", "zoe@example.org", "ZOË"),
        ] {
            ensure(&app, id, email, name).await.expect(200);
        }
        let search = async |query: &[(&str, &str)]| {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(query)
                .finish();
            app.get(&format!("/api/v1/accounts/search?{query}"))
                .service()
                .send()
                .await
        };
        for (text, wanted) in [
            ("love", vec!["usr_1"]),
            ("LOVE", vec!["usr_1"]),
            ("%", vec!["usr_2"]),
            ("_", vec!["usr_3"]),
            ("\\", vec!["usr_3"]),
            ("r_s", vec!["usr_3"]),
            ("0%@", vec!["usr_2"]),
            ("zoë", vec!["usr_4"]),
            ("ad", vec!["usr_1"]),
            ("example.org", vec!["usr_4"]),
            ("nobody", vec![]),
            ("' or 1=1 --", vec![]),
        ] {
            let answer = search(&[("query", text)]).await.expect(200);
            assert_eq!(ids(&answer.body), wanted, "{text}");
        }
        assert_eq!(
            search(&[("query", "example"), ("limit", "2")])
                .await
                .expect(200)
                .body
                .as_array()
                .unwrap()
                .len(),
            2
        );
        app.delete("/api/v1/accounts/profile/usr_1")
            .service()
            .send()
            .await
            .expect(200);
        assert_eq!(ids(&search(&[("query", "love")]).await.body), Vec::<&str>::new());
        assert_eq!(
            ids(&search(&[("query", "love"), ("include_inactive", "true")]).await.body),
            ["usr_1"]
        );
        let long = "x".repeat(101);
        for wrong in [
            vec![("query", "")],
            vec![],
            vec![("query", long.as_str())],
            vec![("query", "x"), ("limit", "0")],
        ] {
            search(&wrong).await.expect(422);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_qry_006_an_address_is_found_as_it_is_written() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        ensure(&app, "usr_p", "a+b@example.com", "Plus").await.expect(200);
        let find = async |path: &str| {
            app.get(&format!("/api/v1/accounts/by-email/{path}"))
                .service()
                .send()
                .await
        };
        assert_eq!(
            find("ADA%40example.com").await.expect(200).text_at("/user_id"),
            ada.user_id
        );
        assert_eq!(find("a+b@example.com").await.expect(200).text_at("/user_id"), "usr_p");
        assert_eq!(
            find("a%2Bb%40example.com").await.expect(200).text_at("/user_id"),
            "usr_p"
        );
        find("a@example.com").await.expect(404);
        find("%C3%BC%40example.com").await.expect(404);
        let own = app
            .get("/api/v1/accounts/by-email/ada@example.com")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(own.text_at("/user_id"), ada.user_id);
        app.get("/api/v1/accounts/by-email/a+b@example.com")
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(403);
        app.delete("/api/v1/accounts/profile/usr_p")
            .service()
            .send()
            .await
            .expect(200);
        find("a+b@example.com").await.expect(404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_count_what_there_is() {
    App::each(async |app| {
        ensure(&app, "usr_1", "a@example.com", "A").await.expect(200);
        app.advance(std::time::Duration::from_hours(10 * 24));
        ensure(&app, "usr_2", "b@example.com", "B").await.expect(200);
        app.delete("/api/v1/accounts/profile/usr_1")
            .service()
            .send()
            .await
            .expect(200);
        let stats = app
            .get("/api/v1/accounts/stats")
            .service()
            .send()
            .await
            .expect(200)
            .body;
        let wanted = json!({
            "total_accounts": 2, "active_accounts": 1, "inactive_accounts": 1,
            "recent_registrations_7d": 1, "recent_registrations_30d": 2,
        });
        assert_eq!(stats, wanted);
    })
    .await;
}
