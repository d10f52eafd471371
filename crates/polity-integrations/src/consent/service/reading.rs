//! Looking at consents.

use polity_kernel::db::{Conn, Part};

use crate::consent::{
    Consents, Error,
    model::{Consent, Purpose},
    store,
};

/// One of a person's; in a workspace, if one is named.
pub(in crate::consent) async fn find(
    conn: &mut Conn,
    user_id: &str,
    workspace_id: Option<&str>,
    id: &str,
) -> Result<Consent, Error> {
    let found = store::find(conn, user_id, id).await?;
    found
        .filter(|one| workspace_id.is_none_or(|wanted| wanted == one.workspace_id))
        .ok_or(Error::NotFound)
}

/// A part of a person's consents, newest first, and how many there are in all, unless a cursor leads there.
pub(in crate::consent) async fn list(
    conn: &mut Conn,
    user_id: &str,
    workspace_id: Option<&str>,
    part: &Part,
    limit: i64,
) -> Result<(Vec<Consent>, Option<i64>), Error> {
    let found = store::list(conn, user_id, workspace_id, part, limit).await?;
    let total = match part {
        Part::From(_) => Some(store::count(conn, user_id, workspace_id).await?),
        Part::After(_) => None,
    };
    Ok((found, total))
}

/// How it stands with a purpose.
pub(in crate::consent) struct Purposes {
    pub purpose: Purpose,
    pub active: i64,
    pub policy_version: Option<i64>,
    pub needs_renewal: bool,
}

/// How it stands with every purpose in a workspace.
pub(in crate::consent) async fn status(
    conn: &mut Conn,
    consents: &Consents,
    user_id: &str,
    workspace_id: &str,
) -> Result<Vec<Purposes>, Error> {
    let version = i64::from(consents.settings.policy_version);
    let now = consents.ctx.clock.now();
    let found = store::standings(conn, user_id, workspace_id, now, version).await?;
    let of = |purpose| {
        let standing = found.iter().find(|standing| standing.purpose == purpose);
        Purposes {
            purpose,
            active: standing.map_or(0, |standing| standing.active),
            policy_version: standing.and_then(|standing| standing.policy_version),
            needs_renewal: standing.is_some_and(|standing| standing.outdated > 0),
        }
    };
    Ok(Purpose::ALL.iter().copied().map(of).collect())
}
