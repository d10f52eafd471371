//! SQL and nothing else.

use chrono::{DateTime, Utc};
use polity_kernel::{
    db::{Conn, Filter, Result, Rows, Tx},
    secret::Sealed,
};
use serde_json::json;

use super::{
    archive::InvitationRow,
    model::{Invitation, Status},
};
use crate::archive::{PAGE, rows};

macro_rules! invitation {
    ($rest:literal) => {
        concat!(
            "select invitation_id, organization_id, email, role, status, reason, invited_by, token, message, organization_name,
                    organization_domain, inviter_name, inviter_email, sent_count, last_sent_at, expires_at, accepted_at,
                    accepted_by, created_at
             from invitation ",
            $rest
        )
    };
}

pub(super) async fn find(conn: &mut Conn, id: &str) -> Result<Option<Invitation>> {
    conn.sql(invitation!("where invitation_id = $1"))
        .bind(id)
        .optional()
        .await
}

pub(super) async fn find_by_hash(conn: &mut Conn, hash: &str) -> Result<Option<Invitation>> {
    conn.sql(invitation!("where token_hash = $1"))
        .bind(hash)
        .optional()
        .await
}

/// The pending invitation of an address to an organization.
pub(super) async fn find_live(conn: &mut Conn, organization_id: &str, email: &str) -> Result<Option<Invitation>> {
    conn.sql(invitation!(
        "where organization_id = $1 and email = $2 and status = 'pending'"
    ))
    .bind(organization_id)
    .bind(email)
    .optional()
    .await
}

pub(super) async fn insert(tx: &mut Tx, new: &Invitation, hash: &str) -> Result<()> {
    tx.sql(
        "insert into invitation (invitation_id, organization_id, email, role, status, invited_by, token_hash, token, message,
                                 organization_name, organization_domain, inviter_name, inviter_email, sent_count,
                                 last_sent_at, expires_at, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17)",
    )
    .bind(&new.invitation_id)
    .bind(&new.organization_id)
    .bind(&new.email)
    .bind(&new.role)
    .bind(&new.status)
    .bind(&new.invited_by)
    .bind(hash)
    .bind(&new.token)
    .bind(&new.message)
    .bind(&new.organization_name)
    .bind(&new.organization_domain)
    .bind(&new.inviter_name)
    .bind(&new.inviter_email)
    .bind(&new.sent_count)
    .bind(&new.last_sent_at)
    .bind(&new.expires_at)
    .bind(&new.created_at)
    .execute()
    .await?;
    Ok(())
}

/// Gives a pending invitation a token, if it has none.
pub(super) async fn put_token(tx: &mut Tx, id: &str, hash: &str, token: &Sealed) -> Result<()> {
    tx.sql(
        "update invitation set token_hash = $2, token = $3
         where invitation_id = $1 and status = 'pending' and token is null",
    )
    .bind(id)
    .bind(hash)
    .bind(token)
    .execute()
    .await?;
    Ok(())
}

/// The pending invitations of an organization, for archives, newest first.
pub(super) async fn pending(
    conn: &mut Conn,
    organization_id: &str,
    after: Option<(DateTime<Utc>, &str)>,
) -> Result<Vec<InvitationRow>> {
    let mut page = Filter::new(
        "select invitation_id, email, role, invited_by, message, organization_name, organization_domain, inviter_name,
                inviter_email, sent_count, last_sent_at, expires_at, created_at, updated_at
         from invitation where status = 'pending'",
    );
    page.and("organization_id = ?", organization_id);
    if let Some((at, id)) = &after {
        page.and("created_at <= ?", at);
        page.with("and (created_at < ?", at).with("or invitation_id < ?)", *id);
    }
    page.push("order by created_at desc, invitation_id desc");
    page.with("limit ?", &PAGE);
    conn.filter(page).all().await
}

/// Inserts invitations of an archive, each with a hash of its own, and without a token.
pub(super) async fn insert_pending(
    tx: &mut Tx,
    organization_id: &str,
    all: &[InvitationRow],
    hashes: &[String],
) -> Result<()> {
    let hashes: Vec<_> = all
        .iter()
        .zip(hashes)
        .map(|(row, hash)| json!({ "id": row.invitation_id, "hash": hash }))
        .collect();
    tx.sql(
        "insert into invitation (invitation_id, organization_id, email, role, status, invited_by, token_hash, message,
                                 organization_name, organization_domain, inviter_name, inviter_email, sent_count,
                                 last_sent_at, expires_at, created_at, updated_at)
         select r.item ->> 'invitation_id', cast($1 as text), r.item ->> 'email', r.item ->> 'role', 'pending',
                r.item ->> 'invited_by', h.item ->> 'hash', r.item ->> 'message', r.item ->> 'organization_name',
                r.item ->> 'organization_domain', r.item ->> 'inviter_name', r.item ->> 'inviter_email',
                cast(r.item ->> 'sent_count' as bigint), moment(r.item ->> 'last_sent_at'),
                moment(r.item ->> 'expires_at'), moment(r.item ->> 'created_at'), moment(r.item ->> 'updated_at')
         from rows($2) as r join rows($3) as h on h.item ->> 'id' = r.item ->> 'invitation_id'",
    )
    .bind(organization_id)
    .bind(&rows(all, &["last_sent_at", "expires_at", "created_at", "updated_at"]))
    .bind(&Rows::of(&hashes))
    .execute()
    .await?;
    Ok(())
}

/// Deletes some of the invitations of an organization; says how many.
pub(super) async fn remove_some(tx: &mut Tx, organization_id: &str) -> Result<u64> {
    tx.sql(
        "delete from invitation
         where invitation_id in (select invitation_id from invitation where organization_id = $1 limit $2)",
    )
    .bind(organization_id)
    .bind(&PAGE)
    .execute()
    .await
}

