//! The suite over every store.

use std::{sync::Arc, time::Duration};

use super::{
    Disk, Memory, Store, StoreError, sample,
    suite::{Subject, run},
};
use crate::{
    clock::{Clock, Millis},
    testing::TestClock,
};

struct InMemory {
    clock: TestClock,
    store: Arc<Memory>,
}

#[async_trait::async_trait]
impl Subject for InMemory {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

#[tokio::test]
async fn memory_is_a_store() {
    let clock = TestClock::new(1_700_000_000_000);
    let store = Arc::new(Memory::new(Arc::new(clock.clone())));
    run(&InMemory { clock, store }).await.unwrap();
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
struct Machine;

impl Clock for Machine {
    #[expect(
        clippy::disallowed_methods,
        reason = "a store that processes share needs a time that they share"
    )]
    fn now(&self) -> Millis {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        i64::try_from(since.as_millis()).unwrap()
    }
}

struct OnDisk(tempfile::TempDir);

#[async_trait::async_trait]
impl Subject for OnDisk {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(Disk::open(self.0.path().to_owned(), Arc::new(Machine)).unwrap())
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[tokio::test]
async fn disk_is_a_store() {
    run(&OnDisk(tempfile::tempdir().unwrap())).await.unwrap();
}

#[tokio::test]
async fn what_a_crash_leaves_beside_is_overwritten() {
    let subject = OnDisk(tempfile::tempdir().unwrap());
    let store = subject.open().await;
    store.insert(sample("a")).await.unwrap();
    let folders = std::fs::read_dir(subject.0.path().join("grants")).unwrap();
    let folder = folders.into_iter().next().unwrap().unwrap().path();
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(file.with_extension("new"), "{\"id\":").unwrap();
    assert_eq!(store.get("a").await.unwrap().unwrap().version, 1);
    store.revoke("a").await.unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    std::fs::write(file, "{}").unwrap();
    assert!(matches!(store.get("a").await, Err(StoreError::Corrupt(_))));
}

mod killed;

#[cfg(feature = "redis")]
mod in_redis {
    use super::*;
    use crate::store::Redis;

    struct InRedis {
        url: polity_seal::Secret,
        prefix: String,
    }

    #[async_trait::async_trait]
    impl Subject for InRedis {
        async fn open(&self) -> Arc<dyn Store> {
            Arc::new(Redis::open(&self.url, &self.prefix, Duration::from_secs(5)).unwrap())
        }

        async fn pass(&self, time: Duration) {
            tokio::time::sleep(time).await;
        }
    }

    #[tokio::test]
    #[expect(
        clippy::disallowed_methods,
        reason = "where a test finds its server is no setting of the program"
    )]
    async fn redis_is_a_store() {
        let Ok(url) = std::env::var("POLITY_TEST_REDIS") else {
            assert!(
                std::env::var("POLITY_TEST_REQUIRE_SERVICES").is_err(),
                "POLITY_TEST_REDIS names no server, but POLITY_TEST_REQUIRE_SERVICES is set"
            );
            return;
        };
        let prefix = format!("test-{}", hex::encode(polity_seal::random_bytes::<8>()));
        run(&InRedis {
            url: url.into(),
            prefix,
        })
        .await
        .unwrap();
    }
}
