//! The browser comes back: tokens for a code, and a connection that works.

use polity_grants::{
    client::{Account, Exchanged},
    connect::{ConnectError, state_key},
    manager::NewGrant,
};
use polity_kernel::{
    Secret,
    db::{Json, Tx},
    http::Cookies,
};
use polity_ports::{Said, integration::ConnectionCreated};

use super::{KIND, app_of, browser_secret, end, is_allowed, link::is_browser, locked, may_connect, revoke};
use crate::connection::{
    ACCOUNTS, Connections, Error,
    model::{Connection, OauthApp, Status},
    store::{self, rest::TakeBack},
};

/// What shows that whoever comes back is who began.
pub(in crate::connection) enum Proof<'a> {
    /// The browser, by its cookie.
    Browser(&'a Cookies),
    /// The person, by their own access token.
    Person(&'a str),
}

/// What the provider sent the browser back with.
pub(in crate::connection) enum Answer {
    Code(Secret),
    Error(String),
}

/// The connection whose sign-in a state is of.
pub(in crate::connection) async fn waiting(
    connections: &Connections,
    state: &Secret,
    proof: &Proof<'_>,
) -> Result<Connection, Error> {
    let mut read = connections.ctx.db.read().await?;
    let found = store::find_by_state(&mut read, &state_key(state))
        .await?
        .ok_or(Error::SignIn)?;
    let is_theirs = match proof {
        Proof::Browser(cookies) => is_browser(connections, &found, cookies),
        Proof::Person(user_id) => found.user_id == *user_id,
    };
    if is_theirs && found.waits(connections.ctx.clock.now()) {
        return Ok(found);
    }
    Err(Error::SignIn)
}

/// Finishes a sign-in. The state is used up by this, whatever comes of it.
///
/// Tokens that do not become a connection, because somebody took the consent back meanwhile, or because they are too few, are
/// given back to the provider.
///
/// A browser that goes away takes nothing along: the code is spent, and what it brings is kept, or given back.
pub(in crate::connection) async fn finish(
    connections: &Connections,
    waiting: &Connection,
    state: &Secret,
    answer: Answer,
) -> Result<Connection, Error> {
    let (own, waiting, state) = (connections.clone(), waiting.clone(), state.clone());
    let work = async move { finished(&own, &waiting, &state, answer).await };
    connections.to_its_end(work).await
}

async fn finished(
    connections: &Connections,
    waiting: &Connection,
    state: &Secret,
    answer: Answer,
) -> Result<Connection, Error> {
    let browser = browser_secret(&connections.ctx, waiting);
    let back = match connections.grants.connector().take(state, &browser).await {
        Ok(back) => back,
        Err(ConnectError::State) => return Err(Error::SignIn),
        Err(ConnectError::Failure(failure)) => return Err(failure.into()),
        Err(ConnectError::Store(error)) => return Err(Error::Unavailable(error.to_string())),
    };
    let got = async {
        let code = match answer {
            Answer::Code(code) => code,
            Answer::Error(error) => return Err(Error::Refused(error)),
        };
        let app = app_of(&mut *connections.ctx.db.read().await?, waiting).await?;
        let client = connections.clients.of_app(&app)?;
        let speaker = connections.grants.client();
        let exchanged = speaker.exchange(&client, &code, &back.authorization).await?;
        if !exchanged.tokens.is_bearer() {
            give_back(connections, waiting, &app, &exchanged, None).await?;
            return Err(Error::Provider(
                "its tokens are of a type that cannot be used".to_owned(),
            ));
        }
        if client.provider.identity.is_none() {
            return Ok((app, exchanged, None));
        }
        match speaker.account(&client, &exchanged).await {
            Ok(account) => Ok((app, exchanged, Some(account))),
            Err(failure) => {
                give_back(connections, waiting, &app, &exchanged, None).await?;
                Err(failure.into())
            }
        }
    };
    let done = match got.await {
        Ok((app, exchanged, account)) => keep(connections, waiting, &app, exchanged, account).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &done {
        end::fail(connections, waiting, error).await?;
    }
    done
}

/// Tokens that come to nothing go back to the provider, unless the account is connected: many providers end every token of an
/// account with one. Of an account that is not known, it is taken for the one that the connection had before.
async fn give_back(
    connections: &Connections,
    waiting: &Connection,
    app: &OauthApp,
    exchanged: &Exchanged,
    account: Option<&str>,
) -> Result<(), Error> {
    let ctx = &connections.ctx;
    let mut tx = ctx.db.begin().await?;
    let account = account.unwrap_or(&waiting.external_user_id);
    tx.lock("connection.account", &revoke::account_lock(&app.id, account))
        .await?;
    let is_connected = if account.is_empty() {
        waiting.status != Status::Pending
    } else {
        store::count_of_account(&mut tx, &app.id, account).await? > 0
    };
    if is_connected {
        return Ok(());
    }
    let id = ctx.ids.new_id("back_");
    let sealed = exchanged.tokens.seal(ctx.secrets.keyring(), &id);
    let new = TakeBack {
        id: id.clone(),
        oauth_app_id: app.id.clone(),
        provider: app.provider.clone(),
        sealed,
        created_at: ctx.clock.now(),
    };
    store::rest::insert_take_back(&mut tx, &new).await?;
    revoke::enqueue(&mut tx, connections, &[id]).await?;
    Ok(tx.commit().await?)
}

/// Makes the connection of the tokens, in one transaction with the look at consent, membership and app.
async fn keep(
    connections: &Connections,
    waiting: &Connection,
    app: &OauthApp,
    exchanged: Exchanged,
    account: Option<Account>,
) -> Result<Connection, Error> {
    let account_id = account.as_ref().map(|account| account.id.clone());
    let mut tx = connections.ctx.db.begin().await?;
    match kept(&mut tx, connections, waiting, &exchanged, account).await {
        Ok(connection) => {
            tx.commit().await?;
            Ok(connection)
        }
        Err(error) => {
            tx.rollback().await?;
            give_back(connections, waiting, app, &exchanged, account_id.as_deref()).await?;
            Err(error)
        }
    }
}

async fn kept(
    tx: &mut Tx,
    connections: &Connections,
    waiting: &Connection,
    exchanged: &Exchanged,
    account: Option<Account>,
) -> Result<Connection, Error> {
    let ctx = &connections.ctx;
    tx.lock("organization", &waiting.workspace_id).await?;
    if !may_connect(tx, connections, waiting).await? {
        return Err(Error::WorkspaceNotFound);
    }
    if !is_allowed(tx, ctx, waiting).await? {
        return Err(Error::Consent);
    }
    let app = app_of(tx, waiting).await?;
    if !app.is_open() {
        return Err(Error::AppNotFound);
    }
    let account_id = account.as_ref().map_or("", |account| account.id.as_str());
    tx.lock("connection.account", &revoke::account_lock(&app.id, account_id))
        .await?;
    let mut connection = locked(tx, &waiting.id).await?;
    if connection.status == Status::Revoked || connection.state_hash != waiting.state_hash {
        return Err(Error::SignIn);
    }
    if !connection.external_user_id.is_empty() && connection.external_user_id != account_id {
        return Err(Error::OtherAccount);
    }
    let missing = exchanged.tokens.missing(&app.required_scopes.0);
    if !missing.is_empty() {
        return Err(Error::ScopesMissing(missing.into_iter().map(str::to_owned).collect()));
    }
    if let Some(same) = store::of_account(tx, &connection, account_id)
        .await?
        .filter(|same| same.id != connection.id)
    {
        // The account is connected already: that connection goes on, with the new tokens.
        connection.stop_waiting();
        connection.status = Status::Revoked;
        connection.replaced_by = Some(same.id.clone());
        connection.updated_at = ctx.clock.now();
        connection.ended_at = Some(connection.updated_at);
        store::update(tx, &connection).await?;
        let requested = std::mem::take(&mut connection.requested_scopes);
        connection = locked(tx, &same.id).await?;
        connection.requested_scopes = requested;
    }
    renew(tx, connections, connection, exchanged, account).await
}

/// Gives a connection its tokens.
async fn renew(
    tx: &mut Tx,
    connections: &Connections,
    mut connection: Connection,
    exchanged: &Exchanged,
    account: Option<Account>,
) -> Result<Connection, Error> {
    let ctx = &connections.ctx;
    let now = ctx.clock.now();
    let (manager, grants) = (connections.grants.manager(), connections.grants.store());
    let app = app_of(tx, &connection).await?;
    let tokens = &exchanged.tokens;
    let is_new = grants.get_in(tx, &connection.id).await?.is_none();
    if is_new {
        let new = NewGrant {
            id: connection.id.clone(),
            provider: app.provider.clone(),
            owner: app.id.clone(),
            account: account.as_ref().map(|account| account.id.clone()),
        };
        let grant = manager.prepare(new, tokens, now.timestamp_millis());
        grants.insert_in(tx, &grant).await?;
    } else {
        let renewal = manager.renewal(&connection.id, tokens);
        let mut change = |grant: &mut _, now| renewal.apply(grant, now);
        if grants.update_in(tx, &connection.id, &mut change).await? != Some(true) {
            return Err(Error::State(Status::Revoked));
        }
    }
    let before = connection.status;
    connection.stop_waiting();
    // A connection that its owner paused stays so.
    if before != Status::Inactive {
        connection.status = Status::Active;
    }
    connection.granted_scopes = Json(tokens.scopes.clone());
    connection.missing_scopes = Json(Vec::new());
    connection.token_expires_at = tokens.expires_at.and_then(chrono::DateTime::from_timestamp_millis);
    connection.refresh_failures = 0;
    connection.error = None;
    connection.last_verified_at = Some(now);
    connection.updated_at = now;
    connection.ended_at = None;
    if let Some(account) = account {
        let data = serde_json::to_vec(&account.data).unwrap_or_default();
        let sealed = ctx.secrets.seal(ACCOUNTS, &connection.id, &data);
        store::save_account(tx, &connection.id, &sealed).await?;
        connection.external_user_data = Some(sealed);
        connection.external_user_id = account.id;
        connection.external_user_email = account.email;
    }
    store::update(tx, &connection).await?;
    let said = ConnectionCreated {
        connection_id: connection.id.clone(),
        user_id: connection.user_id.clone(),
        workspace_id: connection.workspace_id.clone(),
        app: app.name,
        scopes: tokens.scopes.clone(),
        is_reconnected: before != Status::Pending,
        timestamp: now,
    };
    ctx.events.publish(tx, said.event()).await?;
    ctx.invalidations.tell(tx, ctx, KIND, &connection.id).await?;
    Ok(connection)
}
