//! Connections: begun, looked at, changed, ended.

use chrono::{DateTime, Utc};
use garde::Validate;
use http::HeaderValue;
use polity_kernel::{
    Ctx,
    caller::Caller,
    clock,
    db::{Conn, Cursor, cut},
    http::{
        self as api, ClientIp, Created, Idempotency, Json, Path, Query, Reply, Result, Routes, SetsCookie, State,
        UserAgent, codes,
    },
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Message, first_page, message, twenty};
use crate::{
    connection::{
        Connections, SERVICE,
        error::code,
        guard::{Reader, Remover, Writer},
        model::{Connection, Status},
        service::{self, Begun, ConnectionChange, NewConnection, Wanted, Way},
    },
    consent::By,
    workspace::{self, WORKSPACE_NOT_FOUND, WorkspaceQuery},
};

/// A connection, without its tokens.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ConnectionOut {
    /// Its id.
    id: String,
    /// Whose it is.
    user_id: String,
    /// The workspace it is for.
    workspace_id: String,
    /// The app.
    oauth_app_id: String,
    /// How it is.
    status: Status,
    /// Whether its token can be used now.
    is_active: bool,
    /// Whether what is bound to it is kept in step.
    is_sync_enabled: bool,
    /// Whether the programs of the workspace may use it too.
    is_shared: bool,
    /// What was asked for.
    requested_scopes: Vec<String>,
    /// What the provider gave.
    granted_scopes: Vec<String>,
    /// What the app needs and the provider did not give.
    missing_scopes: Vec<String>,
    /// The account's id at the provider.
    external_user_id: Option<String>,
    /// Its address there, as the provider says.
    external_user_email: Option<String>,
    /// What the provider says about the account; only in the answer about one connection, and for its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_user_data: Option<serde_json::Value>,
    /// When the current access token ends; null: not known, or never.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    token_expires_at: Option<DateTime<Utc>>,
    /// Refreshes that failed since the last that did not.
    refresh_failures: i64,
    /// What is wrong, if something is.
    error: Option<String>,
    /// When the provider last gave tokens.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    last_verified_at: Option<DateTime<Utc>>,
    /// The connection that goes on instead: the account was connected already.
    replaced_by: Option<String>,
    /// When it was begun.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
    /// When it was last changed.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    updated_at: DateTime<Utc>,
}

impl ConnectionOut {
    pub(super) fn new(connection: Connection, now: DateTime<Utc>) -> Self {
        let status = connection.status_at(now);
        Self {
            is_active: status == Status::Active,
            status,
            id: connection.id,
            user_id: connection.user_id,
            workspace_id: connection.workspace_id,
            oauth_app_id: connection.oauth_app_id,
            is_sync_enabled: connection.is_sync_enabled,
            is_shared: connection.is_shared,
            requested_scopes: connection.requested_scopes.0,
            granted_scopes: connection.granted_scopes.0,
            missing_scopes: connection.missing_scopes.0,
            external_user_id: Some(connection.external_user_id).filter(|id| !id.is_empty()),
            external_user_email: connection.external_user_email,
            external_user_data: None,
            token_expires_at: connection.token_expires_at,
            refresh_failures: connection.refresh_failures,
            error: connection.error,
            last_verified_at: connection.last_verified_at,
            replaced_by: connection.replaced_by,
            created_at: connection.created_at,
            updated_at: connection.updated_at,
        }
    }

    /// With what the provider says about the account, for its owner alone: others see that it is connected.
    fn whole(ctx: &Ctx, caller: &Caller, connection: Connection) -> Self {
        let person = caller.user_id().or(caller.on_behalf_of.as_deref());
        if person != Some(connection.user_id.as_str()) {
            return Self::new(connection, ctx.clock.now());
        }
        let sealed = connection.external_user_data.as_ref();
        let opened = sealed.and_then(|sealed| {
            ctx.secrets
                .open_sealed(super::super::ACCOUNTS, &connection.id, sealed)
                .ok()
        });
        let data = opened.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            external_user_data: data,
            ..Self::new(connection, ctx.clock.now())
        }
    }
}

/// A connection to begin.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ConnectionCreate {
    /// The app, by its id or its name.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"github")]
    oauth_app_id: String,
    /// Whether what is bound to it is kept in step.
    #[garde(skip)]
    #[serde(default = "yes")]
    is_sync_enabled: bool,
    /// Whether the programs of the workspace may use it too.
    #[garde(skip)]
    #[serde(default)]
    is_shared: bool,
    /// Scopes to ask for besides those the app cannot do without.
    #[garde(length(max = 50), inner(length(chars, min = 1, max = 255)))]
    #[serde(default)]
    scopes: Vec<String>,
    /// Where the browser is sent in the end; its origin must be among those that may call the API.
    #[garde(length(chars, min = 1, max = 2000))]
    return_to: Option<String>,
    /// The origin of the page that opens the sign-in in a pop-up and is told how it ended.
    #[garde(length(chars, min = 1, max = 255))]
    opener: Option<String>,
}

