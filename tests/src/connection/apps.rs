//! Apps and the catalogue (2.3, 2.8).

use polity_testing::{
    App,
    provider::{Provider, Settings},
};
use reqwest::Method;
use serde_json::json;

use super::{APPS, BASE, connected, each, new_app, settings};

#[tokio::test]
async fn operators_keep_apps_and_people_see_those_that_are_offered() {
    each(async |app, provider| {
        let made = new_app(app, json!({ "display_name": "Double" })).await.expect(201);
        let id = made.text_at("/id").to_owned();
        assert!(!made.text.contains("test-only-client-secret"));
        assert_eq!(made.text_at("/token_url"), format!("{}/token", provider.url()));
        assert_eq!(
            (&made.body["refresh_rotates"], &made.body["pkce"]),
            (&json!(true), &json!(true))
        );
        assert_eq!(new_app(app, json!({})).await.expect(409).code(), "APP_EXISTS");
        let ada = app.register("ada@example.com").await;
        let seen = async |path: &str| app.get(path).bearer(&ada.access_token).send().await;
        assert_eq!(seen(&format!("{BASE}/apps")).await.expect(200).body["total"], 1);
        for name in [id.as_str(), "double"] {
            let found = seen(&format!("{BASE}/apps/{name}")).await.expect(200);
            assert_eq!(found.text_at("/display_name"), "Double");
            assert!(found.body.get("client_id").is_none() && found.body.get("client_secret").is_none());
        }
        seen(APPS).await.expect(403);
        let patch = async |body: serde_json::Value| {
            app.request(Method::PATCH, &format!("{APPS}/{id}"))
                .service()
                .json(&body)
                .send()
                .await
        };
        let changed = patch(json!({ "description": "Ours", "is_deprecated": true }))
            .await
            .expect(200);
        assert_eq!(changed.text_at("/description"), "Ours");
        seen(&format!("{BASE}/apps/{id}")).await.expect(404);
        assert_eq!(seen(&format!("{BASE}/apps")).await.body["total"], 0);
        assert_eq!(app.get(APPS).service().send().await.expect(200).body["total"], 1);
        patch(json!({ "redirect_uri": "http://evil.example/" }))
            .await
            .expect(422);
        patch(json!({ "surprise": true })).await.expect(422);
        patch(json!({ "description": null })).await.expect(200);
        app.delete(&format!("{APPS}/{id}")).service().send().await.expect(200);
        app.get(&format!("{APPS}/{id}")).service().send().await.expect(404);
        assert_eq!(
            app.delete(&format!("{APPS}/{id}"))
                .service()
                .send()
                .await
                .expect(404)
                .code(),
            "APP_NOT_FOUND"
        );
    })
    .await;
}

#[tokio::test]
async fn an_app_with_connections_is_not_deleted() {
    each(async |app, _| {
        let (ada, id, connection) = connected(app).await;
        let refused = app.delete(&format!("{APPS}/{id}")).service().send().await.expect(409);
        assert_eq!(refused.code(), "APP_IN_USE");
        assert_eq!(
            app.get(&format!("{APPS}/{id}")).service().send().await.body["install_count"],
            1
        );
        super::disconnect(app, &ada, &connection).await.expect(200);
        // The provider is told with the app's credentials.
        app.settle().await;
        app.delete(&format!("{APPS}/{id}")).service().send().await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_an_app_is_said() {
    each(async |app, _| {
        for (more, pointer) in [
            (json!({ "provider": "nobody" }), "/provider"),
            (json!({ "name": "Upper Case" }), "/name"),
            (json!({ "client_id": "" }), "/client_id"),
            (json!({ "required_scopes": ["a b"] }), "/required_scopes/0"),
            (json!({ "redirect_uri": "http://example.com/back" }), "/redirect_uri"),
            (
                json!({ "redirect_uri": "https://user@example.com/back" }),
                "/redirect_uri",
            ),
            (json!({ "icon_url": "javascript:alert(1)" }), "/icon_url"),
        ] {
            let refused = new_app(app, more.clone()).await.expect(422);
            assert_eq!(refused.text_at("/errors/0/pointer"), pointer, "{more}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_catalogue_has_what_comes_with_it_and_what_the_operator_adds() {
    each(async |app, _| {
        let found = app
            .get("/api/v1/integration/admin/oauth-providers")
            .service()
            .send()
            .await
            .expect(200);
        let items = found.body["items"].as_array().unwrap().clone();
        let of = |name: &str| items.iter().find(|one| one["name"] == name).cloned();
        for name in [
            "github",
            "gitlab",
            "google",
            "microsoft",
            "slack",
            "atlassian",
            "sentry",
            "notion",
            "linear",
            "dropbox",
            "adobe",
            "x",
            "double",
        ] {
            let one = of(name).unwrap_or_else(|| panic!("no {name}"));
            assert!(one["documentation"].as_str().unwrap().starts_with("http"));
        }
        let ada = app.register("ada@example.com").await;
        let path = "/api/v1/integration/admin/oauth-providers";
        app.get(path).bearer(&ada.access_token).send().await.expect(403);
    })
    .await;
}

/// Wrong entries stop the program at its start, with their names.
#[tokio::test]
async fn a_wrong_catalogue_is_refused_at_the_start() {
    let provider = Provider::start(Settings::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let given = settings(&provider, folder.path(), "");
    let path = folder.path().join("catalogue.toml");
    let good = provider.catalogue_entry("double", "");
    for (wrong, says) in [
        (
            good.replace("http://127.0.0.1", "http://provider.example"),
            "is not https",
        ),
        (format!("{good}\n{good}"), "an entry before has it"),
        (good.replace("token_url", "tokenurl"), "tokenurl"),
        ("[[provider]]\nname = \"x\"".to_owned(), "missing field"),
    ] {
        std::fs::write(&path, &wrong).unwrap();
        let failed = App::failing(given.clone()).await;
        assert!(
            failed.contains("connection.catalogue") && failed.contains(says),
            "{failed}"
        );
    }
}
