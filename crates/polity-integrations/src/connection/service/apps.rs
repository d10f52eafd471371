//! Apps: the clients that operators registered at providers.

use std::collections::HashMap;

use polity_kernel::{
    Secret,
    db::{Conn, Json, List, Tx},
    http::Given,
};
use url::Url;

use crate::connection::{
    Connections, Error, SECRETS,
    model::OauthApp,
    store::{self, apps},
};

/// An app to add.
pub(in crate::connection) struct NewApp {
    pub name: String,
    pub provider: String,
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub version: Option<String>,
    pub client_id: String,
    pub client_secret: Option<Secret>,
    pub redirect_uri: Option<String>,
    pub required_scopes: Vec<String>,
    pub is_enabled: bool,
    pub icon_url: Option<String>,
    pub documentation_url: Option<String>,
}

/// What is to change about an app; nothing stays as it is.
pub(in crate::connection) struct AppChange {
    pub display_name: Option<String>,
    pub description: Given<String>,
    pub version: Option<String>,
    pub client_id: Option<String>,
    pub client_secret: Given<Secret>,
    pub redirect_uri: Given<String>,
    pub required_scopes: Option<Vec<String>>,
    pub is_enabled: Option<bool>,
    pub is_deprecated: Option<bool>,
    pub icon_url: Given<String>,
    pub documentation_url: Given<String>,
}

/// The apps, by what people call them; for operators those too that are not offered.
pub(in crate::connection) async fn apps(conn: &mut Conn, every: bool) -> Result<Vec<OauthApp>, Error> {
    Ok(apps::list(conn, every).await?)
}

/// With how many connections each app is used.
pub(in crate::connection) async fn used(conn: &mut Conn, of: &[OauthApp]) -> Result<HashMap<String, i64>, Error> {
    let ids = List::of(of.iter().map(|app| &app.id));
    Ok(apps::uses(conn, &ids).await?.into_iter().collect())
}

/// Any app, for operators.
pub(in crate::connection) async fn find_app(conn: &mut Conn, id: &str) -> Result<OauthApp, Error> {
    apps::find(conn, id).await?.ok_or(Error::AppNotFound)
}

/// An app that is offered, by its id or its name.
pub(in crate::connection) async fn open_app(conn: &mut Conn, id: &str) -> Result<OauthApp, Error> {
    let found = match apps::find(conn, id).await? {
        Some(found) => Some(found),
        None => apps::find_named(conn, id).await?,
    };
    found.filter(OauthApp::is_open).ok_or(Error::AppNotFound)
}

/// Adds an app.
pub(in crate::connection) async fn create_app(
    tx: &mut Tx,
    connections: &Connections,
    new: NewApp,
) -> Result<OauthApp, Error> {
    let ctx = &connections.ctx;
    tx.lock("connection.app", "all").await?;
    if apps::count(tx).await? >= apps::MOST {
        return Err(Error::Field(
            "name",
            format!("There may be at most {} apps", apps::MOST),
        ));
    }
    if apps::find_named(tx, &new.name).await?.is_some() {
        return Err(Error::AppExists(new.name));
    }
    let Some(provider) = connections.catalogue.get(&new.provider) else {
        let text = format!("The catalogue has no provider {:?}", new.provider);
        return Err(Error::Field("provider", text));
    };
    let now = ctx.clock.now();
    let id = ctx.ids.new_id("app_");
    let sealed = new
        .client_secret
        .map(|secret| ctx.secrets.seal(SECRETS, &id, secret.expose().as_bytes()));
    let app = OauthApp {
        name: new.name,
        provider: new.provider,
        display_name: new.display_name.unwrap_or_else(|| provider.display_name.clone()),
        description: new.description,
        version: new.version.unwrap_or_else(|| "1.0.0".to_owned()),
        client_id: new.client_id,
        client_secret: sealed,
        redirect_uri: new.redirect_uri,
        required_scopes: Json(new.required_scopes),
        is_enabled: new.is_enabled,
        is_deprecated: false,
        icon_url: new.icon_url,
        documentation_url: new.documentation_url,
        created_at: now,
        updated_at: now,
        id,
    };
    check(connections, &app)?;
    apps::put(tx, &app, true).await?;
    Ok(app)
}

/// Changes an app. What it asks for from now on does not change the connections it has.
pub(in crate::connection) async fn change_app(
    tx: &mut Tx,
    connections: &Connections,
    id: &str,
    change: AppChange,
) -> Result<OauthApp, Error> {
    let ctx = &connections.ctx;
    tx.lock("connection.app", "all").await?;
    let mut app = find_app(tx, id).await?;
    let text = |given: Given<String>, before: Option<String>| given.over(before);
    app.display_name = change.display_name.unwrap_or(app.display_name);
    app.description = text(change.description, app.description);
    app.version = change.version.unwrap_or(app.version);
    app.client_id = change.client_id.unwrap_or(app.client_id);
    let has_other_secret = !matches!(change.client_secret, Given::Nothing);
    app.client_secret = match change.client_secret {
        Given::Nothing => app.client_secret,
        Given::Null => None,
        Given::Value(secret) => Some(ctx.secrets.seal(SECRETS, &app.id, secret.expose().as_bytes())),
    };
    app.redirect_uri = text(change.redirect_uri, app.redirect_uri);
    app.required_scopes = change.required_scopes.map_or(app.required_scopes, Json);
    app.is_enabled = change.is_enabled.unwrap_or(app.is_enabled);
    app.is_deprecated = change.is_deprecated.unwrap_or(app.is_deprecated);
    app.icon_url = text(change.icon_url, app.icon_url);
    app.documentation_url = text(change.documentation_url, app.documentation_url);
    app.updated_at = ctx.clock.now();
    check(connections, &app)?;
    apps::put(tx, &app, has_other_secret).await?;
    Ok(app)
}

/// Deletes an app that has no connections.
pub(in crate::connection) async fn delete_app(tx: &mut Tx, id: &str) -> Result<(), Error> {
    tx.lock("connection.app", "all").await?;
    find_app(tx, id).await?;
    // Whoever begins a connection holds the lock of the app until it is there.
    tx.lock("connection.app", id).await?;
    let uses = store::apps::count_uses(tx, id).await?;
    if uses > 0 {
        return Err(Error::AppInUse(uses));
    }
    apps::delete(tx, id).await?;
    Ok(())
}

/// What only a rule can judge: addresses, and whether the client can say who it is.
fn check(connections: &Connections, app: &OauthApp) -> Result<(), Error> {
    let addresses = [
        ("redirect_uri", &app.redirect_uri),
        ("icon_url", &app.icon_url),
        ("documentation_url", &app.documentation_url),
    ];
    for (field, given) in addresses {
        let Some(given) = given else { continue };
        let is_local = |url: &Url| matches!(url.host_str(), Some("localhost" | "127.0.0.1"));
        let may_be_plain = connections.ctx.core.environment.is_development();
        let url = Url::parse(given).map_err(|error| Error::Field(field, format!("This is no address: {error}")))?;
        if url.scheme() != "https" && !(may_be_plain && url.scheme() == "http" && is_local(&url)) {
            return Err(Error::Field(field, "The address must be https".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            let text = "The address may have no user, password or fragment";
            return Err(Error::Field(field, text.to_owned()));
        }
    }
    Ok(())
}