/// Closes a pending invitation; whoever comes second closes nothing (BR-ACC-004).
pub(super) async fn close(
    tx: &mut Tx,
    id: &str,
    status: Status,
    (reason, accepted_by): (Option<&str>, Option<&str>),
    now: DateTime<Utc>,
) -> Result<bool> {
    let closed = tx
        .sql(
            "update invitation
             set status = $2, reason = $3, accepted_by = $4, token = null, updated_at = $5,
                 accepted_at = case when cast($4 as text) is null then accepted_at else $5 end
             where invitation_id = $1 and status = 'pending'",
        )
        .bind(id)
        .bind(&status)
        .bind(&reason)
        .bind(&accepted_by)
        .bind(&now)
        .execute()
        .await?;
    Ok(closed == 1)
}

/// Cancels one that has ended.
pub(super) async fn cancel_expired(tx: &mut Tx, id: &str, now: DateTime<Utc>) -> Result<()> {
    tx.sql(
        "update invitation set status = 'cancelled', updated_at = $2 where invitation_id = $1 and status = 'expired'",
    )
    .bind(id)
    .bind(&now)
    .execute()
    .await?;
    Ok(())
}

/// Notes that it is mailed again, unless it was answered meanwhile.
pub(super) async fn mark_sent(tx: &mut Tx, id: &str, expires_at: DateTime<Utc>, now: DateTime<Utc>) -> Result<bool> {
    let marked = tx
        .sql(
            "update invitation set sent_count = sent_count + 1, last_sent_at = $3, expires_at = $2, updated_at = $3
             where invitation_id = $1 and status = 'pending'",
        )
        .bind(id)
        .bind(&expires_at)
        .bind(&now)
        .execute()
        .await?;
    Ok(marked == 1)
}

/// Whose invitations, and which.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub organization_id: &'a str,
    pub status: Option<Status>,
}

impl<'a> Wanted<'a> {
    /// Pending ones past their end count as expired (BR-LST-004).
    fn apply<'p>(&'p self, now: &'p DateTime<Utc>, start: &'static str) -> Filter<'p>
    where
        'a: 'p,
    {
        let mut filter = Filter::new(start);
        filter.and("organization_id = ?", self.organization_id);
        match self.status {
            Some(Status::Pending) => {
                filter.push("and status = 'pending'");
                filter.and("expires_at > ?", now);
            }
            Some(Status::Expired) => {
                filter.and("(status = 'expired' or (status = 'pending' and expires_at <= ?))", now);
            }
            Some(Status::Accepted) => {
                filter.push("and status = 'accepted'");
            }
            Some(Status::Cancelled) => {
                filter.push("and status = 'cancelled'");
            }
            None => {}
        }
        filter
    }
}

/// A page of invitations, newest first, and how many there are.
pub(super) async fn list(
    conn: &mut Conn,
    wanted: &Wanted<'_>,
    (limit, offset): (i64, i64),
    now: DateTime<Utc>,
) -> Result<(Vec<Invitation>, i64)> {
    let mut page = wanted.apply(&now, invitation!("where true"));
    page.push("order by created_at desc, invitation_id desc");
    page.with("limit ?", &limit).with("offset ?", &offset);
    let found = conn.filter(page).all().await?;
    let count = wanted.apply(&now, "select count(*) from invitation where true");
    let (total,) = conn.filter(count).one::<(i64,)>().await?;
    Ok((found, total))
}

/// The pending invitations of an address, newest first, at most 200.
pub(super) async fn list_of_address(conn: &mut Conn, email: &str, now: DateTime<Utc>) -> Result<Vec<Invitation>> {
    conn.sql(invitation!(
        "where email = $1 and status = 'pending' and expires_at > $2 order by created_at desc, invitation_id desc limit 200"
    ))
    .bind(email)
    .bind(&now)
    .all()
    .await
}

/// Expires what has ended, all of it in one statement (BR-EXP-001); says how many.
pub(super) async fn expire(tx: &mut Tx, now: DateTime<Utc>) -> Result<u64> {
    tx.sql(
        "update invitation set status = 'expired', token = null, updated_at = $1
         where status = 'pending' and expires_at <= $1",
    )
    .bind(&now)
    .execute()
    .await
}

/// Cancels the pending invitations of an organization, or of an inviter; returns id, organization and address of each.
/// The status is asked for twice: `PostgreSQL` waits for whoever answers one of them, and then looks at the outer condition
/// alone.
pub(super) async fn cancel_all(
    tx: &mut Tx,
    organization_id: Option<&str>,
    invited_by: Option<&str>,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<Vec<(String, String, String)>> {
    tx.sql(
        "update invitation set status = 'cancelled', reason = $3, token = null, updated_at = $4
         where invitation_id in
               (select invitation_id from invitation
                where status = 'pending' and (organization_id = $1 or invited_by = $2) limit 500)
           and status = 'pending'
         returning invitation_id, organization_id, email",
    )
    .bind(&organization_id)
    .bind(&invited_by)
    .bind(reason)
    .bind(&now)
    .all()
    .await
}

/// Leaves nothing of a person who is erased.
pub(super) async fn forget_person(tx: &mut Tx, user_id: &str) -> Result<()> {
    tx.sql("delete from invitation where accepted_by = $1")
        .bind(user_id)
        .execute()
        .await?;
    tx.sql("update invitation set inviter_name = null, inviter_email = null, message = null where invited_by = $1")
        .bind(user_id)
        .execute()
        .await?;
    Ok(())
}
