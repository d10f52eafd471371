//! SQL of what is shared.

pub(in crate::organization) mod access;
pub(in crate::organization) mod archive;
pub(in crate::organization) mod usage;

use chrono::{DateTime, Utc};
use polity_kernel::db::{Conn, Filter, List, Result, Tx};

use crate::organization::model::sharing::{Period, ResourceType, Sharing, SharingStatus};

macro_rules! sharing {
    ($rest:literal) => {
        concat!(
            "select sharing_id, organization_id, resource_type, resource_id, resource_name, created_by, share_with_all_members,
                    default_permission, status, quota_settings, restrictions, metadata, expires_at, created_at, updated_at,
                    (select count(*) from sharing_permission
                     where sharing_permission.sharing_id = sharing.sharing_id and sharing_permission.is_active
                       and sharing_permission.user_id <> sharing.created_by) as total_members_shared
             from sharing ",
            $rest
        )
    };
}

/// A sharing of an organization that was not deleted.
pub(in crate::organization) async fn find(
    conn: &mut Conn,
    organization_id: &str,
    sharing_id: &str,
) -> Result<Option<Sharing>> {
    conn.sql(sharing!(
        "where organization_id = $1 and sharing_id = $2 and deleted_at is null"
    ))
    .bind(organization_id)
    .bind(sharing_id)
    .optional()
    .await
}

/// The sharing of a thing in an organization that was not revoked.
pub(in crate::organization) async fn find_resource(
    conn: &mut Conn,
    organization_id: &str,
    (resource_type, resource_id): (ResourceType, &str),
) -> Result<Option<Sharing>> {
    conn.sql(sharing!(
        "where organization_id = $1 and resource_type = $2 and resource_id = $3 and status <> 'revoked'"
    ))
    .bind(organization_id)
    .bind(&resource_type)
    .bind(resource_id)
    .optional()
    .await
}

/// How many sharings of an organization were not revoked.
pub(in crate::organization) async fn count_kept(conn: &mut Conn, organization_id: &str) -> Result<i64> {
    let (count,) = conn
        .sql("select count(*) from sharing where organization_id = $1 and status <> 'revoked'")
        .bind(organization_id)
        .one::<(i64,)>()
        .await?;
    Ok(count)
}

pub(in crate::organization) async fn insert(tx: &mut Tx, new: &Sharing, period: Period) -> Result<()> {
    tx.sql(
        "insert into sharing (sharing_id, organization_id, resource_type, resource_id, resource_name, created_by,
                              share_with_all_members, auto_include, default_permission, status, quota_period, quota_settings,
                              restrictions, metadata, expires_at, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16)",
    )
    .bind(&new.sharing_id)
    .bind(&new.organization_id)
    .bind(&new.resource_type)
    .bind(&new.resource_id)
    .bind(&new.resource_name)
    .bind(&new.created_by)
    .bind(&new.share_with_all_members)
    .bind(&new.is_auto_included())
    .bind(&new.default_permission)
    .bind(&new.status)
    .bind(&period)
    .bind(&new.quota_settings)
    .bind(&new.restrictions)
    .bind(&new.metadata)
    .bind(&new.expires_at)
    .bind(&new.created_at)
    .execute()
    .await?;
    Ok(())
}

/// Writes a changed sharing, if its status is still what it was; says whether.
pub(in crate::organization) async fn update(
    tx: &mut Tx,
    changed: &Sharing,
    period: Period,
    before: SharingStatus,
) -> Result<bool> {
    let count = tx
        .sql(
            "update sharing
             set share_with_all_members = $2, auto_include = $3, default_permission = $4, status = $5, quota_period = $6,
                 quota_settings = $7, restrictions = $8, metadata = $9, expires_at = $10, updated_at = $11
             where sharing_id = $1 and status = $12",
        )
        .bind(&changed.sharing_id)
        .bind(&changed.share_with_all_members)
        .bind(&changed.is_auto_included())
        .bind(&changed.default_permission)
        .bind(&changed.status)
        .bind(&period)
        .bind(&changed.quota_settings)
        .bind(&changed.restrictions)
        .bind(&changed.metadata)
        .bind(&changed.expires_at)
        .bind(&changed.updated_at)
        .bind(&before)
        .execute()
        .await?;
    Ok(count == 1)
}

