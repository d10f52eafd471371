//! SQL of what is shared, for archives.

use chrono::{DateTime, Utc};
use polity_kernel::db::{Conn, Filter, Result, Rows, Tx};

use crate::{
    archive::{PAGE, rows},
    organization::archive::{AccessRow, SharingRow, UseRow},
};

pub(in crate::organization) async fn sharings(
    conn: &mut Conn,
    organization_id: &str,
    after: Option<(DateTime<Utc>, &str)>,
) -> Result<Vec<SharingRow>> {
    let mut page = Filter::new(
        "select sharing_id, resource_type, resource_id, resource_name, created_by, share_with_all_members, auto_include,
                default_permission, status, quota_period, quota_settings, restrictions, metadata, expires_at, created_at,
                updated_at
         from sharing where deleted_at is null",
    );
    page.and("organization_id = ?", organization_id);
    if let Some((at, id)) = &after {
        page.and("created_at <= ?", at);
        page.with("and (created_at < ?", at).with("or sharing_id > ?)", *id);
    }
    page.push("order by created_at desc, sharing_id");
    page.with("limit ?", &PAGE);
    conn.filter(page).all().await
}

pub(in crate::organization) async fn insert_sharings(
    tx: &mut Tx,
    organization_id: &str,
    all: &[SharingRow],
) -> Result<()> {
    tx.sql(
        "insert into sharing (sharing_id, organization_id, resource_type, resource_id, resource_name, created_by,
                              share_with_all_members, auto_include, default_permission, status, quota_period, quota_settings,
                              restrictions, metadata, expires_at, created_at, updated_at)
         select r.item ->> 'sharing_id', cast($1 as text), r.item ->> 'resource_type', r.item ->> 'resource_id',
                r.item ->> 'resource_name', r.item ->> 'created_by',
                cast(r.item ->> 'share_with_all_members' as boolean), cast(r.item ->> 'auto_include' as boolean),
                r.item ->> 'default_permission', r.item ->> 'status', r.item ->> 'quota_period', r.item -> 'quota_settings',
                r.item -> 'restrictions', r.item -> 'metadata', moment(r.item ->> 'expires_at'),
                moment(r.item ->> 'created_at'), moment(r.item ->> 'updated_at')
         from rows($2) as r",
    )
    .bind(organization_id)
    .bind(&rows(all, &["expires_at", "created_at", "updated_at"]))
    .execute()
    .await?;
    Ok(())
}

pub(in crate::organization) async fn remove_sharings(tx: &mut Tx, organization_id: &str) -> Result<u64> {
    tx.sql(
        "delete from sharing
         where sharing_id in (select sharing_id from sharing where organization_id = $1 limit $2)",
    )
    .bind(organization_id)
    .bind(&PAGE)
    .execute()
    .await
}

pub(in crate::organization) async fn accesses(
    conn: &mut Conn,
    organization_id: &str,
    after: Option<&AccessRow>,
) -> Result<Vec<AccessRow>> {
    let mut page = Filter::new(
        "select sharing_id, user_id, permission_level, is_active, quota_override, restrictions_override, granted_by,
                granted_at, last_accessed_at
         from sharing_permission where true",
    );
    page.and("organization_id = ?", organization_id);
    if let Some(after) = after {
        page.and("user_id >= ?", &after.user_id);
        page.with("and (user_id > ?", &after.user_id)
            .with("or granted_at < ?", &after.granted_at)
            .with("or (granted_at = ?", &after.granted_at)
            .with("and sharing_id > ?))", &after.sharing_id);
    }
    page.push("order by user_id, granted_at desc, sharing_id");
    page.with("limit ?", &PAGE);
    conn.filter(page).all().await
}

pub(in crate::organization) async fn insert_accesses(
    tx: &mut Tx,
    organization_id: &str,
    all: &[AccessRow],
) -> Result<()> {
    tx.sql(
        "insert into sharing_permission (sharing_id, user_id, organization_id, permission_level, is_active, quota_override,
                                         restrictions_override, granted_by, granted_at, last_accessed_at)
         select r.item ->> 'sharing_id', r.item ->> 'user_id', cast($1 as text), r.item ->> 'permission_level',
                cast(r.item ->> 'is_active' as boolean), cast(r.item ->> 'quota_override' as bigint),
                r.item -> 'restrictions_override', r.item ->> 'granted_by', moment(r.item ->> 'granted_at'),
                moment(r.item ->> 'last_accessed_at')
         from rows($2) as r",
    )
    .bind(organization_id)
    .bind(&rows(all, &["granted_at", "last_accessed_at"]))
    .execute()
    .await?;
    Ok(())
}

pub(in crate::organization) async fn remove_accesses(tx: &mut Tx, organization_id: &str) -> Result<u64> {
    tx.sql(
        "delete from sharing_permission
         where (sharing_id, user_id) in
               (select sharing_id, user_id from sharing_permission where organization_id = $1 limit $2)",
    )
    .bind(organization_id)
    .bind(&PAGE)
    .execute()
    .await
}

pub(in crate::organization) async fn uses(
    conn: &mut Conn,
    organization_id: &str,
    after: Option<&UseRow>,
) -> Result<Vec<UseRow>> {
    let mut page =
        Filter::new("select sharing_id, user_id, period, start, used, uses, most from sharing_usage where true");
    page.and(
        "sharing_id in (select sharing_id from sharing where organization_id = ? and deleted_at is null)",
        organization_id,
    );
    if let Some(after) = after {
        page.with("and (sharing_id, period, start, user_id) > (?,", &after.sharing_id)
            .with("?,", &after.period)
            .with("?,", &after.start)
            .with("?)", &after.user_id);
    }
    page.push("order by sharing_id, period, start, user_id");
    page.with("limit ?", &PAGE);
    conn.filter(page).all().await
}

pub(in crate::organization) async fn insert_uses(tx: &mut Tx, all: &[UseRow]) -> Result<()> {
    tx.sql(
        "insert into sharing_usage (sharing_id, user_id, period, start, used, uses, most)
         select r.item ->> 'sharing_id', r.item ->> 'user_id', r.item ->> 'period', cast(r.item ->> 'start' as bigint),
                cast(r.item ->> 'used' as bigint), cast(r.item ->> 'uses' as bigint), cast(r.item ->> 'most' as bigint)
         from rows($1) as r",
    )
    .bind(&Rows::of(all))
    .execute()
    .await?;
    Ok(())
}

pub(in crate::organization) async fn remove_uses(tx: &mut Tx, organization_id: &str) -> Result<u64> {
    tx.sql(
        "delete from sharing_usage
         where (sharing_id, period, start, user_id) in
               (select used.sharing_id, used.period, used.start, used.user_id
                from sharing_usage as used join sharing on sharing.sharing_id = used.sharing_id
                where sharing.organization_id = $1 limit $2)",
    )
    .bind(organization_id)
    .bind(&PAGE)
    .execute()
    .await
}
