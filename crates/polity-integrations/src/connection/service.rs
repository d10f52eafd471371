//! The rules, named by the contract. No HTTP here.

mod apps;
mod begin;
mod end;
mod finish;
mod look;
mod uses;

use polity_kernel::{Ctx, Secret, db::Conn, db::Tx};

pub(super) use apps::{AppChange, NewApp, apps, change_app, create_app, delete_app, find_app, open_app, used};
pub(super) use begin::{Begun, NewConnection, Way, allow, begin, cookie_name, deny, open_ticket, reconnect};
pub(super) use end::{TAKE_BACK_FOR, disconnect, end_all, give_up, stop_resting, take_back};
pub(super) use finish::{Answer, Proof, finish, waiting};
pub(super) use look::{ConnectionChange, Wanted, change, find, history, list, list_after, mine};
pub(super) use uses::{issue, refresh, token_for_call};

use super::{
    Error,
    model::{Connection, OauthApp},
    store,
};
use crate::{
    consent::{self, EntityType, Place, Purpose, SubjectKind},
    grants,
};

/// What keeps hashes of tickets apart from others.
const TICKET: &str = "connection.ticket";
/// What keeps the secrets of browsers apart from others.
const BROWSER: &str = "connection.browser";
/// What processes tell one another about connections.
pub(super) const KIND: &str = "connection";

/// What only the browser has that began to connect: it is in its cookie.
pub(super) fn browser_secret(ctx: &Ctx, connection_id: &str) -> Secret {
    Secret::from(ctx.secrets.hash(BROWSER, connection_id).as_str().to_owned())
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
