//! Master keys: rotated while everything is in use, then retired.

use polity_server::Program;
use polity_testing::App;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idempotent_requests_happen_once() {
    App::each(async |app| {
        let root = app.admin().await;
        let ada = app.register("ada@example.com").await;
        let path = format!("/api/v1/account/admin/accounts/{}/note", ada.user_id);
        let note = |key: &'static str, text: &'static str| {
            app.post(&path)
                .bearer(&root.access_token)
                .header("Idempotency-Key", key)
                .json(&serde_json::json!({ "note": text }))
        };
        let first = note("one", "called").send().await.expect(201);
        let again = note("one", "called").send().await.expect(201);
        assert_eq!(first.body, again.body);
        assert_eq!(
            note("one", "other").send().await.expect(422).code(),
            "IDEMPOTENCY_MISMATCH"
        );
        let (other, third) = tokio::join!(note("two", "twice").send(), note("two", "twice").send());
        assert_eq!(other.expect(201).body, third.expect(201).body);
        let path = format!("/api/v1/account/admin/accounts/{}", ada.user_id);
        let detail = app.get(&path).bearer(&root.access_token).send().await.expect(200);
        assert_eq!(detail.body["notes"].as_array().unwrap().len(), 2);
        app.advance(std::time::Duration::from_hours(25));
        assert_eq!(polity_kernel::http::forget_answers(&app.ctx).await.unwrap(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_with_a_secret_is_given_again_and_kept_sealed() {
    App::each(async |app| {
        let body = serde_json::json!({ "user_id": "usr_x", "email": "x@example.com" });
        let ask = || {
            app.post("/api/v1/auth/token-pair")
                .service()
                .header("Idempotency-Key", "k")
                .json(&body)
                .send()
        };
        let (one, other) = (ask().await.expect(200), ask().await.expect(200));
        assert_eq!(one.body, other.body);
        assert!(one.text_at("/refresh_token").starts_with("pol_refresh_"));
    })
    .await;
}

/// The sealed columns of the program, so that the commands' view of them is the tests'.
#[test]
fn sealed_columns_are_listed_once() {
    let columns = Program::sealed_columns();
    for (at, column) in columns.iter().enumerate() {
        assert!(!columns[..at].contains(column), "{column:?} is listed twice");
    }
}
