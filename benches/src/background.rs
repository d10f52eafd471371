//! Background work of the whole program in this process: how long an event takes from its acknowledged commit to its
//! consumer, and how many events and jobs a second are done.
//!
//! `cargo run --release -p polity-benches --bin background` on SQLite (a file on this checkout's disk), and on PostgreSQL with
//! `./test with-services cargo run --release -p polity-benches --bin background`.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark ends at the first surprise"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use polity_kernel::{
    Ctx,
    config::Config,
    db::Tx,
    event::{self, Consumer, Event, HandleError, Handler, NewEvent},
    job::{self, JobCtx, JobError, JobHandler, JobKind, NewJob},
};
use polity_server::{Options, Program, sections};
use serde_json::json;
use tokio::sync::mpsc;

const EVENTS: u64 = 20_000;
const JOBS: u64 = 10_000;

struct Ear(mpsc::UnboundedSender<(String, Instant)>);

#[async_trait]
impl Handler for Ear {
    async fn handle(&self, _: &mut Tx, event: &Event) -> Result<(), HandleError> {
        drop(self.0.send((event.id.clone(), Instant::now())));
        Ok(())
    }
}

struct Nothing(Arc<AtomicU64>);

#[async_trait]
impl JobHandler for Nothing {
    async fn run(&self, _: &JobCtx) -> Result<(), JobError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    println!("| what | figure |\n|---|---|");
    measure("SQLite", None).await;
    if let Some(url) = std::env::var("POLITY_TEST_POSTGRES").ok().filter(|url| !url.is_empty()) {
        measure("PostgreSQL", Some(url)).await;
    }
}

async fn measure(name: &str, url: Option<String>) {
    let folder = tempfile::tempdir_in("target").unwrap();
    let settings = json!({ "environment": "test", "data_dir": folder.path(), "database": { "url": url } });
    let config = Config::load(&sections(), None, [], settings).unwrap();
    let program = Program::open(config, Options::default()).await.unwrap();
    let ctx = program.ctx.clone();
    let (say, mut heard) = mpsc::unbounded_channel();
    let done = Arc::new(AtomicU64::new(0));
    let ear = Consumer {
        name: "bench.ear",
        types: &["bench.said"],
        handler: Arc::new(Ear(say)),
    };
    let kind = JobKind::new("bench.nothing", Arc::new(Nothing(Arc::clone(&done))));
    program.join().await;
    ctx.spawn(event::run(&ctx, vec![ear]).unwrap());
    ctx.spawn(job::run(&ctx, vec![kind], Vec::new()).unwrap());

    let mut took = Vec::new();
    for number in 0..300 {
        let id = publish(&ctx, number).await;
        let acknowledged = Instant::now();
        let (heard_id, at) = heard.recv().await.unwrap();
        assert_eq!(heard_id, id);
        took.push(at.saturating_duration_since(acknowledged));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    took.sort_unstable();
    let ms = |at: usize| took[at].as_secs_f64() * 1000.0;
    println!(
        "| {name}: event, from its acknowledged commit to its consumer, idle | p50 {:.2} ms, p99 {:.2} ms |",
        ms(150),
        ms(297)
    );

    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for part in 0..64 {
        let ctx = ctx.clone();
        tasks.spawn(async move {
            for number in 0..EVENTS / 64 {
                publish(&ctx, part * 1_000_000 + number).await;
            }
        });
    }
    tasks.join_all().await;
    let published = begun.elapsed();
    for _ in 0..EVENTS / 64 * 64 {
        heard.recv().await.unwrap();
    }
    println!(
        "| {name}: events published (64 tasks), and heard | {:.0}/s, {:.0}/s |",
        rate(EVENTS, published),
        rate(EVENTS, begun.elapsed())
    );

    for batch in 0..JOBS / 500 {
        let mut tx = ctx.db.begin().await.unwrap();
        for number in 0..500 {
            let job = NewJob::new("bench.nothing", json!({ "number": batch * 500 + number }));
            ctx.jobs.enqueue(&mut tx, job).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
    let (begun, before) = (Instant::now(), done.load(Ordering::SeqCst));
    while done.load(Ordering::SeqCst) < JOBS {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!(
        "| {name}: jobs claimed, run and concluded, 8 at once | {:.0}/s |",
        rate(JOBS - before, begun.elapsed())
    );
    program.finish().await;
}

async fn publish(ctx: &Ctx, number: u64) -> String {
    let event = NewEvent {
        r#type: "bench.said".into(),
        source: "bench".into(),
        key: format!("key {number}"),
        data: json!({ "number": number }),
        metadata: serde_json::Value::Null,
    };
    let mut tx = ctx.db.begin().await.unwrap();
    let id = ctx.events.publish(&mut tx, event).await.unwrap();
    tx.commit().await.unwrap();
    id
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
