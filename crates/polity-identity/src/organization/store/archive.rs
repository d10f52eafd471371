//! SQL of archives: the organization's rows in pages, in batches, and hidden until they are all there.

use chrono::{DateTime, Utc};
use polity_kernel::db::{Conn, Filter, Json, Result, Tx};
use serde::Serialize;

use crate::{
    archive::{PAGE, rows},
    organization::{
        archive::{AuditRow, MemberRow, OrganizationRow},
        model::{self, Organization, Role},
    },
};

/// What the flag of an organization begins with that is being imported.
pub(in crate::organization) const MARK: &str = "importing ";

/// The mark of whoever imports an organization, if it is not there yet, and when they were last heard of.
pub(in crate::organization) async fn find_claim(
    conn: &mut Conn,
    organization_id: &str,
) -> Result<Option<(Option<String>, DateTime<Utc>)>> {
    conn.sql(
        "select case when status = 'deleted' and flag like 'importing %' then flag end, updated_at
         from organization where organization_id = $1",
    )
    .bind(organization_id)
    .optional()
    .await
}

/// Inserts an organization that is not there for anybody.
pub(in crate::organization) async fn hide(
    tx: &mut Tx,
    organization_id: &str,
    record: &OrganizationRow,
    mark: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let new = Organization::from(record.clone());
    tx.sql(
        "insert into organization (organization_id, name, search, domain, billing_email, plan, status, kind, details, settings,
                                   security, rate_limits, flag, member_count, created_by, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, 'deleted', $7, $8, $9, $10, $11, $12, 0, $13, $14, $15)",
    )
    .bind(organization_id)
    .bind(&new.name)
    .bind(&new.search_text())
    .bind(&new.domain)
    .bind(&new.billing_email)
    .bind(&new.plan)
    .bind(&new.kind)
    .bind(&new.details)
    .bind(&new.settings)
    .bind(&new.security)
    .bind(&new.rate_limits)
    .bind(mark)
    .bind(&new.created_by)
    .bind(&new.created_at)
    .bind(&now)
    .execute()
    .await?;
    Ok(())
}

/// Puts another mark in place of the one that is there.
pub(in crate::organization) async fn take_over(
    tx: &mut Tx,
    organization_id: &str,
    mark: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    tx.sql("update organization set flag = $2, updated_at = $3 where organization_id = $1")
        .bind(organization_id)
        .bind(mark)
        .bind(&now)
        .execute()
        .await?;
    Ok(())
}

/// Says whether the mark still stands.
pub(in crate::organization) async fn renew(
    tx: &mut Tx,
    organization_id: &str,
    mark: &str,
    now: DateTime<Utc>,
) -> Result<bool> {
    let renewed = tx
        .sql(
            "update organization set updated_at = $3
             where organization_id = $1 and flag = $2 and status = 'deleted'",
        )
        .bind(organization_id)
        .bind(mark)
        .bind(&now)
        .execute()
        .await?;
    Ok(renewed == 1)
}

/// Deletes the hidden row, if the mark still stands.
pub(in crate::organization) async fn forget(tx: &mut Tx, organization_id: &str, mark: &str) -> Result<bool> {
    let deleted = tx
        .sql("delete from organization where organization_id = $1 and flag = $2 and status = 'deleted'")
        .bind(organization_id)
        .bind(mark)
        .execute()
        .await?;
    Ok(deleted == 1)
}

/// Imports nobody was heard of since, and their marks.
pub(in crate::organization) async fn silent(conn: &mut Conn, since: DateTime<Utc>) -> Result<Vec<(String, String)>> {
    conn.sql(
        "select organization_id, flag from organization
         where status = 'deleted' and flag like 'importing %' and updated_at < $1
         limit 100",
    )
    .bind(&since)
    .long()
    .all()
    .await
}

/// Makes a hidden organization what it was.
pub(in crate::organization) async fn show(tx: &mut Tx, organization_id: &str, record: &OrganizationRow) -> Result<()> {
    tx.sql("update organization set status = $2, flag = $3, updated_at = $4 where organization_id = $1")
        .bind(organization_id)
        .bind(&record.status)
        .bind(&record.flag)
        .bind(&record.updated_at)
        .execute()
        .await?;
    super::count_members(tx, organization_id).await
}

/// A member, what they are, and what else they may do.
pub(in crate::organization) type Active = (String, Role, Json<Vec<String>>);

/// The active members of an organization that was imported: its archive bounds how many there are.
pub(in crate::organization) async fn active_members(tx: &mut Tx, organization_id: &str) -> Result<Vec<Active>> {
    tx.sql(
        "select user_id, role, permissions from membership where organization_id = $1 and status = 'active'
         order by joined_at, user_id",
    )
    .bind(organization_id)
    .all()
    .await
}

