//! What is odd in shape: names, times, pages, numbers.

use std::time::Duration;

use polity_testing::App;
use serde_json::{Value, json};

use super::{By, get, give, give_organization, may, post, tool};
use crate::organization::organization;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_go_on_though_one_resource_was_given_in_many_ways() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        for n in 0..3 {
            let shop = organization(&app, &ada, &format!("Shop {n}")).await;
            let level = ["read_only", "admin", "read_write"][n];
            let more = json!({ "organization_id": shop });
            give(&app, &ada.user_id, "a", level, more).await;
            give_organization(&app, &shop, "b", json!({ "access_level": level }))
                .await
                .expect(200);
            give_organization(&app, &shop, "nothing", json!({ "access_level": "none" }))
                .await
                .expect(200);
        }
        give(&app, &ada.user_id, "a", "read_only", json!({})).await;
        // What lets nobody do anything is nothing one may use.
        give(&app, &ada.user_id, "no", "none", json!({})).await;
        for limit in 1..6 {
            let mut seen: Vec<(String, String)> = Vec::new();
            let mut cursor = String::new();
            let mut total = Value::Null;
            loop {
                let path = format!("user-resources/{}?limit={limit}&cursor={cursor}", ada.user_id);
                let page = get(&app, By::Person(&ada), &path).await.expect(200);
                for item in page.body["accessible_resources"].as_array().unwrap() {
                    let text = |member: &str| item[member].as_str().unwrap().to_owned();
                    seen.push((text("resource_name"), text("access_level")));
                }
                if cursor.is_empty() {
                    total = page.body["total_count"].clone();
                }
                cursor = page.text_at("/next_cursor").to_owned();
                if cursor.is_empty() {
                    break;
                }
            }
            let expected = [
                ("a", "admin"),
                ("b", "admin"),
                ("weather_api", "read_only"),
                ("basic_assistant", "read_only"),
            ];
            let expected = expected.map(|(name, level)| (name.to_owned(), level.to_owned()));
            assert_eq!(seen, expected, "limit {limit}");
            assert_eq!(total, 4);
        }
        // A place in no list is none.
        let cursor = polity_kernel::db::Place(vec!["toaster".to_owned(), "a".to_owned()]).encode();
        for list in [&format!("user-resources/{}", ada.user_id), "resources"] {
            let path = format!("{list}?cursor={cursor}");
            get(&app, By::Service, &path).await.expect(400);
        }
        // As a check says.
        assert!(may(&app, &ada.user_id, "a", "admin").await && !may(&app, &ada.user_id, "no", "read_only").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_are_kept_to_the_microsecond_up_to_the_last_year_and_no_further() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        for wrong in [
            "+262142-12-31T23:59:59Z",
            "+010000-01-01T00:00:00Z",
            "-200000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-12:00",
        ] {
            let mut body = tool(&ada.user_id, "oven", "read_only", "admin_grant");
            body["expires_at"] = wrong.into();
            post(&app, By::Service, "grant", body).await.expect(422);
            let wrong = wrong.replace('+', "%2B");
            get(&app, By::Service, &format!("audit?from={wrong}")).await.expect(422);
            get(&app, By::Service, &format!("audit?until={wrong}"))
                .await
                .expect(422);
        }
        for end in ["9999-12-31T23:59:59.999999Z", "2300-05-06T07:08:09.000001Z"] {
            give(&app, &ada.user_id, "oven", "read_only", json!({ "expires_at": end })).await;
            let path = "who-has-access?resource_type=mcp_tool&resource_name=oven";
            let holders = get(&app, By::Service, path).await.expect(200);
            assert_eq!(holders.text_at("/permissions/0/expires_at"), end);
        }
        let path = "audit?from=2027-01-15T08:00:00Z&until=2027-01-15T09:00:00";
        assert_eq!(
            get(&app, By::Service, path).await.expect(200).body["items"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec_013_names_are_as_long_as_what_is_stored_of_them() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        // One letter that becomes three when it is normalised.
        let grows = |n: usize| tool(&ada.user_id, &"\u{1d160}".repeat(n), "read_only", "admin_grant");
        post(&app, By::Service, "grant", grows(255)).await.expect(422);
        post(&app, By::Service, "grant", grows(86)).await.expect(422);
        post(&app, By::Service, "grant", grows(85)).await.expect(200);
        let name = "\u{1d160}".repeat(85);
        assert!(may(&app, &ada.user_id, &name, "read_only").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_checks_in_one_call_count_as_many() {
    let settings = json!({ "authorization": { "checks_per_minute": 5 } });
    App::each_with(settings, async |app| {
        let ada = app.register("ada@example.com").await;
        let batch = async |n: usize| {
            let check = json!({ "resource_type": "mcp_tool", "resource_name": "weather_api" });
            let body = json!({ "user_id": ada.user_id, "checks": vec![check; n] });
            post(&app, By::Person(&ada), "check-access/batch", body).await
        };
        batch(6).await.expect(429);
        batch(4).await.expect(200);
        batch(0).await.expect(200);
        batch(2).await.expect(429);
        batch(1).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_often_something_was_given_the_highest_counts() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let organizations: Vec<String> = (0..1_200).map(|n| format!("org_{n:04}")).collect();
        let mut tx = app.ctx.db.begin().await.unwrap();
        tx.sql(
            "insert into permission (id, user_id, resource_type, resource_name, access_level, permission_source,
                                     organization_id, granted_by_user_id, created_at, updated_at)
             select item, $2, 'mcp_tool', 'oven', 4, 'admin_grant', item, 'x', $3, $3 from list($1) as all_of_them",
        )
        .bind(&polity_kernel::db::List::of(&organizations))
        .bind(&ada.user_id)
        .bind(&app.ctx.clock.now())
        .execute()
        .await
        .unwrap();
        tx.commit().await.unwrap();
        assert!(!may(&app, &ada.user_id, "oven", "read_only").await);
        let source = json!({ "permission_source": "system_default" });
        give(&app, &ada.user_id, "oven", "admin", source).await;
        assert!(may(&app, &ada.user_id, "oven", "admin").await);
    })
    .await;
}

/// Removing what has ended and giving it anew take the same rows: neither stops the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec_016_cleaning_up_and_giving_at_once_fail_neither() {
    App::each(async |app| {
        let mut people = Vec::new();
        for n in 0..6 {
            people.push(app.register(&format!("p{n}@example.com")).await);
        }
        let operations = |round: usize, with_end: bool| -> Value {
            let mut all = Vec::new();
            for n in 0..96 {
                let n = if round.is_multiple_of(2) { n } else { 95 - n };
                let person = &people[n % 6];
                let mut one = tool(&person.user_id, &format!("tool {n}"), "read_only", "admin_grant");
                if with_end {
                    one["expires_at"] = json!(app.ctx.clock.now() + Duration::from_secs(1));
                }
                all.push(one);
            }
            json!({ "operations": all })
        };
        for round in 0..8 {
            let body = operations(round, true);
            post(&app, By::Service, "bulk-grant", body).await.expect(200);
            app.advance(Duration::from_secs(1));
            let (again, turned) = (operations(round, false), operations(round + 1, false));
            let (cleaned, given, other, turned) = tokio::join!(
                post(&app, By::Service, "cleanup-expired", json!({})),
                post(&app, By::Service, "bulk-grant", again),
                post(&app, By::Service, "cleanup-expired", json!({})),
                post(&app, By::Service, "bulk-grant", turned),
            );
            cleaned.expect(200);
            other.expect(200);
            for given in [given, turned] {
                assert_eq!(given.expect(200).body["failed"], 0);
            }
            for n in 0..96 {
                assert!(may(&app, &people[n % 6].user_id, &format!("tool {n}"), "read_only").await);
            }
        }
    })
    .await;
}