pub(in crate::organization) async fn delete(tx: &mut Tx, sharing_id: &str, now: DateTime<Utc>) -> Result<()> {
    tx.sql("update sharing set status = 'revoked', updated_at = $2, deleted_at = $2 where sharing_id = $1")
        .bind(sharing_id)
        .bind(&now)
        .execute()
        .await?;
    Ok(())
}

/// Revokes what is shared in an organization that is gone.
pub(in crate::organization) async fn revoke_all(tx: &mut Tx, organization_id: &str, now: DateTime<Utc>) -> Result<()> {
    tx.sql("update sharing set status = 'revoked', updated_at = $2 where organization_id = $1 and status <> 'revoked'")
        .bind(organization_id)
        .bind(&now)
        .execute()
        .await?;
    Ok(())
}

/// What a sharing is called in what is said about it: its id, its organization, and what is shared.
pub(in crate::organization) type Named = (String, String, ResourceType, String);

/// Marks sharings whose time is over, at most so many.
pub(in crate::organization) async fn expire(tx: &mut Tx, now: DateTime<Utc>, limit: i64) -> Result<Vec<Named>> {
    tx.sql(
        "update sharing set status = 'expired', updated_at = $1
         where status in ('active', 'paused') and expires_at <= $1
           and sharing_id in (select sharing_id from sharing
                              where status in ('active', 'paused') and expires_at <= $1 order by expires_at limit $2)
         returning sharing_id, organization_id, resource_type, resource_id",
    )
    .bind(&now)
    .bind(&limit)
    .all()
    .await
}

/// Revokes the sharings of a thing that is gone, at most so many.
pub(in crate::organization) async fn revoke_resource(
    tx: &mut Tx,
    (types, resource_id): (&List, &str),
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Named>> {
    tx.sql(
        "update sharing set status = 'revoked', updated_at = $3
         where status <> 'revoked'
           and sharing_id in (select sharing_id from sharing
                              where resource_id = $1 and resource_type in list($2) and status <> 'revoked'
                              order by sharing_id limit $4)
         returning sharing_id, organization_id, resource_type, resource_id",
    )
    .bind(resource_id)
    .bind(types)
    .bind(&now)
    .bind(&limit)
    .all()
    .await
}

/// Which sharings of an organization are wanted, and when.
#[derive(Debug)]
pub(in crate::organization) struct Wanted {
    pub resource_type: Option<ResourceType>,
    pub status: Option<SharingStatus>,
    pub now: DateTime<Utc>,
}

impl Wanted {
    pub(super) fn apply<'p>(&'p self, filter: &mut Filter<'p>) {
        filter.and_some("sharing.resource_type = ?", self.resource_type.as_ref());
        if let Some(status) = &self.status {
            // As it is now, marked or not.
            filter.with(
                "and case when sharing.status in ('active', 'paused') and sharing.expires_at <= ? then 'expired'
                          else sharing.status end",
                &self.now,
            );
            filter.with("= ?", status);
        }
    }
}

/// A page of the sharings of an organization, newest first; with a person, of those they made or may open now.
pub(in crate::organization) async fn list(
    conn: &mut Conn,
    organization_id: &str,
    person: Option<&str>,
    wanted: &Wanted,
    (limit, offset): (i64, i64),
) -> Result<Vec<Sharing>> {
    let mut page = Filter::new(sharing!("where deleted_at is null"));
    page.and("organization_id = ?", organization_id);
    wanted.apply(&mut page);
    if let Some(person) = &person {
        page.with(
            "and (created_by = ?
                  or exists (select 1 from sharing_permission
                             where sharing_permission.sharing_id = sharing.sharing_id and sharing_permission.user_id = ?
                               and sharing_permission.is_active)",
            *person,
        );
        page.with(
            "and status = 'active' and (expires_at is null or expires_at > ?))",
            &wanted.now,
        );
    }
    page.push("order by created_at desc, sharing_id");
    page.with("limit ?", &limit).with("offset ?", &offset);
    conn.filter(page).all().await
}
