//! In which organization a person acts (BR-CTX).

use polity_kernel::db::{Conn, Tx};

use super::{Error, Role};
use crate::{
    account::{self, AccountId},
    changes,
    organization::{
        Organizations,
        model::{MemberStatus, Status},
        store,
    },
};

/// In which organization a person acts, and as what; `None`: as themselves.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub organization_id: String,
    pub organization_name: String,
    pub role: Role,
    pub permissions: Vec<String>,
}

/// The organization as a context of a person's, if they may act in it: an active member of an active organization, with an
/// address that it takes.
pub(crate) async fn acting(conn: &mut Conn, user_id: &str, organization_id: &str) -> Result<Context, Error> {
    let found = store::acting(conn, organization_id, user_id).await?;
    let found = found.ok_or(Error::NotFound)?;
    match found.member_status {
        MemberStatus::Active => {}
        MemberStatus::Suspended => return Err(Error::forbidden("User membership is not active")),
        _ => return Err(Error::NotFound),
    }
    if found.status != Status::Active {
        return Err(Error::forbidden("The organization is suspended"));
    }
    if found.security.0.is_particular() {
        let account = account::claims(conn, &AccountId(user_id.to_owned())).await?;
        if !account.is_some_and(|account| found.security.0.admits(&account.email)) {
            return Err(Error::forbidden(
                "The organization takes members with addresses of its domains only",
            ));
        }
    }
    Ok(Context {
        organization_id: organization_id.to_owned(),
        organization_name: found.name,
        role: found.role,
        permissions: found.permissions.0,
    })
}

/// The context a person chose, as long as it holds.
pub(crate) async fn context(conn: &mut Conn, user_id: &str) -> Result<Option<Context>, Error> {
    let Some(organization_id) = store::context(conn, user_id).await? else {
        return Ok(None);
    };
    match acting(conn, user_id, &organization_id).await {
        Ok(context) => Ok(Some(context)),
        Err(Error::NotFound | Error::Forbidden(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps what a person chose: an organization they may act in, or themselves.
pub(in crate::organization) async fn switch(
    tx: &mut Tx,
    organizations: &Organizations,
    user_id: &str,
    chosen: Option<&Context>,
) -> Result<(), Error> {
    let ctx = &organizations.ctx;
    changes::of_person(tx, ctx, user_id).await?;
    let Some(chosen) = chosen else {
        return Ok(store::reset_context(tx, user_id, None).await?);
    };
    // Whoever removes them at the same time resets what they chose; since they were looked at, they may have been removed.
    tx.lock("organization", &chosen.organization_id).await?;
    if !store::set_context(tx, user_id, &chosen.organization_id, ctx.clock.now()).await? {
        return Err(Error::NotFound);
    }
    Ok(())
}
