//! SQL and nothing else. The organization comes first.

pub(super) mod archive;
pub(super) mod sharing;

use chrono::{DateTime, Duration, Utc};
use polity_kernel::{
    Record,
    db::{Conn, Cursor, Filter, Json, List, Result, Rows, Tx},
};
use serde::Serialize;

use super::model::{Acting, MemberStatus, Membership, Organization, RateLimits, Role, Standing, member_text};

macro_rules! organization {
    ($rest:literal) => {
        concat!(
            "select organization_id, name, domain, billing_email, plan, status, kind, details, settings, security, rate_limits,
                    flag, member_count, created_by, created_at, updated_at
             from organization ",
            $rest
        )
    };
}

macro_rules! membership {
    ($rest:literal) => {
        concat!(
            "select organization_id, user_id, role, status, permissions, department, title, is_founder, joined_at, last_active_at
             from membership ",
            $rest
        )
    };
}

pub(super) async fn find(conn: &mut Conn, organization_id: &str) -> Result<Option<Organization>> {
    conn.sql(organization!("where organization_id = $1 and status <> 'deleted'"))
        .bind(organization_id)
        .optional()
        .await
}

pub(super) async fn insert(tx: &mut Tx, new: &Organization) -> Result<()> {
    tx.sql(
        "insert into organization (organization_id, name, search, domain, billing_email, plan, status, kind, details, settings,
                                   security, member_count, created_by, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, $13, $13)",
    )
    .bind(&new.organization_id)
    .bind(&new.name)
    .bind(&new.search_text())
    .bind(&new.domain)
    .bind(&new.billing_email)
    .bind(&new.plan)
    .bind(&new.status)
    .bind(&new.kind)
    .bind(&new.details)
    .bind(&new.settings)
    .bind(&new.security)
    .bind(&new.created_by)
    .bind(&new.created_at)
    .execute()
    .await?;
    Ok(())
}

pub(super) async fn update(tx: &mut Tx, changed: &Organization, now: DateTime<Utc>) -> Result<()> {
    tx.sql(
        "update organization
         set name = $2, search = $3, domain = $4, billing_email = $5, plan = $6, status = $7, details = $8, settings = $9,
             security = $10, flag = $11, updated_at = $12
         where organization_id = $1",
    )
    .bind(&changed.organization_id)
    .bind(&changed.name)
    .bind(&changed.search_text())
    .bind(&changed.domain)
    .bind(&changed.billing_email)
    .bind(&changed.plan)
    .bind(&changed.status)
    .bind(&changed.details)
    .bind(&changed.settings)
    .bind(&changed.security)
    .bind(&changed.flag)
    .bind(&now)
    .execute()
    .await?;
    Ok(())
}

pub(super) async fn set_limits(
    tx: &mut Tx,
    organization_id: &str,
    limits: &Json<RateLimits>,
    now: DateTime<Utc>,
) -> Result<()> {
    tx.sql("update organization set rate_limits = $2, updated_at = $3 where organization_id = $1")
        .bind(organization_id)
        .bind(limits)
        .bind(&now)
        .execute()
        .await?;
    Ok(())
}

/// Ends what is in an organization that is gone: its memberships, and that people act in it.
pub(super) async fn end_all(tx: &mut Tx, organization_id: &str, now: DateTime<Utc>) -> Result<()> {
    tx.sql("update membership set status = 'inactive', updated_at = $2 where organization_id = $1 and status <> 'inactive'")
        .bind(organization_id)
        .bind(&now)
        .execute()
        .await?;
    tx.sql("delete from organization_context where organization_id = $1")
        .bind(organization_id)
        .execute()
        .await?;
    count_members(tx, organization_id).await
}

/// Writes how many active members there are.
pub(super) async fn count_members(tx: &mut Tx, organization_id: &str) -> Result<()> {
    tx.sql(
        "update organization
         set member_count = (select count(*) from membership
                             where membership.organization_id = organization.organization_id and membership.status = 'active')
         where organization_id = $1",
    )
    .bind(organization_id)
    .execute()
    .await?;
    Ok(())
}

