//! What somebody may use: lists that say exactly what checks say.

use std::{collections::BTreeMap, time::Duration};

use polity_ports::authorization::Tier;
use polity_testing::{App, Person};
use serde_json::{Value, json};

use super::{By, get, give_organization, may, post};
use crate::organization::{add, organization, set};

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % sides).unwrap()
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len() as u64)]
    }
}

const LEVELS: [&str; 4] = ["read_only", "read_write", "admin", "owner"];
const NAMES: u64 = 40;

/// Gives and takes at random what can be given: to the person, in and outside organizations, with and without an end, to
/// organizations, and in the catalogue.
async fn shuffle(app: &App, dice: &mut Dice, ada: &Person, organizations: &[String]) {
    let mut operations = Vec::new();
    for _ in 0..60 {
        let name = format!("tool {:02}", dice.roll(NAMES));
        let mut operation = json!({
            "operation_type": dice.pick(&["grant", "grant", "grant", "revoke"]),
            "user_id": ada.user_id, "resource_type": dice.pick(&["mcp_tool", "mcp_tool", "prompt"]), "resource_name": name,
            "access_level": dice.pick(&LEVELS), "permission_source": dice.pick(&["admin_grant", "organization", "system_default"]),
        });
        if dice.roll(2) == 0 {
            operation["organization_id"] = organizations[dice.roll(organizations.len() as u64)].clone().into();
        }
        if dice.roll(3) == 0 {
            let seconds = 1 + dice.roll(20) as u64;
            operation["expires_at"] = json!(app.ctx.clock.now() + Duration::from_secs(seconds));
        }
        operations.push(operation);
    }
    post(app, By::Service, "bulk-grant", json!({ "operations": operations }))
        .await
        .expect(200);
    for _ in 0..8 {
        let name = format!("tool%20{:02}", dice.roll(NAMES));
        let body = json!({
            "access_level": dice.pick(&LEVELS), "is_enabled": dice.roll(4) > 0,
            "org_plan_required": dice.pick(&["startup", "growth", "enterprise"]),
        });
        let organization = &organizations[dice.roll(organizations.len() as u64)];
        give_organization(app, organization, &name, body).await.expect(200);
        let name = format!("tool%20{:02}", dice.roll(NAMES));
        let body = json!({
            "access_level": dice.pick(&LEVELS), "is_enabled": dice.roll(4) > 0, "resource_category": "x",
            "subscription_tier_required": dice.pick(&["free", "pro", "enterprise"]),
        });
        app.put(&format!("{}/resources/mcp_tool/{name}", super::BASE))
            .service()
            .json(&body)
            .send()
            .await
            .expect(200);
    }
}

/// All pages of what somebody may use at a level.
async fn all_visible(app: &App, ada: &Person, level: &str, limit: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!(
            "visible-resources/{}?resource_type=mcp_tool&required_access_level={level}&limit={limit}&cursor={cursor}",
            ada.user_id
        );
        let page = get(app, By::Person(ada), &path).await.expect(200);
        let names = page.body["resource_names"].as_array().unwrap();
        assert!(names.len() <= limit);
        all.extend(names.iter().map(|name| name.as_str().unwrap().to_owned()));
        cursor = page.text_at("/next_cursor").to_owned();
        if cursor.is_empty() {
            return all;
        }
        assert_eq!(names.len(), limit, "a page before the last is full");
    }
}

