//! What the service answers, from top to bottom: apps here, connections, pages and uses in the files beside.

mod admin;
mod connections;
mod pages;
mod uses;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use polity_grants::provider::{ClientAuth, Pkce, Provider, Refresh};
use polity_kernel::{
    caller::Caller,
    clock,
    http::{Json, Path, Result, Routes, State},
    operation,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Connections, error::code, model::OauthApp, service};

/// An app: a client that the operator registered at a provider.
#[derive(Debug, Serialize, JsonSchema)]
struct AppOut {
    /// Its id.
    id: String,
    /// Its name.
    name: String,
    /// Its name for people.
    display_name: String,
    /// What it is for.
    description: Option<String>,
    /// Its version.
    version: String,
    /// The provider, by its name in the catalogue.
    provider: String,
    /// Where browsers are sent.
    authorize_url: Option<String>,
    /// Where tokens are asked for; null: the catalogue does not have the provider any more, and nobody can connect.
    token_url: Option<String>,
    /// Where tokens are taken back.
    revoke_url: Option<String>,
    /// Where the provider says whose token it is.
    userinfo_url: Option<String>,
    /// Where the provider sends browsers back to.
    redirect_uri: String,
    /// The scopes it cannot do without.
    required_scopes: Vec<String>,
    /// What stands between scopes.
    scope_separator: Option<String>,
    /// Whether the code is bound to whoever asked for it (RFC 7636).
    pkce: bool,
    /// How the client says who it is: basic, post, none or `private_key_jwt`.
    token_auth_method: Option<&'static str>,
    /// Whether a use of its refresh token ends it.
    refresh_rotates: bool,
    /// The hosts that its tokens may be sent to.
    allowed_hosts: Vec<String>,
    /// Whether the provider's entry was compared with its documentation.
    is_verified: bool,
    /// Whether connections with it may be begun.
    is_enabled: bool,
    /// Whether it is offered no more.
    is_deprecated: bool,
    /// Its icon.
    icon_url: Option<String>,
    /// What there is to read about it.
    documentation_url: Option<String>,
    /// How many connections it has.
    install_count: i64,
    /// When it was made.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
    /// When it was last changed.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    updated_at: DateTime<Utc>,
}

/// How the client of a provider says who it is, in a word.
fn auth_method(provider: &Provider) -> &'static str {
    match provider.client_auth {
        ClientAuth::Basic => "basic",
        ClientAuth::Post => "post",
        ClientAuth::None => "none",
        ClientAuth::PrivateKeyJwt => "private_key_jwt",
    }
}

impl AppOut {
    fn new(connections: &Connections, app: OauthApp, uses: &HashMap<String, i64>) -> Self {
        let provider = connections.provider(&app).ok();
        let provider = provider.as_deref();
        let redirect_uri = connections.redirect_uri(&app);
        Self {
            install_count: uses.get(&app.id).copied().unwrap_or(0),
            redirect_uri,
            id: app.id,
            name: app.name,
            display_name: app.display_name,
            description: app.description,
            version: app.version,
            provider: app.provider,
            authorize_url: provider.and_then(|provider| provider.authorize_url.clone()),
            token_url: provider.map(|provider| provider.token_url.clone()),
            revoke_url: provider.and_then(|provider| provider.revoke_url.clone()),
            userinfo_url: provider.and_then(|provider| provider.userinfo_url.clone()),
            required_scopes: app.required_scopes.0,
            scope_separator: provider.map(|provider| provider.scope_separator.clone()),
            pkce: provider.is_some_and(|provider| provider.pkce == Pkce::S256),
            token_auth_method: provider.map(auth_method),
            refresh_rotates: provider.is_some_and(|provider| matches!(provider.refresh, Refresh::Rotating { .. })),
            allowed_hosts: provider.map(|provider| provider.api_hosts.clone()).unwrap_or_default(),
            is_verified: provider.is_some_and(|provider| provider.verified),
            is_enabled: app.is_enabled,
            is_deprecated: app.is_deprecated,
            icon_url: app.icon_url,
            documentation_url: app
                .documentation_url
                .or_else(|| provider.map(|provider| provider.documentation.clone())),
            created_at: app.created_at,
            updated_at: app.updated_at,
        }
    }
}

/// Apps.
#[derive(Debug, Serialize, JsonSchema)]
struct AppList {
    /// The apps, by what people call them.
    items: Vec<AppOut>,
    /// How many.
    total: usize,
}

async fn app_list(connections: &Connections, every: bool) -> Result<Json<AppList>> {
    let mut read = connections.ctx.db.read().await?;
    let mut found = service::apps(&mut read, every).await?;
    // What nobody can connect with is the operator's affair.
    found.retain(|app| every || connections.provider(app).is_ok());
    let uses = service::used(&mut read, &found).await?;
    drop(read);
    let items: Vec<AppOut> = found
        .into_iter()
        .map(|app| AppOut::new(connections, app, &uses))
        .collect();
    Ok(Json(AppList {
        total: items.len(),
        items,
    }))
}

/// The apps that can be connected with, by what people call them.
#[operation("connection.list_apps")]
async fn apps(_: Caller, State(connections): State<Connections>) -> Result<Json<AppList>> {
    app_list(&connections, false).await
}

/// One app, by its id or its name, without its credentials.
#[operation("connection.get_app", errors(code::APP_NOT_FOUND))]
async fn app(_: Caller, State(connections): State<Connections>, Path(id): Path<String>) -> Result<Json<AppOut>> {
    let mut read = connections.ctx.db.read().await?;
    let found = service::open_app(&mut read, &id).await?;
    let uses = service::used(&mut read, std::slice::from_ref(&found)).await?;
    Ok(Json(AppOut::new(&connections, found, &uses)))
}

/// A sentence that says what was done.
#[derive(Debug, Serialize, JsonSchema)]
struct Message {
    /// The sentence.
    message: &'static str,
}

fn message(message: &'static str) -> Json<Message> {
    Json(Message { message })
}

fn first_page() -> i64 {
    1
}

fn twenty() -> i64 {
    20
}

/// The operations.
pub(super) fn routes() -> Routes<Connections> {
    let routes = Routes::new("connection")
        .get("/api/v1/integration/oauth/apps", apps())
        .get("/api/v1/integration/oauth/apps/{id}", app());
    let routes = connections::add(routes);
    let routes = pages::add(routes);
    let routes = uses::add(routes);
    admin::add(routes)
}
