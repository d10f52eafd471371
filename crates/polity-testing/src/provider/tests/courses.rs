//! What became of each grant, as the provider tells it.

use super::*;

#[tokio::test]
async fn first_tokens_may_end_together_and_the_next_have_their_own_life() {
    let world = world(Rotation::Rotating).await;
    world.provider.first_tokens_end_in(Duration::from_secs(100));
    let early = world.provider.grant("early", &["read"]);
    world.provider.advance(Duration::from_mins(1));
    let late = world.provider.grant("late", &["read"]);
    world.provider.advance(Duration::from_secs(39));
    let live = |pair: &Pair| world.provider.is_live(&pair.access);
    assert!(live(&early) && live(&late));
    world.provider.advance(Duration::from_secs(2));
    assert!(!live(&early) && !live(&late));
    let (_, body) = world.refresh(&late.refresh).await;
    assert_eq!(body["expires_in"], 3600);
}

#[tokio::test]
async fn a_grant_is_late_from_the_end_of_its_token_to_the_next() {
    let world = world(Rotation::Rotating).await;
    let in_time = world.provider.grant("in time", &["read"]);
    let late = world.provider.grant("late", &["read"]);
    world.provider.grant("never", &["read"]);
    world.provider.advance(Duration::from_secs(3_500));
    world.pair(&in_time.refresh).await;
    world.provider.advance(Duration::from_secs(110));
    world.pair(&late.refresh).await;
    world.provider.advance(Duration::from_secs(100));
    let courses = world.provider.courses();
    let seconds: Vec<u64> = courses.iter().map(|course| course.late.as_secs()).collect();
    assert_eq!(seconds, [0, 10, 110]);
}

#[tokio::test]
async fn a_course_counts_what_was_done_with_its_own_tokens() {
    let world = world(Rotation::Rotating).await;
    let ada = world.provider.grant("ada", &["read"]);
    let bob = world.provider.grant("bob", &["read"]);
    world.provider.fault(Endpoint::Token, Fault::Status(503));
    assert_eq!(
        world
            .post(
                "/token",
                &[("grant_type", "refresh_token"), ("refresh_token", &ada.refresh)]
            )
            .await
            .unwrap()
            .status(),
        503
    );
    world.pair(&ada.refresh).await;
    world.pair(&bob.refresh).await;
    assert_eq!(world.refresh(&bob.refresh).await, refused("invalid_grant"));
    let courses = world.provider.courses();
    let seen = courses
        .iter()
        .map(|one| (one.account.as_str(), one.calls, one.refreshed, one.reuses, one.is_ended));
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [("ada", 2, 1, 0, false), ("bob", 2, 1, 1, true)]
    );
}
