//! The executor on both databases. PostgreSQL takes part where `POLITY_TEST_POSTGRES` names a server.

#![expect(clippy::disallowed_methods, reason = "a race needs tasks of its own")]

use std::{sync::Arc, time::Duration};

use super::*;
use crate::testing::Fresh;

const TABLES: Migrations = Migrations {
    set: "test",
    list: &[Migration {
        version: 1,
        name: "all kinds of columns",
        sql: "create table thing (
                id text primary key,
                count bigint not null check (count >= 0),
                ratio double precision null,
                flag boolean not null,
                blob bytea null,
                at timestamptz null,
                doc jsonb null
              );
              create unique index thing_doc on thing (count, flag) where flag;",
    }],
};

#[derive(Debug, Clone, PartialEq, crate::Record)]
struct Thing {
    id: String,
    count: i64,
    ratio: Option<f64>,
    flag: bool,
    blob: Option<Vec<u8>>,
    at: Option<chrono::DateTime<chrono::Utc>>,
    doc: Option<serde_json::Value>,
}

const COLUMNS: &str = "select id, count, ratio, flag, blob, at, doc from thing";
const INSERT: &str = "insert into thing (id, count, ratio, flag, blob, at, doc) values ($1, $2, $3, $4, $5, $6, $7)";

fn thing(id: &str) -> Thing {
    Thing {
        id: id.to_owned(),
        count: i64::MAX,
        ratio: Some(-0.5),
        flag: false,
        blob: Some(vec![0, 255]),
        at: chrono::DateTime::from_timestamp_micros(1_800_000_000_123_456),
        doc: Some(serde_json::json!({"a": ["ü", 1.5, null]})),
    }
}

async fn insert(tx: &mut Tx, thing: &Thing) -> Result<u64> {
    tx.sql(INSERT)
        .bind(&thing.id)
        .bind(&thing.count)
        .bind(&thing.ratio)
        .bind(&thing.flag)
        .bind(&thing.blob)
        .bind(&thing.at)
        .bind(&thing.doc)
        .execute()
        .await
}

async fn count(db: &Db) -> i64 {
    db.read()
        .await
        .unwrap()
        .sql("select count(*) from thing")
        .one::<(i64,)>()
        .await
        .unwrap()
        .0
}

