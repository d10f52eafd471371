//! The link: what a browser meets that opens it, and what a person decides there.

use polity_kernel::{Secret, db::Tx, http::Cookies, secret::constant_time_eq};

use super::{TICKET, app_of, begin::send_out, browser_secret, end, is_allowed, locked, may_connect, resting};
use crate::{
    connection::{
        Connections, Error,
        model::{Connection, OauthApp},
        store,
    },
    consent::{self, By, NewConsent},
};

/// What a browser that opens the link meets.
pub(in crate::connection) enum Opened {
    /// The provider's address: the person has consented.
    Provider(Box<Connection>, Secret),
    /// They are asked.
    Question(Box<Question>),
}

/// What a person is asked, in words that people know.
pub(in crate::connection) struct Question {
    pub connection: Connection,
    pub app: OauthApp,
    /// Who asks: their address, if they have one.
    pub account: String,
    /// Where: the workspace by its name, if it has one.
    pub workspace: Option<String>,
    /// What they allowed before, and that stays allowed.
    pub kept: Vec<String>,
}

/// The question that goes with a connection.
async fn question(
    tx: &mut Tx,
    connections: &Connections,
    connection: Connection,
    app: OauthApp,
) -> Result<Question, Error> {
    let kept = kept(tx, connections, &connection).await?;
    let account = connections.letters.address(tx, &connection.user_id).await?;
    let workspace = connections.members.name(tx, &connection.workspace_id).await?;
    Ok(Question {
        account: account.unwrap_or_else(|| connection.user_id.clone()),
        connection,
        app,
        workspace,
        kept,
    })
}

/// Opens the link. The first browser that does is the one that may go on.
///
/// It leads on at once only where the person began: whoever got the link from somebody else would connect their own account
/// at the provider for them, without a word if the provider knows the app.
pub(in crate::connection) async fn open_ticket(
    tx: &mut Tx,
    connections: &Connections,
    ticket: &str,
    cookies: &Cookies,
) -> Result<Opened, Error> {
    let (found, app, is_allowed) = by_ticket(tx, connections, ticket).await?;
    let mut connection = waiting(tx, connections, &found).await?;
    let is_where_it_began = is_browser(connections, &connection, cookies);
    if connection.is_opened && !is_where_it_began {
        return Err(Error::SignIn);
    }
    connection.is_opened = true;
    let url = if is_allowed && is_where_it_began {
        Some(send_out(tx, connections, &mut connection, &app).await?)
    } else {
        None
    };
    store::update(tx, &connection).await?;
    Ok(match url {
        Some(url) => Opened::Provider(Box::new(connection), url),
        None => Opened::Question(Box::new(question(tx, connections, connection, app).await?)),
    })
}

/// The person allows what the page asked, and goes on to the provider. `text` is what the page said.
pub(in crate::connection) async fn allow(
    tx: &mut Tx,
    connections: &Connections,
    ticket: &str,
    cookies: &Cookies,
    by: &By,
    text: fn(&Question) -> String,
) -> Result<(OauthApp, Secret), Error> {
    let (found, app, is_allowed) = by_ticket(tx, connections, ticket).await?;
    if !is_browser(connections, &found, cookies) {
        return Err(Error::SignIn);
    }
    // The locks of consents come before those of connections.
    if !is_allowed {
        consented(tx, connections, &found, &app, by, text).await?;
    }
    let mut connection = waiting(tx, connections, &found).await?;
    let url = send_out(tx, connections, &mut connection, &app).await?;
    store::update(tx, &connection).await?;
    Ok((app, url))
}

