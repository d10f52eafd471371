//! Connecting begins: a pending connection, a link, and the person's consent.

use polity_kernel::{
    Secret,
    caller::Caller,
    db::{Json, Tx},
    limit::Window,
    secret::random_url_safe,
};
use serde_json::json;
use url::Url;

use super::{TICKET, app_of, browser_secret, is_allowed, locked, open_app};
use crate::{
    connection::{
        Connections, Error,
        model::{Connection, OauthApp, Status},
        store,
    },
    workspace,
};

/// A connection to begin.
pub(in crate::connection) struct NewConnection {
    pub oauth_app_id: String,
    pub is_sync_enabled: bool,
    pub is_shared: bool,
    pub scopes: Vec<String>,
    pub way: Way,
}

/// How a browser comes back.
#[derive(Debug, Default)]
pub(in crate::connection) struct Way {
    /// Where it is sent in the end.
    pub return_to: Option<String>,
    /// Which page opened it and is told.
    pub opener: Option<String>,
}

/// What was begun.
pub(in crate::connection) struct Begun {
    pub connection: Connection,
    /// The page that asks for consent, if that is missing, and leads on to the provider.
    pub connect_url: Secret,
    /// The provider's own page, where the person has consented already.
    pub provider_url: Option<Secret>,
}

/// Begins a connection (5.4.1).
pub(in crate::connection) async fn begin(
    tx: &mut Tx,
    connections: &Connections,
    caller: &Caller,
    workspace_id: Option<&str>,
    new: NewConnection,
) -> Result<Begun, Error> {
    let ctx = &connections.ctx;
    let workspace = workspace::keep(tx, &*connections.members, caller, workspace_id).await?;
    if !workspace.may_change() {
        return Err(Error::Forbidden);
    }
    let app = open_app(tx, &new.oauth_app_id).await?;
    let now = ctx.clock.now();
    let mut connection = Connection {
        id: ctx.ids.new_id("con_"),
        user_id: workspace.user_id,
        workspace_id: workspace.id,
        oauth_app_id: app.id.clone(),
        status: Status::Pending,
        is_sync_enabled: new.is_sync_enabled,
        is_shared: new.is_shared,
        requested_scopes: Json(scopes(connections, &app, &new.scopes)?),
        granted_scopes: Json(Vec::new()),
        missing_scopes: Json(Vec::new()),
        external_user_id: String::new(),
        external_user_email: None,
        external_user_data: None,
        token_expires_at: None,
        refresh_failures: 0,
        error: None,
        last_verified_at: None,
        return_to: None,
        opener: None,
        ticket_hash: None,
        is_opened: false,
        state_hash: None,
        waits_until: None,
        replaced_by: None,
        created_at: now,
        updated_at: now,
        ended_at: None,
    };
    let is_allowed = is_allowed(tx, ctx, &connection).await?;
    tx.lock("connection.app", &app.id).await?;
    room(tx, connections, &connection.user_id).await?;
    let (connect_url, provider_url) = wait(tx, connections, &mut connection, &app, new.way, is_allowed).await?;
    store::insert(tx, &connection).await?;
    Ok(Begun {
        connection,
        connect_url,
        provider_url,
    })
}

/// Whether somebody may have another connection; nobody else of theirs is begun until the transaction ends.
async fn room(tx: &mut Tx, connections: &Connections, user_id: &str) -> Result<(), Error> {
    tx.lock("connection.person", user_id).await?;
    let most = connections.settings.most_per_person;
    if store::count_of_person(tx, user_id).await? >= i64::from(most) {
        return Err(Error::TooMany(most));
    }
    Ok(())
}

/// Counts a sign-in, which leaves a row behind for a while, of whoever a caller is or acts for. It comes before any transaction.
pub(in crate::connection) async fn count_sign_in(connections: &Connections, caller: &Caller) -> Result<(), Error> {
    let person = caller.user_id().or(caller.on_behalf_of.as_deref()).unwrap_or_default();
    let most = u64::from(connections.settings.sign_ins_per_hour);
    let window = Window::new("connection_sign_ins", most, std::time::Duration::from_hours(1));
    let usage = connections.ctx.limiter.take(&[window], person, 1).await;
    if usage.allowed {
        Ok(())
    } else {
        Err(Error::Limited(usage))
    }
}

