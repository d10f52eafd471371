//! Looking at connections, and what their owners set about them.

use polity_kernel::{
    caller::Caller,
    db::{Conn, Cursor, Tx},
};

use super::{KIND, locked};
pub(in crate::connection) use crate::connection::store::Wanted;
use crate::{
    connection::{
        Connections, Error,
        model::{Connection, Status},
        store::{self, rest::Use},
    },
    workspace,
};

/// A connection the caller may see: their own, a shared one of a workspace they are in, or, for whoever runs a workspace, any
/// of it. Others' answer like what is not there.
pub(in crate::connection) async fn find(
    conn: &mut Conn,
    connections: &Connections,
    caller: &Caller,
    id: &str,
) -> Result<Connection, Error> {
    let found = store::find(conn, id).await?.ok_or(Error::NotFound)?;
    if caller.is_admin() || (caller.is_service() && caller.on_behalf_of.is_none()) {
        return Ok(found);
    }
    let opened = workspace::open(conn, &*connections.members, caller, Some(&found.workspace_id)).await;
    let workspace = match opened {
        Ok(workspace) => workspace,
        Err(workspace::Error::NotFound) => return Err(Error::NotFound),
        Err(workspace::Error::Db(error)) => return Err(error.into()),
    };
    let is_theirs = workspace.user_id == found.user_id || found.is_shared || workspace.is_admin();
    if is_theirs { Ok(found) } else { Err(Error::NotFound) }
}

/// A connection of the caller's own. Whoever runs the workspace may end others', and nothing else.
pub(in crate::connection) async fn mine(
    conn: &mut Conn,
    connections: &Connections,
    caller: &Caller,
    id: &str,
) -> Result<Connection, Error> {
    let found = find(conn, connections, caller, id).await?;
    let person = caller.user_id().or(caller.on_behalf_of.as_deref());
    match person {
        Some(person) if person == found.user_id => Ok(found),
        None if caller.is_service() => Ok(found),
        _ => Err(Error::NotFound),
    }
}

/// The same, for whoever still changes things in its workspace: viewers and guests only end what is theirs.
pub(in crate::connection) async fn mine_to_change(
    conn: &mut Conn,
    connections: &Connections,
    caller: &Caller,
    id: &str,
) -> Result<Connection, Error> {
    let found = mine(conn, connections, caller, id).await?;
    let workspace = workspace::open(conn, &*connections.members, caller, Some(&found.workspace_id)).await?;
    if workspace.may_change() {
        Ok(found)
    } else {
        Err(Error::Forbidden)
    }
}

/// A page, newest first, and how many there are.
pub(in crate::connection) async fn list(
    conn: &mut Conn,
    wanted: Wanted<'_>,
    page: (i64, i64),
) -> Result<(Vec<Connection>, i64), Error> {
    Ok(store::list(conn, wanted, page).await?)
}

/// Some, newest first, after a place.
pub(in crate::connection) async fn list_after(
    conn: &mut Conn,
    wanted: Wanted<'_>,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Vec<Connection>, Error> {
    Ok(store::list_after(conn, wanted, after, limit).await?)
}

/// Who used the token of a connection, latest first, after a place.
pub(in crate::connection) async fn history(
    conn: &mut Conn,
    id: &str,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Vec<Use>, Error> {
    Ok(store::rest::uses(conn, id, after, limit).await?)
}

/// What is to change about a connection; what is not said stays.
#[expect(clippy::struct_field_names, reason = "the contract's names")]
pub(in crate::connection) struct ConnectionChange {
    pub is_sync_enabled: Option<bool>,
    pub is_shared: Option<bool>,
    pub is_active: Option<bool>,
}

/// Pauses a connection, goes on with it, shares it, or stops its synchronisation.
pub(in crate::connection) async fn change(
    tx: &mut Tx,
    connections: &Connections,
    id: &str,
    change: ConnectionChange,
) -> Result<Connection, Error> {
    let ctx = &connections.ctx;
    let mut connection = locked(tx, id).await?;
    let now = ctx.clock.now();
    let to = change
        .is_active
        .map(|active| if active { Status::Active } else { Status::Inactive });
    if let Some(to) = to.filter(|to| *to != connection.status) {
        // An expired connection becomes active by signing in, not by being told so.
        let is_pause = matches!(connection.status, Status::Active | Status::Inactive);
        if !is_pause || !connection.status.can(to) {
            return Err(Error::State(connection.status_at(now)));
        }
        connection.status = to;
    }
    if connection.status == Status::Revoked {
        return Err(Error::State(Status::Revoked));
    }
    connection.is_sync_enabled = change.is_sync_enabled.unwrap_or(connection.is_sync_enabled);
    connection.is_shared = change.is_shared.unwrap_or(connection.is_shared);
    connection.updated_at = now;
    store::update(tx, &connection).await?;
    ctx.invalidations.tell(tx, ctx, KIND, id).await?;
    Ok(connection)
}
