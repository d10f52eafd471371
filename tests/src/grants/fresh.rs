//! Refreshing in time, in the background.

use std::time::{Duration, Instant};

use polity_grants::store::{Pending, Store as _};
use polity_integrations::grants::{Grants, keep_fresh, prune};
use polity_testing::App;

use super::{connect_ended, double::Double, open_unwatched, settings};

async fn until_fresh(app: &App, grants: &Grants, patience: Duration) -> Duration {
    let begun = Instant::now();
    loop {
        let mut read = app.ctx.db.read().await.unwrap();
        let (old,) = read
            .sql("select count(*) from integration_grant where expires_at <= $1")
            .bind(&app.clock.now())
            .one::<(i64,)>()
            .await
            .unwrap();
        drop(read);
        if old == 0 && grants.store().due(0, 1).await.unwrap().is_empty() {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < patience, "{old} are not refreshed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_is_refreshed_and_goes_on_when_a_provider_is_slow() {
    App::each_with(settings(), async |app| {
        let double = Double::start(false);
        let grants = open_unwatched(&app, &double);
        let ids: Vec<String> = (0..500).map(|n| format!("g{n:03}")).collect();
        connect_ended(&app, &grants, &ids).await;
        app.ctx.spawn(keep_fresh(grants.clone()));
        let took = until_fresh(&app, &grants, Duration::from_secs(30)).await;
        println!("500 grants refreshed in {took:?}");
        assert_eq!((double.calls(), double.reuses()), (500, 0));
        app.advance(Duration::from_hours(2));
        until_fresh(&app, &grants, Duration::from_secs(30)).await;
        assert_eq!((double.calls(), double.reuses()), (1_000, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_takes_over() {
    let Some(apps) = App::replicas([settings(), settings()]).await else {
        return;
    };
    let double = Double::start(false);
    let both = [open_unwatched(&apps[0], &double), open_unwatched(&apps[1], &double)];
    let ids: Vec<String> = (0..60).map(|n| format!("g{n:02}")).collect();
    connect_ended(&apps[0], &both[0], &ids).await;
    for (app, grants) in apps.iter().zip(&both) {
        app.ctx.spawn(keep_fresh(grants.clone()));
    }
    until_fresh(&apps[0], &both[0], Duration::from_secs(30)).await;
    // One stops.
    apps[0].ctx.stop.cancel();
    apps[1].advance(Duration::from_hours(2));
    until_fresh(&apps[1], &both[1], Duration::from_secs(30)).await;
    assert_eq!((double.calls(), double.reuses()), (120, 0));
}

/// Of a process that was killed, what it had not begun is refreshed at once, and not when something of it runs out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_process_that_was_killed() {
    App::each_with(settings(), async |app| {
        let double = Double::start(false);
        let grants = open_unwatched(&app, &double);
        connect_ended(&app, &grants, &["g".to_owned()]).await;
        let mut tx = app.ctx.db.begin().await.unwrap();
        for name in ["grants.fresh", "grants.prune"] {
            tx.sql(
                "insert into lease (name, owner, until) values ($1, 'prc_dead', $2)
                 on conflict (name) do update set owner = excluded.owner, until = excluded.until",
            )
            .bind(name)
            .bind(&(app.clock.now() + Duration::from_hours(1)))
            .execute()
            .await
            .unwrap();
        }
        tx.commit().await.unwrap();
        app.ctx.spawn(keep_fresh(grants.clone()));
        until_fresh(&app, &grants, Duration::from_secs(5)).await;
        assert_eq!((double.calls(), double.reuses()), (1, 0));
    })
    .await;
}

/// Both believe that it is theirs to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once_do_not_slow_one_another() {
    let Some(apps) = App::replicas([settings(), settings()]).await else {
        return;
    };
    let double = Double::start(false);
    double.slow(Duration::from_millis(100));
    let both = [open_unwatched(&apps[0], &double), open_unwatched(&apps[1], &double)];
    let ids: Vec<String> = (0..200).map(|n| format!("g{n:03}")).collect();
    connect_ended(&apps[0], &both[0], &ids).await;
    let begun = Instant::now();
    let run = |grants: &Grants| {
        let manager = grants.manager().clone();
        async move { manager.refresh_due(500, 16, Duration::ZERO).await.unwrap() }
    };
    let (one, other) = tokio::join!(run(&both[0]), run(&both[1]));
    println!(
        "200 grants, two processes, 100 ms a call: {:?} {one:?} {other:?}",
        begun.elapsed()
    );
    assert_eq!((double.calls(), double.reuses()), (200, 0));
    // One alone takes more than 1.25 s.
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ended_is_deleted() {
    App::each_with(settings(), async |app| {
        let grants = open_unwatched(&app, &Double::start(false));
        connect_ended(&app, &grants, &["a".to_owned(), "b".to_owned()]).await;
        grants.store().revoke("a").await.unwrap();
        for (key, life) in [("old", 1_000), ("new", i64::from(u32::MAX))] {
            let pending = Pending {
                key: key.to_owned(),
                browser: "b".to_owned(),
                sealed: vec![1],
            };
            grants.store().put_state(pending, life).await.unwrap();
        }
        let left = async || {
            let mut read = app.ctx.db.read().await.unwrap();
            read.sql(
                "select (select count(*) from integration_grant), (select count(*) from integration_pending_authorization)",
            )
            .one::<(i64, i64)>()
            .await
            .unwrap()
        };
        app.advance(Duration::from_hours(24));
        prune(&grants).await.unwrap();
        assert_eq!(left().await, (2, 1));
        app.advance(Duration::from_hours(24 * 30));
        prune(&grants).await.unwrap();
        assert_eq!(left().await, (1, 1));
    })
    .await;
}
