//! Imports that fail, meet, are left behind, or bring many.

use polity_testing::{App, Backend};
use serde_json::{Value, json};

use super::{
    BASE,
    archive::{essence, export, import, lines, sealed, whole},
};

/// How many rows of an organization there are.
async fn rows_of(app: &App, id: &str) -> i64 {
    let mut read = app.ctx.db.read().await.unwrap();
    let counted = read
        .sql(
            "select (select count(*) from organization where organization_id = $1)
                  + (select count(*) from membership where organization_id = $1)
                  + (select count(*) from organization_audit where organization_id = $1)
                  + (select count(*) from sharing where organization_id = $1)
                  + (select count(*) from sharing_permission where organization_id = $1)
                  + (select count(*) from invitation where organization_id = $1)
                  + (select count(*) from permission where organization_id = $1)
                  + (select count(*) from organization_permission where organization_id = $1)",
        )
        .bind(id)
        .one::<(i64,)>()
        .await;
    counted.unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_fails_leaves_nothing() {
    App::each(async |app| {
        let (id, _) = whole(&app).await;
        let text = export(&app, &id).await;
        // Its sharings are another organization's here, which shows when its members are written already.
        let copy: Vec<Value> = lines(&text.replace(&id, "org_copy"))
            .into_iter()
            .filter(|line| line["part"] != "audit")
            .collect();
        let refused = import(&app, sealed(&copy)).await.expect(409);
        assert!(refused.text.contains("another organization's"), "{}", refused.text);
        assert_eq!(rows_of(&app, "org_copy").await, 0);
        let after = export(&app, &id).await;
        assert_eq!(essence(&text), essence(&after));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_imports_at_once_one_is_done() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let here = App::start().await;
        let Some(there) = App::start_on(backend, json!({})).await else {
            continue;
        };
        let (id, _) = whole(&here).await;
        let text = export(&here, &id).await;
        let (one, other) = tokio::join!(import(&there, text.clone()), import(&there, text.clone()));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{} {}", one.text, other.text);
        import(&there, text.clone()).await.expect(409);
        let after = export(&there, &id).await;
        assert_eq!(essence(&text), essence(&after));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_left_behind_is_hidden_and_replaced() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let here = App::start().await;
        let Some(there) = App::start_on(backend, json!({})).await else {
            continue;
        };
        let (id, [owner, ..]) = whole(&here).await;
        let text = export(&here, &id).await;
        leave_behind(&there, &id, &owner.user_id).await;
        there.get(&format!("{BASE}/{id}")).service().send().await.expect(404);
        // Whoever began it may still go on.
        import(&there, text.clone()).await.expect(409);
        there.advance(std::time::Duration::from_secs(61));
        import(&there, text.clone()).await.expect(200);
        let after = export(&there, &id).await;
        assert_eq!(essence(&text), essence(&after));

        leave_behind(&there, "org_other", "usr_nobody").await;
        there.advance(std::time::Duration::from_secs(61));
        super::sharing::run(&there, "organization.clean_up").await;
        assert_eq!(rows_of(&there, "org_other").await, 0);
        assert!(rows_of(&there, &id).await > 0);
    }
}

/// What a program leaves that was killed while it imported.
async fn leave_behind(app: &App, id: &str, user_id: &str) {
    let mut tx = app.ctx.db.begin().await.unwrap();
    let now = app.ctx.clock.now();
    let hidden = tx.sql(
        "insert into organization (organization_id, name, search, billing_email, plan, status, details, settings, security,
                                   flag, member_count, created_by, created_at, updated_at)
         values ($1, 'Half', 'half', 'b@example.com', 'free', 'deleted', '{}', '{}', '{}', 'importing imp_0', 0, $2, $3, $3)",
    );
    hidden.bind(id).bind(user_id).bind(&now).execute().await.unwrap();
    let member = tx.sql(
        "insert into membership (organization_id, user_id, role, status, permissions, is_founder, joined_at, updated_at)
         values ($1, $2, 'owner', 'active', '[]', true, $3, $3)",
    );
    member.bind(id).bind(user_id).bind(&now).execute().await.unwrap();
    tx.commit().await.unwrap();
}

/// An archive of so many members that nobody made by hand.
fn crowd(count: usize) -> String {
    let at = "2027-01-15T08:00:00.000000Z";
    let mut all = vec![
        json!({ "format": "polity.organization", "version": 1, "organization_id": "org_crowd", "exported_at": at, "parts": [] }),
        json!({ "part": "organization", "data": {
            "organization_id": "org_crowd", "name": "Crowd", "domain": null, "billing_email": "b@example.com",
            "plan": "enterprise", "status": "active", "kind": null, "details": {}, "settings": {}, "security": {},
            "rate_limits": null, "flag": null, "created_by": "usr_0", "created_at": at, "updated_at": at,
        } }),
    ];
    let numbers = || 0..count;
    all.extend(numbers().map(|n| {
        let email = format!("person{n}@example.com");
        json!({ "part": "person", "data": {
            "user_id": format!("usr_{n}"), "email": email, "name": format!("Person {n}"), "is_active": true,
        } })
    }));
    all.extend(numbers().map(|n| {
        json!({ "part": "membership", "data": {
            "user_id": format!("usr_{n}"), "role": if n == 0 { "owner" } else { "member" }, "status": "active",
            "permissions": [], "department": null, "title": null, "is_founder": false, "joined_at": at,
            "last_active_at": null, "updated_at": at,
        } })
    }));
    all.extend(numbers().flat_map(|n| (0..5).map(move |m| (n, m))).map(|(n, m)| {
        json!({ "part": "audit", "data": {
            "id": format!("oad_{n}_{m}"), "actor_id": "usr_0", "action": "member.updated", "target_id": format!("usr_{n}"),
            "data": { "n": m }, "created_at": at,
        } })
    }));
    sealed(&all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_members_come_and_are_told_of() {
    let count = 1_000;
    App::each(async |app| {
        let begun = std::time::Instant::now();
        let done = import(&app, crowd(count)).await.expect(200);
        println!(
            "{:?}: {count} members imported in {:?}",
            app.ctx.db.dialect(),
            begun.elapsed()
        );
        assert_eq!(done.body["rows"]["membership"], count);
        let begun = std::time::Instant::now();
        let text = app
            .get(&format!("{BASE}/org_crowd/export"))
            .service()
            .send()
            .await
            .expect(200)
            .text;
        println!("exported in {:?}: {} bytes", begun.elapsed(), text.len());
        assert_eq!(
            text.lines().count(),
            count * 7 + 5,
            "header, organization, two entries and end"
        );
        let mut read = app.ctx.db.read().await.unwrap();
        let (said,) = read
            .sql("select count(*) from event where type like '%.member_added'")
            .one::<(i64,)>()
            .await
            .unwrap();
        assert_eq!(usize::try_from(said).unwrap(), count);
    })
    .await;
}
