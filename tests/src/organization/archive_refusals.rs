//! Archives that are refused, and people who may not have or bring one.

use polity_testing::{App, Backend};
use serde_json::{Value, json};

use super::{
    BASE,
    archive::{PASSWORD, export, import, lines, sealed, whole},
};

/// The archive with something done to its lines, and an end that is right again.
fn with(text: &str, change: impl FnOnce(&mut Vec<Value>)) -> String {
    let mut all = lines(text);
    change(&mut all);
    sealed(&all)
}

/// The line of a row of a part.
fn at(all: &[Value], part: &str) -> usize {
    all.iter().position(|line| line["part"] == part).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_archives_are_refused_with_their_lines() {
    let here = App::start().await;
    let (id, _) = whole(&here).await;
    let good = export(&here, &id).await;
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", Vec::new(), "no header"),
        ("no JSON", b"hello\n".to_vec(), "no header"),
        ("cut in a line", good.as_bytes()[..good.len() / 2].to_vec(), "is cut"),
        (
            "cut between lines",
            good[..=good[..good.len() - 2].rfind('\n').unwrap()].into(),
            "is cut",
        ),
        (
            "a changed byte",
            good.replace("Familie", "Gamilie").into(),
            "was changed",
        ),
        (
            "not UTF-8",
            {
                let mut bytes = good.clone().into_bytes();
                let at = bytes.len() / 2;
                bytes[at] = 0xff;
                bytes
            },
            "was changed",
        ),
        (
            "another format",
            with(&good, |all| all[0]["format"] = "zip".into()).into(),
            "must be polity.organization",
        ),
        (
            "another version",
            with(&good, |all| all[0]["version"] = 2.into()).into(),
            "must be 1",
        ),
        (
            "somebody's own id",
            good.replace(&id, "usr_1").into(),
            "no id of an organization",
        ),
        (
            "another id in the header",
            with(&good, |all| all[0]["organization_id"] = "org_x".into()).into(),
            "not that of the header",
        ),
        (
            "U+0000",
            with(&good, |all| {
                let n = at(all, "audit");
                all[n]["data"]["action"] = "a\0b".into();
            })
            .into(),
            "U+0000",
        ),
        (
            "an unknown part",
            with(&good, |all| {
                let n = at(all, "audit");
                all[n]["part"] = "secrets".into();
            })
            .into(),
            "no part",
        ),
        (
            "parts in another order",
            with(&good, |all| {
                let line = all.remove(at(all, "person"));
                let n = at(all, "audit");
                all.insert(n, line);
            })
            .into(),
            "comes before",
        ),
        (
            "a row twice",
            with(&good, |all| {
                let n = at(all, "membership");
                let line = all[n].clone();
                all.insert(n, line);
            })
            .into(),
            "is there twice",
        ),
        (
            "two organizations",
            with(&good, |all| {
                let line = all[1].clone();
                all.insert(1, line);
            })
            .into(),
            "of one organization",
        ),
        (
            "no organization",
            with(&good, |all| drop(all.remove(1))).into(),
            "is missing",
        ),
        (
            "a deleted one",
            with(&good, |all| all[1]["data"]["status"] = "deleted".into()).into(),
            "deleted",
        ),
        (
            "a member who is nobody",
            with(&good, |all| {
                let n = at(all, "membership");
                all[n]["data"]["user_id"] = "usr_x".into();
            })
            .into(),
            "none of the people",
        ),
        (
            "nobody's organization",
            with(&good, |all| {
                for line in all.iter_mut().filter(|line| line["part"] == "membership") {
                    line["data"]["role"] = "member".into();
                }
            })
            .into(),
            "nobody owns",
        ),
        (
            "two people with one address",
            with(&good, |all| {
                let n = at(all, "person");
                all[n]["data"]["email"] = all[n + 1]["data"]["email"].clone();
            })
            .into(),
            "another person's too",
        ),
        (
            "no address",
            with(&good, |all| {
                let n = at(all, "person");
                all[n]["data"]["email"] = "Ada".into();
            })
            .into(),
            "no address",
        ),
        (
            "an unknown member",
            with(&good, |all| {
                let n = at(all, "person");
                all[n]["data"]["password_hash"] = "x".into();
            })
            .into(),
            "unknown field",
        ),
        (
            "a permission of the platform",
            with(&good, |all| {
                let n = at(all, "membership");
                all[n]["data"]["permissions"] = json!(["auth.admin"]);
            })
            .into(),
            "those of the platform",
        ),
        (
            "a role that is none",
            with(&good, |all| {
                let n = at(all, "membership");
                all[n]["data"]["role"] = "god".into();
            })
            .into(),
            "unknown variant",
        ),
        (
            "a time before time",
            with(&good, |all| {
                let n = at(all, "membership");
                all[n]["data"]["joined_at"] = "-4800-01-01T00:00:00Z".into();
            })
            .into(),
            "\"/",
        ),
        (
            "a use of what is not shared",
            with(&good, |all| {
                let n = at(all, "sharing_usage");
                all[n]["data"]["sharing_id"] = "shr_x".into();
            })
            .into(),
            "none of the sharings",
        ),
        (
            "the same thing shared twice",
            with(&good, |all| {
                let n = at(all, "sharing");
                let mut line = all[n].clone();
                line["data"]["sharing_id"] = "shr_x".into();
                all.insert(n, line);
            })
            .into(),
            "shared already",
        ),
    ];
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let Some(app) = App::start_on(backend, json!({})).await else {
            continue;
        };
        for (what, text, reason) in &cases {
            let answer = import(&app, text.clone()).await;
            assert_eq!(answer.status, 422, "{what}: {}", answer.text);
            assert_eq!(answer.code(), "VALIDATION_FAILED");
            assert!(answer.text.contains(reason), "{what}: {}", answer.text);
            let line = answer.body["errors"][0]["loc"][1].as_u64();
            assert!(line.is_some_and(|line| line > 0), "{what}: {}", answer.text);
        }
        let many = with(&good, |all| {
            let line = json!({ "part": "audit", "data": {} });
            all.extend(std::iter::repeat_n(line, 30));
        });
        let answer = import(&app, many).await.expect(422);
        assert_eq!(answer.body["errors"].as_array().map(Vec::len), Some(20));
        app.get(&format!("{BASE}/{id}")).service().send().await.expect(404);
        import(&app, good.clone()).await.expect(200);
        import(&app, good.clone()).await.expect(409);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_or_another_thing_is_refused() {
    App::each(async |app| {
        let request = || app.post(&format!("{BASE}/import")).service();
        let large = vec![b' '; 65 << 20];
        let answer = request().body("application/x-ndjson", large).send().await;
        assert_eq!(answer.expect(413).code(), "PAYLOAD_TOO_LARGE");
        // Larger than other bodies may be, and looked at.
        let answer = request()
            .body("application/x-ndjson", vec![b' '; 20 << 20])
            .send()
            .await;
        answer.expect(422);
        request().json(&json!({})).send().await.expect(415);
        // Elsewhere lines get no further than any body.
        let answer = app
            .post(BASE)
            .service()
            .body("application/x-ndjson", vec![b' '; 2 << 20])
            .send()
            .await;
        assert!(matches!(answer.status, 413 | 415), "{}", answer.text);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_somebody_else_is_a_conflict() {
    let here = App::start().await;
    let (id, [owner, ..]) = whole(&here).await;
    let good = export(&here, &id).await;
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let Some(app) = App::start_on(backend, json!({})).await else {
            continue;
        };
        app.register(&owner.email).await;
        let answer = import(&app, good.clone()).await.expect(409);
        assert!(answer.text.contains(&owner.email), "{}", answer.text);
        app.get(&format!("{BASE}/{id}")).service().send().await.expect(404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_have_or_bring_an_archive() {
    App::each(async |app| {
        let (id, [owner, member, _]) = whole(&app).await;
        let other = app.register("other@example.com").await;
        let path = format!("{BASE}/{id}/export");
        app.get(&path).bearer(&owner.access_token).send().await.expect(200);
        app.get(&path).bearer(&member.access_token).send().await.expect(403);
        super::organization(&app, &other, "Other").await;
        app.get(&path).bearer(&other.access_token).send().await.expect(404);
        app.get(&format!("{BASE}/org_none/export"))
            .service()
            .send()
            .await
            .expect(404);
        let admin = app.admin().await;
        let text = app.get(&path).bearer(&admin.access_token).send().await.expect(200).text;
        let trail = app
            .get(&format!("{BASE}/{id}/audit"))
            .bearer(&owner.access_token)
            .send()
            .await;
        assert!(trail.text.contains("organization.exported"), "{}", trail.text);
        assert!(text.contains(&owner.email), "{text}");
        for secret in ["password_hash", "token_hash", "preferences\":"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }

        let bring = async |token: &str| {
            let request = app.post(&format!("{BASE}/import")).bearer(token);
            request.body("application/x-ndjson", text.clone()).send().await
        };
        bring(&owner.access_token).await.expect(403);
        bring(&admin.access_token).await.expect(409);
        let support = app.admin_named("support@example.com").await;
        demote(&app, &admin.access_token, &support.user_id).await;
        let body = json!({ "email": "support@example.com", "password": PASSWORD });
        let opened = app
            .post("/api/v1/auth/admin/login")
            .json(&body)
            .send()
            .await
            .expect(200);
        bring(opened.text_at("/access_token")).await.expect(403);
    })
    .await;
}

/// Leaves an administrator the role of support alone.
async fn demote(app: &App, by: &str, user_id: &str) {
    let path = format!("/api/v1/account/admin/accounts/{user_id}/roles");
    let body = json!({ "admin_roles": ["support_admin"] });
    app.put(&path).bearer(by).json(&body).send().await.expect(200);
    app.settle().await;
}