fn yes() -> bool {
    true
}

/// A connection that was begun.
#[derive(Debug, Serialize, JsonSchema)]
struct ConnectionBegun {
    /// The connection, as it is for now.
    #[serde(flatten)]
    connection: ConnectionOut,
    /// Where the browser goes: to the provider if its owner has consented, and to the page that asks otherwise.
    authorize_url: String,
    /// The page that asks for consent where that is missing, and leads on to the provider. It works once, in one browser.
    connect_url: String,
    /// Whether the owner's consent is still missing.
    consent_required: bool,
}

impl ConnectionBegun {
    fn new(begun: Begun, now: DateTime<Utc>) -> Self {
        let connect_url = begun.connect_url.expose().to_owned();
        let provider_url = begun.provider_url.as_ref().map(|url| url.expose().to_owned());
        Self {
            connection: ConnectionOut::new(begun.connection, now),
            consent_required: provider_url.is_none(),
            authorize_url: provider_url.unwrap_or_else(|| connect_url.clone()),
            connect_url,
        }
    }
}

/// The cookie that makes this browser the one that may come back from the provider.
pub(super) fn cookie(connections: &Connections, connection: &Connection) -> Option<HeaderValue> {
    let secret = service::browser_secret(&connections.ctx, connection);
    let age = connections.settings.sign_in_minutes * 60;
    let is_plain = connections.ctx.core.environment.is_development();
    let text = format!(
        "{}={}; Path={}; HttpOnly; SameSite=Lax; Max-Age={age}{}",
        service::cookie_name(&connection.id),
        secret.expose(),
        SERVICE.base,
        if is_plain { "" } else { "; Secure" }
    );
    HeaderValue::from_str(&text).ok()
}

/// Begins a connection: the answer says where the browser goes.
///
/// `authorize_url` leads to the provider if the person has an active consent of purpose `third_party` to the app with all the
/// scopes asked for, and to the page that asks for it otherwise. The provider sends the browser back to `/callback`, or to the
/// app's own `redirect_uri`, which posts what it got there. In the end the connection is `active`, or `error`.
#[operation(
    "connection.begin",
    status = 201,
    errors(
        code::APP_NOT_FOUND,
        code::TOO_MANY_CONNECTIONS,
        WORKSPACE_NOT_FOUND,
        code::SCOPE_REQUIRED,
        codes::FORBIDDEN,
        codes::RATE_LIMITED
    )
)]
async fn begin(
    caller: Writer,
    State(connections): State<Connections>,
    Query(query): Query<WorkspaceQuery>,
    body: Idempotency<ConnectionCreate>,
) -> Result<SetsCookie<Created<Reply<ConnectionBegun>>>> {
    let (body, key) = body.into_parts();
    let ctx = &connections.ctx;
    service::count_sign_in(&connections, &caller).await?;
    let mut tx = ctx.db.begin().await?;
    if let Some(answer) = api::replay(ctx, &mut tx, key.as_ref()).await? {
        let cookie = cookie_again(&mut tx, &connections, &caller, answer.text("id")).await?;
        let answer = Created(answer.into());
        return Ok(SetsCookie { cookie, answer });
    }
    let new = NewConnection {
        oauth_app_id: body.oauth_app_id,
        is_sync_enabled: body.is_sync_enabled,
        is_shared: body.is_shared,
        scopes: body.scopes,
        way: Way {
            return_to: body.return_to,
            opener: body.opener,
        },
    };
    let begun = service::begin(&mut tx, &connections, &caller, query.workspace_id.as_deref(), new).await?;
    let cookie = cookie(&connections, &begun.connection).filter(|_| begun.provider_url.is_some());
    let out = ConnectionBegun::new(begun, ctx.clock.now());
    api::keep(ctx, &mut tx, key.as_ref(), 201, &out).await?;
    tx.commit().await?;
    let answer = Created(Json(out).into());
    Ok(SetsCookie { cookie, answer })
}

/// The cookie that went with a first answer, while its sign-in still waits for the browser.
async fn cookie_again(
    conn: &mut Conn,
    connections: &Connections,
    caller: &Writer,
    id: Option<String>,
) -> Result<Option<HeaderValue>> {
    let Some(id) = id else { return Ok(None) };
    let found = service::mine(conn, connections, caller, &id).await?;
    let waits = found.state_hash.is_some() && found.waits(connections.ctx.clock.now());
    Ok(cookie(connections, &found).filter(|_| waits))
}

