//! Archives that are refused, and people who may not have or bring one.

use aws_lc_rs::digest::{SHA256, digest};
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

/// What is done to one member of the first row of a part, and what the answer says of it.
fn wrong_rows() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    vec![
        ("organization", "status", "deleted".into(), "deleted"),
        (
            "organization",
            "organization_id",
            "org_x".into(),
            "not that of the header",
        ),
        ("audit", "action", "a\0b".into(), "U+0000"),
        ("person", "email", "Ada".into(), "no address"),
        ("person", "email", "p1@example.com".into(), "another person's too"),
        ("person", "password_hash", "x".into(), "unknown field"),
        ("membership", "user_id", "usr_x".into(), "none of the people"),
        (
            "membership",
            "permissions",
            json!(["auth.admin"]),
            "those of the platform",
        ),
        ("membership", "role", "god".into(), "unknown variant"),
        ("membership", "joined_at", "+10000-01-01T00:00:00Z".into(), "1 to 9999"),
        ("sharing", "quota_settings", json!({ "total_quota": -1 }), "quota"),
        ("sharing_usage", "sharing_id", "shr_x".into(), "none of the sharings"),
        ("sharing_permission", "user_id", "usr_x".into(), "none of the people"),
        ("permission", "access_level", 7.into(), "expected value"),
    ]
}

/// What is done to the lines, and what the answer says of it.
type WrongLines = (&'static str, fn(&mut Vec<Value>));

fn wrong_lines() -> Vec<WrongLines> {
    vec![
        ("must be polity.organization", |all| all[0]["format"] = "zip".into()),
        ("must be 1", |all| all[0]["version"] = 2.into()),
        ("no id of an organization", |all| {
            all[0]["organization_id"] = "usr_1".into();
        }),
        ("no part", |all| all[1]["part"] = "secrets".into()),
        ("comes before", |all| {
            let (from, to) = (at(all, "person"), at(all, "audit"));
            let line = all.remove(from);
            all.insert(to, line);
        }),
        ("is there twice", |all| {
            let n = at(all, "membership");
            all.insert(n, all[n].clone());
        }),
        ("of one organization", |all| all.insert(1, all[1].clone())),
        ("is missing", |all| drop(all.remove(1))),
        ("nobody owns", |all| {
            for line in all.iter_mut().filter(|line| line["part"] == "membership") {
                line["data"]["role"] = "member".into();
            }
        }),
        ("shared already", |all| {
            let n = at(all, "sharing");
            let mut line = all[n].clone();
            line["data"]["sharing_id"] = "shr_x".into();
            all.insert(n, line);
        }),
    ]
}

/// What is done to the text, and what the answer says of it.
fn wrong_texts(good: &str) -> Vec<(&'static str, Vec<u8>)> {
    let last = good[..good.len() - 2].rfind('\n').unwrap();
    let mut not_text = good.as_bytes()[..=last].to_vec();
    let at = good.find("Familie").unwrap();
    not_text[at] = 0xff;
    let end = json!({
        "end": true, "lines": lines(good).len() - 1, "sha256": hex::encode(digest(&SHA256, &not_text)),
    });
    not_text.extend(format!("{end}\n").into_bytes());
    vec![
        ("no header", Vec::new()),
        ("no header", b"hello\n".to_vec()),
        ("is cut", good.as_bytes()[..good.len() / 2].to_vec()),
        ("is cut", good.as_bytes()[..=last].to_vec()),
        ("was changed", good.replace("Familie", "Gamilie").into()),
        ("other lines", good.replacen("\"lines\":", "\"lines\":1", 1).into()),
        ("unicode", not_text),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_archives_are_refused_with_their_lines() {
    let here = App::start().await;
    let (id, _) = whole(&here).await;
    let good = export(&here, &id).await;
    let mut cases = wrong_texts(&good);
    cases.extend(wrong_rows().into_iter().map(|(part, member, value, reason)| {
        let change = |all: &mut Vec<Value>| {
            let n = at(all, part);
            all[n]["data"][member] = value;
        };
        (reason, with(&good, change).into())
    }));
    cases.extend(
        wrong_lines()
            .into_iter()
            .map(|(reason, change)| (reason, with(&good, change).into())),
    );
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let Some(app) = App::start_on(backend, json!({})).await else {
            continue;
        };
        for (what, text) in &cases {
            let answer = import(&app, text.clone()).await;
            assert_eq!(answer.status, 422, "{what}: {}", answer.text);
            assert_eq!(answer.code(), "VALIDATION_FAILED");
            assert!(answer.text.contains(what), "{what}: {}", answer.text);
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
        // By one byte: what a server leaves unread can cost a client the answer.
        let large = vec![b' '; (64 << 20) + 1];
        let answer = request().body("application/x-ndjson", large).send().await;
        assert_eq!(answer.expect(413).code(), "PAYLOAD_TOO_LARGE");
        // Larger than other bodies may be, and looked at.
        let answer = request()
            .body("application/x-ndjson", vec![b' '; 20 << 20])
            .send()
            .await;
        answer.expect(422);
        request().json(&json!({})).send().await.expect(415);
        // Elsewhere lines are no body.
        let answer = app
            .post(BASE)
            .service()
            .body("application/x-ndjson", "{}\n")
            .send()
            .await;
        answer.expect(415);
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
