//! Every fault, as a caller meets it, and what was done all the same.

use super::*;

/// A provider that rotates, with a grant and that fault before its refresh.
async fn with(fault: Fault) -> (World, Pair) {
    let world = world(Rotation::Rotating).await;
    let pair = world.provider.grant("ada", &["read", "write"]);
    world.provider.fault(Endpoint::Token, fault);
    (world, pair)
}

#[tokio::test]
async fn some_do_nothing() {
    for fault in [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Status(502),
        Fault::TooMany("7".to_owned()),
        Fault::Error("invalid_client".to_owned()),
        Fault::DropBefore,
    ] {
        let (world, pair) = with(fault.clone()).await;
        let form = [("grant_type", "refresh_token"), ("refresh_token", &pair.refresh)];
        let answer = world.post("/token", &form).await;
        match (&fault, answer) {
            (Fault::DropBefore, answer) => assert!(answer.is_err()),
            (Fault::Status(status), answer) => assert_eq!(answer.unwrap().status(), *status),
            (Fault::TooMany(time), answer) => assert_eq!(answer.unwrap().headers()["retry-after"], time),
            (_, answer) => assert_eq!(answer.unwrap().status(), 401),
        }
        assert_eq!(
            (world.provider.refreshed(), world.provider.refresh_calls(&pair.refresh)),
            (0, 1)
        );
        world.pair(&pair.refresh).await;
        assert_eq!((world.provider.reuses(), world.provider.calls(Endpoint::Token)), (0, 2));
    }
}

#[tokio::test]
async fn some_do_it_and_do_not_say_so() {
    for fault in [
        Fault::DropAfter,
        Fault::StatusAfter(504),
        Fault::WrongJson,
        Fault::Html,
        Fault::Huge,
    ] {
        let (world, pair) = with(fault.clone()).await;
        let form = [("grant_type", "refresh_token"), ("refresh_token", &pair.refresh)];
        let answer = world.post("/token", &form).await;
        match (&fault, answer) {
            (Fault::DropAfter, answer) => assert!(answer.is_err()),
            (Fault::StatusAfter(status), answer) => assert_eq!(answer.unwrap().status(), *status),
            (Fault::Huge, answer) => assert!(answer.unwrap().bytes().await.unwrap().len() > 10_000_000),
            (_, answer) => {
                let answer = answer.unwrap();
                assert_eq!(answer.status(), 200);
                assert!(answer.json::<Value>().await.is_err());
            }
        }
        assert_eq!(world.provider.refreshed(), 1, "{fault:?}");
        assert_eq!(world.refresh(&pair.refresh).await, refused("invalid_grant"));
        assert_eq!(world.provider.reuses(), 1);
    }
}

#[tokio::test]
async fn late_calls_are_done_though_nobody_waits() {
    let (world, pair) = with(Fault::Late(Duration::from_secs(1))).await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", &pair.refresh)];
    let impatient = tokio::time::timeout(Duration::from_millis(50), world.post("/token", &form)).await;
    assert!(impatient.is_err() && world.provider.is_current(&pair.refresh));
    while world.provider.refreshed() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world
        .provider
        .fault(Endpoint::Api, Fault::Slow(Duration::from_millis(40)));
    let begun = Instant::now();
    assert_eq!(world.get("/api/x", &pair.access).await.status(), 200);
    assert!(begun.elapsed() >= Duration::from_millis(40));
}

#[tokio::test]
async fn answers_can_be_told_wrong() {
    for (fault, field, value) in [
        (Fault::WithoutExpiry, "expires_in", None),
        (Fault::ExpiresIn(-5), "expires_in", Some(json!(-5))),
        (Fault::ExpiresIn(i64::MAX), "expires_in", Some(json!(i64::MAX))),
        (Fault::Scope("read".to_owned()), "scope", Some(json!("read"))),
        (Fault::TokenType("mac".to_owned()), "token_type", Some(json!("mac"))),
        (Fault::NoNewRefresh, "refresh_token", None),
    ] {
        let (world, pair) = with(fault.clone()).await;
        let (status, body) = world.refresh(&pair.refresh).await;
        assert_eq!((status, body.get(field)), (200, value.as_ref()), "{fault:?}");
        assert!(!world.provider.is_current(&pair.refresh));
    }
}

#[tokio::test]
async fn a_pair_can_be_old_when_it_comes() {
    let (world, pair) = with(Fault::RotatedTwice).await;
    let second = world.pair(&pair.refresh).await;
    assert!(world.provider.is_live(&second.access) && !world.provider.is_current(&second.refresh));
    assert_eq!(world.refresh(&second.refresh).await, refused("invalid_grant"));
    assert_eq!(world.provider.reuses(), 1);
    let (world, pair) = with(Fault::Revoked).await;
    assert_eq!(world.refresh(&pair.refresh).await, refused("invalid_grant"));
    assert_eq!((world.provider.reuses(), world.provider.grants_ended()), (0, 1));
}

#[tokio::test]
async fn faults_wait_for_their_endpoint() {
    let world = world(Rotation::Rotating).await;
    let pair = world.provider.grant("ada", &["read"]);
    world.provider.fault(Endpoint::Authorize, Fault::Denied);
    world.provider.fault(Endpoint::Userinfo, Fault::Status(500));
    world.provider.fault(Endpoint::Userinfo, Fault::Html);
    world.pair(&pair.refresh).await;
    assert_eq!(world.provider.faults_left(Endpoint::Userinfo), 2);
    assert_eq!(
        world.authorize(&[("state", "s")]).await,
        HashMap::from([
            ("error".to_owned(), "access_denied".to_owned()),
            ("state".to_owned(), "s".to_owned()),
        ])
    );
    assert!(world.authorize(&[]).await.contains_key("code"));
    assert_eq!(world.get("/userinfo", &pair.access).await.status(), 500);
    assert!(
        world
            .get("/userinfo", &pair.access)
            .await
            .json::<Value>()
            .await
            .is_err()
    );
    assert_eq!(world.get("/userinfo", &pair.access).await.status(), 200);
}

#[tokio::test]
async fn it_holds_many_grants_and_ends_with_its_handle() {
    let world = world(Rotation::Rotating).await;
    let grants: Vec<Pair> = (0..10_000)
        .map(|n| world.provider.grant(&format!("u{n}"), &["read"]))
        .collect();
    let refreshes = grants.iter().step_by(50).map(|pair| world.pair(&pair.refresh));
    let pairs = futures::future::join_all(refreshes).await;
    assert_eq!((world.provider.grants(), world.provider.refreshed()), (10_000, 200));
    assert!(world.provider.repeated().is_empty() && pairs.iter().all(|pair| world.provider.is_live(&pair.access)));
    let World { provider, http } = world;
    let url = format!("{}/api/x", provider.url());
    drop(provider);
    while http.get(&url).send().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
