//! Finding accounts.

use std::time::Duration;

use polity_kernel::{
    Ctx,
    caller::Caller,
    db::{Conn, Cursor, Part},
};

use crate::account::{
    Error,
    model::{Account, fold, fold_email},
    store::{self, Cut, Wanted},
};

/// A part of a list.
pub(in crate::account) struct Listed {
    pub accounts: Vec<Account>,
    /// How many there are in all; counted for pages only.
    pub total_count: Option<i64>,
    /// Where the next part begins, if there is one.
    pub next: Option<Cursor>,
}

/// Accounts, newest first, by page or after a cursor (BR-QRY-001 to 005).
pub(in crate::account) async fn list(
    conn: &mut Conn,
    is_active: Option<bool>,
    search: Option<&str>,
    part: Part,
    size: i64,
) -> Result<Listed, Error> {
    let folded = search.map(fold).filter(|text| !text.is_empty());
    let wanted = Wanted { is_active, folded };
    let total_count = match part {
        Part::From(_) => Some(store::count(conn, &wanted).await?),
        Part::After(_) => None,
    };
    // One more than asked for tells whether there is more.
    let limit = size + 1;
    let cut = match part {
        Part::After(cursor) => Cut::After { limit, cursor },
        Part::From(offset) => Cut::Page { limit, offset },
    };
    let mut accounts = store::list(conn, &wanted, &cut).await?;
    let size = usize::try_from(size).unwrap_or(0);
    let more = accounts.len() > size;
    accounts.truncate(size);
    let last = accounts.last().filter(|_| more);
    let next = last.map(|last| Cursor {
        at: last.created_at,
        id: last.user_id.0.clone(),
    });
    Ok(Listed {
        accounts,
        total_count,
        next,
    })
}

/// Accounts by a part of name or address.
pub(in crate::account) async fn search(
    conn: &mut Conn,
    query: &str,
    limit: i64,
    inactive: bool,
) -> Result<Vec<Account>, Error> {
    let wanted = Wanted {
        is_active: (!inactive).then_some(true),
        folded: Some(fold(query)),
    };
    Ok(store::list(conn, &wanted, &Cut::After { limit, cursor: None }).await?)
}

/// The active account with an address (BR-QRY-006), for administrators, services, and the person themselves.
pub(in crate::account) async fn by_email(conn: &mut Conn, caller: &Caller, email: &str) -> Result<Account, Error> {
    let email = fold_email(email);
    let all = caller.is_admin() || (caller.is_service() && caller.on_behalf_of.is_none());
    let own = caller.email.as_deref() == Some(email.as_str()) && caller.user_id().is_some();
    if !all && !own {
        return Err(Error::Forbidden("You can only look up your own address"));
    }
    let found = store::find_by_email(conn, &email)
        .await?
        .filter(|account| account.is_active);
    // A token may carry an address that has meanwhile become somebody else's.
    let found = found.filter(|account| all || caller.user_id() == Some(account.user_id.0.as_str()));
    found.ok_or(Error::NotFound(email))
}

/// How many accounts there are.
pub(in crate::account) async fn stats(conn: &mut Conn, ctx: &Ctx) -> Result<(i64, i64, i64, i64), Error> {
    let now = ctx.clock.now();
    Ok(store::stats(
        conn,
        now - Duration::from_hours(7 * 24),
        now - Duration::from_hours(30 * 24),
    )
    .await?)
}
