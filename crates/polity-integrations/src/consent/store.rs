//! SQL and nothing else; the history, and what is due, are in the files beside. Whose it is comes first.

pub(super) mod audit;
pub(super) mod due;
pub(super) mod keeping;

use chrono::{DateTime, Utc};
use polity_kernel::{
    Record,
    db::{Conn, Filter, List, Part, Result, Tx},
};

use super::model::{Consent, Ending, Place, Purpose};

macro_rules! consent {
    ($rest:literal) => {
        concat!(
            "select id, user_id, workspace_id, purpose, subject_kind, entity_type, entity_id, description,
                    requested_permissions, granted_permissions, status, is_active, granted_at, revoked_at, expires_at,
                    superseded_at, grace_ends_at, ended_at, end_reason, replaced_by, ip_address, user_agent, locale,
                    text_hash, policy_version, updated_at
             from consent ",
            $rest
        )
    };
}

/// One of a person's.
pub(super) async fn find(conn: &mut Conn, user_id: &str, id: &str) -> Result<Option<Consent>> {
    conn.sql(consent!("where user_id = $1 and id = $2"))
        .bind(user_id)
        .bind(id)
        .optional()
        .await
}

/// The one that is active at a place.
pub(super) async fn find_active(conn: &mut Conn, place: &Place<'_>) -> Result<Option<Consent>> {
    conn.sql(consent!(
        "where user_id = $1 and workspace_id = $2 and purpose = $3 and subject_kind = $4 and entity_type = $5
           and entity_id = $6 and is_active"
    ))
    .bind(place.user_id)
    .bind(place.workspace_id)
    .bind(&place.purpose)
    .bind(&place.subject_kind)
    .bind(&place.entity_type)
    .bind(place.entity_id)
    .optional()
    .await
}

/// So many of the active ones of a person, in one workspace or in all, the oldest first.
pub(super) async fn active_of(
    conn: &mut Conn,
    user_id: &str,
    workspace_id: Option<&str>,
    limit: i64,
) -> Result<Vec<Consent>> {
    let mut filter = Filter::new(consent!("where is_active"));
    filter.and("user_id = ?", user_id);
    filter.and_some("workspace_id = ?", workspace_id.as_ref());
    filter.push("order by granted_at, id");
    filter.with("limit ?", &limit);
    conn.filter(filter).all().await
}

/// How many active ones a person has.
pub(super) async fn count_active(conn: &mut Conn, user_id: &str) -> Result<i64> {
    let (count,) = conn
        .sql("select count(*) from consent where user_id = $1 and is_active")
        .bind(user_id)
        .one::<(i64,)>()
        .await?;
    Ok(count)
}

/// A part of a person's, newest first, in one workspace or in all.
pub(super) async fn list(
    conn: &mut Conn,
    user_id: &str,
    workspace_id: Option<&str>,
    part: &Part,
    limit: i64,
) -> Result<Vec<Consent>> {
    let mut page = Filter::new(consent!("where true"));
    page.and("user_id = ?", user_id);
    page.and_some("workspace_id = ?", workspace_id.as_ref());
    if let Part::After(Some(cursor)) = part {
        page.and("granted_at <= ?", &cursor.at);
        page.with("and (granted_at < ?", &cursor.at)
            .with("or id < ?)", &cursor.id);
    }
    page.push("order by granted_at desc, id desc");
    page.with("limit ?", &limit);
    if let Part::From(offset) = part {
        page.with("offset ?", offset);
    }
    conn.filter(page).all().await
}

/// How many a person has, in one workspace or in all.
pub(super) async fn count(conn: &mut Conn, user_id: &str, workspace_id: Option<&str>) -> Result<i64> {
    let mut filter = Filter::new("select count(*) from consent where true");
    filter.and("user_id = ?", user_id);
    filter.and_some("workspace_id = ?", workspace_id.as_ref());
    let (total,) = conn.filter(filter).one::<(i64,)>().await?;
    Ok(total)
}

/// How it stands with one purpose.
#[derive(Debug, Record)]
pub(super) struct Standing {
    pub purpose: Purpose,
    /// How many consents count.
    pub active: i64,
    /// Under which policy the oldest of them was given.
    pub policy_version: Option<i64>,
    /// How many are for an older policy, in their grace or after it.
    pub outdated: i64,
}

