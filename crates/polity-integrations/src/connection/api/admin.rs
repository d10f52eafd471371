//! Apps and providers, for operators.

use std::collections::HashMap;

use garde::Validate;
use polity_grants::provider::{Provider, Recovery, Refresh};
use polity_kernel::{
    Secret,
    caller::AdminOrService,
    http::{Created, Given, Json, Path, Result, Routes, State, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AppList, AppOut, Message, app_list, auth_method, message};
use crate::connection::{
    Connections,
    error::code,
    service::{self, AppChange, NewApp},
};

/// An app to add: a client as it was registered at a provider of the catalogue.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AppIn {
    /// Its name, such as `github` or `google_calendar`.
    #[garde(length(max = 255), pattern("^[a-z0-9][a-z0-9_-]{0,254}$"))]
    #[schemars(example = &"google_calendar", extend("pattern" = "^[a-z0-9][a-z0-9_-]{0,254}$"))]
    name: String,
    /// The provider, by its name in the catalogue; left out, the one of the app's name.
    #[garde(length(chars, min = 1, max = 64))]
    #[schemars(example = &"google")]
    provider: Option<String>,
    /// Its name for people; left out, the provider's.
    #[garde(length(chars, min = 1, max = 255))]
    display_name: Option<String>,
    /// What it is for.
    #[garde(length(chars, max = 2000))]
    description: Option<String>,
    /// Its version.
    #[garde(length(chars, min = 1, max = 50))]
    #[schemars(example = &"1.0.0")]
    version: Option<String>,
    /// The client's id at the provider.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"Iv1.8a61f9b3a7aba766")]
    client_id: String,
    /// The client's secret. It is sealed, and shown to nobody again.
    #[garde(length(min = 1, max = 4096))]
    #[schemars(example = &"a secret")]
    client_secret: Option<String>,
    /// Where the provider sends browsers back to, if not to Polity: a page that posts `code` and `state` to `/callback`.
    #[garde(length(chars, min = 1, max = 500))]
    #[schemars(example = &"https://app.example.com/connected")]
    redirect_uri: Option<String>,
    /// The scopes it cannot do without, as the provider writes them.
    #[garde(
        length(max = 100),
        inner(length(chars, min = 1, max = 255), pattern(r"^[\x21\x23-\x2B\x2D-\x5B\x5D-\x7E]+$"))
    )]
    #[serde(default)]
    #[schemars(example = ["read:user"])]
    required_scopes: Vec<String>,
    /// Whether connections with it may be begun.
    #[garde(skip)]
    #[serde(default = "yes")]
    is_enabled: bool,
    /// Its icon.
    #[garde(length(chars, min = 1, max = 500))]
    #[schemars(example = &"https://app.example.com/icons/google.svg")]
    icon_url: Option<String>,
    /// What there is to read about it.
    #[garde(length(chars, min = 1, max = 500))]
    #[schemars(example = &"https://app.example.com/help/google")]
    documentation_url: Option<String>,
}

fn yes() -> bool {
    true
}

/// Adds an app. Its provider's addresses and ways are those of the catalogue.
#[operation("connection.admin_add_app", status = 201, errors(code::APP_EXISTS, codes::FORBIDDEN))]
async fn add_app(
    _: AdminOrService,
    State(connections): State<Connections>,
    Json(body): Json<AppIn>,
) -> Result<Created<Json<AppOut>>> {
    let new = NewApp {
        provider: body.provider.unwrap_or_else(|| body.name.clone()),
        name: body.name,
        display_name: body.display_name,
        description: body.description,
        version: body.version,
        client_id: body.client_id,
        client_secret: body.client_secret.map(Secret::from),
        redirect_uri: body.redirect_uri,
        required_scopes: body.required_scopes,
        is_enabled: body.is_enabled,
        icon_url: body.icon_url,
        documentation_url: body.documentation_url,
    };
    let mut tx = connections.ctx.db.begin().await?;
    let app = service::create_app(&mut tx, &connections, new).await?;
    tx.commit().await?;
    Ok(Created(Json(AppOut::new(&connections, app, &HashMap::default()))))
}

