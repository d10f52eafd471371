//! A process that dies while it holds a grant on disk: this test program, started a second time.

use std::{
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
};

use super::*;
use crate::grant::Claim;

const FOLDER: &str = "POLITY_GRANTS_KILLED";

/// What the second process does: takes the lock, says so, and stays. Does nothing in an ordinary run.
#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "how a test tells its second process what to do is no setting"
)]
async fn holds_until_killed() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let store = Disk::open(folder.clone().into(), Arc::new(Machine)).unwrap();
    let mut change = |grant: &mut crate::grant::Grant, _: Millis| {
        grant.owner = "half".to_owned();
        std::fs::write(Path::new(&folder).join("held"), "").unwrap();
        sleep(Duration::from_mins(1));
        true
    };
    store.update("a", &mut change).await.unwrap();
}

#[tokio::test]
async fn a_lock_ends_with_its_process() {
    let subject = OnDisk(tempfile::tempdir().unwrap());
    let store = subject.open().await;
    store.insert(sample("a")).await.unwrap();
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::killed::holds_until_killed"])
        .env(FOLDER, subject.0.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !subject.0.path().join("held").exists() {
        sleep(Duration::from_millis(5));
    }
    let mut claim = store.claim("a", 1, "p", 60_000);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut claim).await;
    assert!(early.is_err(), "another process holds the grant");
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(claim.await.unwrap(), Claim::Fresh { fence: 1 });
    assert_eq!(store.get("a").await.unwrap().unwrap().owner, "owner");
}
