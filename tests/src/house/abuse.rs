//! Bad input of the kinds that no single operation is responsible for.

use polity_testing::App;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const REGISTER: &str = "/api/v1/auth/register";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_bodies_are_refused_with_their_reason() {
    App::each(async |app| {
        let json = "application/json";
        let good = json!({ "email": "a@example.com", "password": "long enough" }).to_string();
        let deep = format!("{{\"email\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let cases: [(&str, &str, Vec<u8>, u16, &str); 12] = [
            ("malformed", json, b"{".to_vec(), 422, "MALFORMED_JSON"),
            ("empty", json, Vec::new(), 422, "MALFORMED_JSON"),
            ("not UTF-8", json, vec![b'"', 0xff, b'"'], 422, "MALFORMED_JSON"),
            ("an array", json, b"[]".to_vec(), 422, "VALIDATION_FAILED"),
            ("a missing field", json, b"{}".to_vec(), 422, "VALIDATION_FAILED"),
            (
                "a wrong type",
                json,
                br#"{"email": 5, "password": "long enough"}"#.to_vec(),
                422,
                "VALIDATION_FAILED",
            ),
            ("deep nesting", json, deep.into_bytes(), 422, "VALIDATION_FAILED"),
            (
                "U+0000",
                json,
                br#"{"email": "a\u0000@example.com", "password": "long enough"}"#.to_vec(),
                422,
                "VALIDATION_FAILED",
            ),
            (
                "a lone surrogate",
                json,
                br#"{"email": "\ud800@example.com", "password": "long enough"}"#.to_vec(),
                422,
                "MALFORMED_JSON",
            ),
            (
                "an address of 4 KB",
                json,
                format!(
                    r#"{{"email": "{}@example.com", "password": "long enough"}}"#,
                    "a".repeat(4096)
                )
                .into_bytes(),
                422,
                "VALIDATION_FAILED",
            ),
            ("10 MB", json, vec![b' '; 10 << 20], 413, "PAYLOAD_TOO_LARGE"),
            (
                "another content type",
                "text/plain",
                good.into_bytes(),
                415,
                "UNSUPPORTED_MEDIA_TYPE",
            ),
        ];
        for (what, kind, body, status, code) in cases {
            let answer = app.post(REGISTER).body(kind, body).send().await;
            assert_eq!(
                (answer.status, answer.code()),
                (status, code),
                "{what}: {}",
                answer.text
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_paths_and_methods_are_problems() {
    let app = App::start().await;
    assert_eq!(app.get("/api/v1/nothing").send().await.expect(404).code(), "NOT_FOUND");
    let answer = app.delete(REGISTER).send().await.expect(405);
    assert_eq!(answer.code(), "METHOD_NOT_ALLOWED");
    assert!(answer.header("allow").contains("POST"), "{:?}", answer.headers);
    app.get("/api/v1/accounts/profile/%ff")
        .service()
        .send()
        .await
        .expect(422)
        .code();
    app.get("/api/v1/accounts/profile/a%00b")
        .service()
        .send()
        .await
        .expect(422)
        .code();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_is_kept_or_made() {
    let app = App::start().await;
    let answer = app.get("/api/v1/nothing").header("X-Request-Id", "mine-1").send().await;
    assert_eq!(
        (answer.header("x-request-id"), answer.text_at("/request_id")),
        ("mine-1", "mine-1")
    );
    let answer = app
        .get("/api/v1/nothing")
        .header("X-Request-Id", "not an id")
        .send()
        .await;
    assert!(answer.header("x-request-id").starts_with("req_"));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_and_clients_that_hang_up_disturb_nobody() {
    let app = App::start_with(json!({ "http": { "header_timeout_ms": 300 } })).await;
    let mut slow = tokio::net::TcpStream::connect(app.address).await.unwrap();
    slow.write_all(b"POST /api/v1/auth/register HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    for _ in 0..20 {
        let mut gone = tokio::net::TcpStream::connect(app.address).await.unwrap();
        gone.write_all(b"POST /api/v1/auth/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"em").await.unwrap();
        drop(gone);
    }
    app.register("ada@example.com").await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(5), slow.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "a client that never ends its head keeps its connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_gone_and_back() {
    // What a lost connection does to PostgreSQL sessions: they are ended behind the program's back.
    let Some(app) = App::start_on(polity_testing::Backend::Postgres, json!({})).await else {
        return;
    };
    let ada = app.register("ada@example.com").await;
    let mut read = app.ctx.db.read().await.unwrap();
    let ended = read
        .sql("select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
        .one::<(i64,)>()
        .await
        .unwrap();
    assert!(ended.0 > 0);
    drop(read);
    let path = format!("/api/v1/accounts/profile/{}", ada.user_id);
    for _ in 0..50 {
        let answer = app.get(&path).bearer(&ada.access_token).send().await;
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text);
        if answer.status == 200 {
            return;
        }
        assert!(!answer.header("retry-after").is_empty());
    }
    panic!("the program did not find its way back to the database");
}
