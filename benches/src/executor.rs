//! The executor beside the bare drivers, doing the same statements in the same run: the ratio is the figure to read.
//!
//! `cargo run --release -p polity-benches --bin executor`, with `POLITY_TEST_POSTGRES` for the second half
//! (`./test with-services cargo run --release -p polity-benches --bin executor`).
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark ends at the first surprise"
)]

use std::time::{Duration, Instant};

use polity_kernel::{
    Record, Secret,
    db::{DatabaseSettings, Db, Migration, Migrations},
};

const TABLES: Migrations = Migrations {
    set: "bench",
    list: &[Migration {
        version: 1,
        name: "rows",
        sql: "create table bench_row (id bigint primary key, name text not null, at bigint not null)",
    }],
};
const READ: &str = "select id, name, at from bench_row where id = $1";
const ROWS: i64 = 10_000;
const ROUNDS: usize = 7;

#[derive(Record)]
struct BenchRow {
    id: i64,
    name: String,
    at: i64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let lite = Db::open(&DatabaseSettings::default(), folder.path()).unwrap();
    println!("| what | executor | bare driver | ratio |\n|---|---|---|---|");
    fill(&lite).await;
    sqlite(&lite, &folder.path().join("polity.db")).await;
    writes(&lite).await;
    if let Some(url) = std::env::var("POLITY_TEST_POSTGRES").ok().filter(|url| !url.is_empty()) {
        postgres(&url).await;
    }
}

async fn fill(db: &Db) {
    db.migrate(&[TABLES]).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    tx.sql("delete from bench_row").execute().await.unwrap();
    for id in 0..ROWS {
        insert(&mut tx, id).await;
    }
    tx.commit().await.unwrap();
}

async fn insert(tx: &mut polity_kernel::db::Tx, id: i64) {
    tx.sql("insert into bench_row (id, name, at) values ($1, $2, $3)")
        .bind(&id)
        .bind("a name of ordinary length")
        .bind(&id)
        .execute()
        .await
        .unwrap();
}

/// The median of several rounds, each the time of one operation.
fn median(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort();
    rounds[rounds.len() / 2]
}

fn report(what: &str, ours: Duration, theirs: Duration) {
    println!(
        "| {what} | {ours:.2?} | {theirs:.2?} | {:.2} |",
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
}

async fn sqlite(db: &Db, path: &std::path::Path) {
    const COUNT: u32 = 20_000;
    let bare = rusqlite::Connection::open(path).unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut read = db.read().await.unwrap();
        let begun = Instant::now();
        for n in 0..COUNT {
            let id = i64::from(n) % ROWS;
            let row: BenchRow = read.sql(READ).bind(&id).one().await.unwrap();
            std::hint::black_box((row.id, row.name, row.at));
        }
        ours.push(begun.elapsed() / COUNT);
        let begun = Instant::now();
        for n in 0..COUNT {
            let id = i64::from(n) % ROWS;
            let mut statement = bare
                .prepare_cached("select id, name, at from bench_row where id = ?1")
                .unwrap();
            let row = statement
                .query_row([id], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
                })
                .unwrap();
            std::hint::black_box(row);
        }
        theirs.push(begun.elapsed() / COUNT);
    }
    report("SQLite, point read", median(ours), median(theirs));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut read = db.read().await.unwrap();
        let begun = Instant::now();
        for _ in 0..100 {
            let rows: Vec<BenchRow> = read
                .sql("select id, name, at from bench_row where id < $1")
                .bind(&500_i64)
                .all()
                .await
                .unwrap();
            std::hint::black_box(rows.len());
        }
        ours.push(begun.elapsed() / 100);
        let begun = Instant::now();
        for _ in 0..100 {
            let mut statement = bare
                .prepare_cached("select id, name, at from bench_row where id < ?1")
                .unwrap();
            let rows = statement
                .query_map([500_i64], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
                })
                .unwrap();
            std::hint::black_box(rows.count());
        }
        theirs.push(begun.elapsed() / 100);
    }
    report("SQLite, 500 rows", median(ours), median(theirs));
}

/// Durable transactions of two inserts, as they come from many tasks at once; no bare driver does group commit.
async fn writes(db: &Db) {
    for tasks in [1_i64, 64, 256] {
        let per_task = 4_096 / tasks;
        let begun = Instant::now();
        let mut set = tokio::task::JoinSet::new();
        for task in 0..tasks {
            let db = db.clone();
            set.spawn(async move {
                for step in 0..per_task {
                    let id = ROWS + (tasks * 1_000_000) + task * 10_000 + step * 2;
                    let mut tx = db.begin().await.unwrap();
                    insert(&mut tx, id).await;
                    insert(&mut tx, id + 1).await;
                    tx.commit().await.unwrap();
                }
            });
        }
        while let Some(done) = set.join_next().await {
            done.unwrap();
        }
        let rate = f64::from(u32::try_from(tasks * per_task).unwrap()) / begun.elapsed().as_secs_f64();
        println!("| SQLite, durable transactions of two inserts, {tasks} tasks | {rate:.0}/s | | |");
    }
}

async fn postgres(url: &str) {
    const COUNT: u32 = 3_000;
    let settings = DatabaseSettings {
        url: Some(Secret::from(url.to_owned())),
        ..DatabaseSettings::default()
    };
    let db = Db::open(&settings, std::path::Path::new(".")).unwrap();
    fill(&db).await;
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let statement = client.prepare(READ).await.unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut read = db.read().await.unwrap();
        let begun = Instant::now();
        for n in 0..COUNT {
            let id = i64::from(n) % ROWS;
            let row: BenchRow = read.sql(READ).bind(&id).one().await.unwrap();
            std::hint::black_box((row.id, row.name, row.at));
        }
        ours.push(begun.elapsed() / COUNT);
        let begun = Instant::now();
        for n in 0..COUNT {
            let id = i64::from(n) % ROWS;
            let row = client.query_one(&statement, &[&id]).await.unwrap();
            std::hint::black_box((row.get::<_, i64>(0), row.get::<_, String>(1), row.get::<_, i64>(2)));
        }
        theirs.push(begun.elapsed() / COUNT);
    }
    report("PostgreSQL, point read", median(ours), median(theirs));
    let mut tx = db.begin().await.unwrap();
    tx.sql("delete from bench_row").execute().await.unwrap();
    tx.commit().await.unwrap();
}