/// The ids of some members, ended memberships included, after an id.
pub(crate) async fn member_ids(conn: &mut Conn, organization_id: &str, after: Option<&str>) -> Result<Vec<(String,)>> {
    let mut page = Filter::new("select user_id from membership where true");
    page.and("organization_id = ?", organization_id);
    page.and_some("user_id > ?", after);
    page.push("order by user_id");
    page.with("limit ?", &PAGE);
    conn.filter(page).all().await
}

pub(in crate::organization) async fn members(
    conn: &mut Conn,
    organization_id: &str,
    after: Option<&str>,
) -> Result<Vec<MemberRow>> {
    let mut page = Filter::new(
        "select user_id, role, status, permissions, department, title, is_founder, joined_at, last_active_at, updated_at
         from membership where true",
    );
    page.and("organization_id = ?", organization_id);
    page.and_some("user_id > ?", after);
    page.push("order by user_id");
    page.with("limit ?", &PAGE);
    conn.filter(page).all().await
}

/// A membership with what it is searched by, which is not in an archive.
#[derive(Serialize)]
struct Searched<'a> {
    #[serde(flatten)]
    row: &'a MemberRow,
    search: String,
}

pub(in crate::organization) async fn insert_members(
    tx: &mut Tx,
    organization_id: &str,
    all: &[MemberRow],
) -> Result<()> {
    let searched = |row| Searched {
        search: member_text(row),
        row,
    };
    let all: Vec<Searched<'_>> = all.iter().map(searched).collect();
    tx.sql(
        "insert into membership (organization_id, user_id, role, status, permissions, department, title, is_founder, joined_at,
                                 last_active_at, updated_at, search)
         select cast($1 as text), r.item ->> 'user_id', r.item ->> 'role', r.item ->> 'status', r.item -> 'permissions',
                r.item ->> 'department', r.item ->> 'title', cast(r.item ->> 'is_founder' as boolean),
                moment(r.item ->> 'joined_at'), moment(r.item ->> 'last_active_at'), moment(r.item ->> 'updated_at'),
                r.item ->> 'search'
         from rows($2) as r",
    )
    .bind(organization_id)
    .bind(&rows(&all, &["joined_at", "last_active_at", "updated_at"]))
    .execute()
    .await?;
    Ok(())
}

fn member_text(row: &MemberRow) -> String {
    model::member_text(row.department.as_deref(), row.title.as_deref(), &row.user_id)
}

pub(in crate::organization) async fn remove_members(tx: &mut Tx, organization_id: &str) -> Result<u64> {
    tx.sql(
        "delete from membership where organization_id = $1 and user_id in
             (select user_id from membership where organization_id = $1 limit $2)",
    )
    .bind(organization_id)
    .bind(&PAGE)
    .execute()
    .await
}

/// The audit log, oldest first.
pub(in crate::organization) async fn audit(
    conn: &mut Conn,
    organization_id: &str,
    after: Option<(DateTime<Utc>, &str)>,
) -> Result<Vec<AuditRow>> {
    let mut page =
        Filter::new("select id, actor_id, action, target_id, data, created_at from organization_audit where true");
    page.and("organization_id = ?", organization_id);
    if let Some((at, id)) = &after {
        page.and("created_at >= ?", at);
        page.with("and (created_at > ?", at).with("or id > ?)", *id);
    }
    page.push("order by created_at, id");
    page.with("limit ?", &PAGE);
    conn.filter(page).all().await
}

pub(in crate::organization) async fn insert_audit(tx: &mut Tx, organization_id: &str, all: &[AuditRow]) -> Result<()> {
    tx.sql(
        "insert into organization_audit (id, organization_id, actor_id, action, target_id, data, created_at)
         select r.item ->> 'id', cast($1 as text), r.item ->> 'actor_id', r.item ->> 'action', r.item ->> 'target_id',
                r.item -> 'data', moment(r.item ->> 'created_at')
         from rows($2) as r",
    )
    .bind(organization_id)
    .bind(&rows(all, &["created_at"]))
    .execute()
    .await?;
    Ok(())
}

pub(in crate::organization) async fn remove_audit(tx: &mut Tx, organization_id: &str) -> Result<u64> {
    tx.sql(
        "delete from organization_audit
         where id in (select id from organization_audit where organization_id = $1 limit $2)",
    )
    .bind(organization_id)
    .bind(&PAGE)
    .execute()
    .await
}