/// All apps, those too that are not offered.
#[operation("connection.admin_list_apps", errors(codes::FORBIDDEN))]
async fn list(_: AdminOrService, State(connections): State<Connections>) -> Result<Json<AppList>> {
    app_list(&connections, true).await
}

/// One app.
#[operation("connection.admin_get_app", errors(code::APP_NOT_FOUND, codes::FORBIDDEN))]
async fn get(
    _: AdminOrService,
    State(connections): State<Connections>,
    Path(id): Path<String>,
) -> Result<Json<AppOut>> {
    let mut read = connections.ctx.db.read().await?;
    let found = service::find_app(&mut read, &id).await?;
    let uses = service::used(&mut read, std::slice::from_ref(&found)).await?;
    Ok(Json(AppOut::new(&connections, found, &uses)))
}

/// What is to change; what is left out stays.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AppPatch {
    /// Its name for people.
    #[garde(length(chars, min = 1, max = 255))]
    display_name: Option<String>,
    /// What it is for.
    #[garde(custom(at_most::<2000>))]
    #[serde(default)]
    #[schemars(extend("minLength" = 1, "maxLength" = 2000))]
    description: Given<String>,
    /// Its version.
    #[garde(length(chars, min = 1, max = 50))]
    version: Option<String>,
    /// The client's id at the provider.
    #[garde(length(chars, min = 1, max = 255))]
    client_id: Option<String>,
    /// The client's secret; null: none.
    #[garde(custom(at_most::<4096>))]
    #[serde(default)]
    #[schemars(extend("minLength" = 1, "maxLength" = 4096))]
    client_secret: Given<String>,
    /// Where the provider sends browsers back to; null: to Polity.
    #[garde(custom(at_most::<500>))]
    #[serde(default)]
    #[schemars(extend("minLength" = 1, "maxLength" = 500))]
    redirect_uri: Given<String>,
    /// The scopes it cannot do without.
    #[garde(inner(
        length(max = 100),
        inner(length(chars, min = 1, max = 255), pattern(r"^[\x21\x23-\x2B\x2D-\x5B\x5D-\x7E]+$"))
    ))]
    required_scopes: Option<Vec<String>>,
    /// Whether connections with it may be begun.
    #[garde(skip)]
    is_enabled: Option<bool>,
    /// Whether it is offered no more.
    #[garde(skip)]
    is_deprecated: Option<bool>,
    /// Its icon.
    #[garde(custom(at_most::<500>))]
    #[serde(default)]
    #[schemars(extend("minLength" = 1, "maxLength" = 500))]
    icon_url: Given<String>,
    /// What there is to read about it.
    #[garde(custom(at_most::<500>))]
    #[serde(default)]
    #[schemars(extend("minLength" = 1, "maxLength" = 500))]
    documentation_url: Given<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "garde hands it over like this")]
fn at_most<const MOST: usize>(given: &Given<String>, (): &()) -> garde::Result {
    match given.value() {
        Some(text) if text.is_empty() || text.chars().count() > MOST => {
            Err(garde::Error::new(format!("length must be from 1 to {MOST}")))
        }
        _ => Ok(()),
    }
}

/// Changes an app. The connections it has go on with the client as it is then.
#[operation("connection.admin_update_app", errors(code::APP_NOT_FOUND, codes::FORBIDDEN))]
async fn update(
    _: AdminOrService,
    State(connections): State<Connections>,
    Path(id): Path<String>,
    Json(body): Json<AppPatch>,
) -> Result<Json<AppOut>> {
    let secret = match body.client_secret {
        Given::Nothing => Given::Nothing,
        Given::Null => Given::Null,
        Given::Value(secret) => Given::Value(Secret::from(secret)),
    };
    let change = AppChange {
        display_name: body.display_name,
        description: body.description,
        version: body.version,
        client_id: body.client_id,
        client_secret: secret,
        redirect_uri: body.redirect_uri,
        required_scopes: body.required_scopes,
        is_enabled: body.is_enabled,
        is_deprecated: body.is_deprecated,
        icon_url: body.icon_url,
        documentation_url: body.documentation_url,
    };
    let mut tx = connections.ctx.db.begin().await?;
    let app = service::change_app(&mut tx, &connections, &id, change).await?;
    let uses = service::used(&mut tx, std::slice::from_ref(&app)).await?;
    tx.commit().await?;
    Ok(Json(AppOut::new(&connections, app, &uses)))
}