/// All pages of what somebody may use, with its level.
async fn all_accessible(app: &App, ada: &Person, limit: usize) -> BTreeMap<(String, String), String> {
    let mut all = BTreeMap::new();
    let mut cursor = String::new();
    let mut total = None;
    loop {
        let path = format!("user-resources/{}?limit={limit}&cursor={cursor}", ada.user_id);
        let page = get(app, By::Person(ada), &path).await.expect(200);
        total = total.or(page.body["total_count"].as_u64());
        for item in page.body["accessible_resources"].as_array().unwrap() {
            let text = |member: &str| item[member].as_str().unwrap().to_owned();
            let key = (text("resource_type"), text("resource_name"));
            assert!(
                all.last_key_value().is_none_or(|(last, _)| *last < key),
                "{key:?} is out of order"
            );
            all.insert(key, text("access_level"));
        }
        cursor = page.text_at("/next_cursor").to_owned();
        if cursor.is_empty() {
            assert_eq!(total, Some(all.len() as u64));
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_may_see_is_exactly_what_checks_allow() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let bob = app.register("bob@example.com").await;
        app.doubles.pays(&ada.user_id, Tier::Pro);
        let mut organizations = Vec::new();
        for (n, plan) in ["free", "professional", "enterprise", "enterprise"]
            .into_iter()
            .enumerate()
        {
            let made = organization(&app, &bob, &format!("Shop {n}")).await;
            set(&app, &made, json!({ "plan": plan })).await;
            // The last one is not hers, the third one rests.
            if n < 3 {
                add(&app, &bob, &made, &ada, "member").await.expect(200);
            }
            organizations.push(made);
        }
        set(&app, &organizations[2], json!({ "status": "suspended" })).await;
        let mut dice = Dice(20_260_101);
        for round in 0..5 {
            shuffle(&app, &mut dice, &ada, &organizations).await;
            app.advance(Duration::from_secs(dice.roll(10) as u64));
            let mut highest: BTreeMap<String, &str> = BTreeMap::new();
            for level in LEVELS {
                let checks: Vec<Value> = (0..NAMES)
                    .map(|n| {
                        let name = format!("tool {n:02}");
                        json!({ "resource_type": "mcp_tool", "resource_name": name, "required_access_level": level })
                    })
                    .collect();
                let body = json!({ "user_id": ada.user_id, "checks": checks });
                let answer = post(&app, By::Service, "check-access/batch", body).await.expect(200);
                let mut expected = Vec::new();
                for result in answer.body["results"].as_array().unwrap() {
                    if result["has_access"] == true {
                        let name = result["resource_name"].as_str().unwrap().to_owned();
                        highest.insert(name.clone(), level);
                        expected.push(name);
                    }
                }
                // One by one too, as far as time allows.
                for n in 0..3 {
                    let name = format!("tool {:02}", (round * 7 + n) % 40);
                    assert_eq!(may(&app, &ada.user_id, &name, level).await, expected.contains(&name));
                }
                let mut seen = all_visible(&app, &ada, level, 1 + dice.roll(30)).await;
                // The catalogue has tools of its own.
                seen.retain(|name| name.starts_with("tool "));
                assert_eq!(seen, expected, "round {round}, {level}");
            }
            let mut listed = all_accessible(&app, &ada, 1 + dice.roll(30)).await;
            listed.retain(|(of, name), _| of == "mcp_tool" && name.starts_with("tool "));
            let listed: BTreeMap<String, &str> = listed
                .iter()
                .map(|((_, name), level)| (name.clone(), level.as_str()))
                .collect();
            assert_eq!(listed, highest, "round {round}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_begin_with_what_everybody_has_and_are_for_those_concerned() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let eve = app.register("eve@example.com").await;
        // EC-006.
        let path = format!("user-resources/{}", ada.user_id);
        let answer = get(&app, By::Person(&ada), &path).await.expect(200);
        let expected = json!([
            {
                "resource_type": "mcp_tool", "resource_name": "weather_api", "access_level": "read_only",
                "permission_source": "subscription", "expires_at": null, "organization_id": null,
                "subscription_required": "free", "resource_category": "utilities",
            },
            {
                "resource_type": "prompt", "resource_name": "basic_assistant", "access_level": "read_only",
                "permission_source": "subscription", "expires_at": null, "organization_id": null,
                "subscription_required": "free", "resource_category": "assistance",
            },
        ]);
        assert_eq!(answer.body["accessible_resources"], expected);
        assert_eq!(answer.body["total_count"], 2);
        let of_type = get(&app, By::Person(&ada), &format!("{path}?resource_type=prompt"))
            .await
            .expect(200);
        assert_eq!(
            (&of_type.body["total_count"], &of_type.body["resource_type_filter"]),
            (&json!(1), &json!("prompt"))
        );
        get(&app, By::Person(&ada), &format!("{path}?resource_type=toaster"))
            .await
            .expect(422);
        let visible = format!("visible-resources/{}?resource_type=prompt", ada.user_id);
        let summary = format!("user-permissions/{}", ada.user_id);
        for path in [path.as_str(), &visible, &summary] {
            get(&app, By::Person(&eve), path).await.expect(403);
            get(&app, By::Service, path).await.expect(200);
            get(&app, By::Person(&ada), &path.replace(&ada.user_id, "usr_nobody"))
                .await
                .expect(403);
        }
        for path in ["user-resources/usr_nobody", "user-permissions/usr_nobody"] {
            assert_eq!(get(&app, By::Service, path).await.expect(404).code(), "USER_NOT_FOUND");
        }
        let nobody = get(&app, By::Service, "visible-resources/usr_nobody?resource_type=prompt")
            .await
            .expect(200);
        assert_eq!(nobody.body["resource_names"], json!([]));
        get(&app, By::Person(&ada), &format!("{visible}&required_access_level=none"))
            .await
            .expect(422);
        get(&app, By::Person(&ada), &format!("{visible}&cursor=nonsense"))
            .await
            .expect(400);
        get(&app, By::Person(&ada), &format!("{visible}&limit=0"))
            .await
            .expect(422);
        get(&app, By::Person(&ada), &format!("{visible}&limit=1001"))
            .await
            .expect(422);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_of_a_person_and_holders_of_a_resource() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let shop = organization(&app, &ada, "Shop").await;
        give_organization(&app, &shop, "oven", json!({ "access_level": "read_write" }))
            .await
            .expect(200);
        let soon = polity_testing::start_of_time() + Duration::from_hours(24 * 7);
        super::give(&app, &ada.user_id, "oven", "admin", json!({ "expires_at": soon })).await;
        super::give(&app, &ada.user_id, "kettle", "read_only", json!({})).await;
        let summary = get(&app, By::Person(&ada), &format!("user-permissions/{}", ada.user_id))
            .await
            .expect(200);
        assert_eq!(summary.body["total_permissions"], 3);
        assert_eq!(summary.body["permissions_by_type"], json!({ "mcp_tool": 3 }));
        assert_eq!(
            summary.body["permissions_by_source"],
            json!({ "admin_grant": 2, "organization": 1 })
        );
        assert_eq!(
            summary.body["permissions_by_level"],
            json!({ "admin": 1, "read_only": 1, "read_write": 1 })
        );
        assert_eq!(
            (&summary.body["expires_soon_count"], &summary.body["subscription_tier"]),
            (&json!(1), &json!("free"))
        );
        let mut holders = vec![ada.user_id.clone()];
        for n in 0..6 {
            let other = app.register(&format!("p{n}@example.com")).await;
            super::give(&app, &other.user_id, "oven", "read_only", json!({})).await;
            holders.push(other.user_id);
        }
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("who-has-access?resource_type=mcp_tool&resource_name=oven&limit=3&cursor={cursor}");
            let page = get(&app, By::Service, &path).await.expect(200);
            let first = cursor.is_empty();
            assert_eq!(page.body["organizations"].as_array().unwrap().len(), usize::from(first));
            for one in page.body["permissions"].as_array().unwrap() {
                seen.push(one["user_id"].as_str().unwrap().to_owned());
            }
            cursor = page.text_at("/next_cursor").to_owned();
            if cursor.is_empty() {
                break;
            }
        }
        holders.sort();
        assert_eq!(seen, holders);
        let weather = get(
            &app,
            By::Service,
            "who-has-access?resource_type=mcp_tool&resource_name=weather_api",
        )
        .await;
        assert_eq!(
            weather.expect(200).body["catalogue"]["subscription_tier_required"],
            "free"
        );
        // What an organization has: its administrators see it, strangers do not even see it.
        let eve = app.register("eve@example.com").await;
        let path = format!("organizations/{shop}/permissions");
        let own = get(&app, By::Person(&ada), &path).await.expect(200);
        assert_eq!(own.text_at("/items/0/resource_name"), "oven");
        get(&app, By::Person(&eve), &path).await.expect(404);
        get(&app, By::Service, "organizations/org_nothing/permissions")
            .await
            .expect(404);
        add(&app, &ada, &shop, &eve, "member").await.expect(200);
        get(&app, By::Person(&eve), &path).await.expect(403);
    })
    .await;
}
