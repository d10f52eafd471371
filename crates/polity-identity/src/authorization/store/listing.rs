//! What somebody may use: pages that read no further than they reach.

use chrono::{DateTime, Utc};
use polity_kernel::{
    Record,
    db::{Conn, Filter, List, Result, Rows},
};
use polity_ports::authorization::{AccessLevel, OrganizationPlan, ResourceType, Tier};
use serde::Serialize;

use super::{Named, catalogue, permission};
use crate::authorization::model::{CatalogueEntry, Permission};

/// An organization, and what it pays for.
#[derive(Debug, Clone, Serialize)]
pub(in crate::authorization) struct Paying<'a> {
    pub id: &'a str,
    pub plan: i64,
}

impl<'a> Paying<'a> {
    pub(in crate::authorization) fn new(id: &'a str, plan: OrganizationPlan) -> Self {
        Self { id, plan: plan.rank() }
    }
}

/// Whose, what kind of thing, from which level and after which name on, and when.
#[derive(Debug, Clone, Copy)]
pub(in crate::authorization) struct Page<'a> {
    pub user_id: &'a str,
    pub resource_type: ResourceType,
    pub level: AccessLevel,
    /// Empty: from the beginning.
    pub after: &'a str,
    pub limit: i64,
    pub now: DateTime<Utc>,
}

/// Names of what was given, in order. Each level is an index of its own, so that a page of those who may run a thing does
/// not read all that may be looked at.
pub(in crate::authorization) async fn given(
    conn: &mut Conn,
    organizations: &List,
    page: Page<'_>,
) -> Result<Vec<String>> {
    macro_rules! at_level {
        ($level:literal) => {
            concat!(
                "select * from (
                     select distinct resource_name from permission
                     where user_id = $1 and resource_type = $2 and access_level = ",
                $level,
                " and $3 <= ",
                $level,
                "
                       and resource_name > $4 and (expires_at is null or expires_at > $5)
                       and (organization_id = '' or organization_id in list($6))
                     order by resource_name limit $7
                 ) as level_",
                $level
            )
        };
    }
    let names = conn
        .sql(concat!(
            "select distinct resource_name from (",
            at_level!("1"),
            " union all ",
            at_level!("2"),
            " union all ",
            at_level!("3"),
            " union all ",
            at_level!("4"),
            ") as given order by resource_name limit $7"
        ))
        .bind(page.user_id)
        .bind(&page.resource_type)
        .bind(&page.level)
        .bind(page.after)
        .bind(&page.now)
        .bind(organizations)
        .bind(&page.limit)
        .all::<(String,)>()
        .await?;
    Ok(names.into_iter().map(|(name,)| name).collect())
}

