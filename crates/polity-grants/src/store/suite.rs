//! What every store has to do, as one suite. It fails by panicking, or with the store's error.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;

use super::{Pending, Store, StoreError, sample};
use crate::{
    clock::Millis,
    grant::{Claim, Outcome, Status},
};

/// A lease that runs out within a test.
const SHORT: Millis = 150;
/// A lease that does not.
const LONG: Millis = 60_000;

/// A store under test.
#[async_trait::async_trait]
pub trait Subject: Send + Sync {
    /// A process's own handle on the store. All handles show the same rows; those of a durable store were opened anew,
    /// so that what one sees of another has survived a restart.
    async fn open(&self) -> Arc<dyn Store>;

    /// Lets time pass in the store.
    async fn pass(&self, time: Duration);
}

/// Runs everything. The store must be empty.
pub async fn run(subject: &dyn Subject) -> Result<(), StoreError> {
    rows(subject).await?;
    claims(subject).await?;
    leases(subject).await?;
    races(subject).await?;
    endings(subject).await?;
    due(subject).await?;
    keys(subject).await?;
    states(subject).await
}

fn tokens(sealed: u8) -> Outcome {
    Outcome::Tokens {
        sealed: vec![sealed],
        scopes: vec!["a".to_owned()],
        expires_at: Some(5),
        refresh_in: Some(LONG),
    }
}

fn fence(claim: &Claim) -> i64 {
    match claim {
        Claim::Fresh { fence } | Claim::Recover { fence, .. } => *fence,
        _ => -1,
    }
}

async fn rows(subject: &dyn Subject) -> Result<(), StoreError> {
    let (one, two) = (subject.open().await, subject.open().await);
    one.insert(sample("rows")).await?;
    assert_eq!(two.insert(sample("rows")).await, Err(StoreError::Exists));
    assert_eq!(two.get("rows").await?, Some(sample("rows")));
    assert_eq!(two.get("nothing").await?, None);
    assert_eq!(two.update("nothing", &mut |_, _| true).await?, None);
    assert_eq!(
        two.update("rows", &mut |grant, _| {
            grant.owner.clear();
            false
        })
        .await?,
        Some(false)
    );
    assert_eq!(
        one.get("rows").await?.map(|grant| grant.owner),
        Some("owner".to_owned())
    );
    for odd in ["../rows", "a/b", "", "Ünï ✓", "con", ".", "{x}"] {
        two.insert(sample(odd)).await?;
        assert_eq!(one.get(odd).await?.map(|grant| grant.id), Some(odd.to_owned()));
        assert!(one.remove(odd).await? && !two.remove(odd).await?, "{odd}");
    }
    assert!(one.remove("rows").await?);
    Ok(())
}

async fn claims(subject: &dyn Subject) -> Result<(), StoreError> {
    let (one, two) = (subject.open().await, subject.open().await);
    one.insert(sample("claims")).await?;
    assert_eq!(one.claim("nothing", 1, "p", LONG).await?, Claim::Gone);
    assert_eq!(one.claim("claims", 9, "p", LONG).await?, Claim::Changed);
    let claim = one.claim("claims", 1, "p", LONG).await?;
    assert!(matches!(claim, Claim::Fresh { .. }), "{claim:?}");
    assert!(matches!(two.claim("claims", 1, "q", LONG).await?, Claim::Busy { .. }));
    assert!(!two.record("claims", fence(&claim) + 1, tokens(3)).await?);
    // It holds for a handle that did not make the claim: a process may have started again meanwhile.
    assert!(two.record("claims", fence(&claim), tokens(2)).await?);
    assert!(
        !one.record("claims", fence(&claim), tokens(3)).await?,
        "an outcome is recorded once"
    );
    let grant = one.get("claims").await?.unwrap_or_else(|| sample("gone"));
    assert_eq!((grant.version, grant.sealed, grant.intent), (2, Some(vec![2]), None));
    assert!(one.remove("claims").await?);
    Ok(())
}

async fn leases(subject: &dyn Subject) -> Result<(), StoreError> {
    let (one, two) = (subject.open().await, subject.open().await);
    one.insert(sample("leases")).await?;
    let lost = one.claim("leases", 1, "p", SHORT).await?;
    subject.pass(Duration::from_millis(2 * SHORT.unsigned_abs())).await;
    let held = two.claim("leases", 1, "q", LONG).await?;
    assert!(
        matches!(held, Claim::Recover { recoveries: 1, begun_at, now, .. } if now - begun_at >= SHORT),
        "{held:?}"
    );
    assert!(
        !one.record("leases", fence(&lost), tokens(9)).await?,
        "the fence is lost"
    );
    let unknown = Outcome::Unknown {
        pause: SHORT,
        error: "x".to_owned(),
    };
    assert!(two.record("leases", fence(&held), unknown).await?);
    assert!(matches!(one.claim("leases", 1, "p", LONG).await?, Claim::Wait { .. }));
    subject.pass(Duration::from_millis(2 * SHORT.unsigned_abs())).await;
    let again = one.claim("leases", 1, "p", SHORT).await?;
    assert!(matches!(again, Claim::Recover { recoveries: 2, .. }), "{again:?}");
    subject.pass(Duration::from_millis(2 * SHORT.unsigned_abs())).await;
    assert!(
        one.record("leases", fence(&again), tokens(2)).await?,
        "late, and nobody came between"
    );
    assert!(one.remove("leases").await?);
    Ok(())
}