/// Records the person's consent. It takes the place of the one before, so it holds what their other connections rest on too.
async fn consented(
    tx: &mut Tx,
    connections: &Connections,
    connection: &Connection,
    app: &OauthApp,
    by: &By,
    text: fn(&Question) -> String,
) -> Result<(), Error> {
    let asked = question(tx, connections, connection.clone(), app.clone()).await?;
    let permissions = [&connection.requested_scopes.0[..], &asked.kept].concat();
    let place = resting(connection);
    let new = NewConsent {
        purpose: place.purpose,
        subject_kind: place.subject_kind,
        entity_type: place.entity_type,
        entity_id: app.id.clone(),
        description: text(&asked),
        requested_permissions: permissions.clone(),
        granted_permissions: permissions,
        expires_at: None,
        text_hash: None,
        policy_version: None,
        shown_at: None,
    };
    let (user_id, workspace_id) = (&connection.user_id, &connection.workspace_id);
    consent::grant(tx, &connections.consents, user_id, workspace_id, new, by).await?;
    Ok(())
}

/// What the person allowed before and their other connections with the app rest on, beside what this one asks for.
async fn kept(tx: &mut Tx, connections: &Connections, connection: &Connection) -> Result<Vec<String>, Error> {
    let place = resting(connection);
    let Some(consent) = consent::active(tx, &place, connections.ctx.clock.now()).await? else {
        return Ok(Vec::new());
    };
    let mut kept = Vec::new();
    for other in store::resting(tx, &place).await? {
        let scopes = other.requested_scopes.0;
        if consent.allows(scopes.iter().map(String::as_str)) {
            kept.extend(scopes);
        }
    }
    kept.retain(|scope| !connection.requested_scopes.0.contains(scope));
    kept.sort();
    kept.dedup();
    Ok(kept)
}

/// The person does not allow it: nothing comes of the sign-in.
pub(in crate::connection) async fn deny(
    connections: &Connections,
    ticket: &str,
    cookies: &Cookies,
) -> Result<Connection, Error> {
    let found = {
        let mut tx = connections.ctx.db.begin().await?;
        by_ticket(&mut tx, connections, ticket).await?.0
    };
    if !is_browser(connections, &found, cookies) {
        return Err(Error::SignIn);
    }
    end::fail(connections, &found, &Error::Consent).await?;
    Ok(found)
}

/// The connection of a link that may be gone on with, and whether its owner has consented.
async fn by_ticket(
    tx: &mut Tx,
    connections: &Connections,
    ticket: &str,
) -> Result<(Connection, OauthApp, bool), Error> {
    let ctx = &connections.ctx;
    let hash = ctx.secrets.hash(TICKET, ticket);
    let found = store::find_by_ticket(tx, hash.as_str()).await?.ok_or(Error::SignIn)?;
    // Who has left the workspace meanwhile leaves nothing behind in it.
    tx.lock("organization", &found.workspace_id).await?;
    if !may_connect(tx, connections, &found).await? {
        return Err(Error::SignIn);
    }
    let is_allowed = is_allowed(tx, ctx, &found).await?;
    let app = app_of(tx, &found).await?;
    if !app.is_open() || !found.waits(ctx.clock.now()) {
        return Err(Error::SignIn);
    }
    Ok((found, app, is_allowed))
}

/// The same, as nobody else changes it, if it still waits for that link.
async fn waiting(tx: &mut Tx, connections: &Connections, found: &Connection) -> Result<Connection, Error> {
    let connection = locked(tx, &found.id).await?;
    if connection.ticket_hash != found.ticket_hash || !connection.waits(connections.ctx.clock.now()) {
        return Err(Error::SignIn);
    }
    Ok(connection)
}

/// Whether a browser is the one that opened the link.
pub(super) fn is_browser(connections: &Connections, connection: &Connection, cookies: &Cookies) -> bool {
    let wanted = browser_secret(&connections.ctx, connection);
    let brought = cookies.named(&cookie_name(&connection.id));
    brought.is_some_and(|brought| constant_time_eq(brought.as_bytes(), wanted.expose().as_bytes()))
}

/// The cookie of a sign-in.
pub(in crate::connection) fn cookie_name(connection_id: &str) -> String {
    format!("polity_connect_{connection_id}")
}
