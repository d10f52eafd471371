//! Archives: what is exported from one instance is the same in another, on either database.

use aws_lc_rs::digest::{SHA256, digest};
use polity_testing::{Answer, App, Backend, Person};
use serde_json::{Value, json};

use super::{
    BASE, change, set,
    sharing::{family, share},
};
use crate::{
    authorization::{give, give_organization, may},
    invitation::{accept, invite, mailed},
};

/// The password of everybody who registers in tests.
pub(super) const PASSWORD: &str = "correct horse battery";

pub(super) async fn export(app: &App, organization: &str) -> String {
    app.settle().await;
    let answer = app.get(&format!("{BASE}/{organization}/export")).service().send().await;
    assert_eq!(answer.expect(200).header("content-type"), "application/x-ndjson");
    let answer = app.get(&format!("{BASE}/{organization}/export")).service().send().await;
    answer.expect(200).text
}

pub(super) async fn import(app: &App, text: impl Into<Vec<u8>>) -> Answer {
    let request = app.post(&format!("{BASE}/import")).service();
    request.body("application/x-ndjson", text.into()).send().await
}

/// The lines of an archive.
pub(super) fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An archive of these lines, with an end that is right.
pub(super) fn sealed(lines: &[Value]) -> String {
    let rows = lines.iter().filter(|line| line["end"] != true);
    let mut text = rows.clone().map(Value::to_string).collect::<Vec<_>>().join("\n");
    text.push('\n');
    let hash = hex::encode(digest(&SHA256, text.as_bytes()));
    let end = json!({ "end": true, "lines": rows.count(), "sha256": hash });
    format!("{text}{end}\n")
}

/// What two archives of one organization have in common: everything but when they were made, and that.
pub(super) fn essence(text: &str) -> Vec<String> {
    let mut all: Vec<String> = lines(text)
        .into_iter()
        .filter(|line| line["end"] != true)
        .filter(|line| {
            let action = line["data"]["action"].as_str().unwrap_or_default();
            !matches!(action, "organization.exported" | "organization.imported")
        })
        .map(|mut line| {
            if line["format"].is_string() {
                line["exported_at"] = Value::Null;
            }
            let sorted: std::collections::BTreeMap<String, Value> = serde_json::from_value(line).unwrap();
            // Members are in whatever order each database keeps them.
            canonical(&json!(sorted)).to_string()
        })
        .collect();
    all.sort();
    all
}

fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut names: Vec<_> = members.keys().collect();
            names.sort();
            names
                .into_iter()
                .map(|name| (name.clone(), canonical(&members[name])))
                .collect()
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        other => other.clone(),
    }
}

/// An organization in which there is something of every part.
pub(super) async fn whole(app: &App) -> (String, [Person; 3]) {
    let (id, people) = family::<3>(app).await;
    let [owner, member, gone] = &people;
    set(
        app,
        &id,
        json!({
            "plan": "professional", "domain": "example.com", "settings": { "größe": [1, 2.5, null, { "tief": "ja" }] },
            "details": { "display_name": "Familie 👪" },
        }),
    )
    .await;
    let limits = json!({ "requests_per_minute": 60, "requests_per_day": null });
    let path = format!("{BASE}/{id}/rate-limits");
    app.put(&path).service().json(&limits).send().await.expect(200);
    change(
        app,
        owner,
        &id,
        member,
        json!({ "department": "Küche", "permissions": ["cook"] }),
    )
    .await
    .expect(200);
    let shared = share(
        app,
        owner,
        &id,
        json!({ "share_with_all_members": true, "quota_settings": { "quota_type": "daily", "total_quota": 10 } }),
    )
    .await;
    let shared = shared.expect(200);
    let sharing = shared.text_at("/sharing_id").to_owned();
    let body = json!({ "amount": 3, "user_id": member.user_id });
    let used = app
        .post(&format!("{BASE}/{id}/sharing/{sharing}/use"))
        .service()
        .json(&body)
        .send()
        .await;
    used.expect(200);
    super::remove(app, owner, &id, gone).await.expect(200);
    invite(app, owner, &id, "new@example.com", json!({ "message": "Komm!" })).await;
    give(
        app,
        &member.user_id,
        "oven",
        "read_write",
        json!({ "organization_id": id }),
    )
    .await;
    let given = give_organization(app, &id, "fridge", json!({ "access_level": "read_only" })).await;
    given.expect(200);
    app.settle().await;
    (id, people)
}

