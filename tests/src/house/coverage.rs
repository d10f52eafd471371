//! Walks the route registry: every operation that is not public is tried with no credential, a wrong one of each kind, and
//! an expired one; every list of problems in the document is the same shape.

use std::time::Duration;

use polity_testing::{App, Request};
use reqwest::Method;

/// Every operation with a guard, as (id, method, path with the parameters filled in, guard).
fn guarded() -> Vec<(String, Method, String, String)> {
    let (_, described) = polity_server::describe().unwrap();
    let mut out = Vec::new();
    for one in described {
        let guard = one.guard().unwrap().to_owned();
        if guard == "public" {
            continue;
        }
        let mut path = one.path.clone();
        while let (Some(open), Some(close)) = (path.find('{'), path.find('}')) {
            path.replace_range(open..=close, "usr_00000000000000000000000000000000");
        }
        let method = Method::from_bytes(one.method.to_uppercase().as_bytes()).unwrap();
        out.push((one.operation.operation_id.unwrap_or_default(), method, path, guard));
    }
    out
}

fn with_body<'a>(request: Request<'a>, method: &Method) -> Request<'a> {
    if *method == Method::GET {
        request
    } else {
        request.json(&serde_json::json!({}))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_in_without_a_valid_credential() {
    App::each(async |app| {
        let ada = app.register("ada@example.com").await;
        let forged = format!("{}x", &ada.access_token[..ada.access_token.len() - 2]);
        let operations = guarded();
        assert!(operations.len() > 20, "the registry is nearly empty");
        app.advance(Duration::from_hours(1));
        for (id, method, path, _) in &operations {
            let request = || with_body(app.request(method.clone(), path), method);
            let tries = [
                ("no credential", request()),
                ("an expired token", request().bearer(&ada.access_token)),
                ("a forged token", request().bearer(&forged)),
                ("a token of nobody's", request().bearer("garbage")),
                ("an empty token", request().header("Authorization", "Bearer ")),
                ("another scheme", request().header("Authorization", "Basic YTpi")),
                ("a user id alone", request().on_behalf_of(&ada.user_id)),
                (
                    "a claim to be internal",
                    request()
                        .header("X-Internal-Service", "true")
                        .on_behalf_of(&ada.user_id),
                ),
                (
                    "a claim of an internal call",
                    request().header("X-Internal-Call", "true").on_behalf_of(&ada.user_id),
                ),
                (
                    "a wrong service secret",
                    request()
                        .header("X-Internal-Service", "true")
                        .header("X-Internal-Service-Secret", "wrong"),
                ),
                (
                    "an API key that is none",
                    request().header("X-API-Key", "pol_user_nothing"),
                ),
            ];
            for (what, request) in tries {
                let answer = request.send().await;
                assert_eq!(
                    answer.status, 401,
                    "{id} ({method} {path}) with {what}: {}",
                    answer.text
                );
                answer.code();
                assert!(
                    answer.header("www-authenticate").starts_with("Bearer"),
                    "{id} with {what}"
                );
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordinary_person_gets_no_further_than_themselves() {
    App::each(async |app| {
        let eve = app.register("eve@example.com").await;
        for (id, method, path, guard) in guarded() {
            let limited = ["admin", "service"].iter().any(|word| guard.contains(word));
            let foreign = path.contains("usr_0000");
            if !limited && !foreign {
                continue;
            }
            let answer = with_body(app.request(method.clone(), &path), &method)
                .bearer(&eve.access_token)
                .send()
                .await;
            // Some contracts look at the shape of the request before they look at the caller.
            assert!(
                matches!(answer.status, 400 | 401 | 403 | 404 | 422),
                "{id} ({method} {path}) let an ordinary person in: {} {}",
                answer.status,
                answer.text
            );
        }
    })
    .await;
}

#[test]
fn every_operation_states_what_it_requires() {
    let (document, described) = polity_server::describe().unwrap();
    assert!(described.iter().all(|one| one.guard().is_some()));
    for one in &described {
        assert!(
            one.operation.summary.as_deref().is_some_and(|text| !text.is_empty()),
            "{} has no summary",
            one.path
        );
    }
    let text = serde_json::to_string(&document).unwrap();
    assert!(text.contains("\"openapi\":\"3.1"), "not an OpenAPI 3.1 document");
}
