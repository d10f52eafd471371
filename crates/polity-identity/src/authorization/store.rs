//! SQL and nothing else. The person, the organization or the resource comes first.

pub(super) mod audit;
pub(super) mod listing;

use chrono::{DateTime, Utc};
use polity_kernel::db::{Conn, Filter, List, Result, Rows, Tx};
use polity_ports::authorization::ResourceType;
use serde::Serialize;
use serde_json::json;

use super::model::{CatalogueEntry, OrganizationPermission, Permission};

macro_rules! permission {
    ($rest:literal) => {
        concat!(
            "select permission.id, permission.user_id, permission.resource_type, permission.resource_name,
                    permission.access_level, permission.permission_source, permission.organization_id,
                    permission.granted_by_user_id, permission.expires_at, permission.reason, permission.created_at,
                    permission.updated_at
             from ",
            $rest
        )
    };
}

macro_rules! organization_permission {
    ($rest:literal) => {
        concat!(
            "select permission.organization_id, permission.resource_type, permission.resource_name, permission.access_level,
                    permission.org_plan_required, permission.is_enabled, permission.created_by_user_id,
                    permission.created_at, permission.updated_at
             from ",
            $rest
        )
    };
}

macro_rules! catalogue {
    ($rest:literal) => {
        concat!(
            "select entry.resource_type, entry.resource_name, entry.resource_category, entry.description,
                    entry.subscription_tier_required, entry.access_level, entry.is_enabled
             from ",
            $rest
        )
    };
}
use {catalogue, permission};

/// A resource, as rows of a statement name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(super) struct Named<'a> {
    #[serde(rename = "type")]
    pub resource_type: ResourceType,
    #[serde(rename = "name")]
    pub resource_name: &'a str,
}

/// A resource and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(super) struct Held<'a> {
    #[serde(rename = "user")]
    pub user_id: &'a str,
    #[serde(flatten)]
    pub resource: Named<'a>,
}

/// All that a person was given of one resource: one for each source and organization.
pub(super) async fn permissions(conn: &mut Conn, user_id: &str, resource: Named<'_>) -> Result<Vec<Permission>> {
    conn.sql(permission!(
        "permission where user_id = $1 and resource_type = $2 and resource_name = $3"
    ))
    .bind(user_id)
    .bind(&resource.resource_type)
    .bind(resource.resource_name)
    .all()
    .await
}

/// The same of many, for many people.
pub(super) async fn permissions_of(conn: &mut Conn, held: &[Held<'_>]) -> Result<Vec<Permission>> {
    conn.sql(permission!(
        "rows($1) as r join permission on permission.user_id = r.item ->> 'user'
            and permission.resource_type = r.item ->> 'type' and permission.resource_name = r.item ->> 'name'"
    ))
    .bind(&Rows::of(held))
    .all()
    .await
}

/// What some organizations have of one resource.
pub(super) async fn organization_permissions(
    conn: &mut Conn,
    organizations: &List,
    resource: Named<'_>,
) -> Result<Vec<OrganizationPermission>> {
    conn.sql(organization_permission!(
        "organization_permission as permission
         where permission.organization_id in list($1) and permission.resource_type = $2 and permission.resource_name = $3"
    ))
    .bind(organizations)
    .bind(&resource.resource_type)
    .bind(resource.resource_name)
    .all()
    .await
}

/// The same of many resources.
pub(super) async fn organization_permissions_of(
    conn: &mut Conn,
    organizations: &List,
    resources: &[Named<'_>],
) -> Result<Vec<OrganizationPermission>> {
    conn.sql(organization_permission!(
        "rows($2) as r join organization_permission as permission on permission.resource_type = r.item ->> 'type'
            and permission.resource_name = r.item ->> 'name'
         where permission.organization_id in list($1)"
    ))
    .bind(organizations)
    .bind(&Rows::of(resources))
    .all()
    .await
}

/// What the catalogue says of one resource.
pub(super) async fn catalogue_entry(conn: &mut Conn, resource: Named<'_>) -> Result<Option<CatalogueEntry>> {
    conn.sql(catalogue!(
        "resource_permission as entry where entry.resource_type = $1 and entry.resource_name = $2"
    ))
    .bind(&resource.resource_type)
    .bind(resource.resource_name)
    .optional()
    .await
}

/// The same of many.
pub(super) async fn catalogue_of(conn: &mut Conn, resources: &[Named<'_>]) -> Result<Vec<CatalogueEntry>> {
    conn.sql(catalogue!(
        "rows($1) as r join resource_permission as entry on entry.resource_type = r.item ->> 'type'
            and entry.resource_name = r.item ->> 'name'"
    ))
    .bind(&Rows::of(resources))
    .all()
    .await
}

/// A permission as rows of a statement carry it.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    permission: &'a Permission,
    level: i64,
    ends: Option<i64>,
    created: i64,
    updated: i64,
}

impl<'a> From<&'a Permission> for Row<'a> {
    fn from(permission: &'a Permission) -> Self {
        Self {
            level: permission.access_level.rank(),
            ends: permission.expires_at.map(|at| at.timestamp_micros()),
            created: permission.created_at.timestamp_micros(),
            updated: permission.updated_at.timestamp_micros(),
            permission,
        }
    }
}

/// Inserts permissions, or writes over the ones that are there for the same person, resource, source and organization.
pub(super) async fn put_permissions(tx: &mut Tx, all: &[&Permission]) -> Result<()> {
    let rows: Vec<Row<'_>> = all.iter().map(|permission| Row::from(*permission)).collect();
    tx.sql(
        "insert into permission (id, user_id, resource_type, resource_name, access_level, permission_source, organization_id,
                                 granted_by_user_id, expires_at, reason, created_at, updated_at)
         select r.item ->> 'id', r.item ->> 'user_id', r.item ->> 'resource_type', r.item ->> 'resource_name',
                cast(r.item ->> 'level' as bigint), r.item ->> 'permission_source', r.item ->> 'organization_id',
                r.item ->> 'granted_by_user_id', moment(r.item ->> 'ends'), r.item ->> 'reason',
                moment(r.item ->> 'created'), moment(r.item ->> 'updated')
         from rows($1) as r
         where true
         on conflict (user_id, resource_type, resource_name, permission_source, organization_id) do update
            set id = excluded.id, access_level = excluded.access_level, granted_by_user_id = excluded.granted_by_user_id,
                expires_at = excluded.expires_at, reason = excluded.reason, created_at = excluded.created_at,
                updated_at = excluded.updated_at",
    )
    .bind(&Rows::of(&rows))
    .execute()
    .await?;
    Ok(())
}

