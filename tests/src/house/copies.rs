//! Copies of events in JetStream: in order, none missing, none twice, whatever dies.

use std::time::{Duration, Instant};

use async_nats::jetstream::{self, consumer::pull};
use futures::StreamExt as _;
use polity_testing::{
    App, Backend,
    server::{Kind, Server},
};
use serde_json::{Value, json};

/// Everything in the stream, as a reader outside sees it, once there are `count` messages.
async fn read(url: &str, stream: &str, count: usize) -> Vec<(String, Value)> {
    let client = async_nats::connect(url).await.unwrap();
    let jetstream = jetstream::new(client);
    let begun = Instant::now();
    let stream = loop {
        if let Ok(stream) = jetstream.get_stream(stream).await
            && stream.cached_info().state.messages >= count as u64
        {
            break stream;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "the stream stays short of {count}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let total = usize::try_from(stream.cached_info().state.messages).unwrap();
    let consumer = stream.create_consumer(pull::Config::default()).await.unwrap();
    let mut messages = consumer.messages().await.unwrap().take(total);
    let mut all = Vec::new();
    while let Some(message) = messages.next().await {
        let message = message.unwrap();
        message.ack().await.unwrap();
        all.push((
            message.subject.to_string(),
            serde_json::from_slice(&message.payload).unwrap(),
        ));
    }
    all
}

async fn ensure(app: &App, name: &str, count: usize) {
    for n in 0..count {
        let person =
            json!({ "user_id": format!("usr_{name}{n}"), "email": format!("{name}{n}@example.com"), "name": "N" });
        let ensure = app.post("/api/v1/accounts/ensure").service().json(&person);
        ensure.send().await.expect(200);
    }
}

/// The events as the database has them.
async fn published(app: &App) -> Vec<String> {
    app.settle().await;
    let events = app.ctx.events.read_after(&app.ctx.db, 0, &[], 10_000).await.unwrap();
    events.into_iter().map(|event| event.id).collect()
}

fn ids(copies: &[(String, Value)]) -> Vec<String> {
    let id = |(_, event): &(String, Value)| event["id"].as_str().unwrap().to_owned();
    copies.iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_outside_sees_every_event_once_and_in_order() {
    let Some(nats) = Server::start(Kind::Nats) else { return };
    for (backend, stream) in [(Backend::Sqlite, "ON_SQLITE"), (Backend::Postgres, "ON_POSTGRES")] {
        let prefix = stream.to_lowercase();
        let settings = json!({ "nats": { "url": nats.url(), "stream": stream, "prefix": prefix } });
        let Some(app) = App::start_on(backend, settings).await else {
            continue;
        };
        ensure(&app, "a", 25).await;
        let published = published(&app).await;
        let copies = read(&nats.url(), stream, published.len()).await;
        assert_eq!(ids(&copies), published);
        let (subject, first) = &copies[0];
        assert_eq!(*subject, format!("{prefix}.events.account_service.user.created"));
        assert_eq!(
            (&first["specversion"], &first["type"]),
            (&json!("1.0"), &json!("account_service.user.created"))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_for_a_while_delays_and_loses_nothing() {
    let Some(mut nats) = Server::start(Kind::Nats) else {
        return;
    };
    let app = App::start_with(json!({ "nats": { "url": nats.url() } })).await;
    ensure(&app, "before", 5).await;
    read(&nats.url(), "POLITY_EVENTS", 5).await;
    nats.kill();
    ensure(&app, "meanwhile", 5).await;
    let health = app.get("/health").send().await.expect(200);
    assert_eq!(
        (health.text_at("/status"), health.text_at("/dependencies/nats/status")),
        ("degraded", "unhealthy")
    );
    nats.start_again();
    ensure(&app, "after", 5).await;
    // Its own progress never gets there while the server is away, so that `settle` would wait for it as well.
    let copies = read(&nats.url(), "POLITY_EVENTS", 15).await;
    assert_eq!(ids(&copies), published(&app).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_says_where_to_go_on() {
    let Some(nats) = Server::start(Kind::Nats) else { return };
    let settings = json!({ "nats": { "url": nats.url() } });
    let Some(apps) = App::replicas([settings.clone(), settings]).await else {
        return;
    };
    ensure(&apps[0], "a", 20).await;
    read(&nats.url(), "POLITY_EVENTS", 20).await;
    // As if whoever copied had died before remembering: the other takes over with an old progress.
    for app in &apps {
        let mut tx = app.ctx.db.begin().await.unwrap();
        tx.sql("update event_consumer set position = 3 where name = 'nats.copies'")
            .execute()
            .await
            .unwrap();
        tx.sql("delete from lease where name = 'event.copies'")
            .execute()
            .await
            .unwrap();
        tx.commit().await.unwrap();
        ensure(app, &app.address.port().to_string(), 5).await;
    }
    let published = published(&apps[1]).await;
    let copies = read(&nats.url(), "POLITY_EVENTS", published.len()).await;
    assert_eq!(ids(&copies), published);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_emptied_or_belongs_to_somebody_else_is_no_reason_to_skip() {
    let Some(nats) = Server::start(Kind::Nats) else { return };
    let settings = json!({ "nats": { "url": nats.url() } });
    let first = App::start_with(settings.clone()).await;
    ensure(&first, "first", 10).await;
    first.settle().await;
    read(&nats.url(), "POLITY_EVENTS", 10).await;
    let jetstream = jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    jetstream
        .get_stream("POLITY_EVENTS")
        .await
        .unwrap()
        .purge()
        .await
        .unwrap();
    ensure(&first, "second", 3).await;
    assert_eq!(
        ids(&read(&nats.url(), "POLITY_EVENTS", 3).await),
        published(&first).await[10..]
    );
    drop(first);
    // Another database, whose positions begin anew, on the same stream.
    let other = App::start_with(settings).await;
    ensure(&other, "other", 4).await;
    let copies = read(&nats.url(), "POLITY_EVENTS", 7).await;
    assert_eq!(ids(&copies)[3..], published(&other).await);
}
