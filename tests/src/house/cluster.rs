//! Several processes on one database.

use std::time::{Duration, Instant};

use polity_kernel::limit::Rule;
use polity_testing::{
    App,
    server::{Kind, Server},
};
use serde_json::{Value, json};

/// Waits until it is so; fails with `what` after `patience`.
async fn until(what: &str, patience: Duration, is_so: impl AsyncFn() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < patience, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}

fn alike(count: usize, settings: Value) -> Vec<Value> {
    vec![settings; count]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_count_one_another_and_share_the_limits() {
    let Some(mut apps) = App::replicas(alike(3, json!({}))).await else {
        return;
    };
    let counts = async |apps: &[App], expected: u32| {
        for app in apps {
            let health = app.get("/health/detailed").send().await.expect(200);
            if health.body["processes"] != expected {
                return false;
            }
        }
        true
    };
    until("all see three", Duration::from_secs(5), async || counts(&apps, 3).await).await;
    let rule = Rule::per_second("nine", 9);
    assert_eq!(apps[0].ctx.limiter.check(&rule, "a").await.limit, 3);
    // One that leaves says so; the others need not wait until they notice.
    let gone = apps.pop().unwrap();
    gone.ctx.stop.cancel();
    until("two are left", Duration::from_secs(5), async || counts(&apps, 2).await).await;
    assert_eq!(apps[0].ctx.limiter.check(&rule, "b").await.limit, 5);
}

/// Two processes with one job each, that look by themselves only once a minute.
fn sleepy(nats: Option<&str>) -> Vec<Value> {
    let settings = |roles: &str| {
        json!({
            "roles": [roles],
            "events": { "poll_ms": 60_000 },
            "jobs": { "poll_ms": 60_000 },
            "nats": { "url": nats },
        })
    };
    vec![settings("api"), settings("worker")]
}

/// Something that happens in the first process is done in the second one long before it would look by itself.
async fn wakes_travel(apps: &[App]) {
    let root = apps[0].admin().await;
    until("they see one another", Duration::from_secs(5), async || {
        apps.iter().all(|app| app.ctx.cluster.processes() == 2)
    })
    .await;
    // Looks that were due anyway are over.
    apps[0].settle().await;
    let person = json!({ "user_id": "usr_one", "email": "one@example.com", "name": "One" });
    let ensure = apps[0].post("/api/v1/accounts/ensure").service().json(&person);
    ensure.send().await.expect(200);
    let begun = Instant::now();
    apps[0].settle().await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(root);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wake_ups_travel_over_the_database() {
    if let Some(apps) = App::replicas(sleepy(None)).await {
        wakes_travel(&apps).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wake_ups_travel_over_nats() {
    let Some(nats) = Server::start(Kind::Nats) else { return };
    if let Some(apps) = App::replicas(sleepy(Some(&nats.url()))).await {
        until("both are connected", Duration::from_secs(5), async || {
            apps.iter().all(|app| app.ctx.nats.as_ref().unwrap().is_connected())
        })
        .await;
        wakes_travel(&apps).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_is_known_everywhere_within_a_second() {
    let Some(apps) = App::replicas(alike(3, json!({}))).await else {
        return;
    };
    let root = apps[0].admin().await;
    let ask = async |app: &App| {
        let answer = app.get("/api/v1/auth/sessions").bearer(&root.access_token).send().await;
        answer.status
    };
    for app in &apps {
        assert_eq!(ask(app).await, 200);
    }
    apps[0]
        .delete("/api/v1/auth/sessions")
        .bearer(&root.access_token)
        .send()
        .await
        .expect(200);
    let took = until("all refuse", Duration::from_secs(1), async || {
        let mut refused = true;
        for app in &apps {
            refused &= ask(app).await == 401;
        }
        refused
    })
    .await;
    eprintln!("three replicas refuse a revoked token after {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_is_enqueued_once_however_many_processes_follow_the_clock() {
    let Some(apps) = App::replicas(alike(3, json!({}))).await else {
        return;
    };
    let ticks = async || {
        let mut read = apps[0].ctx.db.read().await.unwrap();
        let rows: Vec<(String, i64)> = read
            .sql("select kind, count(*) from job where kind like 'auth.%' group by kind order by kind")
            .all()
            .await
            .unwrap();
        rows
    };
    let enrolled = async || {
        let mut read = apps[0].ctx.db.read().await.unwrap();
        let (count,) = read.sql("select count(*) from cron").one::<(i64,)>().await.unwrap();
        count > 1
    };
    until("the schedules are known", Duration::from_secs(5), enrolled).await;
    apps[0].advance(Duration::from_hours(24 * 40));
    until("they tick", Duration::from_secs(5), async || !ticks().await.is_empty()).await;
    // Time for the other two to do it as well, if they would.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let ticks = ticks().await;
    assert!(ticks.iter().all(|(_, count)| *count == 1), "{ticks:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_in_redis_are_exact_and_outlast_it() {
    let Some(mut redis) = Server::start(Kind::Redis) else {
        return;
    };
    let settings = json!({ "redis": { "url": redis.url() } });
    let Some(apps) = App::replicas(alike(2, settings)).await else {
        return;
    };
    let state = async |expected: &str| {
        let health = apps[0].get("/health").send().await.expect(200);
        health.body["status"] == expected && apps[1].ctx.limiter.redis_is_well() == Some(expected == "healthy")
    };
    until("Redis is there", Duration::from_secs(5), async || {
        state("healthy").await
    })
    .await;
    let rule = Rule::new("hourly", 10, Duration::from_hours(1), 10);
    let mut allowed = 0;
    for n in 0..30 {
        allowed += u32::from(apps[n % 2].ctx.limiter.check(&rule, "a").await.allowed);
    }
    assert_eq!(allowed, 10);
    redis.kill();
    until("it is missed", Duration::from_secs(5), async || state("degraded").await).await;
    let health = apps[0].get("/health").send().await.expect(200);
    assert_eq!(health.body["dependencies"]["redis"]["status"], "unhealthy");
    // Each grants its share of ten.
    until("they see one another", Duration::from_secs(5), async || {
        apps.iter().all(|app| app.ctx.cluster.processes() == 2)
    })
    .await;
    for app in &apps {
        let mut allowed = 0;
        for _ in 0..10 {
            allowed += u32::from(app.ctx.limiter.check(&rule, "b").await.allowed);
        }
        assert_eq!(allowed, 5);
    }
    redis.start_again();
    until("it is back", Duration::from_secs(10), async || {
        apps[0].ctx.limiter.check(&rule, "c").await;
        apps[1].ctx.limiter.check(&rule, "c").await;
        state("healthy").await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_drains_says_so_and_still_answers() {
    App::each(async |app| {
        let answer = app.get("/health/ready").send().await.expect(200);
        assert!(answer.headers.get("connection").is_none());
        app.ctx.draining.cancel();
        let ready = app.get("/health/ready").send().await.expect(503);
        assert_eq!(ready.headers["connection"], "close");
        let health = app.get("/health").send().await.expect(200);
        assert_eq!(health.headers["connection"], "close");
    })
    .await;
}