pub(super) async fn delete_permissions(tx: &mut Tx, ids: &List) -> Result<()> {
    tx.sql("delete from permission where id in list($1)")
        .bind(ids)
        .execute()
        .await?;
    Ok(())
}

/// Some of what a person was given, with an organization of what counts for them there; with a moment, what was last given
/// until then.
pub(super) async fn belongings(
    tx: &mut Tx,
    user_id: &str,
    organization_id: Option<&str>,
    until: Option<DateTime<Utc>>,
    limit: i64,
) -> Result<Vec<Permission>> {
    let mut some = Filter::new(permission!("permission where true"));
    some.and("user_id = ?", user_id);
    if let Some(organization_id) = organization_id {
        some.and("organization_id = ?", organization_id);
    }
    some.and_some("updated_at <= ?", until.as_ref());
    some.with("limit ?", &limit);
    tx.filter(some).all().await
}

/// Some of what counts in an organization.
pub(super) async fn belongings_of_organization(
    tx: &mut Tx,
    organization_id: &str,
    limit: i64,
) -> Result<Vec<Permission>> {
    tx.sql(permission!("permission where organization_id = $1 limit $2"))
        .bind(organization_id)
        .bind(&limit)
        .all()
        .await
}

/// Deletes some of what an organization has.
pub(super) async fn delete_organization_permissions(tx: &mut Tx, organization_id: &str, limit: i64) -> Result<u64> {
    tx.sql(
        "delete from organization_permission
         where organization_id = $1 and (resource_type, resource_name) in (
             select resource_type, resource_name from organization_permission where organization_id = $1 limit $2)",
    )
    .bind(organization_id)
    .bind(&limit)
    .execute()
    .await
}

/// Some of those who have something that has ended, in the order of their ids.
pub(super) async fn people_with_ended(conn: &mut Conn, now: DateTime<Utc>, limit: i64) -> Result<Vec<(String,)>> {
    conn.sql(
        "select distinct user_id from (
             select user_id from permission where expires_at is not null and expires_at <= $1
             order by expires_at limit $2
         ) as ended
         order by user_id",
    )
    .bind(&now)
    .bind(&limit)
    .all()
    .await
}

/// Deletes some of what has ended of these people, and says what it was.
pub(super) async fn take_ended(tx: &mut Tx, people: &List, now: DateTime<Utc>, limit: i64) -> Result<Vec<Permission>> {
    tx.sql(
        "delete from permission
         where id in (select id from permission where expires_at is not null and expires_at <= $1 and user_id in list($3)
                      limit $2)
           and expires_at <= $1
         returning id, user_id, resource_type, resource_name, access_level, permission_source, organization_id,
                   granted_by_user_id, expires_at, reason, created_at, updated_at",
    )
    .bind(&now)
    .bind(&limit)
    .bind(people)
    .all()
    .await
}

