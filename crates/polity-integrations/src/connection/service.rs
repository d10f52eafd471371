//! The rules, named by the contract. No HTTP here.

mod apps;
mod begin;
mod end;
mod finish;
mod link;
mod look;
mod revoke;
mod uses;

use polity_kernel::{Ctx, Secret, db::Conn, db::Tx};

pub(super) use apps::{AppChange, NewApp, apps, change_app, create_app, delete_app, find_app, open_app, used};
pub(super) use begin::{Begun, NewConnection, Way, begin, count_sign_in, reconnect};
pub(super) use end::{TAKE_BACK_FOR, disconnect, end_all, give_up, stop_resting};
pub(super) use finish::{Answer, Proof, finish, waiting};
pub(super) use link::{Opened, Question, allow, cookie_name, deny, open_ticket};
pub(super) use look::{ConnectionChange, Wanted, change, find, history, list, list_after, mine, mine_to_change};
pub(super) use revoke::take_back;
pub(super) use uses::{issue, refresh, token_for_call};

use super::{
    Connections, Error,
    model::{Connection, OauthApp},
    store,
};
use crate::{
    consent::{self, EntityType, Place, Purpose, SubjectKind},
    grants, workspace,
};

/// What keeps hashes of tickets apart from others.
const TICKET: &str = "connection.ticket";
/// What keeps the secrets of browsers apart from others.
const BROWSER: &str = "connection.browser";
/// What processes tell one another about connections.
pub(super) const KIND: &str = "connection";

/// What only the browser has that began this sign-in: it is in its cookie.
pub(super) fn browser_secret(ctx: &Ctx, connection: &Connection) -> Secret {
    // Each sign-in has a ticket of its own: a cookie of an earlier one is good for nothing.
    let ticket = connection.ticket_hash.as_deref().unwrap_or_default();
    let sign_in = format!("{}\n{ticket}", connection.id);
    Secret::from(ctx.secrets.hash(BROWSER, &sign_in).as_str().to_owned())
}

/// Whose consent a connection rests on.
fn resting(connection: &Connection) -> Place<'_> {
    Place {
        user_id: &connection.user_id,
        workspace_id: &connection.workspace_id,
        purpose: Purpose::ThirdParty,
        subject_kind: SubjectKind::OauthConnection,
        entity_type: EntityType::OauthApp,
        entity_id: &connection.oauth_app_id,
    }
}

/// Whether its owner has consented to all that the connection asks for (5.4.4). It stays so until the transaction ends; the
/// lock this takes comes before those of connections.
async fn is_allowed(tx: &mut Tx, ctx: &Ctx, connection: &Connection) -> Result<bool, Error> {
    let consent = consent::hold(tx, &resting(connection), ctx.clock.now()).await?;
    let asked = connection.requested_scopes.0.iter().map(String::as_str);
    Ok(consent.is_some_and(|consent| consent.allows(asked)))
}

/// Whether the owner of a connection may have one in its workspace, whose lock is held.
async fn may_connect(conn: &mut Conn, connections: &Connections, connection: &Connection) -> Result<bool, Error> {
    let (workspace, user) = (&connection.workspace_id, &connection.user_id);
    let role = connections.members.role(conn, workspace, user).await?;
    Ok(role.is_some_and(workspace::may_change))
}

/// A connection and its grant, kept as they are until the transaction ends: they have one id, and one lock.
async fn locked(tx: &mut Tx, id: &str) -> Result<Connection, Error> {
    grants::lock(tx, id).await?;
    store::find(tx, id).await?.ok_or(Error::NotFound)
}

/// The app of a connection.
async fn app_of(conn: &mut Conn, connection: &Connection) -> Result<OauthApp, Error> {
    store::apps::find(conn, &connection.oauth_app_id)
        .await?
        .ok_or(Error::AppNotFound)
}