/// How the browser comes back.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ReconnectIn {
    /// Where it is sent in the end; its origin must be among those that may call the API.
    #[garde(length(chars, min = 1, max = 2000))]
    return_to: Option<String>,
    /// The origin of the page that opens the sign-in in a pop-up and is told how it ended.
    #[garde(length(chars, min = 1, max = 255))]
    opener: Option<String>,
}

/// Lets the owner sign in at the provider again, after a connection expired or to give it more. Until they have, it stays what
/// it is; whoever signs in with another account there changes nothing.
#[operation(
    "connection.reconnect",
    errors(
        code::CONNECTION_NOT_FOUND,
        code::CONNECTION_STATE,
        code::APP_NOT_FOUND,
        code::TOO_MANY_CONNECTIONS,
        code::SCOPE_REQUIRED,
        codes::FORBIDDEN,
        codes::RATE_LIMITED
    )
)]
async fn reconnect(
    caller: Writer,
    State(connections): State<Connections>,
    Path(id): Path<String>,
    Json(body): Json<ReconnectIn>,
) -> Result<SetsCookie<Json<ConnectionBegun>>> {
    service::count_sign_in(&connections, &caller).await?;
    let mut tx = connections.ctx.db.begin().await?;
    service::mine_to_change(&mut tx, &connections, &caller, &id).await?;
    let way = Way {
        return_to: body.return_to,
        opener: body.opener,
    };
    let begun = service::reconnect(&mut tx, &connections, &id, way).await?;
    tx.commit().await?;
    let cookie = cookie(&connections, &begun.connection).filter(|_| begun.provider_url.is_some());
    let answer = Json(ConnectionBegun::new(begun, connections.ctx.clock.now()));
    Ok(SetsCookie { cookie, answer })
}

/// Which connections.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ListQuery {
    /// The workspace; left out, the one the credential is bound to, else one's personal one.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"org_01a1fb4e7b4b73df93c4746cc8a8b943")]
    workspace_id: Option<String>,
    /// Only those with that app.
    #[garde(length(chars, min = 1, max = 255))]
    oauth_app_id: Option<String>,
    /// Only those in this status.
    #[garde(skip)]
    status: Option<Status>,
    /// Whether those of others too; for whoever runs the workspace.
    #[garde(skip)]
    #[serde(default)]
    everybody: bool,
    /// Which page, from 1.
    #[garde(range(min = 1, max = 1_000_000))]
    #[serde(default = "first_page")]
    page: i64,
    /// How many on a page.
    #[garde(range(min = 1, max = 100))]
    #[serde(default = "twenty")]
    page_size: i64,
    /// Where to go on: `next_cursor` of the part before, or nothing at the beginning. Then `page` does not count, and the
    /// answer has no `total`.
    #[garde(length(chars, max = 512))]
    cursor: Option<String>,
}

/// A page of connections.
#[derive(Debug, Serialize, JsonSchema)]
struct ConnectionList {
    /// The connections, newest first.
    items: Vec<ConnectionOut>,
    /// How many there are in all; not with a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<i64>,
    /// The page.
    page: i64,
    /// Its size.
    page_size: i64,
    /// Where the next part begins; null at the end, and without a cursor.
    next_cursor: Option<String>,
}

async fn found(
    conn: &mut Conn,
    query: &ListQuery,
    wanted: Wanted<'_>,
) -> Result<(Vec<Connection>, Option<i64>, Option<String>)> {
    let Some(cursor) = &query.cursor else {
        let (found, total) = service::list(conn, wanted, (query.page, query.page_size)).await?;
        return Ok((found, Some(total), None));
    };
    let after = Some(cursor.as_str())
        .filter(|cursor| !cursor.is_empty())
        .map(Cursor::decode)
        .transpose()?;
    let mut found = service::list_after(conn, wanted, after.as_ref(), query.page_size + 1).await?;
    let next = cut(&mut found, query.page_size).map(|last| {
        let cursor = Cursor {
            at: last.created_at,
            id: last.id.clone(),
        };
        cursor.encode()
    });
    Ok((found, None, next))
}

