//! Connections over HTTP, on both databases, with a provider on a real socket.

mod access;
mod apps;
mod ends;
mod lies;
mod pages;
mod races;
mod sign_in;
mod strangers;
mod uses;

use std::{collections::HashMap, path::Path};

use polity_kernel::{event::Event, job::NewJob};
use polity_testing::{
    Answer, App, Backend, Person,
    provider::{CLIENT_ID, CLIENT_SECRET, Provider, Settings},
};
use reqwest::Method;
use serde_json::{Value, json};
use url::Url;

const BASE: &str = "/api/v1/integration/oauth";
const APPS: &str = "/api/v1/integration/admin/oauth-apps";
/// A page that may call the API, and open a sign-in.
const PAGE: &str = "https://app.example.com";

/// Settings in which `double` is a provider of the catalogue.
fn settings(provider: &Provider, folder: &Path, more: &str) -> Value {
    let path = folder.join("catalogue.toml");
    std::fs::write(&path, provider.catalogue_entry("double", more)).unwrap();
    json!({
        "connection": { "catalogue": path },
        "outbound": { "allow": ["127.0.0.1"] },
        "http": { "cors_origins": [PAGE] },
    })
}

/// Runs a test with a provider of its own, on every database there is.
async fn each_with(like: Settings, more: &str, test: impl AsyncFn(&App, &Provider)) {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let provider = Provider::start(like.clone()).await;
        provider.sign_in_as("ada");
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(&provider, folder.path(), more);
        if let Some(app) = App::start_on(backend, settings).await {
            test(&app, &provider).await;
        }
    }
}

/// The same with a provider that rotates refresh tokens.
async fn each(test: impl AsyncFn(&App, &Provider)) {
    each_with(Settings::default(), "", test).await;
}

/// An app of an operator's, with the provider of the tests.
async fn new_app(app: &App, more: Value) -> Answer {
    let mut body = json!({
        "name": "double",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "required_scopes": ["read"],
    });
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        body[name] = value;
    }
    app.post(APPS).service().json(&body).send().await
}

/// Its id.
async fn app_id(app: &App) -> String {
    new_app(app, json!({})).await.expect(201).text_at("/id").to_owned()
}

/// A person consents that an app is connected with, in their own workspace or another.
async fn consent(app: &App, person: &Person, workspace: Option<&str>, app_id: &str, scopes: &[&str]) -> String {
    let query = workspace.map_or_else(String::new, |id| format!("?workspace_id={id}"));
    let body = json!({
        "purpose": "third_party",
        "subject_kind": "oauth_connection",
        "entity_type": "oauth_app",
        "entity_id": app_id,
        "description": "Use my account",
        "requested_permissions": scopes,
        "granted_permissions": scopes,
    });
    let ask = app.post(&format!("/api/v1/integration/consents{query}"));
    let made = ask.bearer(&person.access_token).json(&body).send().await;
    made.expect(201).text_at("/id").to_owned()
}

/// A person begins a connection.
async fn begin_in(app: &App, person: &Person, workspace: Option<&str>, more: Value) -> Answer {
    let query = workspace.map_or_else(String::new, |id| format!("?workspace_id={id}"));
    let mut body = json!({ "oauth_app_id": "double" });
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        body[name] = value;
    }
    let ask = app.post(&format!("{BASE}/connections{query}"));
    ask.bearer(&person.access_token).json(&body).send().await
}

/// What a browser has: the provider sends it back with these.
#[expect(clippy::disallowed_methods, reason = "a browser is no part of the program")]
async fn signed_in(authorize_url: &str) -> HashMap<String, String> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let answer = client.get(authorize_url).send().await.unwrap();
    let location = answer
        .headers()
        .get("location")
        .expect("the provider sends the browser back");
    let back = Url::parse(location.to_str().unwrap()).unwrap();
    back.query_pairs().into_owned().collect()
}

/// The cookies of an answer, as a browser sends them back.
fn cookies(answer: &Answer) -> String {
    let set = answer.headers.get_all("set-cookie").iter();
    let pairs: Vec<&str> = set
        .filter_map(|cookie| cookie.to_str().ok()?.split(';').next())
        .collect();
    pairs.join("; ")
}

/// The browser comes back from the provider.
async fn come_back(app: &App, back: &HashMap<String, String>, cookies: &str) -> Answer {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(back)
        .finish();
    let ask = app.get(&format!("{BASE}/callback?{query}"));
    ask.header("Cookie", cookies).send().await
}

/// A connection that works: its id.
async fn connected_in(app: &App, person: &Person, workspace: Option<&str>, more: Value) -> String {
    let begun = begin_in(app, person, workspace, more).await.expect(201);
    let back = signed_in(begun.text_at("/authorize_url")).await;
    come_back(app, &back, &cookies(&begun)).await.expect(200);
    begun.text_at("/id").to_owned()
}

/// The same with an app, a person and a consent.
async fn connected(app: &App) -> (Person, String, String) {
    let app_id = app_id(app).await;
    let ada = app.register("ada@example.com").await;
    consent(app, &ada, None, &app_id, &["read", "write"]).await;
    let id = connected_in(app, &ada, None, json!({})).await;
    (ada, app_id, id)
}

/// A connection as its owner sees it.
async fn look(app: &App, person: &Person, id: &str) -> Value {
    let path = format!("{BASE}/connections/{id}");
    app.get(&path)
        .bearer(&person.access_token)
        .send()
        .await
        .expect(200)
        .body
}

/// The same, as a service sees it for them, however late it is.
async fn seen(app: &App, person: &Person, id: &str) -> Value {
    let ask = app.get(&format!("{BASE}/connections/{id}"));
    ask.service()
        .on_behalf_of(&person.user_id)
        .send()
        .await
        .expect(200)
        .body
}

/// The token of a connection, as a service gets it.
async fn issue(app: &App, id: &str) -> Answer {
    let ask = app.post("/api/v1/tokens:issue").service();
    ask.json(&json!({ "connection_id": id })).send().await
}

/// A change to a connection, by its owner.
async fn patch(app: &App, person: &Person, id: &str, body: Value) -> Answer {
    let ask = app.request(Method::PATCH, &format!("{BASE}/connections/{id}"));
    ask.bearer(&person.access_token).json(&body).send().await
}

/// Its owner disconnects.
async fn disconnect(app: &App, person: &Person, id: &str) -> Answer {
    let ask = app.delete(&format!("{BASE}/connections/{id}"));
    ask.bearer(&person.access_token).send().await
}

/// Everything that was said of connections.
async fn all_said(app: &App) -> Vec<Event> {
    app.settle().await;
    let kinds = ["created", "refreshed", "expired", "revoked", "called"];
    let kinds = kinds.map(|kind| format!("integration_service.connection.{kind}"));
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    app.ctx.events.read_after(&app.ctx.db, 0, &kinds, 1000).await.unwrap()
}

/// What was said of one kind.
async fn said(app: &App, kind: &str) -> Vec<Event> {
    let kind = format!("integration_service.{kind}");
    let all = all_said(app).await.into_iter();
    all.filter(|event| event.r#type == kind).collect()
}

/// Runs a job now.
async fn run(app: &App, kind: &'static str) {
    let mut tx = app.ctx.db.begin().await.unwrap();
    let job = NewJob::new(kind, Value::Null);
    app.ctx.jobs.enqueue(&mut tx, job).await.unwrap();
    tx.commit().await.unwrap();
    app.settle().await;
}
