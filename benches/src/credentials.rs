//! The engine that judges API keys, without HTTP: warm, and cold at 10^3 to 10^6 keys.
//!
//! `cargo run --release -p polity-benches --bin credentials` on SQLite (a file on this checkout's disk), and on PostgreSQL with
//! `./test with-services cargo run --release -p polity-benches --bin credentials`.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark ends at the first surprise"
)]

use std::time::Instant;

use polity_kernel::{
    Ctx, TokenKind, TokenText,
    caller::{Origin, Presented},
    config::Config,
    db::Rows,
};
use polity_server::{Options, Program, sections};
use serde_json::json;

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Keys whose memory is measured.
const REMEMBERED: usize = 20_000;
/// Keys whose texts are kept, to be looked up.
const SAMPLE: usize = 1_000;
const WARM: u32 = 1_000_000;

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
    let settings = json!({
        "environment": "test", "data_dir": folder.path(), "database": { "url": url },
        "credential": { "remembered": REMEMBERED },
    });
    let config = Config::load(&sections(), None, [], settings).unwrap();
    let program = Program::open(config, Options::default()).await.unwrap();
    let ctx = program.ctx.clone();
    program.join().await;
    memory(&ctx, name).await;
    let mut have = 0;
    let mut cold = Vec::new();
    for size in SIZES {
        let sample = fill(&ctx, size - have, size, SAMPLE).await;
        have = size;
        let begun = Instant::now();
        for text in &sample {
            present(&ctx, text).await;
        }
        let count = u32::try_from(sample.len()).unwrap();
        let each = begun.elapsed().as_secs_f64() * 1e6 / f64::from(count);
        cold.push(each);
        println!("| cold, {size} keys, {name} | {each:.1} us |");
        if size == SIZES[0] {
            warm(&ctx, &sample, name).await;
        }
    }
    println!(
        "| cold at the largest to the smallest, {name} | {:.2}x |",
        cold[cold.len() - 1] / cold[0]
    );
    program.finish().await;
}

/// How much the process grows for each credential it remembers.
async fn memory(ctx: &Ctx, name: &str) {
    let texts = fill(ctx, REMEMBERED, 0, REMEMBERED).await;
    let before = resident();
    for text in &texts {
        present(ctx, text).await;
    }
    let each = (resident() - before) / u64::try_from(REMEMBERED).unwrap();
    println!("| memory of a remembered key, of {REMEMBERED}, {name} | {each} bytes |");
}

/// The resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

async fn warm(ctx: &Ctx, sample: &[String], name: &str) {
    for text in sample {
        present(ctx, text).await;
    }
    let begun = Instant::now();
    for n in 0..WARM {
        present(ctx, &sample[n as usize % sample.len()]).await;
    }
    println!(
        "| warm, {name} | {:.2} us |",
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(WARM)
    );
}

async fn present(ctx: &Ctx, text: &str) {
    let from = Origin {
        ip: [127, 0, 0, 1].into(),
        user_agent: "bench",
        method: "GET",
        route: "/bench",
    };
    let authenticator = ctx.authenticator.get().unwrap();
    authenticator.api_credential(Presented { text, from }).await.unwrap();
}

/// Inserts keys; returns the texts of so many, spread over the new ones.
async fn fill(ctx: &Ctx, count: usize, total: usize, wanted: usize) -> Vec<String> {
    let mut sample = Vec::new();
    let every = (count / wanted).max(1);
    let mut rows = Vec::new();
    for n in 0..count {
        let text = TokenText::generate(TokenKind::USER);
        let hash = ctx.secrets.hash("credential", text.expose());
        rows.push(json!({ "id": format!("key_{total}_{n}"), "hash": hash.as_str(), "list": [], "map": {} }));
        if n % every == 0 && sample.len() < wanted {
            sample.push(text.expose().to_owned());
        }
        if rows.len() == 5_000 || n + 1 == count {
            insert(ctx, &rows).await;
            rows.clear();
        }
    }
    sample
}

async fn insert(ctx: &Ctx, rows: &[serde_json::Value]) {
    let now = ctx.clock.now();
    let mut tx = ctx.db.begin().await.unwrap();
    tx.sql(
        "insert into credential (id, kind, hash, organization_id, name, preview, grant_all, permissions, scopes, ip_allowlist,
                                 rate_limits, is_enabled, created_by, created_at, updated_at, expiry_told)
         select r.item ->> 'id', 'user', r.item ->> 'hash', 'usr_bench', 'bench', '', true, r.item -> 'list', r.item -> 'list',
                r.item -> 'list', r.item -> 'map', true,
                'usr_bench', $2, $2, false
         from rows($1) as r",
    )
    .bind(&Rows::of(rows))
    .bind(&now)
    .execute()
    .await
    .unwrap();
    tx.commit().await.unwrap();
}