/// Lets the owner of a connection sign in again; until then it stays what it is.
pub(in crate::connection) async fn reconnect(
    tx: &mut Tx,
    connections: &Connections,
    id: &str,
    way: Way,
) -> Result<Begun, Error> {
    let ctx = &connections.ctx;
    let mut connection = store::find(tx, id).await?.ok_or(Error::NotFound)?;
    let app = app_of(tx, &connection).await?;
    if !app.is_open() {
        return Err(Error::AppNotFound);
    }
    // What the app needs by now, and what the connection had besides.
    let scopes = scopes(connections, &app, &connection.requested_scopes.0)?;
    connection.requested_scopes.0.clone_from(&scopes);
    let is_allowed = is_allowed(tx, ctx, &connection).await?;
    if connection.status == Status::Error {
        // What failed does not count among a person's connections; to be one, there has to be room for it.
        room(tx, connections, &connection.user_id).await?;
    }
    let mut connection = locked(tx, id).await?;
    if matches!(connection.status, Status::Pending | Status::Revoked) {
        return Err(Error::State(connection.status_at(ctx.clock.now())));
    }
    connection.requested_scopes.0 = scopes;
    let (connect_url, provider_url) = wait(tx, connections, &mut connection, &app, way, is_allowed).await?;
    connection.updated_at = connections.ctx.clock.now();
    store::update(tx, &connection).await?;
    Ok(Begun {
        connection,
        connect_url,
        provider_url,
    })
}

/// What is asked of the provider: what the app needs and what was wished, each once.
fn scopes(connections: &Connections, app: &OauthApp, wished: &[String]) -> Result<Vec<String>, Error> {
    let provider = connections.provider(app)?;
    let mut all = app.required_scopes.0.clone();
    for scope in wished {
        // RFC 6749 3.3, and the comma that some providers separate with.
        let is_scope = |c: char| matches!(c, '!' | '#'..='[' | ']'..='~') && c != ',';
        if scope.is_empty() || !scope.chars().all(is_scope) {
            return Err(Error::Field("scopes", format!("{scope:?} is no scope")));
        }
        if !all.contains(scope) {
            all.push(scope.clone());
        }
    }
    Ok(provider.scopes(&all))
}

/// Makes the link, and the provider's address if the person has consented.
async fn wait(
    tx: &mut Tx,
    connections: &Connections,
    connection: &mut Connection,
    app: &OauthApp,
    way: Way,
    is_allowed: bool,
) -> Result<(Secret, Option<Secret>), Error> {
    let ctx = &connections.ctx;
    connection.return_to = checked(connections, "return_to", way.return_to, false)?;
    connection.opener = checked(connections, "opener", way.opener, true)?;
    let ticket = Secret::from(random_url_safe(32));
    let minutes = i64::from(connections.settings.sign_in_minutes);
    connection.ticket_hash = Some(ctx.secrets.hash(TICKET, ticket.expose()).as_str().to_owned());
    connection.waits_until = Some(ctx.clock.now() + chrono::Duration::minutes(minutes));
    connection.is_opened = false;
    connection.state_hash = None;
    let connect_url = format!("{}/connect?ticket={}", connections.base(), ticket.expose());
    let provider_url = if is_allowed {
        Some(send_out(tx, connections, connection, app).await?)
    } else {
        None
    };
    Ok((connect_url.into(), provider_url))
}

/// An address that a browser may be sent to, or that is told: only of origins that may call the API, and our own.
fn checked(
    connections: &Connections,
    field: &'static str,
    given: Option<String>,
    is_origin: bool,
) -> Result<Option<String>, Error> {
    let Some(given) = given else { return Ok(None) };
    let wrong = |text: String| Error::Field(field, text);
    let url = Url::parse(&given).map_err(|error| wrong(format!("This is no address: {error}")))?;
    let origin = url.origin().ascii_serialization();
    let is_page = matches!(url.scheme(), "https" | "http") && url.username().is_empty() && url.password().is_none();
    if !is_page || !connections.is_known_origin(&origin) {
        let text =
            format!("{origin} is not among the origins that may be told: the operator lists them in http.cors_origins");
        return Err(wrong(text));
    }
    Ok(Some(if is_origin { origin } else { url.into() }))
}

/// Where the browser goes at the provider; what it may come back with is kept.
pub(super) async fn send_out(
    tx: &mut Tx,
    connections: &Connections,
    connection: &mut Connection,
    app: &OauthApp,
) -> Result<Secret, Error> {
    let client = connections.clients.of_app(app)?;
    let redirect_uri = connections.redirect_uri(app);
    let browser = browser_secret(&connections.ctx, connection);
    let context = json!({ "connection_id": connection.id });
    let scopes = &connection.requested_scopes.0;
    let connector = connections.grants.connector();
    let (url, pending) = connector.prepare(&client, &redirect_uri, scopes, &browser, &context)?;
    // Whoever opens a link again and again leaves one behind, not many.
    if let Some(before) = connection.state_hash.replace(pending.key.clone()) {
        connections.grants.store().drop_state_in(tx, &before).await?;
    }
    let life = i64::from(connections.settings.sign_in_minutes) * 60_000;
    connections.grants.store().put_state_in(tx, pending, life).await?;
    Ok(url)
}