pub(super) async fn find_member(conn: &mut Conn, organization_id: &str, user_id: &str) -> Result<Option<Membership>> {
    conn.sql(membership!("where organization_id = $1 and user_id = $2"))
        .bind(organization_id)
        .bind(user_id)
        .optional()
        .await
}

/// The role and the status of somebody in an organization that is there.
pub(super) async fn standing(
    conn: &mut Conn,
    organization_id: &str,
    user_id: &str,
) -> Result<Option<(Role, MemberStatus)>> {
    conn.sql(
        "select membership.role, membership.status
         from membership join organization on organization.organization_id = membership.organization_id
         where membership.organization_id = $1 and membership.user_id = $2 and organization.status <> 'deleted'",
    )
    .bind(organization_id)
    .bind(user_id)
    .optional()
    .await
}

/// What decides whether somebody may act in an organization that is there.
pub(super) async fn acting(conn: &mut Conn, organization_id: &str, user_id: &str) -> Result<Option<Acting>> {
    conn.sql(
        "select organization.name, organization.status, organization.security, membership.role,
                membership.status as member_status, membership.permissions
         from membership join organization on organization.organization_id = membership.organization_id
         where membership.organization_id = $1 and membership.user_id = $2 and organization.status <> 'deleted'",
    )
    .bind(organization_id)
    .bind(user_id)
    .optional()
    .await
}

/// Inserts a membership, or writes over the one that is there.
pub(super) async fn put_member(tx: &mut Tx, member: &Membership, now: DateTime<Utc>) -> Result<()> {
    tx.sql(
        "insert into membership (organization_id, user_id, role, status, permissions, department, title, is_founder, joined_at,
                                 updated_at, search)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         on conflict (organization_id, user_id) do update
            set role = excluded.role, status = excluded.status, permissions = excluded.permissions,
                department = excluded.department, title = excluded.title, joined_at = excluded.joined_at,
                updated_at = excluded.updated_at, search = excluded.search",
    )
    .bind(&member.organization_id)
    .bind(&member.user_id)
    .bind(&member.role)
    .bind(&member.status)
    .bind(&member.permissions)
    .bind(&member.department)
    .bind(&member.title)
    .bind(&member.is_founder)
    .bind(&member.joined_at)
    .bind(&now)
    .bind(&member_text(member.department.as_deref(), member.title.as_deref(), &member.user_id))
    .execute()
    .await?;
    Ok(())
}

/// What a member is searched by.
#[derive(Serialize)]
struct Searched {
    organization_id: String,
    user_id: String,
    text: String,
}

/// Writes what some members are searched by who were there before anybody was; says how many. Whoever is changed meanwhile
/// has it already.
pub(super) async fn fill_search(tx: &mut Tx, limit: i64) -> Result<u64> {
    let some: Vec<(String, String, Option<String>, Option<String>)> = tx
        .sql("select organization_id, user_id, department, title from membership where search is null limit $1")
        .bind(&limit)
        .all()
        .await?;
    let texts: Vec<Searched> = some
        .into_iter()
        .map(|(organization_id, user_id, department, title)| Searched {
            text: member_text(department.as_deref(), title.as_deref(), &user_id),
            organization_id,
            user_id,
        })
        .collect();
    tx.sql(
        "update membership
         set search = (select r.item ->> 'text' from rows($1) as r
                       where r.item ->> 'organization_id' = membership.organization_id
                         and r.item ->> 'user_id' = membership.user_id)
         where search is null
           and (organization_id, user_id) in (select r.item ->> 'organization_id', r.item ->> 'user_id' from rows($1) as r)",
    )
    .bind(&Rows::of(&texts))
    .execute()
    .await
}

