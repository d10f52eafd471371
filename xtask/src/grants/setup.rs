//! People, an app, consents and connections, over HTTP as everybody makes them.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use polity_testing::provider::{CLIENT_ID, CLIENT_SECRET, Provider};
use reqwest::Method;
use serde_json::{Value, json};

use super::net::{As, Net};
use crate::crash::Failure;

const BASE: &str = "/api/v1/integration/oauth";
const PASSWORD: &str = "correct horse battery";
/// How many connections a person has.
const EACH: usize = 250;
/// How many connections are made at once.
const AT_ONCE: usize = 24;

/// A connection that was made.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: String,
    pub(super) user_id: String,
    /// The account at the provider.
    pub(super) account: String,
}

/// Somebody.
struct Person {
    user_id: String,
    access: String,
}

/// Makes so many connections, in the order of their accounts.
pub(super) async fn connect(
    many: usize,
    addresses: Vec<String>,
    provider: &Provider,
) -> Result<Vec<Connection>, Failure> {
    let net = Net::new(addresses)?;
    let app = new_app(&net).await?;
    let people: Vec<Person> = stream::iter(0..many.div_ceil(EACH))
        .map(|number| register(&net, number, &app))
        .buffered(4)
        .try_collect()
        .await?;
    let (net, people, url) = (&net, &people, provider.url());
    stream::iter(0..many)
        .map(|number| one(net, &people[number % people.len()], number, &url))
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

async fn new_app(net: &Net) -> Result<String, Failure> {
    let body = json!({
        "name": "double", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "required_scopes": ["read"],
    });
    let path = "/api/v1/integration/admin/oauth-apps";
    let made = net.ask(0, Method::POST, path, As::Service, &body).await?;
    Ok(made.expect(201, path)?.text("id"))
}

/// Somebody who consents to the app.
async fn register(net: &Net, number: usize, app: &str) -> Result<Person, Failure> {
    let body = json!({ "email": format!("p{number}@example.com"), "password": PASSWORD, "name": "P" });
    let path = "/api/v1/auth/register";
    let pending = net.ask(number, Method::POST, path, As::Nobody, &body).await?;
    let id = pending.expect(200, path)?.text("pending_registration_id");
    let path = format!("/api/v1/auth/dev/pending-registration/{id}");
    let found = net.ask(number, Method::GET, &path, As::Nobody, &Value::Null).await?;
    let code = found.expect(200, &path)?.text("verification_code");
    let body = json!({ "pending_registration_id": id, "code": code });
    let path = "/api/v1/auth/verify";
    let tokens = net.ask(number, Method::POST, path, As::Nobody, &body).await?;
    let tokens = tokens.expect(200, path)?;
    let person = Person {
        user_id: tokens.text("user_id"),
        access: tokens.text("access_token"),
    };
    let body = json!({
        "purpose": "third_party", "subject_kind": "oauth_connection", "entity_type": "oauth_app", "entity_id": app,
        "description": "Use my account", "requested_permissions": ["read"], "granted_permissions": ["read"],
    });
    let path = "/api/v1/integration/consents";
    let who = As::Person(&person.access);
    net.ask(number, Method::POST, path, who, &body)
        .await?
        .expect(201, path)?;
    Ok(person)
}

/// A connection: begun, signed in at the provider, come back from there.
async fn one(net: &Net, person: &Person, number: usize, provider: &str) -> Result<Connection, Failure> {
    let path = format!("{BASE}/connections");
    let body = json!({ "oauth_app_id": "double" });
    let begun = net
        .ask(number, Method::POST, &path, As::Person(&person.access), &body)
        .await?;
    let begun = begun.expect(201, &path)?;
    let (id, to) = (begun.text("id"), begun.text("authorize_url"));
    if !to.starts_with(provider) {
        return Err(Failure::Broken(format!(
            "{id}: the browser is not sent to the provider"
        )));
    }
    // The account that this browser is signed in with there.
    let account = format!("account-{number}");
    let unanswered = || Failure::Broken(format!("{id}: the sign-in was not answered"));
    let sent = net.outside(&format!("{to}&login_hint={account}"), As::Nobody).await;
    let sent = sent.ok_or_else(unanswered)?;
    let location = sent.headers.get("location").and_then(|value| value.to_str().ok());
    let query = location.and_then(|url| url.split_once('?')).map(|(_, query)| query);
    let back = format!("{BASE}/callback?{}", query.unwrap_or_default());
    let cookie = begun.headers.get("set-cookie").and_then(|value| value.to_str().ok());
    let cookie = cookie.and_then(|cookie| cookie.split(';').next()).unwrap_or_default();
    let answer = net.browse(number, &back, cookie).await.ok_or_else(unanswered)?;
    answer.expect(200, "coming back from the provider")?;
    Ok(Connection {
        id,
        user_id: person.user_id.clone(),
        account,
    })
}
