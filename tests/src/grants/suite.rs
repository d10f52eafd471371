//! What every store has to do.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use polity_grants::store::{Store, suite};
use polity_integrations::grants::{NoWatch, Sql};
use polity_testing::App;

use super::settings;

struct InSql<'a>(&'a App);

#[async_trait]
impl suite::Subject for InSql<'_> {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(Sql::new(&self.0.ctx, Arc::new(NoWatch)))
    }

    async fn pass(&self, time: Duration) {
        self.0.advance(time);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_a_store() {
    App::each_with(settings(), async |app| {
        suite::run(&InSql(&app)).await.unwrap();
    })
    .await;
}
