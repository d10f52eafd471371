//! SQL of who may do what with what is shared.

use chrono::{DateTime, Utc};
use polity_kernel::db::{Conn, Filter, Json, List, Result, Rows, Tx};
use serde::Serialize;

use super::Wanted;
use crate::organization::model::sharing::{Access, Object, Period, Permission, Sharing};

/// Those of these people who are no active members, at most so many.
pub(in crate::organization) async fn strangers(
    conn: &mut Conn,
    organization_id: &str,
    people: &List,
    limit: i64,
) -> Result<Vec<String>> {
    let rows = conn
        .sql(
            "select named.item from list($2) as named
             where not exists (select 1 from membership
                               where membership.organization_id = $1 and membership.user_id = named.item
                                 and membership.status = 'active')
             order by 1 limit $3",
        )
        .bind(organization_id)
        .bind(people)
        .bind(&limit)
        .all::<(String,)>()
        .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Somebody and what they may.
#[derive(Debug, Serialize)]
pub(in crate::organization) struct Given<'a> {
    pub user_id: &'a str,
    pub level: Permission,
}

/// Gives people permissions, in place of those they have.
pub(in crate::organization) async fn give(
    tx: &mut Tx,
    sharing: &Sharing,
    given: &[Given<'_>],
    (by, now): (&str, DateTime<Utc>),
) -> Result<()> {
    tx.sql(
        "insert into sharing_permission (sharing_id, user_id, organization_id, permission_level, is_active, granted_by,
                                         granted_at)
         select cast($1 as text), r.item ->> 'user_id', cast($2 as text), r.item ->> 'level', true, cast($3 as text),
                cast($4 as timestamptz)
         from rows($5) as r
         where true
         on conflict (sharing_id, user_id) do update
            set permission_level = excluded.permission_level, is_active = true, granted_by = excluded.granted_by,
                granted_at = case when sharing_permission.is_active then sharing_permission.granted_at
                                  else excluded.granted_at end",
    )
    .bind(&sharing.sharing_id)
    .bind(&sharing.organization_id)
    .bind(by)
    .bind(&now)
    .bind(&Rows::of(given))
    .execute()
    .await?;
    Ok(())
}

/// Gives the default permission to these members, or to all; those who have one keep it.
pub(in crate::organization) async fn include(
    tx: &mut Tx,
    sharing: &Sharing,
    (everybody, people): (bool, &List),
    (by, now): (&str, DateTime<Utc>),
) -> Result<()> {
    tx.sql(
        "insert into sharing_permission (sharing_id, user_id, organization_id, permission_level, is_active, granted_by,
                                         granted_at)
         select cast($1 as text), membership.user_id, membership.organization_id, cast($3 as text), true, cast($4 as text),
                cast($5 as timestamptz)
         from membership
         where membership.organization_id = $2 and membership.status = 'active'
           and (cast($6 as boolean) or membership.user_id in list($7))
         on conflict (sharing_id, user_id) do update
            set permission_level = excluded.permission_level, is_active = true, granted_by = excluded.granted_by,
                granted_at = excluded.granted_at
            where not sharing_permission.is_active",
    )
    .bind(&sharing.sharing_id)
    .bind(&sharing.organization_id)
    .bind(&sharing.default_permission)
    .bind(by)
    .bind(&now)
    .bind(&everybody)
    .bind(people)
    .execute()
    .await?;
    Ok(())
}

/// Gives a new member what is shared with whoever becomes one, and what they themselves once shared.
pub(in crate::organization) async fn include_member(
    tx: &mut Tx,
    organization_id: &str,
    user_id: &str,
    (by, now): (&str, DateTime<Utc>),
) -> Result<()> {
    tx.sql(
        "insert into sharing_permission (sharing_id, user_id, organization_id, permission_level, is_active, granted_by,
                                         granted_at)
         select sharing_id, cast($2 as text), organization_id,
                case when created_by = $2 then 'owner' else default_permission end, true, cast($3 as text),
                cast($4 as timestamptz)
         from sharing
         where organization_id = $1 and status <> 'revoked' and (auto_include or created_by = $2)
         on conflict (sharing_id, user_id) do update
            set permission_level = excluded.permission_level, is_active = true, granted_by = excluded.granted_by,
                granted_at = excluded.granted_at
            where not sharing_permission.is_active",
    )
    .bind(organization_id)
    .bind(user_id)
    .bind(by)
    .bind(&now)
    .execute()
    .await?;
    Ok(())
}

/// Takes from somebody what is shared with them in an organization.
pub(in crate::organization) async fn drop_member(tx: &mut Tx, organization_id: &str, user_id: &str) -> Result<()> {
    tx.sql(
        "update sharing_permission set is_active = false, quota_override = null, restrictions_override = null
         where organization_id = $1 and user_id = $2 and is_active",
    )
    .bind(organization_id)
    .bind(user_id)
    .execute()
    .await?;
    Ok(())
}