/// What an organization has of one resource.
pub(super) async fn find_organization_permission(
    conn: &mut Conn,
    organization_id: &str,
    resource: Named<'_>,
) -> Result<Option<OrganizationPermission>> {
    let mut found = organization_permissions(conn, &List::of([organization_id]), resource).await?;
    Ok(found.pop())
}

/// What an organization has, in the order of types and names.
pub(super) async fn list_organization_permissions(
    conn: &mut Conn,
    organization_id: &str,
    after: Option<Named<'_>>,
    limit: i64,
) -> Result<Vec<OrganizationPermission>> {
    let mut page = Filter::new(organization_permission!(
        "organization_permission as permission where true"
    ));
    page.and("permission.organization_id = ?", organization_id);
    if let Some(after) = &after {
        page.and("permission.resource_type >= ?", &after.resource_type);
        page.with("and (permission.resource_type > ?", &after.resource_type)
            .with("or permission.resource_name > ?)", after.resource_name);
    }
    page.push("order by permission.resource_type, permission.resource_name");
    page.with("limit ?", &limit);
    conn.filter(page).all().await
}

pub(super) async fn put_organization_permission(tx: &mut Tx, new: &OrganizationPermission) -> Result<()> {
    tx.sql(
        "insert into organization_permission (organization_id, resource_type, resource_name, access_level, org_plan_required,
                                              is_enabled, created_by_user_id, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (organization_id, resource_type, resource_name) do update
            set access_level = excluded.access_level, org_plan_required = excluded.org_plan_required,
                is_enabled = excluded.is_enabled, updated_at = excluded.updated_at",
    )
    .bind(&new.organization_id)
    .bind(&new.resource_type)
    .bind(&new.resource_name)
    .bind(&new.access_level)
    .bind(&new.org_plan_required)
    .bind(&new.is_enabled)
    .bind(&new.created_by_user_id)
    .bind(&new.created_at)
    .bind(&new.updated_at)
    .execute()
    .await?;
    Ok(())
}

/// Inserts what an organization has.
pub(super) async fn insert_organization_permissions(tx: &mut Tx, all: &[OrganizationPermission]) -> Result<()> {
    let all: Vec<_> = all
        .iter()
        .map(|one| {
            json!({
                "organization_id": one.organization_id,
                "type": one.resource_type,
                "name": one.resource_name,
                "level": one.access_level.rank(),
                "plan": one.org_plan_required.rank(),
                "is_enabled": one.is_enabled,
                "by": one.created_by_user_id,
                "created": one.created_at.timestamp_micros(),
                "updated": one.updated_at.timestamp_micros(),
            })
        })
        .collect();
    tx.sql(
        "insert into organization_permission (organization_id, resource_type, resource_name, access_level, org_plan_required,
                                              is_enabled, created_by_user_id, created_at, updated_at)
         select r.item ->> 'organization_id', r.item ->> 'type', r.item ->> 'name', cast(r.item ->> 'level' as bigint),
                cast(r.item ->> 'plan' as bigint), cast(r.item ->> 'is_enabled' as boolean), r.item ->> 'by',
                moment(r.item ->> 'created'), moment(r.item ->> 'updated')
         from rows($1) as r",
    )
    .bind(&Rows::of(&all))
    .execute()
    .await?;
    Ok(())
}

/// What people were given that counts in an organization, in the order of their ids.
pub(super) async fn list_belongings(
    conn: &mut Conn,
    organization_id: &str,
    after: Option<(&str, &str)>,
    limit: i64,
) -> Result<Vec<Permission>> {
    let mut page = Filter::new(permission!("permission where organization_id <> ''"));
    page.and("organization_id = ?", organization_id);
    if let Some((user_id, id)) = &after {
        page.and("user_id >= ?", *user_id);
        page.with("and (user_id > ?", *user_id).with("or id > ?)", *id);
    }
    page.push("order by user_id, id");
    page.with("limit ?", &limit);
    conn.filter(page).all().await
}

/// Deletes some of what people were given in an organization; says how much.
pub(super) async fn delete_belongings(tx: &mut Tx, organization_id: &str, limit: i64) -> Result<u64> {
    tx.sql(
        "delete from permission
         where id in (select id from permission where organization_id = $1 and organization_id <> '' limit $2)",
    )
    .bind(organization_id)
    .bind(&limit)
    .execute()
    .await
}

