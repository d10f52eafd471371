//! Answers that bring tokens, and say something odd about them.

use std::time::Duration;

use polity_grants::{failure::Failure, manager::Error};
use polity_testing::provider::{Endpoint, Fault, Rotation};

use super::world::{BEGIN, World};

const NOW: i64 = BEGIN + 3_600_000;

#[tokio::test]
async fn an_odd_expiry_is_not_believed() {
    for (fault, more, expected) in [
        (Fault::WithoutExpiry, "", None),
        (Fault::WithoutExpiry, "default_expiry = 600", Some(NOW + 600_000)),
        (Fault::ExpiresIn(-5), "", None),
        (Fault::ExpiresIn(-5), "default_expiry = 600", Some(NOW + 600_000)),
        (Fault::ExpiresIn(i64::MAX), "", Some(NOW + 315_360_000_000)),
    ] {
        let world = World::with(Rotation::Rotating, more, Duration::from_secs(10)).await;
        world.provider.fault(Endpoint::Token, fault.clone());
        assert_eq!(world.works().await.expires_at, expected, "{fault:?}");
    }
}

/// A token that ends at once is used for what it is, and asked for again, once for each use.
#[tokio::test]
async fn a_token_that_is_over_at_once_is_refreshed_again() {
    let world = World::failing(Rotation::Rotating, Fault::ExpiresIn(0)).await;
    let _ = world.stand.token().await;
    world.stand.pass(1);
    world.works().await;
    assert_eq!((world.provider.refreshed(), world.provider.repeated().len()), (2, 0));
}

#[tokio::test]
async fn fewer_scopes_are_what_there_is() {
    let world = World::failing(Rotation::Rotating, Fault::Scope("read".to_owned())).await;
    assert_eq!(world.works().await.scopes, ["read"]);
    assert_eq!(world.stand.grant().await.scopes, ["read"]);
}

/// A token of another type is not handed out, and its refresh token is not lost.
#[tokio::test]
async fn another_type_is_not_used() {
    let world = World::failing(Rotation::Rotating, Fault::TokenType("mac".to_owned())).await;
    let refused = world.stand.token().await;
    assert!(matches!(refused, Err(Error::Misconfigured(_))), "{refused:?}");
    world.stand.pass(3600);
    world.works().await;
    assert_eq!((world.provider.refreshed(), world.provider.reuses()), (2, 0));
}

#[tokio::test]
async fn who_it_is_may_fail_as_well() {
    let world = World::new(Rotation::Rotating).await;
    let (client, app) = (&world.stand.client, &world.stand.app);
    let exchanged = world.stand.sign_in(&["read"]).await.unwrap();
    for (fault, expected) in [
        (Fault::Status(503), "transient"),
        (Fault::Html, "unknown"),
        (Fault::DropBefore, "unknown"),
        (Fault::Huge, "unknown"),
        (Fault::Status(403), "misconfigured"),
    ] {
        world.provider.fault(Endpoint::Userinfo, fault.clone());
        let found = match client.account(app, &exchanged).await.unwrap_err() {
            Failure::Transient { .. } => "transient",
            Failure::Reauthorize { .. } => "reauthorize",
            Failure::Misconfigured { .. } => "misconfigured",
            Failure::Unknown { .. } => "unknown",
        };
        assert_eq!(found, expected, "{fault:?}");
    }
    client.account(app, &exchanged).await.unwrap();
}