async fn races(subject: &dyn Subject) -> Result<(), StoreError> {
    let handles = join_all((0..4).map(|_| subject.open())).await;
    for round in 0..8 {
        let id = format!("race-{round}");
        subject.open().await.insert(sample(&id)).await?;
        let all = (0..16).map(|n| (n, handles.get(n % handles.len())));
        let claims = join_all(
            all.filter_map(|(n, store)| Some((n, store?)))
                .map(async |(n, store)| store.claim(&id, 1, &n.to_string(), LONG).await),
        );
        let claims: Result<Vec<_>, _> = claims.await.into_iter().collect();
        let won: Vec<_> = claims?
            .into_iter()
            .filter(|claim| matches!(claim, Claim::Fresh { .. }))
            .collect();
        assert_eq!(won.len(), 1, "one of sixteen claims");
        assert!(subject.open().await.remove(&id).await?);
    }
    Ok(())
}

async fn endings(subject: &dyn Subject) -> Result<(), StoreError> {
    let (one, two) = (subject.open().await, subject.open().await);
    one.insert(sample("endings")).await?;
    let claim = one.claim("endings", 1, "p", LONG).await?;
    assert_eq!(
        two.revoke("endings").await?.and_then(|grant| grant.sealed),
        Some(vec![1])
    );
    assert!(!one.record("endings", fence(&claim), tokens(2)).await?);
    let grant = one.get("endings").await?.unwrap_or_else(|| sample("gone"));
    assert_eq!((grant.status, grant.sealed), (Status::Revoked, None));
    assert_eq!(two.revoke("nothing").await?, None);
    assert!(one.remove("endings").await?);

    one.insert(sample("refused")).await?;
    let claim = one.claim("refused", 1, "p", LONG).await?;
    let outcome = Outcome::Reauthorize {
        error: "invalid_grant".to_owned(),
    };
    assert!(one.record("refused", fence(&claim), outcome).await?);
    let grant = two.get("refused").await?.unwrap_or_else(|| sample("gone"));
    assert_eq!(
        (grant.status, grant.last_error.as_deref()),
        (Status::Expired, Some("invalid_grant"))
    );
    assert!(one.remove("refused").await?);
    Ok(())
}

async fn due(subject: &dyn Subject) -> Result<(), StoreError> {
    let (one, two) = (subject.open().await, subject.open().await);
    let now = one.now().await?;
    for (id, at) in [
        ("c", Some(now + 2 * LONG)),
        ("b", Some(now - 1)),
        ("a", Some(now - 2)),
        ("d", None),
    ] {
        let mut grant = sample(id);
        grant.next_refresh_at = at;
        one.insert(grant).await?;
    }
    assert_eq!(two.due(0, 9).await?, ["a", "b"]);
    assert_eq!(two.due(0, 1).await?, ["a"]);
    assert_eq!(two.due(3 * LONG, 9).await?, ["a", "b", "c"]);
    one.claim("a", 1, "p", SHORT).await?;
    one.claim("c", 1, "p", SHORT).await?;
    one.revoke("b").await?;
    assert!(two.due(0, 9).await?.is_empty(), "held ones are not due");
    subject.pass(Duration::from_millis(2 * SHORT.unsigned_abs())).await;
    assert_eq!(
        two.due(0, 9).await?,
        ["a", "c"],
        "whose holder died, is due at the end of the lease"
    );
    for id in ["a", "b", "c", "d"] {
        assert!(one.remove(id).await?);
    }
    Ok(())
}

async fn keys(subject: &dyn Subject) -> Result<(), StoreError> {
    let store = subject.open().await;
    let ring = polity_seal::Keyring::generate(0);
    for id in ["k1", "k2", "k3"] {
        let mut grant = sample(id);
        grant.sealed = Some(ring.seal(b"", b"x"));
        store.insert(grant).await?;
    }
    let current = ring.current_id().to_string();
    assert!(store.sealed_by_others(&current, "", 9).await?.is_empty());
    let next = ring.rotate(1).to_string();
    assert_eq!(store.sealed_by_others(&next, "", 2).await?, ["k1", "k2"]);
    assert_eq!(store.sealed_by_others(&next, "k2", 2).await?, ["k3"]);
    assert!(!store.reseal("k1", 7, ring.seal(b"", b"y")).await?);
    assert!(store.reseal("k1", 1, ring.seal(b"", b"x")).await?);
    store.revoke("k2").await?;
    assert_eq!(store.sealed_by_others(&next, "", 9).await?, ["k3"]);
    for id in ["k1", "k2", "k3"] {
        assert!(store.remove(id).await?);
    }
    Ok(())
}

async fn states(subject: &dyn Subject) -> Result<(), StoreError> {
    let (one, two) = (subject.open().await, subject.open().await);
    let pending = |key: &str| Pending {
        key: key.to_owned(),
        browser: "mine".to_owned(),
        sealed: vec![7],
    };
    one.put_state(pending("s"), LONG).await?;
    assert_eq!(two.take_state("s", "other").await?, None);
    assert_eq!(two.take_state("missing", "mine").await?, None);
    assert_eq!(two.take_state("s", "mine").await?, Some(vec![7]));
    assert_eq!(one.take_state("s", "mine").await?, None, "once");
    one.put_state(pending("old"), SHORT).await?;
    subject.pass(Duration::from_millis(2 * SHORT.unsigned_abs())).await;
    assert_eq!(two.take_state("old", "mine").await?, None, "in time");
    one.put_state(pending("race"), LONG).await?;
    let taken = join_all((0..8).map(|_| two.take_state("race", "mine"))).await;
    let taken: Result<Vec<_>, _> = taken.into_iter().collect();
    assert_eq!(taken?.into_iter().flatten().count(), 1, "one of eight");
    Ok(())
}