/// How many memberships take a place: active and pending ones.
pub(super) async fn count_places(conn: &mut Conn, organization_id: &str) -> Result<i64> {
    let (count,) = conn
        .sql("select count(*) from membership where organization_id = $1 and status in ('active', 'pending')")
        .bind(organization_id)
        .one::<(i64,)>()
        .await?;
    Ok(count)
}

pub(super) async fn count_owners(conn: &mut Conn, organization_id: &str) -> Result<i64> {
    let (count,) = conn
        .sql("select count(*) from membership where organization_id = $1 and status = 'active' and role = 'owner'")
        .bind(organization_id)
        .one::<(i64,)>()
        .await?;
    Ok(count)
}

/// How many organizations somebody owns.
pub(super) async fn count_made(conn: &mut Conn, user_id: &str) -> Result<i64> {
    let (count,) = conn
        .sql(
            "select count(*) from membership join organization on organization.organization_id = membership.organization_id
             where membership.user_id = $1 and membership.is_founder and organization.status <> 'deleted'",
        )
        .bind(user_id)
        .one::<(i64,)>()
        .await?;
    Ok(count)
}

/// The admin who has been there longest.
pub(super) async fn eldest_admin(conn: &mut Conn, organization_id: &str) -> Result<Option<Membership>> {
    conn.sql(membership!(
        "where organization_id = $1 and status = 'active' and role = 'admin' order by joined_at, user_id limit 1"
    ))
    .bind(organization_id)
    .optional()
    .await
}

/// Which members are wanted.
#[derive(Debug, Clone, Default)]
pub(super) struct MemberFilter {
    pub role: Option<Role>,
    /// A part of department, title or id.
    pub search: Option<String>,
    pub after: Option<Cursor>,
}

impl MemberFilter {
    fn apply<'p>(&'p self, pattern: Option<&'p String>, organization_id: &'p str, start: &'static str) -> Filter<'p> {
        let mut filter = Filter::new(start);
        filter.and("organization_id = ?", organization_id);
        filter.and_some("role = ?", self.role.as_ref());
        filter.and_some(
            // Those that have none yet are found as the database folds them.
            "coalesce(search, lower(coalesce(department, '') || ' ' || coalesce(title, '') || ' ' || user_id)) like ?
             escape '\\'",
            pattern,
        );
        filter
    }
}

fn pattern(search: &str) -> String {
    let escaped = search
        .to_lowercase()
        .replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_");
    format!("%{escaped}%")
}

/// A page of the active members, longest first.
pub(super) async fn list_members(
    conn: &mut Conn,
    organization_id: &str,
    wanted: &MemberFilter,
    limit: i64,
    offset: i64,
) -> Result<Vec<Membership>> {
    let pattern = wanted.search.as_deref().map(pattern);
    let mut page = wanted.apply(
        pattern.as_ref(),
        organization_id,
        membership!("where status = 'active'"),
    );
    if let Some(Cursor { at, id }) = &wanted.after {
        page.and("joined_at >= ?", at);
        page.with("and (joined_at > ?", at).with("or user_id > ?)", id);
    }
    page.push("order by joined_at, user_id");
    page.with("limit ?", &limit).with("offset ?", &offset);
    conn.filter(page).all().await
}

pub(super) async fn count_listed(conn: &mut Conn, organization_id: &str, wanted: &MemberFilter) -> Result<i64> {
    let pattern = wanted.search.as_deref().map(pattern);
    let filter = wanted.apply(
        pattern.as_ref(),
        organization_id,
        "select count(*) from membership where status = 'active'",
    );
    let (count,) = conn.filter(filter).one::<(i64,)>().await?;
    Ok(count)
}

/// The organizations somebody is an active member of, newest membership first, with what they are in each.
pub(super) async fn list_of(conn: &mut Conn, user_id: &str, limit: i64, offset: i64) -> Result<Vec<(String, Role)>> {
    conn.sql(
        "select membership.organization_id, membership.role
         from membership join organization on organization.organization_id = membership.organization_id
         where membership.user_id = $1 and membership.status = 'active' and organization.status <> 'deleted'
         order by membership.joined_at desc, membership.organization_id
         limit $2 offset $3",
    )
    .bind(user_id)
    .bind(&limit)
    .bind(&offset)
    .all()
    .await
}