/// Lists one's own connections in a workspace and those that are shared in it, newest first, ended ones included for a while.
#[operation(
    "connection.list",
    errors(WORKSPACE_NOT_FOUND, code::SCOPE_REQUIRED, codes::FORBIDDEN, codes::BAD_REQUEST)
)]
async fn list(
    caller: Reader,
    State(connections): State<Connections>,
    Query(query): Query<ListQuery>,
) -> Result<Json<ConnectionList>> {
    let mut read = connections.ctx.db.read().await?;
    let members = &*connections.members;
    let workspace = workspace::open(&mut read, members, &caller, query.workspace_id.as_deref()).await?;
    if query.everybody && !workspace.is_admin() {
        let text = "Only whoever runs the workspace sees the connections of everybody in it";
        return Err(api::Problem::new(codes::FORBIDDEN, text));
    }
    let wanted = Wanted {
        workspace_id: &workspace.id,
        user_id: Some(workspace.user_id.as_str()).filter(|_| !query.everybody),
        app_id: query.oauth_app_id.as_deref(),
        status: query.status,
    };
    let (found, total, next_cursor) = found(&mut read, &query, wanted).await?;
    let now = connections.ctx.clock.now();
    Ok(Json(ConnectionList {
        items: found.into_iter().map(|one| ConnectionOut::new(one, now)).collect(),
        total,
        page: query.page,
        page_size: query.page_size,
        next_cursor,
    }))
}

/// One connection, without its tokens.
#[operation("connection.get", errors(code::CONNECTION_NOT_FOUND, code::SCOPE_REQUIRED))]
async fn get(
    caller: Reader,
    State(connections): State<Connections>,
    Path(id): Path<String>,
) -> Result<Json<ConnectionOut>> {
    let mut read = connections.ctx.db.read().await?;
    let found = service::find(&mut read, &connections, &caller, &id).await?;
    Ok(Json(ConnectionOut::whole(&connections.ctx, &caller, found)))
}

/// What is to change; what is left out stays.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the contract's names")]
struct ConnectionPatch {
    /// Whether what is bound to it is kept in step.
    #[garde(skip)]
    is_sync_enabled: Option<bool>,
    /// Whether the programs of the workspace may use it too.
    #[garde(skip)]
    is_shared: Option<bool>,
    /// Whether it may be used: false pauses it.
    #[garde(skip)]
    is_active: Option<bool>,
}

/// Pauses one's own connection, goes on with it, shares it, or stops its synchronisation.
#[operation(
    "connection.update",
    errors(
        code::CONNECTION_NOT_FOUND,
        code::CONNECTION_STATE,
        code::SCOPE_REQUIRED,
        codes::FORBIDDEN
    )
)]
async fn update(
    caller: Writer,
    State(connections): State<Connections>,
    Path(id): Path<String>,
    Json(body): Json<ConnectionPatch>,
) -> Result<Json<ConnectionOut>> {
    let mut tx = connections.ctx.db.begin().await?;
    service::mine_to_change(&mut tx, &connections, &caller, &id).await?;
    let change = ConnectionChange {
        is_sync_enabled: body.is_sync_enabled,
        is_shared: body.is_shared,
        is_active: body.is_active,
    };
    let changed = service::change(&mut tx, &connections, &id, change).await?;
    tx.commit().await?;
    Ok(Json(ConnectionOut::new(changed, connections.ctx.clock.now())))
}

/// Disconnects: the tokens are erased here at once and taken back at the provider soon, and the consent goes with the last
/// connection to the app. For the owner, and for whoever runs the workspace.
#[operation("connection.disconnect", errors(code::CONNECTION_NOT_FOUND, code::SCOPE_REQUIRED))]
async fn disconnect(
    caller: Remover,
    State(connections): State<Connections>,
    ip: ClientIp,
    agent: UserAgent,
    Path(id): Path<String>,
) -> Result<Json<Message>> {
    let mut tx = connections.ctx.db.begin().await?;
    let found = service::find(&mut tx, &connections, &caller, &id).await?;
    let members = &*connections.members;
    let workspace = workspace::open(&mut tx, members, &caller, Some(&found.workspace_id)).await?;
    if workspace.user_id != found.user_id && !workspace.is_admin() {
        return Err(super::super::Error::NotFound.into());
    }
    // The history of the owner's consents does not say that it was they, from there, when it was somebody else.
    let by = if workspace.user_id != found.user_id {
        By::nobody()
    } else if caller.is_service() {
        By::caller(&caller, None, None)
    } else {
        By::caller(&caller, Some(ip.0.to_string()), Some(agent.0))
    };
    service::disconnect(&mut tx, &connections, &id, &by, &workspace.user_id).await?;
    tx.commit().await?;
    Ok(message("Connection disconnected successfully"))
}

pub(super) fn add(routes: Routes<Connections>) -> Routes<Connections> {
    routes
        .post("/api/v1/integration/oauth/connections", begin())
        .get("/api/v1/integration/oauth/connections", list())
        .get("/api/v1/integration/oauth/connections/{id}", get())
        .patch("/api/v1/integration/oauth/connections/{id}", update())
        .delete("/api/v1/integration/oauth/connections/{id}", disconnect())
        .post("/api/v1/integration/oauth/connections/{id}/reconnect", reconnect())
}
