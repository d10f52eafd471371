//! Decisions about access without HTTP, at 10^3, 10^5 and 10^6 grants: remembered, looked up, and listed.
//!
//! `cargo run --release -p polity-benches --features peers --bin authorization` on SQLite (a file on this checkout's disk), with
//! Cedar in the same run; and on PostgreSQL with `./test with-services` before it.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark ends at the first surprise"
)]

use std::{sync::Arc, time::Instant};

use polity_kernel::{Ctx, config::Config, db::Rows};
use polity_ports::authorization::{AccessLevel, Ask, Authorizer, ResourceType};
use polity_server::{Options, Program, sections};
use serde_json::{Value, json};

const SIZES: [usize; 3] = [1_000, 100_000, 1_000_000];
/// People beside the one who has half of all grants.
const PEOPLE: usize = 1_000;
/// Different decisions that are looked up.
const LOOKED_UP: usize = 2_000;
const REMEMBERED: usize = 1_000_000;
const PAGES: usize = 300;
/// Who has half of all grants.
const HEAVY: &str = "usr_heavy";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    println!("| what | figure |\n|---|---|");
    #[cfg(feature = "peers")]
    cedar::measure();
    measure("SQLite", None).await;
    if let Some(url) = std::env::var("POLITY_TEST_POSTGRES").ok().filter(|url| !url.is_empty()) {
        measure("PostgreSQL", Some(url)).await;
    }
}

async fn measure(name: &str, url: Option<String>) {
    let folder = tempfile::tempdir_in("target").unwrap();
    let settings = json!({ "environment": "test", "data_dir": folder.path(), "database": { "url": url } });
    let config = Config::load(&sections(), None, [], settings).unwrap();
    let program = Program::open(config, Options::default()).await.unwrap();
    program.join().await;
    let (ctx, authorizer) = (program.ctx.clone(), Arc::clone(&program.authorizer));
    people(&ctx).await;
    let mut have = 0;
    for size in SIZES {
        grants(&ctx, have, size).await;
        have = size;
        looked_up(&*authorizer, size, name).await;
        listed(&*authorizer, size, name).await;
        if size == SIZES[0] {
            remembered(&*authorizer, name).await;
        }
    }
    program.finish().await;
}

/// Who the n-th grant is for, and of what: every other one is the heavy person's.
fn grant(n: usize) -> (String, String) {
    let user = if n.is_multiple_of(2) {
        HEAVY.to_owned()
    } else {
        format!("usr_{}", n % PEOPLE)
    };
    (user, format!("resource {n:08}"))
}

fn ask<'a>(user_id: &'a str, resource_name: &'a str) -> Ask<'a> {
    Ask {
        user_id,
        resource_type: ResourceType::Resource,
        resource_name,
        level: AccessLevel::ReadOnly,
        organization_id: None,
    }
}

async fn looked_up(authorizer: &dyn Authorizer, size: usize, name: &str) {
    let step = (size / LOOKED_UP).max(1);
    // A person is looked up once; it is the decisions that are new.
    for n in 0..PEOPLE {
        authorizer.may(ask(&format!("usr_{n}"), "nothing")).await;
    }
    let asked: Vec<(String, String)> = (0..size).step_by(step).map(grant).collect();
    let begun = Instant::now();
    for (user, resource) in &asked {
        assert!(authorizer.may(ask(user, resource)).await);
    }
    let each = begun.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(asked.len()).unwrap());
    println!("| check, looked up, {size} grants, {name} | {each:.1} us |");
}

async fn remembered(authorizer: &dyn Authorizer, name: &str) {
    let asked: Vec<(String, String)> = (0..500).map(grant).collect();
    for (user, resource) in &asked {
        authorizer.may(ask(user, resource)).await;
    }
    let begun = Instant::now();
    for n in 0..REMEMBERED {
        let (user, resource) = &asked[n % asked.len()];
        assert!(authorizer.may(ask(user, resource)).await);
    }
    let each = begun.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(REMEMBERED).unwrap());
    println!("| check, remembered, {name} | {each:.2} us |");
}