async fn each(test: impl AsyncFn(Db)) {
    Fresh::each(async |db| {
        db.migrate(&[TABLES]).await.unwrap();
        test(db).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_comes_back_as_it_went_in() {
    each(async |db| {
        let full = thing("full");
        let empty = Thing {
            ratio: None,
            blob: None,
            at: None,
            doc: None,
            count: 0,
            ..thing("empty")
        };
        let mut tx = db.begin().await.unwrap();
        insert(&mut tx, &full).await.unwrap();
        insert(&mut tx, &empty).await.unwrap();
        tx.commit().await.unwrap();
        let mut read = db.read().await.unwrap();
        let all: Vec<Thing> = read
            .sql("select doc, at, blob, flag, ratio, count, id from thing order by id")
            .all()
            .await
            .unwrap();
        assert_eq!(all, [empty, full.clone()]);
        let listed = List::of(["full", "other"]);
        let found: Vec<Thing> = read
            .sql("select id, count, ratio, flag, blob, at, doc from thing where id in list($1)")
            .bind(&listed)
            .all()
            .await
            .unwrap();
        assert_eq!(found, [full]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arguments_keep_their_places() {
    each(async |db| {
        let mut read = db.read().await.unwrap();
        let row: (String, String, String) = read
            .sql("select cast($2 as text), cast($1 as text), cast($2 as text)")
            .bind("one")
            .bind("two")
            .one()
            .await
            .unwrap();
        assert_eq!(row, ("two".into(), "one".into(), "two".into()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_transaction_leaves_nothing_and_runs_no_hooks() {
    each(async |db| {
        let ran = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let mut tx = db.begin().await.unwrap();
        insert(&mut tx, &thing("lost")).await.unwrap();
        let hook = Arc::clone(&ran);
        tx.on_commit(move || {
            hook.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        });
        drop(tx);
        let mut tx = db.begin().await.unwrap();
        insert(&mut tx, &thing("kept")).await.unwrap();
        let hook = Arc::clone(&ran);
        tx.on_commit(move || {
            hook.fetch_add(10, std::sync::atomic::Ordering::SeqCst);
        });
        tx.commit().await.unwrap();
        assert_eq!(count(&db).await, 1);
        assert_eq!(ran.load(std::sync::atomic::Ordering::SeqCst), 10);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_statement_leaves_only_the_way_back() {
    each(async |db| {
        let mut tx = db.begin().await.unwrap();
        insert(&mut tx, &thing("a")).await.unwrap();
        assert!(matches!(insert(&mut tx, &thing("a")).await, Err(Error::Unique(_))));
        assert!(matches!(insert(&mut tx, &thing("b")).await, Err(Error::Aborted)));
        assert!(matches!(tx.commit().await, Err(Error::Aborted)));
        assert_eq!(count(&db).await, 0);
        let mut tx = db.begin().await.unwrap();
        let negative = Thing {
            count: -1,
            ..thing("c")
        };
        assert!(matches!(insert(&mut tx, &negative).await, Err(Error::Check(_))));
        drop(tx);
        let mut tx = db.begin().await.unwrap();
        insert(&mut tx, &thing("d")).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(count(&db).await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_connection_cannot_change_anything() {
    each(async |db| {
        let mut read = db.read().await.unwrap();
        let refused = read.sql("delete from thing").execute().await;
        assert!(matches!(refused, Err(Error::ReadOnly(_))), "{refused:?}");
        let refused = read.sql("delete from thing returning id").all::<(String,)>().await;
        assert!(matches!(refused, Err(Error::ReadOnly(_))), "{refused:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_transaction_in_one_task_is_an_error_at_once() {
    each(async |db| {
        let tx = db.begin().await.unwrap();
        assert!(matches!(db.begin().await, Err(Error::Nested(_))));
        drop(tx);
        db.begin().await.unwrap().commit().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_held_too_long_is_rolled_back() {
    Fresh::each_with(
        |settings| settings.hold_ms = 200,
        async |db| {
            db.migrate(&[TABLES]).await.unwrap();
            let mut tx = db.begin().await.unwrap();
            insert(&mut tx, &thing("late")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
            let other = tokio::task::spawn({
                let db = db.clone();
                async move {
                    let mut tx = db.begin().await?;
                    insert(&mut tx, &thing("late")).await?;
                    tx.commit().await
                }
            });
            other.await.unwrap().unwrap();
            assert!(tx.commit().await.is_err());
            assert_eq!(count(&db).await, 1);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_at_once_lose_nothing() {
    each(async |db| {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..40 {
            let db = db.clone();
            tasks.spawn(async move {
                for step in 0..10 {
                    let mut tx = db.begin().await.unwrap();
                    insert(&mut tx, &thing(&format!("{task}-{step}"))).await.unwrap();
                    match step % 3 {
                        0 => drop(tx),
                        1 => tx.rollback().await.unwrap(),
                        _ => tx.commit().await.unwrap(),
                    }
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!(count(&db).await, 40 * 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_leave_the_writer_to_the_others() {
    each(async |db| {
        let mut tasks = Vec::new();
        for task in 0..60 {
            let db = db.clone();
            tasks.push(tokio::task::spawn(async move {
                let mut tx = db.begin().await.unwrap();
                insert(&mut tx, &thing(&task.to_string())).await.unwrap();
                tokio::task::yield_now().await;
                tx.commit().await.unwrap();
            }));
        }
        for task in tasks.iter().step_by(2) {
            task.abort();
        }
        for task in tasks {
            drop(task.await);
        }
        let mut tx = db.begin().await.unwrap();
        insert(&mut tx, &thing("last")).await.unwrap();
        tx.commit().await.unwrap();
        assert!(count(&db).await > 30);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_makes_read_then_write_rules_hold() {
    each(async |db| {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..12 {
            let db = db.clone();
            tasks.spawn(async move {
                let mut tx = db.begin().await.unwrap();
                tx.lock("rule", "at most three").await.unwrap();
                let (there,) = tx.sql("select count(*) from thing").one::<(i64,)>().await.unwrap();
                if there < 3 {
                    insert(&mut tx, &thing(&task.to_string())).await.unwrap();
                }
                tx.commit().await.unwrap();
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!(count(&db).await, 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overloaded_writer_refuses_in_time() {
    let fresh = Fresh::lite(|settings| {
        settings.begin_timeout_ms = 50;
        settings.max_waiting = 2;
    });
    let db = fresh.db.clone();
    db.migrate(&[TABLES]).await.unwrap();
    let held = db.begin().await.unwrap();
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let db = db.clone();
            tokio::task::spawn(async move { db.begin().await.map(drop) })
        })
        .collect();
    for one in waiting {
        assert!(matches!(one.await.unwrap(), Err(Error::Overloaded)));
    }
    drop(held);
    db.begin().await.unwrap().commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_read_moves_out_of_the_way() {
    let fresh = Fresh::lite(|_| {});
    let db = fresh.db.clone();
    let sum = "with recursive n(i) as (select 1 union all select i + 1 from n where i < $1) select sum(i) from n";
    let (found,) = db
        .read()
        .await
        .unwrap()
        .sql(sum)
        .bind(&300_000_i64)
        .one::<(i64,)>()
        .await
        .unwrap();
    assert_eq!(found, 300_000 * 300_001 / 2);
    // A caller who goes away interrupts the statement, and the connection serves the next.
    let endless = db.clone();
    let task = tokio::task::spawn(async move {
        let sql = "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n";
        endless
            .read()
            .await
            .unwrap()
            .sql(sql)
            .long()
            .one::<(i64,)>()
            .await
            .map(drop)
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    task.abort();
    drop(task.await);
    db.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_from_the_future_or_an_edited_one_is_refused() {
    each(async |db| {
        assert_eq!(db.migrate(&[TABLES]).await.unwrap(), 0);
        let refused = db.migrate(&[]).await.unwrap_err().to_string();
        assert!(
            refused.contains("newer program") && refused.contains("test 1"),
            "{refused}"
        );
        let edited = Migrations {
            set: "test",
            list: &[Migration {
                version: 1,
                name: "edited",
                sql: "select 1",
            }],
        };
        let refused = db.migrate(&[edited]).await.unwrap_err().to_string();
        assert!(refused.contains("another text"), "{refused}");
        let broken = Migrations {
            set: "broken",
            list: &[Migration {
                version: 1,
                name: "half",
                sql: "create table half (id text primary key); select nonsense;",
            }],
        };
        assert!(db.migrate(&[TABLES, broken]).await.is_err());
        let there = db
            .read()
            .await
            .unwrap()
            .sql("select count(*) from half")
            .one::<(i64,)>()
            .await;
        assert!(there.is_err(), "a failed migration left a table behind");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_grow_and_pages_follow_each_other() {
    each(async |db| {
        let mut tx = db.begin().await.unwrap();
        for id in ["a", "b", "c", "d"] {
            insert(&mut tx, &thing(id)).await.unwrap();
        }
        tx.commit().await.unwrap();
        let (limit, after, wanted) = (2_i64, "b".to_owned(), Some(false));
        let mut filter = Filter::new("select id, count, ratio, flag, blob, at, doc from thing where count > 0");
        filter
            .and("id > ?", &after)
            .and_some("flag = ?", wanted.as_ref())
            .and_some("ratio = ?", None::<&f64>);
        filter.push("order by id").with("limit ?", &limit);
        let found: Vec<Thing> = db.read().await.unwrap().filter(filter).all().await.unwrap();
        assert_eq!(
            found.iter().map(|thing| thing.id.as_str()).collect::<Vec<_>>(),
            ["c", "d"]
        );
        assert!(db.read().await.unwrap().sql(COLUMNS).optional::<Thing>().await.is_err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_loses_nothing_that_was_acknowledged() {
    let fresh = Fresh::lite(|_| {});
    let db = fresh.db.clone();
    db.migrate(&[TABLES]).await.unwrap();
    let limit = |pages: u32| {
        let db = db.clone();
        async move {
            let Backend::Lite(lite) = &db.0.backend else { return };
            // SQLite's own limit on the file answers as a full disk does.
            let sql = format!("pragma max_page_count = {pages}");
            let set = |conn: &mut rusqlite::Connection| Ok(conn.execute_batch(&sql)?);
            lite.writer.alone(set).await.unwrap();
        }
    };
    limit(60).await;
    let mut acknowledged = 0;
    let mut refused = None;
    for n in 0..200 {
        let large = Thing {
            blob: Some(vec![1; 8_000]),
            ..thing(&n.to_string())
        };
        let mut tx = db.begin().await.unwrap();
        let done = match insert(&mut tx, &large).await {
            Ok(_) => tx.commit().await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => acknowledged += 1,
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    assert!(matches!(refused, Some(Error::Full(_))), "{refused:?}");
    assert!(acknowledged > 0);
    assert_eq!(count(&db).await, acknowledged);
    limit(1_000_000).await;
    let mut tx = db.begin().await.unwrap();
    insert(&mut tx, &thing("after")).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(&db).await, acknowledged + 1);
}

#[tokio::test]
async fn a_database_that_orders_texts_by_a_language_is_refused() {
    Fresh::ordered_by_language(async |db| {
        let error = db.migrate(&[]).await.unwrap_err();
        assert!(matches!(error, Error::Migration(_)), "{error}");
        assert!(error.to_string().contains("lc_collate 'C'"), "{error}");
    })
    .await;
}
