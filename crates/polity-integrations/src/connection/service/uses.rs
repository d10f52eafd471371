//! Using a connection's token: handing it out, calling the provider with it, refreshing it.

use std::sync::Arc;

use polity_grants::{
    manager::{self, Token},
    provider::Provider,
};
use polity_kernel::caller::{Caller, Kind};

use crate::connection::{
    Connections, Error, Usable,
    model::{Connection, Status},
    store,
};

/// A token that is handed out.
pub(in crate::connection) struct Issued {
    pub token: Token,
    pub usable: Arc<Usable>,
}

/// The token of a connection, for whoever may have it: its owner's programs, services, and, if it is shared, the programs of
/// its workspace. Each use is counted by caller and second.
pub(in crate::connection) async fn issue(
    connections: &Connections,
    caller: &Caller,
    id: &str,
) -> Result<Issued, Error> {
    let usable = usable(connections, caller, id).await?;
    let token = connections.grants.manager().token(id).await?;
    connections.tally.used(id, &caller.label(), "issue");
    Ok(Issued { token, usable })
}

/// The token for a call through Polity, and where it may go.
pub(in crate::connection) async fn token_for_call(
    connections: &Connections,
    caller: &Caller,
    id: &str,
) -> Result<(Token, Arc<Provider>), Error> {
    let usable = usable(connections, caller, id).await?;
    let token = connections.grants.manager().token(id).await?;
    let provider = connections.catalogue.get(&usable.provider).cloned();
    let gone = || Error::Provider(format!("the catalogue has no provider {:?} any more", usable.provider));
    Ok((token, provider.ok_or_else(gone)?))
}

/// What is remembered of a connection that may be used by this caller.
async fn usable(connections: &Connections, caller: &Caller, id: &str) -> Result<Arc<Usable>, Error> {
    let found = remembered(connections, id).await?;
    let person = caller.user_id().or(caller.on_behalf_of.as_deref());
    let may = match (caller.kind, person) {
        (Kind::Service, None) => true,
        (Kind::ApiCredential, person) => {
            let is_there = caller.organization_id.as_deref() == Some(found.workspace_id.as_str());
            is_there && (found.is_shared || person == Some(found.user_id.as_str()))
        }
        (_, Some(person)) => person == found.user_id,
        _ => false,
    };
    if !may || !is_member(connections, caller, person, &found.workspace_id).await? {
        return Err(Error::NotFound);
    }
    match found.status {
        Status::Active => Ok(found),
        Status::Expired => Err(Error::NeedsReauthorization(found.error.clone().unwrap_or_default())),
        status => Err(Error::State(status)),
    }
}

/// Whether somebody is still in a workspace. Of programs, their credential knows.
async fn is_member(
    connections: &Connections,
    caller: &Caller,
    person: Option<&str>,
    workspace_id: &str,
) -> Result<bool, Error> {
    let Some(person) = person.filter(|person| *person != workspace_id && caller.kind != Kind::ApiCredential) else {
        return Ok(true);
    };
    let mut read = connections.ctx.db.read().await?;
    let role = connections.members.role(&mut read, workspace_id, person).await?;
    Ok(role.is_some())
}

async fn remembered(connections: &Connections, id: &str) -> Result<Arc<Usable>, Error> {
    let key = id.to_owned();
    if let Some(found) = connections.cache.get(&key) {
        return Ok(found);
    }
    let ticket = connections.cache.ticket();
    let mut read = connections.ctx.db.read().await?;
    let connection = store::find(&mut read, id).await?.ok_or(Error::NotFound)?;
    let app = super::app_of(&mut read, &connection).await?;
    let usable = Arc::new(Usable {
        user_id: connection.user_id,
        workspace_id: connection.workspace_id,
        status: connection.status,
        is_shared: connection.is_shared,
        error: connection.error,
        provider: app.provider,
    });
    connections.cache.put(ticket, key, Arc::clone(&usable));
    Ok(usable)
}

/// Refreshes the token now; once, if several ask at the same time.
pub(in crate::connection) async fn refresh(connections: &Connections, id: &str) -> Result<Connection, Error> {
    let ctx = &connections.ctx;
    let (connection, grant) = {
        let mut read = ctx.db.read().await?;
        let connection = store::find(&mut read, id).await?.ok_or(Error::NotFound)?;
        (connection, connections.grants.store().get_in(&mut read, id).await?)
    };
    match (connection.status, grant) {
        (Status::Active | Status::Inactive, Some(grant)) => {
            match connections.grants.manager().replaced(id, grant.version).await {
                // One that was made a moment ago is as good as another, and some last as long as they last.
                Ok(_) | Err(manager::Error::Fresh | manager::Error::Lasting) => {}
                Err(error) => return Err(error.into()),
            }
        }
        (Status::Expired, _) => return Err(Error::NeedsReauthorization(connection.error.unwrap_or_default())),
        (status, _) => return Err(Error::State(status)),
    }
    let mut read = ctx.db.read().await?;
    store::find(&mut read, id).await?.ok_or(Error::NotFound)
}
