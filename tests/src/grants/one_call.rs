//! Many callers, one call at the provider; and who is told that a grant ended.

use std::time::{Duration, Instant};

use futures::future::join_all;
use polity_grants::{
    grant::Status,
    manager::{Error, Token},
    store::Store as _,
};
use polity_testing::App;

use super::{connect_ended, double::Double, found, new_grant, open_unwatched, settings, tokens};

fn access(result: &Result<Token, Error>) -> &str {
    result.as_ref().map_or("none", |token| token.access.expose())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_refresh_once() {
    App::each_with(settings(), async |app| {
        let double = Double::start(false);
        let grants = open_unwatched(&app, &double);
        connect_ended(&app, &grants, &["g".to_owned()]).await;
        let calls = join_all((0..1_000).map(|_| grants.manager().token("g"))).await;
        assert!(calls.iter().all(|result| access(result) == "a-g-1"));
        assert_eq!((double.calls(), double.reuses()), (1, 0));
        let calls = join_all((0..1_000).map(|_| grants.manager().refused("g", 1))).await;
        assert!(
            calls.iter().all(|result| access(result) == "a-g-1"),
            "a newer one is there"
        );
        assert_eq!(double.calls(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_refresh_once() {
    let Some(apps) = App::replicas([settings(), settings()]).await else {
        return;
    };
    let double = Double::start(false);
    double.slow(Duration::from_millis(300));
    let both = [open_unwatched(&apps[0], &double), open_unwatched(&apps[1], &double)];
    connect_ended(&apps[0], &both[0], &["g".to_owned()]).await;
    let begun = Instant::now();
    let calls = join_all((0..1_000).map(|n| both[n % 2].manager().token("g"))).await;
    println!(
        "1,000 callers in two processes, the provider takes 300 ms: {:?}",
        begun.elapsed()
    );
    assert!(
        calls.iter().all(|result| access(result) == "a-g-1"),
        "{:?}",
        calls.first()
    );
    assert_eq!((double.calls(), double.reuses()), (1, 0));
    apps[0].advance(Duration::from_mins(2));
    let version = found(&both[0], "g").await.version;
    let calls = join_all((0..1_000).map(|n| both[n % 2].manager().refused("g", version))).await;
    assert!(
        calls.iter().all(|result| access(result) == "a-g-2"),
        "{:?}",
        calls.first()
    );
    assert_eq!((double.calls(), double.reuses()), (2, 0));
}

/// The fake clock stands still: what is remembered ends only by being told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_in_one_process_ends_in_all_within_a_second() {
    let Some(apps) = App::replicas([settings(), settings()]).await else {
        return;
    };
    let double = Double::start(false);
    let both = [open_unwatched(&apps[0], &double), open_unwatched(&apps[1], &double)];
    let mut worst = Duration::ZERO;
    for round in 0..10 {
        let id = format!("g{round}");
        let lasting = tokens(&apps[0], &id, 3_600);
        both[0].manager().connect(new_grant(&id), &lasting).await.unwrap();
        let (here, there) = (both[round % 2].manager(), both[(round + 1) % 2].manager());
        here.token(&id).await.unwrap();
        there.token(&id).await.unwrap();
        let begun = Instant::now();
        match round % 3 {
            0 => drop(here.disconnect(&id).await.unwrap()),
            1 => here.reconnect(&id, &tokens(&apps[0], "new", 3_600)).await.unwrap(),
            _ => {
                let mut change = |grant: &mut polity_grants::grant::Grant, _| {
                    grant.expire("over".to_owned());
                    true
                };
                both[0].store().update(&id, &mut change).await.unwrap();
            }
        }
        for manager in [here, there] {
            while access(&manager.token(&id).await) == format!("a-{id}-0") {
                assert!(begun.elapsed() < Duration::from_secs(3), "it is still handed out");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        worst = worst.max(begun.elapsed());
    }
    assert!(worst < Duration::from_secs(1), "{worst:?}");
    println!("a grant that ended is used nowhere after {worst:?} at most");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_the_callers_to_keep() {
    App::each_with(settings(), async |app| {
        let double = Double::start(false);
        let grants = open_unwatched(&app, &double);
        let (manager, store) = (grants.manager(), grants.store());
        let now = app.clock.now().timestamp_millis();
        let grant = manager.prepare(new_grant("g"), &tokens(&app, "g", 3_600), now);
        for keep in [false, true] {
            let mut tx = app.ctx.db.begin().await.unwrap();
            store.insert_in(&mut tx, &grant).await.unwrap();
            assert_eq!(store.get_in(&mut tx, "g").await.unwrap().as_ref(), Some(&grant));
            if keep {
                tx.commit().await.unwrap();
            } else {
                tx.rollback().await.unwrap();
                assert_eq!(store.get("g").await.unwrap(), None);
            }
        }
        let renewal = manager.renewal("g", &tokens(&app, "new", 3_600));
        for keep in [false, true] {
            let mut tx = app.ctx.db.begin().await.unwrap();
            let mut change = |grant: &mut polity_grants::grant::Grant, now| renewal.apply(grant, now);
            assert_eq!(store.update_in(&mut tx, "g", &mut change).await.unwrap(), Some(true));
            if keep {
                tx.commit().await.unwrap();
            }
            manager.forget("g");
        }
        assert_eq!(found(&grants, "g").await.version, 2);
        assert_eq!(access(&manager.token("g").await), "a-new-0");
        let mut tx = app.ctx.db.begin().await.unwrap();
        let mut gone = |_: &mut polity_grants::grant::Grant, _| true;
        assert_eq!(store.update_in(&mut tx, "other", &mut gone).await.unwrap(), None);
        assert!(store.remove_in(&mut tx, "g").await.unwrap() && !store.remove_in(&mut tx, "g").await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(manager.token("g").await, Err(Error::NotFound));
    })
    .await;
}

/// A provider may say what PostgreSQL does not store, and times beyond all calendars.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_answers_are_stored() {
    App::each_with(settings(), async |app| {
        let grants = open_unwatched(&app, &Double::start(false));
        let mut odd = tokens(&app, "g", 3_600);
        odd.scopes = vec!["re\0ad".to_owned(), "schön 🙂".to_owned()];
        odd.expires_at = Some(i64::MAX);
        grants.manager().connect(new_grant("g"), &odd).await.unwrap();
        let grant = found(&grants, "g").await;
        assert_eq!(grant.scopes, ["read", "schön 🙂"]);
        assert_eq!(grant.status, Status::Active);
        assert!(grant.next_refresh_at.is_some());
        assert!(grants.manager().token("g").await.is_ok());
    })
    .await;
}
