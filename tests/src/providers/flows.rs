//! What goes right: sign-in, refreshes, devices, taking back.

use std::time::Duration;

use futures::future::join_all;
use polity_grants::{
    client::DevicePoll,
    connect::ConnectError,
    failure::Failure,
    manager::{Error, Event, NewGrant},
    store::Store as _,
};
use polity_testing::provider::{Endpoint, Rotation};

use super::world::{BACK, WINDOW, World, is_reauthorize, tokens};

#[tokio::test]
async fn a_sign_in_brings_a_grant_that_works() {
    let world = World::new(Rotation::Rotating).await;
    let stand = &world.stand;
    world.provider.sign_in_as("ada");
    let exchanged = stand.sign_in(&["read"]).await.unwrap();
    let sent = world.provider.last_call(Endpoint::Authorize);
    assert_eq!(
        (sent["code_challenge_method"].as_str(), sent["scope"].as_str()),
        ("S256", "read")
    );
    let account = stand.client.account(&stand.app, &exchanged).await.unwrap();
    assert_eq!((account.id.as_str(), account.name.as_deref()), ("ada", Some("ADA")));
    assert_eq!(account.email.as_deref(), Some("ada@example.com"));
    assert_eq!(exchanged.answer["scope"], "read");
    let kept = exchanged.answer.to_string();
    assert!(!kept.contains(exchanged.tokens.access.expose()), "{kept}");
    stand.manager.reconnect("g", &exchanged.tokens).await.unwrap();
    assert_eq!(world.works().await.scopes, ["read"]);
    stand.pass(3600);
    assert_ne!(world.works().await.access, exchanged.tokens.access);
}

#[tokio::test]
async fn a_code_that_comes_again_ends_its_tokens() {
    let world = World::new(Rotation::Rotating).await;
    let (client, app) = (&world.stand.client, &world.stand.app);
    let (url, mut begun) = client.authorize(app, BACK, &[]).unwrap();
    let back = world.stand.browser.follow(url.expose(), BACK).await;
    assert_eq!(back["state"], begun.state.expose());
    let code = back["code"].as_str().into();
    let verifier = begun.verifier.replace("x".repeat(43).as_str().into());
    assert!(
        is_reauthorize(&client.exchange(app, &code, &begun).await),
        "another verifier"
    );
    begun.verifier = verifier;
    let tokens = client.exchange(app, &code, &begun).await.unwrap().tokens;
    assert!(world.provider.is_live(tokens.access.expose()));
    assert!(is_reauthorize(&client.exchange(app, &code, &begun).await));
    assert!(!world.provider.is_live(tokens.access.expose()));
}

#[tokio::test]
async fn an_owner_who_refuses_comes_back_without_a_code() {
    let world = World::new(Rotation::Rotating).await;
    world
        .provider
        .fault(Endpoint::Authorize, polity_testing::provider::Fault::Denied);
    let (url, begun) = world.stand.client.authorize(&world.stand.app, BACK, &[]).unwrap();
    let back = world.stand.browser.follow(url.expose(), BACK).await;
    assert_eq!(
        (back["error"].as_str(), back["state"].as_str()),
        ("access_denied", begun.state.expose())
    );
    world
        .provider
        .fault(Endpoint::Token, polity_testing::provider::Fault::Html);
    let lost = world.stand.sign_in(&[]).await;
    assert!(
        matches!(lost, Err(ConnectError::Failure(Failure::Unknown { .. }))),
        "{lost:?}"
    );
}

#[tokio::test]
async fn fifty_refreshes_use_each_token_once() {
    for rotation in [Rotation::Rotating, WINDOW] {
        let world = World::new(rotation).await;
        for _ in 0..50 {
            let callers = join_all((0..20).map(|_| world.stand.token())).await;
            assert!(callers.iter().all(Result::is_ok), "{callers:?}");
            world.works().await;
            world.stand.pass(3600);
        }
        assert_eq!(
            (world.provider.refreshed(), world.provider.calls(Endpoint::Token)),
            (50, 50)
        );
        assert!(world.provider.repeated().is_empty());
        assert_eq!((world.provider.reuses(), world.provider.replays()), (0, 0));
    }
}