pub(super) async fn count_of(conn: &mut Conn, user_id: &str) -> Result<i64> {
    let (count,) = conn
        .sql(
            "select count(*) from membership join organization on organization.organization_id = membership.organization_id
             where membership.user_id = $1 and membership.status = 'active' and organization.status <> 'deleted'",
        )
        .bind(user_id)
        .one::<(i64,)>()
        .await?;
    Ok(count)
}

/// Those of these organizations that are there.
pub(super) async fn find_all(conn: &mut Conn, ids: &List) -> Result<Vec<Organization>> {
    conn.sql(organization!(
        "where organization_id in list($1) and status <> 'deleted'"
    ))
    .bind(ids)
    .all()
    .await
}

/// Those of these organizations that are there.
pub(super) async fn existing(conn: &mut Conn, ids: &List) -> Result<Vec<(String,)>> {
    conn.sql("select organization_id from organization where organization_id in list($1) and status <> 'deleted'")
        .bind(ids)
        .all()
        .await
}

/// Who of these people is an active member of which of these organizations.
pub(super) async fn members_among(
    conn: &mut Conn,
    organizations: &List,
    people: &List,
) -> Result<Vec<(String, String)>> {
    conn.sql(
        "select organization_id, user_id from membership
         where organization_id in list($1) and user_id in list($2) and status = 'active'",
    )
    .bind(organizations)
    .bind(people)
    .all()
    .await
}

/// The active memberships of a person in organizations that are there, latest first, at most so many.
pub(super) async fn standings(conn: &mut Conn, user_id: &str, limit: i64) -> Result<Vec<Standing>> {
    conn.sql(
        "select membership.organization_id, membership.role, organization.plan, organization.status = 'active' as is_usable
         from membership join organization on organization.organization_id = membership.organization_id
         where membership.user_id = $1 and membership.status = 'active' and organization.status <> 'deleted'
         order by membership.joined_at desc, membership.organization_id
         limit $2",
    )
    .bind(user_id)
    .bind(&limit)
    .all()
    .await
}

/// Every membership of a person that has not ended, at most so many.
pub(super) async fn memberships(conn: &mut Conn, user_id: &str, limit: i64) -> Result<Vec<Membership>> {
    conn.sql(membership!(
        "where user_id = $1 and status <> 'inactive' order by organization_id limit $2"
    ))
    .bind(user_id)
    .bind(&limit)
    .all()
    .await
}

/// Which organizations an administrator wants to see.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub search: Option<String>,
    pub plan: Option<super::model::Plan>,
    pub status: Option<super::model::Status>,
}

impl Wanted {
    fn apply<'p>(&'p self, pattern: Option<&'p String>, start: &'static str) -> Filter<'p> {
        let mut filter = Filter::new(start);
        filter.and_some("search like ? escape '\\'", pattern);
        filter.and_some("plan = ?", self.plan.as_ref());
        filter.and_some("status = ?", self.status.as_ref());
        filter
    }
}

/// A page of all organizations, newest first, and how many there are.
pub(super) async fn list_all(
    conn: &mut Conn,
    wanted: &Wanted,
    limit: i64,
    offset: i64,
) -> Result<(Vec<Organization>, i64)> {
    let pattern = wanted.search.as_deref().map(pattern);
    let mut page = wanted.apply(pattern.as_ref(), organization!("where status <> 'deleted'"));
    page.push("order by created_at desc, organization_id");
    page.with("limit ?", &limit).with("offset ?", &offset);
    let found = conn.filter(page).long().all().await?;
    let count = wanted.apply(
        pattern.as_ref(),
        "select count(*) from organization where status <> 'deleted'",
    );
    let (total,) = conn.filter(count).long().one::<(i64,)>().await?;
    Ok((found, total))
}

