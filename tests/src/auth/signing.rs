//! Signing keys, seen from several replicas.

use std::{net::SocketAddr, time::Duration};

use polity_kernel::{http, job::NewJob};
use polity_testing::App;
use serde_json::Value;

use super::{PASSWORD, login, verify_token};

/// Another replica on the same database; returns where it listens.
async fn replica(app: &App) -> SocketAddr {
    let credentials = polity_identity::credential::Credentials::open(&app.ctx).unwrap();
    let mounted = polity_identity::auth::mount(&app.ctx, &credentials).await.unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ctx, router) = (app.ctx.clone(), http::wrap(mounted.router, &app.ctx));
    app.ctx.spawn(async move {
        http::serve(listener, router, ctx.http(), ctx.stop.clone()).await;
    });
    address
}

async fn rotate(app: &App) {
    let mut tx = app.ctx.db.begin().await.unwrap();
    let job = NewJob::new("auth.rotate_signing_key", Value::Null);
    app.ctx.jobs.enqueue(&mut tx, job).await.unwrap();
    tx.commit().await.unwrap();
    app.settle().await;
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over_the_key_that_another_made() {
    App::each(async |mut app| {
        let ada = app.register("ada@example.com").await;
        let (first, second) = (app.address, replica(&app).await);
        rotate(&app).await;
        let new = login(&app, "ada@example.com", PASSWORD).await.expect(200);
        let new = new.text_at("/access_token").to_owned();
        assert_ne!(kid(&new), kid(&ada.access_token));
        app.advance(Duration::from_secs(2));
        app.address = second;
        let set = app.get("/.well-known/jwks.json").send().await.expect(200);
        assert!(set.text.contains(&kid(&new)), "{}", set.text);
        let there = login(&app, "ada@example.com", PASSWORD).await.expect(200);
        assert_eq!(
            kid(there.text_at("/access_token")),
            kid(&new),
            "it signs with the old key"
        );
        for token in [ada.access_token.as_str(), &new] {
            assert_eq!(verify_token(&app, token).await.body["valid"], true);
        }
        app.address = first;
        assert_eq!(
            verify_token(&app, there.text_at("/access_token")).await.body["valid"],
            true
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_key_is_looked_for_and_found() {
    App::each(async |mut app| {
        app.register("ada@example.com").await;
        let second = replica(&app).await;
        rotate(&app).await;
        let new = login(&app, "ada@example.com", PASSWORD).await.expect(200);
        app.advance(Duration::from_secs(2));
        app.address = second;
        assert_eq!(
            verify_token(&app, new.text_at("/access_token")).await.body["valid"],
            true
        );
    })
    .await;
}