pub(super) async fn delete_organization_permission(
    tx: &mut Tx,
    organization_id: &str,
    resource: Named<'_>,
) -> Result<()> {
    tx.sql(
        "delete from organization_permission where organization_id = $1 and resource_type = $2 and resource_name = $3",
    )
    .bind(organization_id)
    .bind(&resource.resource_type)
    .bind(resource.resource_name)
    .execute()
    .await?;
    Ok(())
}

/// The catalogue, in the order of types and names.
pub(super) async fn list_catalogue(
    conn: &mut Conn,
    of_type: Option<ResourceType>,
    after: Option<Named<'_>>,
    limit: i64,
) -> Result<Vec<CatalogueEntry>> {
    let mut page = Filter::new(catalogue!("resource_permission as entry where true"));
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

pub(super) async fn put_catalogue_entry(tx: &mut Tx, new: &CatalogueEntry) -> Result<()> {
    tx.sql(
        "insert into resource_permission (resource_type, resource_name, resource_category, description,
                                          subscription_tier_required, access_level, is_enabled)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (resource_type, resource_name) do update
            set resource_category = excluded.resource_category, description = excluded.description,
                subscription_tier_required = excluded.subscription_tier_required, access_level = excluded.access_level,
                is_enabled = excluded.is_enabled",
    )
    .bind(&new.resource_type)
    .bind(&new.resource_name)
    .bind(&new.resource_category)
    .bind(&new.description)
    .bind(&new.subscription_tier_required)
    .bind(&new.access_level)
    .bind(&new.is_enabled)
    .execute()
    .await?;
    Ok(())
}

pub(super) async fn delete_catalogue_entry(tx: &mut Tx, resource: Named<'_>) -> Result<()> {
    tx.sql("delete from resource_permission where resource_type = $1 and resource_name = $2")
        .bind(&resource.resource_type)
        .bind(resource.resource_name)
        .execute()
        .await?;
    Ok(())
}

/// Who was given a resource, in the order of their ids.
pub(super) async fn holders(
    conn: &mut Conn,
    resource: Named<'_>,
    after: Option<(&str, &str)>,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Permission>> {
    let mut page = Filter::new(permission!("permission where true"));
    page.and("resource_type = ?", &resource.resource_type);
    page.and("resource_name = ?", resource.resource_name);
    page.and("(expires_at is null or expires_at > ?)", &now);
    if let Some((user_id, id)) = after {
        page.and("user_id >= ?", user_id);
        page.with("and (user_id > ?", user_id).with("or id > ?)", id);
    }
    page.push("order by user_id, id");
    page.with("limit ?", &limit);
    conn.filter(page).all().await
}

/// Which organizations have a resource, in the order of their ids.
pub(super) async fn organizations_with(
    conn: &mut Conn,
    resource: Named<'_>,
    limit: i64,
) -> Result<Vec<OrganizationPermission>> {
    conn.sql(organization_permission!(
        "organization_permission as permission
         where permission.resource_type = $1 and permission.resource_name = $2 and permission.is_enabled
         order by permission.organization_id
         limit $3"
    ))
    .bind(&resource.resource_type)
    .bind(resource.resource_name)
    .bind(&limit)
    .all()
    .await
}

/// How many permissions there are, how many people have some, and of how many types they are.
pub(super) async fn stats(conn: &mut Conn, now: DateTime<Utc>) -> Result<(i64, i64, i64)> {
    conn.sql(
        "select count(*), count(distinct user_id), count(distinct resource_type)
         from permission where expires_at is null or expires_at > $1",
    )
    .bind(&now)
    .long()
    .one()
    .await
}

/// When somebody's access was last checked.
pub(super) async fn last_check(conn: &mut Conn, user_id: &str) -> Result<Option<DateTime<Utc>>> {
    let row = conn
        .sql("select checked_at from permission_check where user_id = $1")
        .bind(user_id)
        .optional::<(DateTime<Utc>,)>()
        .await?;
    Ok(row.map(|(at,)| at))
}

/// Notes whose access was checked.
pub(super) async fn note_checks(tx: &mut Tx, people: &List, now: DateTime<Utc>) -> Result<()> {
    tx.sql(
        "insert into permission_check (user_id, checked_at) select item, $2 from list($1) as people where true
         on conflict (user_id) do update set checked_at = excluded.checked_at",
    )
    .bind(people)
    .bind(&now)
    .execute()
    .await?;
    Ok(())
}

pub(super) async fn forget_checks(tx: &mut Tx, user_id: &str) -> Result<()> {
    tx.sql("delete from permission_check where user_id = $1")
        .bind(user_id)
        .execute()
        .await?;
    Ok(())
}
