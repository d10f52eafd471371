//! What a process hears that was away.

use std::sync::Mutex;

use super::*;
use crate::{clock::from_micros, compose::MIGRATIONS, testing::Fresh};

/// The moment at which everything is told, and one at which it is old.
fn times() -> (Timestamp, Timestamp) {
    (from_micros(1_800_000_000_000_000), from_micros(1_800_000_900_000_000))
}

async fn tell(db: &Db, subject: &str) {
    let mut tx = db.begin().await.unwrap();
    tx.sql("insert into invalidation (kind, subject, at) values ('thing', $1, $2)")
        .bind(subject)
        .bind(&times().0)
        .execute()
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

type Heard = Arc<Mutex<Vec<String>>>;

fn ear(db: &Db) -> (Invalidations, Heard) {
    let (invalidations, heard) = (Invalidations::new(db, Wakes::default()), Heard::default());
    let words = Arc::clone(&heard);
    invalidations.listen("thing", move |stale| {
        let word = match stale {
            Stale::Subject(subject) => subject,
            Stale::Everything => "everything",
        };
        words.lock().unwrap().push(word.to_owned());
    });
    (invalidations, heard)
}

fn taken(heard: &Heard) -> Vec<String> {
    std::mem::take(&mut *heard.lock().unwrap())
}

#[tokio::test]
async fn who_was_away_while_rows_were_deleted_forgets_everything() {
    Fresh::each(async |db| {
        db.migrate(&[MIGRATIONS]).await.unwrap();
        let (invalidations, heard) = ear(&db);
        let mut place = None;
        let mut read = async || {
            read(&invalidations, &db, &mut place).await.unwrap();
            taken(&heard)
        };
        tell(&db, "a").await;
        assert_eq!(read().await, ["everything", "a"]);
        tell(&db, "b").await;
        assert_eq!(read().await, ["b"]);
        // However long that takes by whatever clock.
        tell(&db, "c").await;
        prune_before(&db, times().1).await.unwrap();
        assert_eq!(read().await, ["everything"]);
        // Once.
        assert_eq!(read().await, [""; 0]);
        tell(&db, "d").await;
        assert_eq!(read().await, ["d"]);
        // What begins anew has not missed what was deleted before.
        let mut fresh = None;
        super::read(&invalidations, &db, &mut fresh).await.unwrap();
        super::read(&invalidations, &db, &mut fresh).await.unwrap();
        assert_eq!(taken(&heard), ["everything", "d"]);
    })
    .await;
}
