//! What members share: who shares what with whom, who sees it, and how it ends.

use std::time::Duration;

use polity_kernel::{event::NewEvent, job::NewJob};
use polity_testing::{Answer, App, Person};
use serde_json::{Value, json};

use super::{BASE, add, change, organization, remove, set};

/// An organization of `people[0]` in which the others are members.
pub(super) async fn family<const N: usize>(app: &App) -> (String, [Person; N]) {
    let mut people = Vec::new();
    for n in 0..N {
        people.push(app.register(&format!("p{n}@example.com")).await);
    }
    let Ok(people) = <[Person; N]>::try_from(people) else {
        unreachable!()
    };
    let id = organization(app, &people[0], "Family").await;
    for who in &people[1..] {
        add(app, &people[0], &id, who, "member").await.expect(200);
    }
    (id, people)
}

/// Shares something.
pub(super) async fn share(app: &App, by: &Person, organization: &str, body: Value) -> Answer {
    let mut whole = json!({ "resource_type": "album", "resource_id": "alb_1" });
    whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    app.post(&format!("{BASE}/{organization}/sharing"))
        .bearer(&by.access_token)
        .json(&whole)
        .send()
        .await
}

/// Asks for something at a path below the organization.
async fn look(app: &App, by: &Person, organization: &str, path: &str) -> Answer {
    let path = format!("{BASE}/{organization}/{path}");
    app.get(&path).bearer(&by.access_token).send().await
}

pub(super) async fn put(app: &App, by: &Person, organization: &str, path: &str, body: Value) -> Answer {
    let path = format!("{BASE}/{organization}/sharing/{path}");
    app.put(&path).bearer(&by.access_token).json(&body).send().await
}

async fn delete(app: &App, by: &Person, organization: &str, path: &str) -> Answer {
    let path = format!("{BASE}/{organization}/sharing/{path}");
    app.delete(&path).bearer(&by.access_token).send().await
}

/// Has a job done now that is done by the clock.
pub(super) async fn run(app: &App, job: &'static str) {
    let mut tx = app.ctx.db.begin().await.unwrap();
    let job = NewJob::new(job, Value::Null);
    app.ctx.jobs.enqueue(&mut tx, job).await.unwrap();
    tx.commit().await.unwrap();
    app.settle().await;
}

async fn events(app: &App, name: &str) -> Vec<Value> {
    app.settle().await;
    let name = format!("organization_service.{name}");
    let found = app.ctx.events.read_after(&app.ctx.db, 0, &[&name], 100).await.unwrap();
    found.into_iter().map(|event| event.data).collect()
}

