//! Permissions in several processes on one database, without NATS.

use std::time::{Duration, Instant};

use polity_testing::App;
use serde_json::json;

use super::{By, give, may, post};
use crate::organization::{add, organization, remove};

async fn until_refused(apps: &[App], user_id: &str) -> Duration {
    let begun = Instant::now();
    loop {
        let mut refused = 0;
        for app in apps {
            refused += u8::from(!may(app, user_id, "oven", "read_only").await);
        }
        if refused == 3 {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "a process still allows it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_counts_nowhere_within_a_second() {
    let only_api = json!({ "roles": ["api"] });
    let Some(apps) = App::replicas([json!({}), only_api.clone(), only_api]).await else {
        return;
    };
    let ada = apps[0].register("ada@example.com").await;
    let bob = apps[0].register("bob@example.com").await;
    let shop = organization(&apps[0], &ada, "Shop").await;
    let mut worst = Duration::ZERO;
    for round in 0..6 {
        let more = if round % 2 == 0 {
            json!({})
        } else {
            json!({ "organization_id": shop })
        };
        add(&apps[0], &ada, &shop, &bob, "member").await.expect(200);
        give(&apps[round % 3], &bob.user_id, "oven", "read_only", more).await;
        let begun = Instant::now();
        for app in &apps {
            while !may(app, &bob.user_id, "oven", "read_only").await {
                assert!(begun.elapsed() < Duration::from_secs(5), "a process still refuses it");
            }
        }
        let other = &apps[(round + 1) % 3];
        if round % 2 == 0 {
            let body = json!({ "user_id": bob.user_id, "resource_type": "mcp_tool", "resource_name": "oven" });
            post(other, By::Service, "revoke", body).await.expect(200);
        } else {
            remove(other, &ada, &shop, &bob).await.expect(200);
        }
        worst = worst.max(until_refused(&apps, &bob.user_id).await);
        apps[0].settle().await;
    }
    assert!(worst < Duration::from_secs(1), "{worst:?}");
    println!("taken everywhere after {worst:?} at most");
}
