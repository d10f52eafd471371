use std::time::Duration;

use futures::future::join_all;
use polity_testing::{App, Person};
use serde_json::json;

use super::{BASE, add, change, organization, remove, set};

async fn people(app: &App, count: usize) -> Vec<Person> {
    let mut people = Vec::new();
    for n in 0..count {
        people.push(app.register(&format!("p{n}@example.com")).await);
    }
    people
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_mem_004_adding_twice_is_once_and_who_left_may_come_back() {
    App::each(async |app| {
        let people = people(&app, 3).await;
        let [ada, bob, eve] = people.as_slice() else {
            unreachable!()
        };
        let id = organization(&app, ada, "A").await;
        let (one, other) = tokio::join!(add(&app, ada, &id, bob, "viewer"), add(&app, ada, &id, bob, "viewer"));
        assert_eq!(one.expect(200).body, other.expect(200).body);
        assert_eq!(
            add(&app, ada, &id, bob, "admin").await.expect(200).text_at("/role"),
            "viewer"
        );
        for (role, status, part) in [
            ("owner", 400, "Cannot directly add owner role"),
            (
                "editor",
                400,
                "Invalid org role 'editor'. Valid roles: owner, admin, member, viewer, guest",
            ),
            ("Admin", 400, "invalid_org_role"),
            ("super_admin", 400, "invalid_org_role"),
        ] {
            let refused = add(&app, ada, &id, eve, role).await.expect(status);
            assert!(refused.text.contains(part), "{}", refused.text);
        }
        let refused = add(&app, bob, &id, eve, "member").await.expect(403);
        assert!(refused.text.contains("Admin access required"), "{}", refused.text);
        assert_eq!(
            remove(&app, bob, &id, bob).await.expect(200).text_at("/message"),
            "Member removed successfully"
        );
        app.get(&format!("{BASE}/{id}"))
            .bearer(&bob.access_token)
            .send()
            .await
            .expect(404);
        assert_eq!(
            add(&app, ada, &id, bob, "admin").await.expect(200).text_at("/role"),
            "admin"
        );
        let body = json!({ "user_id": "usr_nobody" });
        let nobody = app
            .post(&format!("{BASE}/{id}/members"))
            .bearer(&ada.access_token)
            .json(&body)
            .send()
            .await;
        nobody.expect(400);
        let list = app
            .get(&format!("{BASE}/{id}/members"))
            .bearer(&bob.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(
            (&list.body["total"], list.text_at("/members/0/role")),
            (&json!(2), "owner")
        );
        let admins = app
            .get(&format!("{BASE}/{id}/members?role=admin"))
            .bearer(&ada.access_token)
            .send()
            .await;
        assert_eq!(admins.expect(200).body["total"], 1);
        app.get(&format!("{BASE}/{id}/members?role=boss"))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(422);
        let page = app
            .get(&format!("{BASE}/{id}/members?limit=1&cursor="))
            .bearer(&ada.access_token)
            .send()
            .await;
        let next = page.expect(200).text_at("/next_cursor").to_owned();
        let path = format!("{BASE}/{id}/members?limit=1&cursor={next}");
        let rest = app.get(&path).bearer(&ada.access_token).send().await.expect(200);
        assert_eq!(
            (rest.text_at("/members/0/user_id"), &rest.body["next_cursor"]),
            (bob.user_id.as_str(), &json!(null))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_mem_003_an_organization_has_room_for_so_many_also_at_once() {
    App::each(async |app| {
        let people = people(&app, 9).await;
        let id = organization(&app, &people[0], "A").await;
        let answers = join_all(people[1..].iter().map(|who| add(&app, &people[0], &id, who, "member"))).await;
        let added = answers.iter().filter(|answer| answer.status == 200).count();
        let full: Vec<_> = answers.iter().filter(|answer| answer.status == 400).collect();
        assert_eq!((added, full.len()), (4, 4));
        assert_eq!(full[0].code(), "LIMIT_REACHED");
        set(&app, &id, json!({ "plan": "starter" })).await;
        for who in &people[1..] {
            add(&app, &people[0], &id, who, "member").await.expect(200);
        }
        let got = app
            .get(&format!("{BASE}/{id}"))
            .bearer(&people[8].access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(
            (&got.body["member_count"], got.text_at("/user_role")),
            (&json!(9), "member")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_mup_who_may_make_whom_what() {
    App::each(async |app| {
        let people = people(&app, 5).await;
        let [owner, admin, other, member, viewer] = people.as_slice() else {
            unreachable!()
        };
        let id = organization(&app, owner, "A").await;
        for (who, role) in [
            (admin, "admin"),
            (other, "admin"),
            (member, "member"),
            (viewer, "viewer"),
        ] {
            add(&app, owner, &id, who, role).await.expect(200);
        }
        for (by, who, role, rule) in [
            (admin, other, "member", "admin_cannot_assign_admin_or_owner"),
            (admin, member, "admin", "admin_cannot_assign_admin_or_owner"),
            (admin, owner, "member", "admin_cannot_assign_admin_or_owner"),
        ] {
            let refused = change(&app, by, &id, who, json!({ "role": role })).await.expect(403);
            assert!(refused.text.contains(rule), "{}", refused.text);
        }
        change(&app, member, &id, viewer, json!({ "role": "guest" }))
            .await
            .expect(403);
        let changed = change(&app, admin, &id, viewer, json!({ "role": "member", "title": "Clerk" }))
            .await
            .expect(200);
        assert_eq!(
            (changed.text_at("/role"), changed.text_at("/title")),
            ("member", "Clerk")
        );
        change(&app, owner, &id, viewer, json!({ "role": "boss" }))
            .await
            .expect(400);
        change(&app, owner, &id, viewer, json!({ "status": "pending" }))
            .await
            .expect(400);
        assert!(
            remove(&app, admin, &id, other)
                .await
                .expect(403)
                .text
                .contains("Admins cannot remove owners or other admins")
        );
        assert!(
            remove(&app, member, &id, viewer)
                .await
                .expect(403)
                .text
                .contains("Members can only remove themselves")
        );
        // A suspended member is told so; it counts again when it is lifted.
        change(&app, owner, &id, member, json!({ "status": "suspended" }))
            .await
            .expect(200);
        let closed = app
            .get(&format!("{BASE}/{id}"))
            .bearer(&member.access_token)
            .send()
            .await
            .expect(403);
        assert_eq!(closed.text_at("/detail"), "User membership is not active");
        let context = json!({ "organization_id": id });
        app.post(&format!("{BASE}/context"))
            .bearer(&member.access_token)
            .json(&context)
            .send()
            .await
            .expect(403);
        change(&app, owner, &id, member, json!({ "status": "active" }))
            .await
            .expect(200);
        change(&app, owner, &id, member, json!({ "role": "owner" }))
            .await
            .expect(200);
        remove(&app, owner, &id, other).await.expect(200);
        remove(&app, owner, &id, other).await.expect(404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ec_002_two_owners_who_remove_each_other_leave_one() {
    App::each(async |app| {
        let people = people(&app, 2).await;
        let [ada, bob] = people.as_slice() else { unreachable!() };
        let id = organization(&app, ada, "A").await;
        for round in 0..15 {
            add(&app, ada, &id, bob, "member").await;
            change(&app, ada, &id, bob, json!({ "role": "owner" }))
                .await
                .expect(200);
            let (one, other) = match round % 3 {
                0 => tokio::join!(remove(&app, ada, &id, bob), remove(&app, bob, &id, ada)),
                1 => tokio::join!(remove(&app, ada, &id, ada), remove(&app, bob, &id, bob)),
                _ => tokio::join!(
                    change(&app, ada, &id, bob, json!({ "role": "member" })),
                    change(&app, bob, &id, ada, json!({ "status": "inactive" }))
                ),
            };
            let done = u8::from(one.status == 200) + u8::from(other.status == 200);
            assert_eq!(done, 1, "round {round}: {} {}", one.text, other.text);
            let list = app
                .get(&format!("{BASE}/{id}/members?role=owner"))
                .service()
                .send()
                .await
                .expect(200);
            assert_eq!(list.body["total"], 1, "round {round}");
            // Whoever is left makes it as it was.
            if list.text_at("/members/0/user_id") == bob.user_id {
                add(&app, bob, &id, ada, "member").await.expect(200);
                change(&app, bob, &id, ada, json!({ "role": "owner" }))
                    .await
                    .expect(200);
                remove(&app, ada, &id, bob).await.expect(200);
            } else {
                remove(&app, ada, &id, bob).await;
            }
        }
        let last = remove(&app, ada, &id, ada).await.expect(400);
        assert_eq!(
            last.text_at("/detail"),
            "Cannot remove the last owner from organization"
        );
        change(&app, ada, &id, ada, json!({ "role": "member" }))
            .await
            .expect(400);
        change(&app, ada, &id, ada, json!({ "status": "suspended" }))
            .await
            .expect(400);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ownership_is_transferred_in_one_step() {
    App::each(async |app| {
        let people = people(&app, 3).await;
        let [ada, bob, eve] = people.as_slice() else {
            unreachable!()
        };
        let id = organization(&app, ada, "A").await;
        add(&app, ada, &id, bob, "viewer").await.expect(200);
        let transfer = async |by: &Person, to: &Person| {
            let body = json!({ "user_id": to.user_id });
            app.post(&format!("{BASE}/{id}/transfer"))
                .bearer(&by.access_token)
                .json(&body)
                .send()
                .await
        };
        transfer(ada, eve).await.expect(404);
        transfer(bob, bob).await.expect(403);
        assert_eq!(transfer(ada, bob).await.expect(200).text_at("/role"), "owner");
        let got = app
            .get(&format!("{BASE}/{id}"))
            .bearer(&ada.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(got.text_at("/user_role"), "admin");
        transfer(ada, ada).await.expect(403);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_ctx_a_choice_is_kept_goes_into_tokens_and_ends_with_the_membership() {
    App::each(async |app| {
        let people = people(&app, 2).await;
        let [ada, bob] = people.as_slice() else { unreachable!() };
        let id = organization(&app, ada, "A").await;
        add(&app, ada, &id, bob, "member").await.expect(200);
        let choose = async |body: serde_json::Value| {
            app.post(&format!("{BASE}/context"))
                .bearer(&bob.access_token)
                .json(&body)
                .send()
                .await
        };
        choose(json!({})).await.expect(422);
        choose(json!({ "organization_id": "org_none" })).await.expect(404);
        let chosen = choose(json!({ "organization_id": id })).await.expect(200);
        assert_eq!(
            (chosen.text_at("/context_type"), chosen.text_at("/user_role")),
            ("organization", "member")
        );
        let login = async |more: serde_json::Value| {
            let mut body = json!({ "email": bob.email, "password": "correct horse battery" });
            for (name, value) in more.as_object().unwrap() {
                body[name] = value.clone();
            }
            app.post("/api/v1/auth/login").json(&body).send().await
        };
        let claim = async |token: &str| {
            let body = json!({ "token": token });
            let answer = app
                .post("/api/v1/auth/verify-token")
                .json(&body)
                .send()
                .await
                .expect(200);
            answer.text_at("/organization_id").to_owned()
        };
        let signed = login(json!({})).await.expect(200);
        assert_eq!(claim(signed.text_at("/access_token")).await, id);
        let body = json!({ "token": signed.text_at("/access_token") });
        let info = app.post("/api/v1/auth/user-info").json(&body).send().await.expect(200);
        assert_eq!(
            (info.text_at("/org_role"), &info.body["roles"]),
            ("member", &json!(["member"]))
        );
        login(json!({ "organization_id": "org_none" })).await.expect(403);
        let on_behalf = app
            .get(&format!("{BASE}/context"))
            .service()
            .on_behalf_of(&bob.user_id)
            .send()
            .await;
        assert_eq!(on_behalf.expect(200).text_at("/organization_id"), id);
        remove(&app, ada, &id, bob).await.expect(200);
        let context = app
            .get(&format!("{BASE}/context"))
            .bearer(&bob.access_token)
            .send()
            .await
            .expect(200);
        assert_eq!(context.text_at("/context_type"), "individual");
        login(json!({ "organization_id": id })).await.expect(403);
        // The token's next one does not say that they are a member any more.
        let cookie = signed.header("set-cookie").split(';').next().unwrap().to_owned();
        let again = app
            .post("/api/v1/auth/refresh")
            .header("Cookie", &cookie)
            .send()
            .await
            .expect(200);
        assert_eq!(claim(again.text_at("/access_token")).await, "");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organization_takes_addresses_of_its_domains_if_it_says_so() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@elsewhere.test").await,
        );
        let id = organization(&app, &ada, "A").await;
        let security = json!({ "security": { "allowed_email_domains": ["Example.com"] } });
        app.put(&format!("{BASE}/{id}"))
            .bearer(&ada.access_token)
            .json(&security)
            .send()
            .await
            .expect(200);
        let refused = add(&app, &ada, &id, &bob, "member").await.expect(400);
        assert!(refused.text.contains("domains"), "{}", refused.text);
        let carol = app.register("carol@EXAMPLE.com").await;
        add(&app, &ada, &id, &carol, "member").await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_mem_003_who_comes_back_from_a_suspension_takes_a_place_again() {
    App::each(async |app| {
        let people = people(&app, 6).await;
        let id = organization(&app, &people[0], "A").await;
        for who in &people[1..5] {
            add(&app, &people[0], &id, who, "member").await.expect(200);
        }
        let suspend = async |who, status: &str| change(&app, &people[0], &id, who, json!({ "status": status })).await;
        suspend(&people[1], "suspended").await.expect(200);
        add(&app, &people[0], &id, &people[5], "member").await.expect(200);
        let full = suspend(&people[1], "active").await.expect(400);
        assert_eq!(full.code(), "LIMIT_REACHED");
        remove(&app, &people[0], &id, &people[5]).await.expect(200);
        suspend(&people[1], "active").await.expect(200);
        // Without a change of status no place is asked for.
        suspend(&people[1], "active").await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_founded_an_organization_founded_it_also_when_they_come_back() {
    App::each(async |app| {
        let people = people(&app, 2).await;
        let [ada, bob] = people.as_slice() else { unreachable!() };
        let id = organization(&app, ada, "A").await;
        add(&app, ada, &id, bob, "member").await.expect(200);
        change(&app, ada, &id, bob, json!({ "role": "owner" }))
            .await
            .expect(200);
        remove(&app, ada, &id, ada).await.expect(200);
        let back = add(&app, bob, &id, ada, "member").await.expect(200);
        assert_eq!(back.body["is_founder"], true, "{}", back.text);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_ctx_who_is_removed_meanwhile_chooses_nothing() {
    App::each(async |app| {
        let people = people(&app, 2).await;
        let [ada, bob] = people.as_slice() else { unreachable!() };
        let id = organization(&app, ada, "A").await;
        add(&app, ada, &id, bob, "member").await.expect(200);
        // A removal of another process, which ends a while later.
        let removal = async {
            let mut tx = app.ctx.db.begin().await.unwrap();
            tx.lock("organization", &id).await.unwrap();
            tx.sql("update membership set status = 'inactive' where organization_id = $1 and user_id = $2")
                .bind(&id)
                .bind(&bob.user_id)
                .execute()
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(700)).await;
            tx.commit().await.unwrap();
        };
        let choice = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let body = json!({ "organization_id": id });
            let ask = app.post(&format!("{BASE}/context")).bearer(&bob.access_token);
            ask.json(&body).send().await
        };
        let ((), answer) = tokio::join!(removal, choice);
        answer.expect(404);
        // Nothing was kept that would hold again with the membership.
        add(&app, ada, &id, bob, "member").await.expect(200);
        let path = format!("{BASE}/context");
        let context = app.get(&path).bearer(&bob.access_token).send().await.expect(200);
        assert_eq!(context.text_at("/context_type"), "individual");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_choose_an_organization_does_not_sign_in_to_it() {
    App::each(async |app| {
        let (ada, bob) = (
            app.register("ada@example.com").await,
            app.register("bob@elsewhere.test").await,
        );
        let id = organization(&app, &ada, "A").await;
        add(&app, &ada, &id, &bob, "member").await.expect(200);
        let choose = async || {
            let body = json!({ "organization_id": id });
            let ask = app.post(&format!("{BASE}/context")).bearer(&bob.access_token);
            ask.json(&body).send().await
        };
        let login = async |more: serde_json::Value| {
            let mut body = json!({ "email": bob.email, "password": "correct horse battery" });
            for (name, value) in more.as_object().unwrap() {
                body[name] = value.clone();
            }
            app.post("/api/v1/auth/login").json(&body).send().await
        };
        choose().await.expect(200);
        login(json!({ "organization_id": id })).await.expect(200);
        let domains = |list: serde_json::Value| json!({ "security": { "allowed_email_domains": list } });
        set(&app, &id, domains(json!(["example.com"]))).await;
        choose().await.expect(403);
        login(json!({ "organization_id": id })).await.expect(403);
        let signed = login(json!({})).await.expect(200);
        let body = json!({ "token": signed.text_at("/access_token") });
        let verified = app.post("/api/v1/auth/verify-token").json(&body).send().await;
        assert_eq!(verified.expect(200).body["organization_id"], json!(null));
        set(&app, &id, domains(json!([]))).await;
        login(json!({ "organization_id": id })).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_changes_nothing_is_not_said() {
    App::each(async |app| {
        let people = people(&app, 2).await;
        let [ada, bob] = people.as_slice() else { unreachable!() };
        let id = organization(&app, ada, "A").await;
        add(&app, ada, &id, bob, "member").await.expect(200);
        for body in [
            json!({}),
            json!({ "role": "member", "status": "active", "permissions": [] }),
        ] {
            change(&app, ada, &id, bob, body).await.expect(200);
        }
        app.settle().await;
        let types = ["organization_service.organization.member_updated"];
        let events = app.ctx.events.read_after(&app.ctx.db, 0, &types, 10).await.unwrap();
        assert!(events.is_empty(), "{events:?}");
        change(&app, ada, &id, bob, json!({ "title": "Clerk" }))
            .await
            .expect(200);
        app.settle().await;
        let events = app.ctx.events.read_after(&app.ctx.db, 0, &types, 10).await.unwrap();
        assert_eq!(events.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_account_goes_meanwhile_is_not_added() {
    App::each(async |app| {
        let people = people(&app, 2).await;
        let [ada, bob] = people.as_slice() else { unreachable!() };
        let id = organization(&app, ada, "A").await;
        // A deletion of another process, which ends a while later.
        let deletion = async {
            let mut tx = app.ctx.db.begin().await.unwrap();
            tx.lock("account", &bob.user_id).await.unwrap();
            tx.sql("update account set is_active = false where user_id = $1")
                .bind(&bob.user_id)
                .execute()
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(700)).await;
            tx.commit().await.unwrap();
        };
        let addition = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            add(&app, ada, &id, bob, "member").await
        };
        let ((), answer) = tokio::join!(deletion, addition);
        answer.expect(400);
        // Nor does whoever has none get an organization of their own.
        let body = json!({ "name": "B", "billing_email": "b@example.com" });
        for nobody in [bob.user_id.as_str(), "usr_nobody"] {
            let ask = app.post(BASE).service().on_behalf_of(nobody);
            ask.json(&body).send().await.expect(400);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gives_permissions_of_the_platform() {
    App::each(async |app| {
        let people = people(&app, 2).await;
        let [ada, bob] = people.as_slice() else { unreachable!() };
        let id = organization(&app, ada, "A").await;
        for name in ["auth.admin", " Auth.Admin", "auth.x"] {
            let mine = change(&app, ada, &id, ada, json!({ "permissions": ["tasks.read", name] })).await;
            mine.expect(422);
            let body = json!({ "user_id": bob.user_id, "permissions": [name] });
            let path = format!("{BASE}/{id}/members");
            let added = app.post(&path).bearer(&ada.access_token).json(&body).send().await;
            added.expect(422);
        }
        change(&app, ada, &id, ada, json!({ "permissions": ["tasks.read"] }))
            .await
            .expect(200);
        let body = json!({ "email": ada.email, "password": "correct horse battery", "organization_id": id });
        let signed = app.post("/api/v1/auth/login").json(&body).send().await.expect(200);
        let body = json!({ "token": signed.text_at("/access_token") });
        let info = app.post("/api/v1/auth/user-info").json(&body).send().await.expect(200);
        assert_eq!(info.body["permissions"], json!(["tasks.read"]), "{}", info.text);
    })
    .await;
}