/// Deletes an app that has no connections.
#[operation(
    "connection.admin_delete_app",
    errors(code::APP_NOT_FOUND, code::APP_IN_USE, codes::FORBIDDEN)
)]
async fn delete(
    _: AdminOrService,
    State(connections): State<Connections>,
    Path(id): Path<String>,
) -> Result<Json<Message>> {
    let mut tx = connections.ctx.db.begin().await?;
    service::delete_app(&mut tx, &id).await?;
    tx.commit().await?;
    Ok(message("App deleted successfully"))
}

/// A provider of the catalogue.
#[derive(Debug, Serialize, JsonSchema)]
struct ProviderOut {
    /// Its name, for apps.
    name: String,
    /// Its name for people.
    display_name: String,
    /// Its own text on how it speaks OAuth.
    documentation: String,
    /// Whether the entry was compared with that.
    verified: bool,
    /// How the client says who it is.
    token_auth_method: &'static str,
    /// What becomes of a refresh token by its use: none, stable or rotating.
    refresh: &'static str,
    /// What is done after a refresh of which nobody knows whether it happened: retry, `retry_within` or reauthorize.
    recovery: &'static str,
    /// The scopes asked for unless an app says others.
    scopes_default: Vec<String>,
    /// The scopes always asked for.
    scopes_required: Vec<String>,
    /// The hosts that its tokens may be sent to.
    allowed_hosts: Vec<String>,
}

impl ProviderOut {
    fn new(provider: &Provider) -> Self {
        Self {
            name: provider.name.clone(),
            display_name: provider.display_name.clone(),
            documentation: provider.documentation.clone(),
            verified: provider.verified,
            token_auth_method: auth_method(provider),
            refresh: match provider.refresh {
                Refresh::None => "none",
                Refresh::Stable => "stable",
                Refresh::Rotating { .. } => "rotating",
            },
            recovery: match provider.recovery {
                Recovery::Retry => "retry",
                Recovery::RetryWithin(_) => "retry_within",
                Recovery::Reauthorize => "reauthorize",
            },
            scopes_default: provider.scopes_default.clone(),
            scopes_required: provider.scopes_required.clone(),
            allowed_hosts: provider.api_hosts.clone(),
        }
    }
}

/// The catalogue.
#[derive(Debug, Serialize, JsonSchema)]
struct ProviderList {
    /// The providers, by name.
    items: Vec<ProviderOut>,
    /// How many.
    total: usize,
}

/// The providers of the catalogue, by name: those that come with Polity, and those of the operator's file.
#[operation("connection.admin_list_providers", errors(codes::FORBIDDEN))]
async fn providers(_: AdminOrService, State(connections): State<Connections>) -> Json<ProviderList> {
    let items: Vec<ProviderOut> = connections
        .catalogue
        .iter()
        .map(|provider| ProviderOut::new(provider))
        .collect();
    Json(ProviderList {
        total: items.len(),
        items,
    })
}

pub(super) fn add(routes: Routes<Connections>) -> Routes<Connections> {
    routes
        .get("/api/v1/integration/admin/oauth-apps", list())
        .post("/api/v1/integration/admin/oauth-apps", add_app())
        .get("/api/v1/integration/admin/oauth-apps/{id}", get())
        .patch("/api/v1/integration/admin/oauth-apps/{id}", update())
        .delete("/api/v1/integration/admin/oauth-apps/{id}", delete())
        .get("/api/v1/integration/admin/oauth-providers", providers())
}
