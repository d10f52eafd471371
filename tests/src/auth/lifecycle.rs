//! What ends, and what is left of it.

use std::time::Duration;

use polity_kernel::job::NewJob;
use polity_testing::App;
use serde_json::{Value, json};

use super::{PASSWORD, login};

async fn run(app: &App, job: &'static str) {
    let mut tx = app.ctx.db.begin().await.unwrap();
    app.ctx
        .jobs
        .enqueue(&mut tx, NewJob::new(job, Value::Null))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    app.settle().await;
}

async fn count(app: &App, sql: &'static str) -> i64 {
    let mut read = app.ctx.db.read().await.unwrap();
    read.sql(sql).one::<(i64,)>().await.unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_person_leaves_no_session_behind() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        login(&app, "ada@example.com", PASSWORD).await.expect(200);
        let erase = format!("/api/v1/accounts/erase/{}", ada.user_id);
        app.post(&erase).service().send().await.expect(200);
        app.settle().await;
        app.advance(Duration::from_hours(31 * 24));
        run(&app, "account.erase_due").await;
        assert_eq!(count(&app, "select count(*) from auth_session").await, 0);
        assert_eq!(count(&app, "select count(*) from refresh_token").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_ended_is_cleaned_up_in_any_number() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let refresh = json!({ "refresh_token": ada.refresh_token });
        app.post("/api/v1/auth/refresh").json(&refresh).send().await.expect(200);
        run(&app, "auth.rotate_signing_key").await;
        let now = app.ctx.clock.now();
        let mut tx = app.ctx.db.begin().await.unwrap();
        let sealed = vec![0_u8];
        tx.sql("insert into identity_mail (id, sealed, created_at) values ('mail_x', $1, $2)")
            .bind(&sealed)
            .bind(&now)
            .execute()
            .await
            .unwrap();
        for one in 0..1_100 {
            tx.sql("insert into login_failure (subject, failures, at) values ($1, 1, $2)")
                .bind(&format!("subject {one}"))
                .bind(&now)
                .execute()
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        run(&app, "auth.clean_up").await;
        assert_eq!(count(&app, "select count(*) from login_failure").await, 1_100);
        assert_eq!(count(&app, "select count(*) from refresh_token").await, 2);
        assert_eq!(count(&app, "select count(*) from signing_key").await, 2);
        app.advance(Duration::from_hours(8 * 24));
        run(&app, "auth.clean_up").await;
        assert_eq!(count(&app, "select count(*) from login_failure").await, 0);
        assert_eq!(count(&app, "select count(*) from refresh_token").await, 0);
        assert_eq!(count(&app, "select count(*) from signing_key").await, 1);
        assert_eq!(count(&app, "select count(*) from identity_mail").await, 0);
        // Whoever asks what happened is told for a while longer.
        assert_eq!(count(&app, "select count(*) from auth_session").await, 1);
        app.advance(Duration::from_hours(30 * 24));
        run(&app, "auth.clean_up").await;
        assert_eq!(count(&app, "select count(*) from auth_session").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_has_so_many_sessions_and_the_oldest_ends() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let mut tx = app.ctx.db.begin().await.unwrap();
        for one in 0..199 {
            tx.sql(
                "insert into auth_session (id, user_id, scope, provider, permissions, metadata, ip, user_agent, created_at,
                                           last_activity, expires_at)
                 select $1, user_id, scope, provider, permissions, metadata, ip, user_agent, $2, $2, expires_at
                 from auth_session
                 where id like 'ses_%'",
            )
            .bind(&format!("other_{one}"))
            .bind(&(app.ctx.clock.now() + Duration::from_secs(1)))
            .execute()
            .await
            .unwrap();
        }
        tx.commit().await.unwrap();
        let list = |token: &str| app.get("/api/v1/auth/sessions").bearer(token).send();
        assert_eq!(list(&ada.access_token).await.expect(200).body["total"], 200);
        app.advance(Duration::from_secs(2));
        let new = login(&app, "ada@example.com", PASSWORD).await.expect(200);
        list(&ada.access_token).await.expect(401);
        assert_eq!(list(new.text_at("/access_token")).await.expect(200).body["total"], 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_gets_so_many_resets_an_hour() {
    App::each(async |app| {
        app.register("ada@example.com").await;
        let ask = async || {
            let body = json!({ "email": "ada@example.com" });
            let ask = app.post("/api/v1/auth/password/reset").json(&body).send();
            let answer = ask.await.expect(200);
            app.settle().await;
            answer
        };
        let mails = || app.ctx.mail.captured().len();
        let (before, first) = (mails(), ask().await);
        for _ in 0..8 {
            assert_eq!(ask().await.body, first.body);
        }
        assert_eq!(mails() - before, 5);
        app.advance(Duration::from_hours(1));
        ask().await;
        assert_eq!(mails() - before, 6);
    })
    .await;
}