/// How many organizations, active ones and active memberships there are.
pub(super) async fn stats(conn: &mut Conn) -> Result<(i64, i64, i64)> {
    conn.sql(
        "select (select count(*) from organization where status <> 'deleted'),
                (select count(*) from organization where status = 'active'),
                cast((select coalesce(sum(member_count), 0) from organization where status <> 'deleted') as bigint)",
    )
    .long()
    .one()
    .await
}

/// In which organization a person acts.
pub(super) async fn context(conn: &mut Conn, user_id: &str) -> Result<Option<String>> {
    let row = conn
        .sql("select organization_id from organization_context where user_id = $1")
        .bind(user_id)
        .optional::<(String,)>()
        .await?;
    Ok(row.map(|(id,)| id))
}

/// Keeps which organization a person chose, if they are an active member of it; says whether they are. When they were last
/// active there is known to the minute.
pub(super) async fn set_context(tx: &mut Tx, user_id: &str, organization_id: &str, now: DateTime<Utc>) -> Result<bool> {
    let kept = tx
        .sql(
            "insert into organization_context (user_id, organization_id, updated_at)
             select user_id, organization_id, cast($3 as timestamptz) from membership
             where organization_id = $2 and user_id = $1 and status = 'active'
             on conflict (user_id) do update
                set organization_id = excluded.organization_id, updated_at = excluded.updated_at",
        )
        .bind(user_id)
        .bind(organization_id)
        .bind(&now)
        .execute()
        .await?;
    tx.sql(
        "update membership set last_active_at = $3
         where organization_id = $1 and user_id = $2 and (last_active_at is null or last_active_at <= $4)",
    )
    .bind(organization_id)
    .bind(user_id)
    .bind(&now)
    .bind(&(now - Duration::minutes(1)))
    .execute()
    .await?;
    Ok(kept > 0)
}

/// Lets a person act as themselves; with an organization, only if it is the one they act in.
pub(super) async fn reset_context(tx: &mut Tx, user_id: &str, organization_id: Option<&str>) -> Result<()> {
    tx.sql(
        "delete from organization_context
         where user_id = $1 and (cast($2 as text) is null or organization_id = $2)",
    )
    .bind(user_id)
    .bind(&organization_id)
    .execute()
    .await?;
    Ok(())
}

/// Something that was done in an organization.
#[derive(Debug, Clone, Record)]
pub(crate) struct Entry {
    pub id: String,
    pub actor_id: String,
    pub action: String,
    pub target_id: Option<String>,
    pub data: serde_json::Value,
    pub created_at: DateTime<Utc>,
}

pub(super) async fn insert_audit(tx: &mut Tx, organization_id: &str, entry: &Entry) -> Result<()> {
    tx.sql(
        "insert into organization_audit (id, organization_id, actor_id, action, target_id, data, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&entry.id)
    .bind(organization_id)
    .bind(&entry.actor_id)
    .bind(&entry.action)
    .bind(&entry.target_id)
    .bind(&entry.data)
    .bind(&entry.created_at)
    .execute()
    .await?;
    Ok(())
}

/// What was done in an organization, newest first, after a place.
pub(super) async fn list_audit(
    conn: &mut Conn,
    organization_id: &str,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Vec<Entry>> {
    let mut page =
        Filter::new("select id, actor_id, action, target_id, data, created_at from organization_audit where true");
    page.and("organization_id = ?", organization_id);
    if let Some(Cursor { at, id }) = after {
        page.and("created_at <= ?", at);
        page.with("and (created_at < ?", at).with("or id < ?)", id);
    }
    page.push("order by created_at desc, id desc");
    page.with("limit ?", &limit);
    conn.filter(page).all().await
}

pub(super) async fn delete_audit(tx: &mut Tx, before: DateTime<Utc>, limit: i64) -> Result<u64> {
    tx.sql(
        "delete from organization_audit
         where id in (select id from organization_audit where created_at < $1 limit $2)",
    )
    .bind(&before)
    .bind(&limit)
    .execute()
    .await
}
