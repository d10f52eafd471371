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

/// The context a person chose, as long as it holds.
pub(crate) async fn context(conn: &mut Conn, user_id: &str) -> Result<Option<Context>, Error> {
    let Some(organization_id) = store::context(conn, user_id).await? else {
        return Ok(None);
    };
    let found = store::find(conn, &organization_id).await?;
    let Some(found) = found.filter(|found| found.status == Status::Active) else {
        return Ok(None);
    };
    let member = store::find_member(conn, &organization_id, user_id).await?;
    let member = member.filter(|member| member.status == MemberStatus::Active);
    Ok(member.map(|member| Context {
        organization_id,
        organization_name: found.name,
        role: member.role,
        permissions: member.permissions.0,
    }))
}

/// Chooses the context of a person: an organization they are an active member of, or themselves.
pub(in crate::organization) async fn switch(
    tx: &mut Tx,
    organizations: &Organizations,
    user_id: &str,
    organization_id: Option<&str>,
) -> Result<Option<Context>, Error> {
    let ctx = &organizations.ctx;
    changes::of_person(tx, ctx, user_id).await?;
    let Some(organization_id) = organization_id else {
        store::reset_context(tx, user_id, None).await?;
        return Ok(None);
    };
    let found = store::find(tx, organization_id).await?.ok_or(Error::NotFound)?;
    match store::standing(tx, organization_id, user_id).await? {
        Some((_, MemberStatus::Active)) => {}
        Some((_, MemberStatus::Suspended)) => return Err(Error::forbidden("User membership is not active")),
        _ => return Err(Error::NotFound),
    }
    if found.status != Status::Active {
        return Err(Error::forbidden("The organization is suspended"));
    }
    let account = account::claims(tx, &AccountId(user_id.to_owned())).await?;
    if !account.is_some_and(|account| found.security.0.admits(&account.email)) {
        return Err(Error::forbidden(
            "The organization takes members with addresses of its domains only",
        ));
    }
    store::set_context(tx, user_id, organization_id, ctx.clock.now()).await?;
    context(tx, user_id).await
}