#[tokio::test]
async fn a_stable_token_is_kept() {
    let world = World::new(Rotation::Stable).await;
    for n in 1..=10 {
        world.works().await;
        assert_eq!(world.first_calls(), n);
        world.stand.pass(3600);
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let world = World::new(Rotation::Rotating).await;
    let token = world.works().await;
    world.provider.end_access(token.access.expose());
    world.stand.pass(60);
    let fresh = world.stand.manager.refused("g", token.version).await.unwrap();
    assert_ne!(fresh.access, token.access);
    assert_eq!(world.works().await.access, fresh.access);
    // Who comes with the old version finds that it was replaced already.
    world.stand.manager.refused("g", token.version).await.unwrap();
    assert_eq!(world.provider.refreshed(), 2);
}

#[tokio::test]
async fn what_is_taken_back_is_taken_back_there() {
    let world = World::new(Rotation::Rotating).await;
    let token = world.works().await;
    assert_eq!(world.stand.manager.disconnect("g").await.unwrap().provider, Ok(true));
    assert_eq!(world.provider.taken_back().len(), 1);
    assert!(world.provider.is_ended(&world.provider.taken_back()[0]));
    assert!(!world.provider.is_live(token.access.expose()));
    assert_eq!(world.stand.token().await, Err(Error::Revoked));
    assert!(world.stand.events().contains(&Event::Revoked { grant: "g".to_owned() }));
    assert_eq!(world.provider.calls(Endpoint::Token), 1);
}

#[tokio::test]
async fn two_hundred_are_refreshed_in_time() {
    let world = World::new(Rotation::Rotating).await;
    for n in 0..200 {
        let new = NewGrant {
            id: format!("n{n}"),
            provider: "double".to_owned(),
            owner: "owner".to_owned(),
            account: None,
        };
        let pair = world.provider.grant("ada", &["read"]);
        world.stand.manager.connect(new, &tokens(&pair)).await.unwrap();
    }
    world.stand.pass(3600);
    let report = world.stand.manager.refresh_due(500, 32, Duration::ZERO).await.unwrap();
    assert_eq!((report.refreshed, report.ended, report.later), (201, 0, 0));
    assert_eq!((world.provider.refreshed(), world.provider.repeated().len()), (201, 0));
    assert!(world.stand.store.due(0, 500).await.unwrap().is_empty());
}

#[tokio::test]
async fn devices_and_clients_get_tokens() {
    let world = World::new(Rotation::Rotating).await;
    let (client, app) = (&world.stand.client, &world.stand.app);
    let own = client.client_credentials(app, &["read".to_owned()]).await.unwrap();
    assert_eq!((own.refresh, own.scopes), (None, vec!["read".to_owned()]));
    let mut code = client.device_start(app, &["read".to_owned()]).await.unwrap();
    let poll = client.device_poll(app, &mut code).await;
    assert!(matches!(poll, Ok(DevicePoll::Pending)));
    assert!(matches!(
        client.device_poll(app, &mut code).await,
        Ok(DevicePoll::Pending)
    ));
    assert_eq!(code.interval, 10_000, "it polled too early");
    world.provider.decide_device(code.user_code.expose(), Some("ada"));
    let Ok(DevicePoll::Done(tokens)) = client.device_poll(app, &mut code).await else {
        panic!("the owner agreed");
    };
    world.stand.manager.reconnect("g", &tokens).await.unwrap();
    world.works().await;
    let mut code = client.device_start(app, &[]).await.unwrap();
    world.provider.decide_device(code.user_code.expose(), None);
    let refused = client.device_poll(app, &mut code).await;
    assert!(
        matches!(&refused, Err(Failure::Reauthorize { reason }) if reason == "access_denied"),
        "{refused:?}"
    );
}