/// Sets the quota and the restrictions that are somebody's own.
pub(in crate::organization) async fn set_own(
    tx: &mut Tx,
    (sharing_id, user_id): (&str, &str),
    quota: Option<i64>,
    restrictions: Option<&Json<Object>>,
) -> Result<()> {
    tx.sql(
        "update sharing_permission set quota_override = $3, restrictions_override = $4
         where sharing_id = $1 and user_id = $2",
    )
    .bind(sharing_id)
    .bind(user_id)
    .bind(&quota)
    .bind(&restrictions)
    .execute()
    .await?;
    Ok(())
}

/// Takes a permission; says whether there was one.
pub(in crate::organization) async fn take(tx: &mut Tx, sharing_id: &str, user_id: &str) -> Result<bool> {
    let count = tx
        .sql(
            "update sharing_permission set is_active = false, quota_override = null, restrictions_override = null
             where sharing_id = $1 and user_id = $2 and is_active",
        )
        .bind(sharing_id)
        .bind(user_id)
        .execute()
        .await?;
    Ok(count == 1)
}

/// The beginnings of the current windows: of day, week and month.
pub(in crate::organization) type Starts = (i64, i64, i64);

pub(in crate::organization) fn starts(now: DateTime<Utc>) -> Starts {
    (
        Period::Daily.start(now),
        Period::Weekly.start(now),
        Period::Monthly.start(now),
    )
}

/// Permissions with what of their quota is used in the current window.
fn accesses<'p>((day, week, month): &'p Starts, start: &'static str) -> Filter<'p> {
    let mut filter = Filter::new(
        "select p.user_id, p.sharing_id, sharing.resource_type, sharing.resource_id, sharing.resource_name,
                p.permission_level, p.is_active, p.quota_override, coalesce(u.used, 0) as quota_used,
                coalesce(p.restrictions_override, sharing.restrictions) as restrictions, p.granted_at, p.last_accessed_at,
                sharing.created_by, sharing.status, sharing.expires_at, sharing.quota_settings
         from sharing_permission p join sharing on sharing.sharing_id = p.sharing_id
         left join sharing_usage u
           on u.sharing_id = p.sharing_id and u.user_id = p.user_id and u.period = sharing.quota_period
          and u.start = case sharing.quota_period",
    );
    filter.with("when 'daily' then cast(? as bigint)", day);
    filter.with("when 'weekly' then cast(? as bigint)", week);
    filter.with("when 'monthly' then cast(? as bigint) else 0 end", month);
    filter.push(start);
    filter
}

/// What somebody may do with a sharing.
pub(in crate::organization) async fn find(
    conn: &mut Conn,
    (sharing_id, user_id): (&str, &str),
    starts: &Starts,
) -> Result<Option<Access>> {
    let mut filter = accesses(starts, "where p.is_active");
    filter.and("p.sharing_id = ?", sharing_id).and("p.user_id = ?", user_id);
    conn.filter(filter).optional().await
}

/// A page of who may do what with a sharing, in the order of their ids.
pub(in crate::organization) async fn list(
    conn: &mut Conn,
    sharing_id: &str,
    starts: &Starts,
    (limit, offset): (i64, i64),
) -> Result<Vec<Access>> {
    let mut page = accesses(starts, "where p.is_active");
    page.and("p.sharing_id = ?", sharing_id);
    page.push("order by p.user_id");
    page.with("limit ?", &limit).with("offset ?", &offset);
    conn.filter(page).all().await
}

/// A page of what is shared with somebody in an organization, last granted first, and how much there is.
pub(in crate::organization) async fn list_shared(
    conn: &mut Conn,
    (organization_id, user_id): (&str, &str),
    wanted: &Wanted,
    (limit, offset): (i64, i64),
) -> Result<(Vec<Access>, i64)> {
    let starts = starts(wanted.now);
    let mut page = accesses(&starts, "where p.is_active and sharing.status <> 'revoked'");
    page.and("p.organization_id = ?", organization_id)
        .and("p.user_id = ?", user_id);
    wanted.apply(&mut page);
    page.push("order by p.granted_at desc, p.sharing_id");
    page.with("limit ?", &limit).with("offset ?", &offset);
    let found = conn.filter(page).all().await?;
    let mut count = Filter::new(
        "select count(*) from sharing_permission p join sharing on sharing.sharing_id = p.sharing_id
         where p.is_active and sharing.status <> 'revoked'",
    );
    count
        .and("p.organization_id = ?", organization_id)
        .and("p.user_id = ?", user_id);
    wanted.apply(&mut count);
    let (total,) = conn.filter(count).one::<(i64,)>().await?;
    Ok((found, total))
}

pub(in crate::organization) async fn touch(
    tx: &mut Tx,
    sharing_id: &str,
    user_id: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    tx.sql("update sharing_permission set last_accessed_at = $3 where sharing_id = $1 and user_id = $2")
        .bind(sharing_id)
        .bind(user_id)
        .bind(&now)
        .execute()
        .await?;
    Ok(())
}
