//! The program as a whole: what ran on one database runs on the other; races; keys rotated in use; copies made in use.

use polity_server::{Program, Request, execute};
use polity_testing::{App, Backend};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_of_one_database_prepares_on_the_other() {
    let Some(postgres) = App::start_on(Backend::Postgres, json!({})).await else {
        return;
    };
    let sqlite = App::start().await;
    for app in [&sqlite, &postgres] {
        let (root, ada) = (app.admin().await, app.register("ada@example.com").await);
        let accounts = "/api/v1/account/admin/accounts";
        app.get(&format!("{accounts}?search=ada&is_active=true"))
            .bearer(&root.access_token)
            .send()
            .await
            .expect(200);
        let refresh = json!({ "refresh_token": ada.refresh_token });
        app.post("/api/v1/auth/refresh").json(&refresh).send().await.expect(200);
        app.settle().await;
    }
    let seen = sqlite.ctx.db.statements();
    assert!(seen.len() > 40, "only {} statements were seen", seen.len());
    postgres.ctx.db.prepare_all(&seen).await.unwrap();
    // What only the kernel's branch for PostgreSQL says has no counterpart.
    let back: Vec<String> = postgres
        .ctx
        .db
        .statements()
        .into_iter()
        .filter(|sql| !sql.contains("pg_"))
        .collect();
    sqlite.ctx.db.prepare_all(&back).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_registrations_of_one_address_make_one_person() {
    App::each(async |app| {
        let app = std::sync::Arc::new(app);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let app = std::sync::Arc::clone(&app);
            tasks.spawn(async move {
                let body = json!({ "email": "Ada@Example.com", "password": "correct horse battery" });
                app.post("/api/v1/auth/register").json(&body).send().await.status
            });
        }
        while let Some(status) = tasks.join_next().await {
            assert!(matches!(status.unwrap(), 200 | 503));
        }
        let mut read = app.ctx.db.read().await.unwrap();
        let (pending,) = read
            .sql("select count(*) from pending_registration")
            .one::<(i64,)>()
            .await
            .unwrap();
        assert_eq!(pending, 1, "one live registration per address");
        drop(read);
        // Fifty mails are on their way; the last one must be the next one's.
        app.settle().await;
        app.register("ada@example.com").await;
        let mut read = app.ctx.db.read().await.unwrap();
        let (people,) = read.sql("select count(*) from identity").one::<(i64,)>().await.unwrap();
        assert_eq!(people, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_rotated_while_everything_is_used_and_then_retired() {
    App::each(async |app| {
        let mut people = Vec::new();
        for n in 0..5 {
            people.push(app.register(&format!("p{n}@example.com")).await);
        }
        let (ctx, columns) = (&app.ctx, Program::sealed_columns());
        let old = ctx.secrets.keyring().current_id();
        assert!(ctx.secrets.uses(&ctx.db, &columns, &old).await.unwrap() > 0);
        ctx.secrets.keyring().rotate(ctx.clock.now().timestamp());
        let resealing = ctx.secrets.reseal(&ctx.db, &columns);
        let using = async {
            for person in &people {
                let body = json!({ "refresh_token": person.refresh_token });
                app.post("/api/v1/auth/refresh").json(&body).send().await.expect(200);
            }
        };
        let (resealed, ()) = tokio::join!(resealing, using);
        assert!(resealed.unwrap() > 0);
        assert_eq!(ctx.secrets.uses(&ctx.db, &columns, &old).await.unwrap(), 0);
        ctx.secrets.keyring().retire(&old).unwrap();
        // The grace of a refresh opens what was sealed with the old key; so does a sign-in with a new signing key.
        let body = json!({ "refresh_token": people[0].refresh_token });
        app.post("/api/v1/auth/refresh").json(&body).send().await.expect(200);
        app.register("later@example.com").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_storm_does_not_slow_others_and_is_refused_in_the_end() {
    let app =
        App::start_with(json!({ "password": { "memory_kib": 19_456, "iterations": 2, "queue": 4, "workers": 1 } }))
            .await;
    let app = std::sync::Arc::new(app);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let app = std::sync::Arc::clone(&app);
        tasks.spawn(async move {
            let body = json!({ "email": "nobody@example.com", "password": "whatever it is" });
            app.post("/api/v1/auth/login").json(&body).send().await
        });
    }
    // Meanwhile others are answered.
    app.get("/health").send().await.expect(200);
    let mut refused = 0;
    while let Some(answer) = tasks.join_next().await {
        let answer = answer.unwrap();
        assert!(matches!(answer.status, 401 | 503), "{}", answer.text);
        if answer.status == 503 {
            refused += 1;
            assert_eq!(answer.header("retry-after"), "1");
        }
    }
    assert!(refused > 0, "the queue has no end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_never_stand_in_the_database_in_clear() {
    let app = App::start().await;
    let ada = app.register("ada@example.com").await;
    let code_request = json!({ "email": "bob@example.com", "password": "correct horse battery" });
    app.post("/api/v1/auth/register")
        .json(&code_request)
        .send()
        .await
        .expect(200);
    let code = app.code_for("bob@example.com").await;
    let folder = app.ctx.core.data_dir.clone();
    let mut all = std::fs::read(folder.join("polity.db")).unwrap();
    all.extend(std::fs::read(folder.join("polity.db-wal")).unwrap());
    let holds = |text: &str| all.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("ada@example.com"), "the file is not the database");
    for secret in [
        ada.refresh_token.as_str(),
        ada.access_token.as_str(),
        "correct horse battery",
        code.as_str(),
    ] {
        assert!(!holds(secret), "{secret} stands in the database");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_set_up_link_works_once() {
    App::each(async |app| {
        let token = polity_identity::auth::setup_token(&app.ctx)
            .await
            .unwrap()
            .expect("nobody is an administrator yet");
        let page = app
            .get(&format!("/setup?token={}", token.expose()))
            .send()
            .await
            .expect(200);
        assert!(page.text.contains("<form") && page.header("content-security-policy").contains("nonce-"));
        let fields = [
            ("token", token.expose()),
            ("email", "root@example.com"),
            ("password", "a long password"),
            ("name", "Root"),
        ];
        app.post("/setup").form(&fields).send().await.expect(200);
        assert_eq!(
            app.post("/setup").form(&fields).send().await.expect(403).code(),
            "BOOTSTRAP_CLOSED"
        );
        let login = json!({ "email": "root@example.com", "password": "a long password" });
        app.post("/api/v1/auth/admin/login")
            .json(&login)
            .send()
            .await
            .expect(200);
        assert!(polity_identity::auth::setup_token(&app.ctx).await.unwrap().is_none());
    })
    .await;
}

/// The same requests the command line makes of a running server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unserved_program_answers_commands() {
    let folder = polity_testing::temporary_folder();
    let settings = json!({ "environment": "test", "data_dir": folder.path().join("data"), "password": { "memory_kib": 8, "iterations": 1, "parallelism": 1 } });
    let config = polity_kernel::config::Config::load(&polity_server::sections(), None, [], settings).unwrap();
    let program = Program::open(config, polity_server::Options::default()).await.unwrap();
    let before = execute(&program, Request::KeysList).await.unwrap().lines;
    assert!(before.len() == 1 && before[0].contains("current"), "{before:?}");
    execute(&program, Request::KeysRotate).await.unwrap();
    let old = before[0].split(' ').next().unwrap().to_owned();
    let after = execute(&program, Request::KeysList).await.unwrap().lines;
    assert!(
        after
            .iter()
            .any(|line| line.starts_with(&old) && line.contains("may be retired")),
        "{after:?}"
    );
    execute(&program, Request::KeysRetire { key: old }).await.unwrap();
    let copy = folder.path().join("copy");
    execute(
        &program,
        Request::Backup {
            folder: copy.clone(),
            with_keys: false,
        },
    )
    .await
    .unwrap();
    assert!(copy.join("polity.db").exists() && !copy.join("keyring").exists());
    assert!(
        execute(
            &program,
            Request::Backup {
                folder: copy,
                with_keys: false
            }
        )
        .await
        .is_err()
    );
    program.finish().await;
}

fn settings(folder: &std::path::Path) -> polity_kernel::config::Config {
    let settings = json!({ "environment": "test", "data_dir": folder, "password": { "memory_kib": 8 } });
    polity_kernel::config::Config::load(&polity_server::sections(), None, [], settings).unwrap()
}

async fn refused(folder: &std::path::Path) -> String {
    match Program::open(settings(folder), polity_server::Options::default()).await {
        Ok(_) => panic!("the program started"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_cannot_work_says_why() {
    let folder = polity_testing::temporary_folder();
    let data = folder.path().join("data");
    let program = Program::open(settings(&data), polity_server::Options::default())
        .await
        .unwrap();
    assert!(refused(&data).await.contains("another polity is running"));
    let key = program.ctx.secrets.keyring().current_id().to_string();
    program.finish().await;
    drop(program);
    // Another keyring than the one that sealed: the missing key is named.
    std::fs::rename(data.join("keyring"), folder.path().join("kept")).unwrap();
    let missing = refused(&data).await;
    assert!(missing.contains(&key), "{missing} does not name {key}");
    std::fs::write(data.join("keyring"), "nonsense").unwrap();
    assert!(refused(&data).await.contains("keyring"));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_data_folder_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = polity_testing::temporary_folder();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(data.join("probe"), "").is_ok() {
        // Root writes everywhere; the test command runs the tests as somebody else.
        return;
    }
    let said = refused(&data).await;
    assert!(said.contains("cannot be used") && said.contains("data"), "{said}");
}