/// How it stands with the purposes for which somebody has ever consented to something in a workspace.
pub(super) async fn standings(
    conn: &mut Conn,
    user_id: &str,
    workspace_id: &str,
    now: DateTime<Utc>,
    policy_version: i64,
) -> Result<Vec<Standing>> {
    conn.sql(
        "select purpose, sum(counts) as active, min(case when counts = 1 then policy_version end) as policy_version,
                sum(case when counts = 1 and policy_version < $4 then 1 else lapsed end) as outdated
         from (select purpose, policy_version,
                      case when is_active and (expires_at is null or expires_at > $3)
                                and (grace_ends_at is null or grace_ends_at > $3) then cast(1 as int) else 0 end as counts,
                      case when (expires_at is null or expires_at > $3) and replaced_by is null
                                and (end_reason = 'superseded' or (is_active and grace_ends_at <= $3))
                           then cast(1 as int) else 0 end as lapsed
               from consent where user_id = $1 and workspace_id = $2) as one
         group by purpose",
    )
    .bind(user_id)
    .bind(workspace_id)
    .bind(&now)
    .bind(&policy_version)
    .all()
    .await
}

/// A new one.
pub(super) async fn insert(tx: &mut Tx, new: &Consent) -> Result<()> {
    tx.sql(
        "insert into consent (id, user_id, workspace_id, purpose, subject_kind, entity_type, entity_id, description,
                              requested_permissions, granted_permissions, status, is_active, granted_at, expires_at,
                              ip_address, user_agent, locale, text_hash, policy_version, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, true, $12, $13, $14, $15, $16, $17, $18, $12)",
    )
    .bind(&new.id)
    .bind(&new.user_id)
    .bind(&new.workspace_id)
    .bind(&new.purpose)
    .bind(&new.subject_kind)
    .bind(&new.entity_type)
    .bind(&new.entity_id)
    .bind(&new.description)
    .bind(&new.requested_permissions)
    .bind(&new.granted_permissions)
    .bind(&new.status)
    .bind(&new.granted_at)
    .bind(&new.expires_at)
    .bind(&new.ip_address)
    .bind(&new.user_agent)
    .bind(&new.locale)
    .bind(&new.text_hash)
    .bind(&new.policy_version)
    .execute()
    .await?;
    Ok(())
}

/// Ends active ones of a person.
pub(super) async fn end(
    tx: &mut Tx,
    user_id: &str,
    ids: &List,
    why: Ending,
    replaced_by: Option<&str>,
    now: DateTime<Utc>,
) -> Result<()> {
    tx.sql(
        "update consent
         set is_active = false, status = $3, end_reason = $4, replaced_by = $5, ended_at = $6, updated_at = $6,
             revoked_at = case when $3 = 'revoked' then $6 else revoked_at end
         where user_id = $1 and id in list($2) and is_active",
    )
    .bind(user_id)
    .bind(ids)
    .bind(&why.status())
    .bind(&why)
    .bind(&replaced_by)
    .bind(&now)
    .execute()
    .await?;
    Ok(())
}

/// What was superseded at a place and not renewed in time is renewed now.
pub(super) async fn renewed(tx: &mut Tx, place: &Place<'_>, id: &str) -> Result<u64> {
    tx.sql(
        "update consent set replaced_by = $7
         where user_id = $1 and workspace_id = $2 and purpose = $3 and subject_kind = $4 and entity_type = $5
           and entity_id = $6 and not is_active and end_reason = 'superseded' and replaced_by is null",
    )
    .bind(place.user_id)
    .bind(place.workspace_id)
    .bind(&place.purpose)
    .bind(&place.subject_kind)
    .bind(&place.entity_type)
    .bind(place.entity_id)
    .bind(id)
    .execute()
    .await
}

/// One that was superseded, and has ended, is not to be renewed.
pub(super) async fn refuse(tx: &mut Tx, user_id: &str, id: &str, now: DateTime<Utc>) -> Result<u64> {
    tx.sql(
        "update consent set status = 'revoked', end_reason = 'revoked', revoked_at = $3, updated_at = $3
         where user_id = $1 and id = $2 and not is_active and end_reason = 'superseded' and replaced_by is null",
    )
    .bind(user_id)
    .bind(id)
    .bind(&now)
    .execute()
    .await
}