/// Pages of a hundred of what the heavy person may use: the first, and ones in the middle; and of what little they may run.
async fn listed(authorizer: &dyn Authorizer, size: usize, name: &str) {
    for (what, level, after) in [
        ("first page", AccessLevel::ReadOnly, None),
        (
            "page in the middle",
            AccessLevel::ReadOnly,
            Some(format!("resource {:08}", size / 2)),
        ),
        ("page of the few they run", AccessLevel::Admin, None),
    ] {
        let begun = Instant::now();
        let mut names = 0;
        for _ in 0..PAGES {
            let page = authorizer
                .visible(HEAVY, ResourceType::Resource, level, after.as_deref(), 100)
                .await;
            names += page.unwrap().names.len();
        }
        assert!(names > 0);
        let each = begun.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(PAGES).unwrap());
        println!("| {what} of 100, {size} grants, {name} | {each:.0} us |");
    }
}

async fn people(ctx: &Ctx) {
    let mut rows: Vec<Value> = (0..PEOPLE).map(|n| json!({ "id": format!("usr_{n}") })).collect();
    rows.push(json!({ "id": HEAVY }));
    let now = ctx.clock.now();
    let mut tx = ctx.db.begin().await.unwrap();
    tx.sql(
        "insert into account (user_id, email, name, is_active, status, admin_roles, preferences, custom_instructions, search_text,
                              created_at, updated_at)
         select r.item ->> 'id', (r.item ->> 'id') || '@example.com', 'Bench', true, 'active', $3, $4, '', '', $2, $2
         from rows($1) as r",
    )
    .bind(&Rows::of(&rows))
    .bind(&now)
    .bind(&json!([]))
    .bind(&json!({}))
    .execute()
    .await
    .unwrap();
    tx.commit().await.unwrap();
}

/// Makes grants until there are so many. One in a thousand is to run the thing, the others to look at it.
async fn grants(ctx: &Ctx, have: usize, size: usize) {
    let now = ctx.clock.now();
    let all: Vec<usize> = (have..size).collect();
    for some in all.chunks(5_000) {
        let rows: Vec<Value> = some
            .iter()
            .map(|n| {
                let (user, resource) = grant(*n);
                json!({ "id": format!("prm_{n}"), "user": user, "resource": resource, "level": if n.is_multiple_of(1_000) { 3 } else { 1 } })
            })
            .collect();
        let mut tx = ctx.db.begin().await.unwrap();
        tx.sql(
            "insert into permission (id, user_id, resource_type, resource_name, access_level, permission_source,
                                     organization_id, granted_by_user_id, created_at, updated_at)
             select r.item ->> 'id', r.item ->> 'user', 'resource', r.item ->> 'resource', cast(r.item ->> 'level' as bigint),
                    'admin_grant', '', 'usr_0', $2, $2
             from rows($1) as r",
        )
        .bind(&Rows::of(&rows))
        .bind(&now)
        .execute()
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }
}

/// Cedar, deciding in memory what it is handed whole.
#[cfg(feature = "peers")]
mod cedar {
    use std::{fmt::Write, time::Instant};

    use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request};

    const CALLS: u32 = 100_000;

    pub(super) fn measure() {
        for policies in [1, 1_000] {
            let mut text = String::new();
            for n in 0..policies {
                writeln!(
                    text,
                    "permit(principal == User::\"u{n}\", action == Action::\"read\", resource == Tool::\"t{n}\");"
                )
                .unwrap();
            }
            let set: PolicySet = text.parse().unwrap();
            let uid = |text: &str| text.parse::<EntityUid>().unwrap();
            let request = Request::new(
                uid("User::\"u0\""),
                uid("Action::\"read\""),
                uid("Tool::\"t0\""),
                Context::empty(),
                None,
            )
            .unwrap();
            let (authorizer, entities) = (Authorizer::new(), Entities::empty());
            let calls = CALLS / policies;
            let begun = Instant::now();
            for _ in 0..calls {
                assert_eq!(
                    authorizer.is_authorized(&request, &set, &entities).decision(),
                    Decision::Allow
                );
            }
            let each = begun.elapsed().as_secs_f64() * 1e6 / f64::from(calls);
            println!("| Cedar, {policies} policies in memory | {each:.2} us |");
        }
    }
}