/// Sets a password as somebody who has forgotten it, and signs in.
async fn sign_in(app: &App, email: &str) -> Person {
    let body = json!({ "email": email });
    app.post("/api/v1/auth/password/reset").json(&body).send().await;
    app.settle().await;
    let mail = app.last_mail_to(email);
    let token = mail
        .split_whitespace()
        .find(|word| word.starts_with("pol_reset_"))
        .unwrap();
    let body = json!({ "token": token, "new_password": "another long password" });
    let confirmed = app.post("/api/v1/auth/password/reset/confirm").json(&body).send().await;
    confirmed.expect(200);
    let body = json!({ "email": email, "password": "another long password" });
    let opened = app.post("/api/v1/auth/login").json(&body).send().await.expect(200);
    Person {
        user_id: opened.text_at("/user_id").to_owned(),
        email: email.to_owned(),
        access_token: opened.text_at("/access_token").to_owned(),
        refresh_token: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_imported_is_what_was_exported() {
    for from in [Backend::Sqlite, Backend::Postgres] {
        for to in [Backend::Sqlite, Backend::Postgres] {
            let (Some(here), Some(there)) = (App::start_on(from, json!({})).await, App::start_on(to, json!({})).await)
            else {
                continue;
            };
            let (id, [owner, member, _]) = whole(&here).await;
            let archive = export(&here, &id).await;
            for part in lines(&archive)[0]["parts"].as_array().unwrap() {
                assert!(archive.contains(&format!("{{\"part\":{part},")), "nothing of {part}");
            }
            let done = import(&there, archive.clone()).await.expect(200);
            assert_eq!(done.body["rows"]["person"], 3);
            let again = export(&there, &id).await;
            assert_eq!(essence(&archive), essence(&again), "from {from:?} to {to:?}");
            lives(&there, &id, (&owner, &member)).await;
        }
    }
}

/// An imported organization is as any other, and its people get in.
async fn lives(app: &App, id: &str, (owner, member): (&Person, &Person)) {
    assert!(may(app, &member.user_id, "oven", "read_write").await);
    assert!(may(app, &member.user_id, "fridge", "read_only").await);
    let signed_in = sign_in(app, &owner.email).await;
    assert_eq!(signed_in.user_id, owner.user_id);
    let found = app
        .get(&format!("{BASE}/{id}"))
        .bearer(&signed_in.access_token)
        .send()
        .await
        .expect(200);
    assert_eq!(found.body["user_role"], "owner");
    assert_eq!(found.body["member_count"], 2);
    assert_eq!(found.body["settings"]["größe"][3]["tief"], "ja");
    let listed = app.get(BASE).bearer(&signed_in.access_token).send().await.expect(200);
    assert_eq!(listed.body["total"], 1);
    let trail = app
        .get(&format!("{BASE}/{id}/audit"))
        .service()
        .send()
        .await
        .expect(200);
    assert!(trail.text.contains("organization.imported"), "{}", trail.text);
    let path = format!("{BASE}/{id}/members?search=k%C3%BCche");
    let cooks = app.get(&path).service().send().await.expect(200);
    assert_eq!(cooks.text_at("/members/0/user_id"), member.user_id, "{}", cooks.text);
    is_resent(app, id).await;
}

/// An imported invitation has no token; resent, it has one.
async fn is_resent(app: &App, id: &str) {
    let pending = app
        .get(&format!("/api/v1/invitations/organizations/{id}"))
        .service()
        .send()
        .await
        .expect(200);
    let invitation = pending.text_at("/invitations/0/invitation_id").to_owned();
    let resend = app
        .post(&format!("/api/v1/invitations/{invitation}/resend"))
        .service()
        .send()
        .await;
    resend.expect(200);
    let token = mailed(app, "new@example.com").await;
    let new = app.register("new@example.com").await;
    accept(app, &new, &token).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_who_are_here_stay_who_they_are() {
    App::each(async |app| {
        let (id, [owner, ..]) = whole(&app).await;
        let text = export(&app, &id).await;
        // Of another organization, without what has ids of its own.
        let copy: Vec<Value> = lines(&text.replace(&id, "org_copy"))
            .into_iter()
            .filter(|line| {
                line["part"].is_null()
                    || ["organization", "person", "membership"]
                        .map(Value::from)
                        .contains(&line["part"])
            })
            .collect();
        import(&app, sealed(&copy)).await.expect(200);
        let listed = app.get(BASE).bearer(&owner.access_token).send().await.expect(200);
        assert_eq!(listed.body["total"], 2, "{}", listed.text);
        let body = json!({ "email": owner.email, "password": PASSWORD });
        app.post("/api/v1/auth/login").json(&body).send().await.expect(200);
    })
    .await;
}