fn items(answer: &Answer) -> usize {
    answer.body.as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_fsh_001_to_004_an_administrator_shares_with_members() {
    App::each(async |app| {
        let (id, [ada, bob, cid, dan]) = family::<4>(&app).await;
        let body = json!({
            "resource_name": "Summer", "shared_with_members": [bob.user_id, ada.user_id],
            "custom_permissions": { cid.user_id.clone(): "album_viewer" }, "default_permission": "album_editor",
            "restrictions": { "allow_delete": false }, "metadata": { "ü": "☀" },
        });
        share(&app, &bob, &id, body.clone()).await.expect(403);
        let made = share(&app, &ada, &id, body.clone()).await.expect(200);
        assert!(made.text_at("/sharing_id").starts_with("shr_"));
        assert_eq!(
            (
                made.text_at("/status"),
                made.text_at("/created_by"),
                &made.body["total_members_shared"]
            ),
            ("active", ada.user_id.as_str(), &json!(2))
        );
        assert_eq!(made.body["metadata"]["ü"], "☀");
        assert_eq!(share(&app, &ada, &id, body).await.expect(409).code(), "ALREADY_SHARED");
        let sharing = made.text_at("/sharing_id");
        let whole = look(&app, &ada, &id, &format!("sharing/{sharing}")).await.expect(200);
        let mut levels: Vec<_> = whole.body["member_permissions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                (
                    one["user_id"].as_str().unwrap(),
                    one["permission_level"].as_str().unwrap(),
                )
            })
            .collect();
        levels.sort_by_key(|(_, level)| *level);
        assert_eq!(
            levels,
            [
                (bob.user_id.as_str(), "album_editor"),
                (cid.user_id.as_str(), "album_viewer"),
                (ada.user_id.as_str(), "owner")
            ]
        );
        assert_eq!(whole.body["sharing"], made.body);
        // Who has access sees the sharing and their own permission; who has none hears so.
        let own = look(&app, &cid, &id, &format!("sharing/{sharing}")).await.expect(200);
        let own = own.body["member_permissions"].as_array().unwrap();
        assert_eq!((own.len(), &own[0]["user_id"]), (1, &json!(cid.user_id)));
        assert_eq!(own[0]["restrictions"], json!({ "allow_delete": false }));
        look(&app, &dan, &id, &format!("sharing/{sharing}")).await.expect(403);
        for (who, count) in [(&ada, 1), (&bob, 1), (&dan, 0)] {
            assert_eq!(items(&look(&app, who, &id, "sharing").await.expect(200)), count);
        }
        let created = events(&app, "organization.sharing_created").await;
        assert_eq!(
            (created.len(), &created[0]["actor"], &created[0]["resource_id"]),
            (1, &json!(ada.user_id), &json!("alb_1"))
        );
        let shared = events(&app, "family.resource_shared").await;
        assert_eq!(
            (&shared[0]["shared_with_count"], &shared[0]["resource_name"]),
            (&json!(2), &json!("Summer"))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_shared_is_refused() {
    App::each(async |app| {
        let (id, [ada, bob]) = family::<2>(&app).await;
        let many: Vec<_> = (0..1_001).map(|n| format!("usr_{n}")).collect();
        for (body, status, part) in [
            (json!({ "resource_type": "house" }), 422, "resource_type"),
            (json!({ "resource_id": "" }), 422, "resource_id"),
            (json!({ "default_permission": "everything" }), 422, "default_permission"),
            (
                json!({ "resource_type": "wallet", "default_permission": "album_viewer" }),
                422,
                "default_permission",
            ),
            (
                json!({ "resource_type": "wallet", "custom_permissions": { bob.user_id.clone(): "album_editor" } }),
                422,
                "custom_permissions",
            ),
            (json!({ "shared_with_members": many }), 422, "shared_with_members"),
            (
                json!({ "shared_with_members": ["usr_none", bob.user_id] }),
                400,
                "usr_none",
            ),
            (
                json!({ "custom_permissions": { "usr_none": "read_only" } }),
                400,
                "usr_none",
            ),
            (json!({ "expires_at": "2001-01-01T00:00:00Z" }), 422, "expires_at"),
            (
                json!({ "quota_settings": { "quota_type": "hourly" } }),
                422,
                "quota_type",
            ),
            (json!({ "quota_settings": { "total_quota": 1.5 } }), 422, "total_quota"),
            (
                json!({ "quota_settings": { "x": "y".repeat(17_000) } }),
                422,
                "quota_settings",
            ),
            (json!({ "metadata": { "x": "y".repeat(70_000) } }), 422, "metadata"),
        ] {
            let answer = share(&app, &ada, &id, body).await.expect(status);
            assert!(answer.text.contains(part), "{part}: {}", answer.text);
        }
        // Nothing is left of what was refused.
        assert_eq!(items(&look(&app, &ada, &id, "sharing").await.expect(200)), 0);
        for query in [
            "resource_type=house",
            "status=gone",
            "limit=0",
            "limit=101",
            "offset=-1",
        ] {
            look(&app, &ada, &id, &format!("sharing?{query}")).await.expect(422);
        }
        let two = tokio::join!(share(&app, &ada, &id, json!({})), share(&app, &ada, &id, json!({})));
        let mut statuses = [two.0.status, two.1.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
        let keyed = async || {
            let body = json!({ "resource_type": "device", "resource_id": "dev_1" });
            let path = format!("{BASE}/{id}/sharing");
            let request = app.post(&path).bearer(&ada.access_token);
            request.header("Idempotency-Key", "once").json(&body).send().await
        };
        assert_eq!(keyed().await.expect(200).body, keyed().await.expect(200).body);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_looks_into_the_organization_in_the_path() {
    App::each(async |app| {
        let (id, [ada, bob]) = family::<2>(&app).await;
        let eve = app.register("eve@example.com").await;
        let other = organization(&app, &eve, "Other").await;
        let made = share(&app, &ada, &id, json!({ "shared_with_members": [bob.user_id] }))
            .await
            .expect(200);
        let sharing = made.text_at("/sharing_id");
        let span = "period_start=2025-01-01T00:00:00Z&period_end=2030-01-01T00:00:00Z";
        let requests = |organization: &str, sharing: &str| {
            let path = format!("{BASE}/{organization}/sharing/{sharing}");
            [
                app.get(&path),
                app.put(&path).json(&json!({ "status": "paused" })),
                app.delete(&path),
                app.put(&format!("{path}/members"))
                    .json(&json!({ "user_id": bob.user_id, "permission_level": "owner" })),
                app.delete(&format!("{path}/members/{}", bob.user_id)),
                app.post(&format!("{path}/use")).json(&json!({ "amount": 1 })),
                app.get(&format!("{path}/usage?{span}")),
            ]
        };
        // To a stranger nothing is there.
        let shared = format!("{BASE}/{id}/members/{}/shared-resources", bob.user_id);
        let path = format!("{BASE}/{id}/sharing");
        let body = json!({ "resource_type": "album", "resource_id": "alb_2" });
        let more = [app.get(&shared), app.get(&path), app.post(&path).json(&body)];
        for request in requests(&id, sharing).into_iter().chain(more) {
            let answer = request.bearer(&eve.access_token).send().await.expect(404);
            assert_eq!(answer.code(), "ORGANIZATION_NOT_FOUND");
        }
        // In another organization, or under another id, the sharing is not there.
        for request in requests(&other, sharing) {
            let answer = request.bearer(&eve.access_token).send().await.expect(404);
            assert_eq!(answer.code(), "SHARING_NOT_FOUND");
        }
        for request in requests(&other, sharing) {
            request.service().on_behalf_of(&eve.user_id).send().await.expect(404);
        }
        for request in requests(&id, "shr_none") {
            let answer = request.bearer(&ada.access_token).send().await.expect(404);
            assert_eq!(answer.code(), "SHARING_NOT_FOUND");
        }
        let there = look(&app, &ada, &id, &format!("sharing/{sharing}")).await.expect(200);
        assert_eq!(there.body["sharing"], made.body);
        // A suspended organization is looked at only.
        set(&app, &id, json!({ "status": "suspended" })).await;
        for request in requests(&id, sharing) {
            let status = request.bearer(&ada.access_token).send().await.status;
            assert!([200, 403].contains(&status), "{status}");
        }
        share(&app, &ada, &id, json!({ "resource_id": "alb_2" }))
            .await
            .expect(403);
        let there = look(&app, &ada, &id, &format!("sharing/{sharing}")).await.expect(200);
        assert_eq!(there.body["sharing"], made.body);
        let used = app.post(&format!("{BASE}/{id}/sharing/{sharing}/use")).service();
        used.json(&json!({ "user_id": bob.user_id })).send().await.expect(403);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_fsh_003_who_comes_later_gets_what_includes_them() {
    App::each(async |app| {
        let (id, [ada, bob]) = family::<2>(&app).await;
        let late = app.register("late@example.com").await;
        let all = json!({ "share_with_all_members": true });
        let made = share(&app, &ada, &id, all.clone()).await.expect(200);
        assert_eq!(made.body["total_members_shared"], 1);
        let mut open = all;
        open["resource_id"] = json!("alb_2");
        open["metadata"] = json!({ "auto_include": true });
        open["custom_permissions"] = json!({ bob.user_id.clone(): "view_only" });
        let open = share(&app, &ada, &id, open).await.expect(200);
        add(&app, &ada, &id, &late, "viewer").await.expect(200);
        let shared = async |by: &Person, who: &Person| {
            look(&app, by, &id, &format!("members/{}/shared-resources", who.user_id)).await
        };
        let hers = shared(&late, &late).await.expect(200);
        assert_eq!(
            (&hers.body["total"], hers.text_at("/shared_resources/0/sharing_id")),
            (&json!(1), open.text_at("/sharing_id"))
        );
        assert_eq!(hers.text_at("/shared_resources/0/permission_level"), "read_write");
        assert_eq!(shared(&bob, &bob).await.expect(200).body["total"], 2);
        shared(&bob, &late).await.expect(403);
        assert_eq!(shared(&ada, &late).await.expect(200).body, hers.body);
        // Who leaves loses it, and has again what includes them when they come back.
        remove(&app, &ada, &id, &bob).await.expect(200);
        assert_eq!(shared(&ada, &bob).await.expect(200).body["total"], 0);
        let path = format!("sharing/{}", made.text_at("/sharing_id"));
        assert_eq!(
            look(&app, &ada, &id, &path).await.body["sharing"]["total_members_shared"],
            0
        );
        add(&app, &ada, &id, &bob, "member").await.expect(200);
        let again = shared(&bob, &bob).await.expect(200);
        assert_eq!(
            (
                &again.body["total"],
                again.text_at("/shared_resources/0/permission_level")
            ),
            (&json!(1), "read_write")
        );
        // So does one whose membership is made inactive.
        change(&app, &ada, &id, &bob, json!({ "status": "inactive" }))
            .await
            .expect(200);
        assert_eq!(shared(&ada, &bob).await.expect(200).body["total"], 0);
        // Once more with everybody.
        let path = made.text_at("/sharing_id");
        let body = json!({ "share_with_all_members": true });
        assert_eq!(
            put(&app, &ada, &id, path, body).await.expect(200).body["total_members_shared"],
            1
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_fsh_009_access_is_given_and_taken_but_the_creators() {
    App::each(async |app| {
        let (id, [ada, bob, cid]) = family::<3>(&app).await;
        change(&app, &ada, &id, &bob, json!({ "role": "admin" }))
            .await
            .expect(200);
        let made = share(&app, &bob, &id, json!({})).await.expect(200);
        let sharing = made.text_at("/sharing_id").to_owned();
        change(&app, &ada, &id, &bob, json!({ "role": "viewer" }))
            .await
            .expect(200);
        let members = format!("{sharing}/members");
        let level = |who: &Person, level: &str| json!({ "user_id": who.user_id, "permission_level": level });
        put(&app, &cid, &id, &members, level(&cid, "owner")).await.expect(403);
        // The creator still runs it.
        let given = put(&app, &bob, &id, &members, level(&cid, "read_only"))
            .await
            .expect(200);
        assert_eq!(
            (given.text_at("/permission_level"), &given.body["is_active"]),
            ("read_only", &json!(true))
        );
        let mut own = level(&cid, "album_editor");
        own["quota_override"] = json!(3);
        own["restrictions_override"] = json!({ "allow_add": false });
        let given = put(&app, &ada, &id, &members, own).await.expect(200);
        assert_eq!(
            (&given.body["quota_allocated"], &given.body["restrictions"]),
            (&json!(3), &json!({ "allow_add": false }))
        );
        put(
            &app,
            &ada,
            &id,
            &members,
            json!({ "user_id": "usr_none", "permission_level": "owner" }),
        )
        .await
        .expect(400);
        put(&app, &ada, &id, &members, level(&cid, "boss")).await.expect(422);
        put(&app, &ada, &id, &members, level(&bob, "view_only"))
            .await
            .expect(403);
        delete(&app, &ada, &id, &format!("{members}/{}", bob.user_id))
            .await
            .expect(403);
        delete(&app, &cid, &id, &format!("{members}/{}", bob.user_id))
            .await
            .expect(403);
        // One may drop one's own.
        let path = format!("{members}/{}", cid.user_id);
        let gone = delete(&app, &cid, &id, &path).await.expect(200);
        assert_eq!(gone.text_at("/message"), "Member access revoked successfully");
        look(&app, &cid, &id, &format!("sharing/{sharing}")).await.expect(403);
        assert_eq!(
            delete(&app, &ada, &id, &path).await.expect(404).code(),
            "MEMBER_NOT_FOUND"
        );
        put(&app, &cid, &id, &sharing, json!({ "status": "paused" }))
            .await
            .expect(403);
        delete(&app, &cid, &id, &sharing).await.expect(403);
        assert_eq!(events(&app, "organization.sharing_updated").await.len(), 3);
        // Gone and back, the creator has all of it again.
        remove(&app, &ada, &id, &bob).await.expect(200);
        put(&app, &bob, &id, &sharing, json!({ "status": "paused" }))
            .await
            .expect(404);
        add(&app, &ada, &id, &bob, "guest").await.expect(200);
        let shared = look(&app, &bob, &id, &format!("members/{}/shared-resources", bob.user_id)).await;
        assert_eq!(
            shared.expect(200).text_at("/shared_resources/0/permission_level"),
            "owner"
        );
        let gone = delete(&app, &bob, &id, &sharing).await.expect(200);
        assert_eq!(gone.text_at("/message"), "Sharing deleted successfully");
        delete(&app, &bob, &id, &sharing).await.expect(404);
        put(&app, &bob, &id, &sharing, json!({ "status": "active" }))
            .await
            .expect(404);
        look(&app, &ada, &id, &format!("sharing/{sharing}")).await.expect(404);
        share(&app, &ada, &id, json!({})).await.expect(200);
        assert_eq!(events(&app, "organization.sharing_deleted").await.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec_010_what_does_not_hold_is_closed_to_all_but_who_runs_it() {
    App::each(async |app| {
        let (id, [ada, bob]) = family::<2>(&app).await;
        let body = json!({ "shared_with_members": [bob.user_id] });
        let sharing = share(&app, &ada, &id, body)
            .await
            .expect(200)
            .text_at("/sharing_id")
            .to_owned();
        let path = format!("sharing/{sharing}");
        let to = async |status: &str| put(&app, &ada, &id, &sharing, json!({ "status": status })).await;
        look(&app, &bob, &id, &path).await.expect(200);
        assert_eq!(to("paused").await.expect(200).text_at("/status"), "paused");
        let closed = look(&app, &bob, &id, &path).await.expect(403);
        assert_eq!(closed.text_at("/detail"), "The sharing is paused");
        assert_eq!(items(&look(&app, &bob, &id, "sharing").await), 0);
        look(&app, &ada, &id, &path).await.expect(200);
        let kept = look(&app, &bob, &id, &format!("members/{}/shared-resources", bob.user_id)).await;
        assert_eq!(kept.expect(200).body["shared_resources"][0]["is_active"], false);
        assert_eq!(items(&look(&app, &ada, &id, "sharing?status=paused").await), 1);
        assert_eq!(items(&look(&app, &ada, &id, "sharing?status=active").await), 0);
        for status in ["expired", "pending"] {
            to(status).await.expect(400);
        }
        to("gone").await.expect(422);
        to("active").await.expect(200);
        look(&app, &bob, &id, &path).await.expect(200);
        assert_eq!(to("revoked").await.expect(200).text_at("/status"), "revoked");
        for status in ["active", "paused", "revoked"] {
            to(status).await.expect(400);
        }
        look(&app, &bob, &id, &path).await.expect(403);
        look(&app, &ada, &id, &path).await.expect(200);
        let members = format!("{sharing}/members");
        let body = json!({ "user_id": bob.user_id, "permission_level": "owner" });
        put(&app, &ada, &id, &members, body).await.expect(400);
        delete(&app, &ada, &id, &sharing).await.expect(200);
        look(&app, &ada, &id, &path).await.expect(404);
        assert_eq!(events(&app, "organization.sharing_deleted").await.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn br_fsh_007_expired_is_closed_at_once_and_marked_by_a_job() {
    App::each(async |app| {
        let (id, [ada, bob]) = family::<2>(&app).await;
        let end = (app.ctx.clock.now() + Duration::from_mins(10)).to_rfc3339();
        let body = json!({ "shared_with_members": [bob.user_id], "expires_at": end });
        let sharing = share(&app, &ada, &id, body)
            .await
            .expect(200)
            .text_at("/sharing_id")
            .to_owned();
        let path = format!("sharing/{sharing}");
        look(&app, &bob, &id, &path).await.expect(200);
        run(&app, "organization.expire_sharings").await;
        assert_eq!(events(&app, "organization.sharing_expired").await.len(), 0);
        app.advance(Duration::from_mins(10));
        let ended = look(&app, &bob, &id, &path).await.expect(403);
        assert_eq!(ended.text_at("/detail"), "The sharing is expired");
        let seen = look(&app, &ada, &id, &path).await.expect(200);
        assert_eq!(seen.text_at("/sharing/status"), "expired");
        assert_eq!(items(&look(&app, &ada, &id, "sharing?status=expired").await), 1);
        let used = app.post(&format!("{BASE}/{id}/{path}/use")).bearer(&ada.access_token);
        used.json(&json!({})).send().await.expect(403);
        run(&app, "organization.expire_sharings").await;
        let expired = events(&app, "organization.sharing_expired").await;
        assert_eq!((expired.len(), &expired[0]["sharing_id"]), (1, &json!(sharing)));
        app.advance(Duration::from_mins(5));
        run(&app, "organization.expire_sharings").await;
        assert_eq!(events(&app, "organization.sharing_expired").await.len(), 1);
        let later = (app.ctx.clock.now() + Duration::from_hours(1)).to_rfc3339();
        for body in [json!({ "status": "active" }), json!({ "expires_at": later })] {
            put(&app, &ada, &id, &sharing, body).await.expect(400);
        }
        // The thing may be shared anew; what expired gives way.
        share(&app, &ada, &id, json!({})).await.expect(200);
        let old = look(&app, &ada, &id, &path).await.expect(200);
        assert_eq!(old.text_at("/sharing/status"), "revoked");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec_012_what_is_gone_takes_its_sharings_with_it() {
    App::each(async |app| {
        let (id, [ada, bob]) = family::<2>(&app).await;
        for (kind, thing) in [
            ("album", "one"),
            ("device", "one"),
            ("storage", "one"),
            ("album", "two"),
        ] {
            let body = json!({ "resource_type": kind, "resource_id": thing, "shared_with_members": [bob.user_id] });
            share(&app, &ada, &id, body).await.expect(200);
        }
        let active = async || items(&look(&app, &ada, &id, "sharing?status=active").await);
        for (subject, member, left) in [
            ("album_service.album.deleted", "album_id", 3),
            ("device_service.device.deleted", "device_id", 2),
            ("storage_service.file.deleted", "file_id", 1),
        ] {
            let event = NewEvent {
                r#type: subject.into(),
                source: "test".into(),
                key: "one".to_owned(),
                data: json!({ member: "one" }),
                metadata: Value::Null,
            };
            let mut tx = app.ctx.db.begin().await.unwrap();
            app.ctx.events.publish(&mut tx, event).await.unwrap();
            tx.commit().await.unwrap();
            app.settle().await;
            assert_eq!(active().await, left, "{subject}");
        }
        assert_eq!(events(&app, "organization.sharing_deleted").await.len(), 3);
        let account = format!("/api/v1/accounts/profile/{}", bob.user_id);
        app.delete(&account).bearer(&bob.access_token).send().await.expect(200);
        app.settle().await;
        let shared = look(&app, &ada, &id, &format!("members/{}/shared-resources", bob.user_id)).await;
        assert_eq!(shared.expect(200).body["total"], 0);
        let path = format!("{BASE}/{id}");
        app.delete(&path).bearer(&ada.access_token).send().await.expect(200);
        let mut read = app.ctx.db.read().await.unwrap();
        let left = read.sql("select count(*) from sharing where status <> 'revoked'");
        assert_eq!(left.one::<(i64,)>().await.unwrap(), (0,));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_gives_more_people_access_and_takes_none() {
    App::each(async |app| {
        let (id, [ada, bob, cid]) = family::<3>(&app).await;
        // A service that acts for nobody is no member, and has nothing of what it shares.
        let end = (app.ctx.clock.now() + Duration::from_mins(5)).to_rfc3339();
        let body = json!({
            "resource_type": "calendar", "resource_id": "cal_1", "shared_with_members": [bob.user_id], "expires_at": end,
        });
        let path = format!("{BASE}/{id}/sharing");
        let made = app.post(&path).service().json(&body).send().await.expect(200);
        let sharing = made.text_at("/sharing_id");
        let levels = async || {
            let whole = look(&app, &ada, &id, &format!("sharing/{sharing}")).await.expect(200);
            let found = whole.body["member_permissions"].as_array().unwrap().iter();
            let mut found: Vec<_> = found
                .map(|one| {
                    let text = |name: &str| one[name].as_str().unwrap().to_owned();
                    (text("user_id"), text("permission_level"))
                })
                .collect();
            found.sort_by_key(|(user_id, _)| people_order(user_id, [&ada, &bob, &cid]));
            found.into_iter().map(|(_, level)| level).collect::<Vec<_>>()
        };
        assert_eq!(levels().await, ["read_write"]);
        let body = json!({
            "default_permission": "view_only", "shared_with_members": [bob.user_id],
            "custom_permissions": { cid.user_id.clone(): "full_access" }, "expires_at": null,
        });
        let changed = put(&app, &ada, &id, sharing, body).await.expect(200);
        assert_eq!(
            (&changed.body["expires_at"], changed.text_at("/default_permission")),
            (&Value::Null, "view_only")
        );
        assert_eq!(levels().await, ["read_write", "full_access"]);
        let body = json!({ "share_with_all_members": true, "metadata": { "auto_include": true } });
        put(&app, &ada, &id, sharing, body).await.expect(200);
        assert_eq!(levels().await, ["view_only", "read_write", "full_access"]);
        let body = json!({ "share_with_all_members": false, "custom_permissions": { cid.user_id.clone(): "limited" } });
        put(&app, &ada, &id, sharing, body).await.expect(200);
        assert_eq!(levels().await, ["view_only", "read_write", "limited"]);
        let body = json!({ "custom_permissions": { "usr_none": "limited" }, "status": "paused" });
        put(&app, &ada, &id, sharing, body).await.expect(400);
        app.advance(Duration::from_mins(10));
        let whole = look(&app, &bob, &id, &format!("sharing/{sharing}")).await.expect(200);
        assert_eq!(whole.text_at("/sharing/status"), "active");
        // Revoked and paused at once, it is revoked, whichever came first.
        let both = tokio::join!(
            put(&app, &ada, &id, sharing, json!({ "status": "revoked" })),
            put(&app, &ada, &id, sharing, json!({ "status": "paused" })),
        );
        both.0.expect(200);
        assert!([200, 400].contains(&both.1.status), "{}", both.1.text);
        let whole = look(&app, &ada, &id, &format!("sharing/{sharing}")).await.expect(200);
        assert_eq!(whole.text_at("/sharing/status"), "revoked");
    })
    .await;
}

fn people_order(user_id: &str, people: [&Person; 3]) -> Option<usize> {
    people.iter().position(|one| one.user_id == user_id)
}