/// Names of what organizations have, in order.
pub(in crate::authorization) async fn of_organizations(
    conn: &mut Conn,
    organizations: &[Paying<'_>],
    page: Page<'_>,
) -> Result<Vec<String>> {
    if organizations.is_empty() {
        return Ok(Vec::new());
    }
    let names = conn
        .sql(
            "select distinct permission.resource_name
             from rows($1) as r join organization_permission as permission on permission.organization_id = r.item ->> 'id'
             where permission.resource_type = $2 and permission.resource_name > $3 and permission.access_level >= $4
               and permission.is_enabled and permission.org_plan_required <= cast(r.item ->> 'plan' as bigint)
             order by permission.resource_name
             limit $5",
        )
        .bind(&Rows::of(organizations))
        .bind(&page.resource_type)
        .bind(page.after)
        .bind(&page.level)
        .bind(&page.limit)
        .all::<(String,)>()
        .await?;
    Ok(names.into_iter().map(|(name,)| name).collect())
}

/// Names of what the catalogue has for a tier, in order.
pub(in crate::authorization) async fn of_tier(conn: &mut Conn, tier: Tier, page: Page<'_>) -> Result<Vec<String>> {
    let names = conn
        .sql(
            "select resource_name from resource_permission
             where resource_type = $1 and resource_name > $2 and access_level >= $3 and subscription_tier_required <= $4
               and is_enabled
             order by resource_name
             limit $5",
        )
        .bind(&page.resource_type)
        .bind(page.after)
        .bind(&page.level)
        .bind(&tier)
        .bind(&page.limit)
        .all::<(String,)>()
        .await?;
    Ok(names.into_iter().map(|(name,)| name).collect())
}

/// What is accessible and how, before the highest of each is taken.
#[derive(Debug, Clone, Record)]
pub(in crate::authorization) struct Derived {
    pub organization_id: String,
    pub resource_type: ResourceType,
    pub resource_name: String,
    pub access_level: AccessLevel,
}

/// The highest of each resource that somebody was given and that counts, in the order of types and names.
pub(in crate::authorization) async fn permissions(
    conn: &mut Conn,
    (user_id, organizations): (&str, &List),
    of_type: Option<ResourceType>,
    (after, limit): (Option<Named<'_>>, i64),
    now: DateTime<Utc>,
) -> Result<Vec<Permission>> {
    let mut page = Filter::new(permission!("permission where access_level > 0"));
    page.and("user_id = ?", user_id);
    page.and_some("resource_type = ?", of_type.as_ref());
    if let Some(after) = &after {
        page.and("(resource_type, resource_name) > (?", &after.resource_type)
            .with(", ?)", after.resource_name);
    }
    page.and("(expires_at is null or expires_at > ?)", &now);
    page.and("(organization_id = '' or organization_id in list(?))", organizations);
    // Looked up for each row of the page, where numbering the rows of a resource would read all of them first.
    page.push(
        "and not exists (
             select 1 from permission as higher
             where higher.user_id = permission.user_id and higher.resource_type = permission.resource_type
               and higher.resource_name = permission.resource_name
               and (higher.access_level > permission.access_level
                    or higher.access_level = permission.access_level and higher.id > permission.id)",
    );
    page.and("(higher.expires_at is null or higher.expires_at > ?)", &now);
    page.and(
        "(higher.organization_id = '' or higher.organization_id in list(?))",
        organizations,
    );
    page.push(") order by resource_type, resource_name");
    page.with("limit ?", &limit);
    conn.filter(page).all().await
}

/// The highest of each resource that organizations have and that counts, in the order of types and names.
pub(in crate::authorization) async fn derived(
    conn: &mut Conn,
    organizations: &[Paying<'_>],
    of_type: Option<ResourceType>,
    (after, limit): (Option<Named<'_>>, i64),
) -> Result<Vec<Derived>> {
    if organizations.is_empty() {
        return Ok(Vec::new());
    }
    let rows = Rows::of(organizations);
    let mut page = Filter::new(
        "select found.organization_id, found.resource_type, found.resource_name, found.access_level
         from (select permission.organization_id, permission.resource_type, permission.resource_name,
                      permission.access_level, row_number() over (
                          partition by permission.resource_type, permission.resource_name
                          order by permission.access_level desc) as place",
    );
    page.with(
        "from rows(?) as r join organization_permission as permission on permission.organization_id = r.item ->> 'id'
         where permission.is_enabled and permission.access_level > 0
           and permission.org_plan_required <= cast(r.item ->> 'plan' as bigint)",
        &rows,
    );
    page.and_some("permission.resource_type = ?", of_type.as_ref());
    if let Some(after) = &after {
        page.and("permission.resource_type >= ?", &after.resource_type);
        page.with("and (permission.resource_type > ?", &after.resource_type)
            .with("or permission.resource_name > ?)", after.resource_name);
    }
    page.push(") as found where found.place = 1 order by found.resource_type, found.resource_name");
    page.with("limit ?", &limit);
    conn.filter(page).all().await
}

/// What the catalogue has for a tier, in the order of types and names.
pub(in crate::authorization) async fn subscribed(
    conn: &mut Conn,
    tier: Tier,
    of_type: Option<ResourceType>,
    (after, limit): (Option<Named<'_>>, i64),
) -> Result<Vec<CatalogueEntry>> {
    let mut page = Filter::new(catalogue!(
        "resource_permission as entry where entry.is_enabled and entry.access_level > 0"
    ));
    page.and("entry.subscription_tier_required <= ?", &tier);
    page.and_some("entry.resource_type = ?", of_type.as_ref());
    if let Some(after) = &after {
        page.and("entry.resource_type >= ?", &after.resource_type);
        page.with("and (entry.resource_type > ?", &after.resource_type)
            .with("or entry.resource_name > ?)", after.resource_name);
    }
    page.push("order by entry.resource_type, entry.resource_name");
    page.with("limit ?", &limit);
    conn.filter(page).all().await
}

/// How many different resources somebody may use.
pub(in crate::authorization) async fn count(
    conn: &mut Conn,
    (user_id, organizations): (&str, &[Paying<'_>]),
    tier: Tier,
    of_type: Option<ResourceType>,
    now: DateTime<Utc>,
) -> Result<i64> {
    let (count,) = conn
        .sql(
            "select count(*) from (
                 select resource_type, resource_name from permission
                 where user_id = $1 and access_level > 0 and (cast($2 as text) is null or resource_type = $2)
                   and (expires_at is null or expires_at > $3)
                   and (organization_id = '' or organization_id in (select r.item ->> 'id' from rows($4) as r))
                 union
                 select permission.resource_type, permission.resource_name
                 from rows($4) as r join organization_permission as permission
                      on permission.organization_id = r.item ->> 'id'
                 where permission.is_enabled and permission.access_level > 0
                   and permission.org_plan_required <= cast(r.item ->> 'plan' as bigint)
                   and (cast($2 as text) is null or permission.resource_type = $2)
                 union
                 select resource_type, resource_name from resource_permission
                 where is_enabled and access_level > 0 and subscription_tier_required <= $5
                   and (cast($2 as text) is null or resource_type = $2)
             ) as accessible",
        )
        .bind(user_id)
        .bind(&of_type)
        .bind(&now)
        .bind(&Rows::of(organizations))
        .bind(&tier)
        .long()
        .one::<(i64,)>()
        .await?;
    Ok(count)
}

/// How many permissions of each type, source and level somebody has, and how many of them end before a moment.
#[derive(Debug, Clone, Record)]
pub(in crate::authorization) struct Tally {
    pub resource_type: ResourceType,
    pub permission_source: String,
    pub access_level: AccessLevel,
    pub count: i64,
    pub ending: i64,
}

/// Counts what somebody was given that counts, and what organizations have for them.
pub(in crate::authorization) async fn tally(
    conn: &mut Conn,
    (user_id, organizations): (&str, &[Paying<'_>]),
    now: DateTime<Utc>,
    soon: DateTime<Utc>,
) -> Result<Vec<Tally>> {
    conn.sql(
        "select resource_type, permission_source, access_level, count(*) as count,
                count(*) filter (where expires_at <= $3) as ending
         from permission
         where user_id = $1 and (expires_at is null or expires_at > $2)
           and (organization_id = '' or organization_id in (select r.item ->> 'id' from rows($4) as r))
         group by resource_type, permission_source, access_level
         union all
         select permission.resource_type, 'organization', permission.access_level, count(*), 0
         from rows($4) as r join organization_permission as permission on permission.organization_id = r.item ->> 'id'
         where permission.is_enabled and permission.org_plan_required <= cast(r.item ->> 'plan' as bigint)
         group by permission.resource_type, permission.access_level",
    )
    .bind(user_id)
    .bind(&now)
    .bind(&soon)
    .bind(&Rows::of(organizations))
    .long()
    .all()
    .await
}
