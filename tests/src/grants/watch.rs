//! What is written beside a grant is of the same commit.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use polity_grants::grant::Grant;
use polity_integrations::grants::Watch;
use polity_kernel::{
    Ctx,
    db::{Error, Tx},
};
use polity_testing::App;

use super::{connect_ended, double::Double, found, open, settings, tokens};

/// Writes a row for each change, and fails after it when told to.
struct Writes {
    ctx: Ctx,
    left_to_fail: AtomicUsize,
    seen: AtomicUsize,
    has_failed: AtomicBool,
}

#[async_trait]
impl Watch for Writes {
    async fn changed(&self, tx: &mut Tx, before: &Grant, after: &Grant) -> Result<(), Error> {
        assert_ne!(before, after);
        let id = format!("{}-{}", after.id, after.version);
        // Any table does; a second row of one version is refused.
        tx.sql(
            "insert into integration_pending_authorization (id, browser, sealed, expires_at) values ($1, $1, $2, $3)",
        )
        .bind(&id)
        .bind([7_u8].as_slice())
        .bind(&(self.ctx.clock.now() + std::time::Duration::from_hours(1)))
        .execute()
        .await?;
        let fails = |left: usize| left.checked_sub(1);
        if self
            .left_to_fail
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails)
            .is_ok()
        {
            self.has_failed.store(true, Ordering::SeqCst);
            return Err(Error::Unavailable("told to".to_owned()));
        }
        self.seen.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

async fn written(app: &App) -> Vec<String> {
    let mut read = app.ctx.db.read().await.unwrap();
    let rows = read
        .sql("select id from integration_pending_authorization order by id")
        .all::<(String,)>()
        .await
        .unwrap();
    rows.into_iter().map(|(id,)| id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_seen_once_and_kept_together() {
    App::each_with(settings(), async |app| {
        let double = Double::start(false);
        let watch = Arc::new(Writes {
            ctx: app.ctx.clone(),
            left_to_fail: AtomicUsize::new(0),
            seen: AtomicUsize::new(0),
            has_failed: AtomicBool::new(false),
        });
        let grants = open(&app, &double, Arc::clone(&watch) as Arc<dyn Watch>);
        connect_ended(&app, &grants, &["g".to_owned()]).await;
        assert!(written(&app).await.is_empty());
        // The claim before it is not seen: one change, one row.
        grants.manager().token("g").await.unwrap();
        assert_eq!(written(&app).await, ["g-2"]);
        grants.manager().reconnect("g", &tokens(&app, "h", 0)).await.unwrap();
        assert_eq!(written(&app).await, ["g-2", "g-3"]);

        // What watches fails three times after the provider has answered: nothing is kept, and nothing lost.
        watch.left_to_fail.store(3, Ordering::SeqCst);
        let token = grants.manager().token("g").await.unwrap();
        assert_eq!((token.access.expose(), token.version), ("a-h-1", 4));
        assert!(watch.has_failed.load(Ordering::SeqCst));
        assert_eq!(written(&app).await, ["g-2", "g-3", "g-4"]);
        assert_eq!((double.calls(), double.reuses()), (2, 0));

        watch.left_to_fail.store(1, Ordering::SeqCst);
        grants.manager().disconnect("g").await.unwrap_err();
        assert!(found(&grants, "g").await.sealed.is_some(), "rolled back with it");
        grants.manager().disconnect("g").await.unwrap();
        assert_eq!(written(&app).await, ["g-2", "g-3", "g-4", "g-5"]);
        assert_eq!(watch.seen.load(Ordering::SeqCst), 4);
    })
    .await;
}
