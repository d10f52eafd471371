//! What an organization has, and what people were given in it, as they stand in archives.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use polity_kernel::{
    Ctx,
    db::{Conn, Result, Tx},
};
use polity_ports::authorization::{AccessLevel, OrganizationPlan, ResourceType};
use serde::{Deserialize, Serialize};

use super::{
    model::{LONGEST_NAME, OrganizationPermission, Permission, Source},
    store::{self, Named},
};
use crate::archive::{Known, PAGE, Part, Wrong, check_length, check_text, moment};

/// What the members of an organization may use.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfOrganizationRow {
    resource_type: ResourceType,
    resource_name: String,
    access_level: AccessLevel,
    org_plan_required: OrganizationPlan,
    is_enabled: bool,
    created_by_user_id: String,
    #[serde(with = "moment")]
    created_at: DateTime<Utc>,
    #[serde(with = "moment")]
    updated_at: DateTime<Utc>,
}

/// What an organization has.
pub(crate) struct OfOrganization;

#[async_trait]
impl Part for OfOrganization {
    const NAME: &'static str = "organization_permission";
    type Row = OfOrganizationRow;

    fn key(row: &OfOrganizationRow) -> Vec<String> {
        vec![row.resource_type.as_str().to_owned(), row.resource_name.clone()]
    }

    fn check(row: &OfOrganizationRow, _: &mut Known) -> Result<(), Wrong> {
        check_text("resource_name", &row.resource_name, LONGEST_NAME)?;
        check_length("created_by_user_id", Some(&row.created_by_user_id), 255)
    }

    async fn page(
        conn: &mut Conn,
        organization_id: &str,
        after: Option<&OfOrganizationRow>,
    ) -> Result<Vec<OfOrganizationRow>> {
        let after = after.map(|row| Named {
            resource_type: row.resource_type,
            resource_name: &row.resource_name,
        });
        let found = store::list_organization_permissions(conn, organization_id, after, PAGE).await?;
        let rows = found.into_iter().map(|found| OfOrganizationRow {
            resource_type: found.resource_type,
            resource_name: found.resource_name,
            access_level: found.access_level,
            org_plan_required: found.org_plan_required,
            is_enabled: found.is_enabled,
            created_by_user_id: found.created_by_user_id,
            created_at: found.created_at,
            updated_at: found.updated_at,
        });
        Ok(rows.collect())
    }

    async fn insert(tx: &mut Tx, _: &Ctx, organization_id: &str, rows: Vec<OfOrganizationRow>) -> Result<()> {
        let rows = rows.into_iter().map(|row| OrganizationPermission {
            organization_id: organization_id.to_owned(),
            resource_type: row.resource_type,
            resource_name: row.resource_name,
            access_level: row.access_level,
            org_plan_required: row.org_plan_required,
            is_enabled: row.is_enabled,
            created_by_user_id: row.created_by_user_id,
            created_at: row.created_at,
            updated_at: row.updated_at,
        });
        store::insert_organization_permissions(tx, &rows.collect::<Vec<_>>()).await
    }

    async fn remove(tx: &mut Tx, organization_id: &str) -> Result<u64> {
        store::delete_organization_permissions(tx, organization_id, PAGE).await
    }
}

/// What somebody was given in an organization.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfPersonRow {
    id: String,
    user_id: String,
    resource_type: ResourceType,
    resource_name: String,
    access_level: AccessLevel,
    permission_source: Source,
    granted_by_user_id: String,
    #[serde(default, with = "moment::option")]
    expires_at: Option<DateTime<Utc>>,
    reason: Option<String>,
    #[serde(with = "moment")]
    created_at: DateTime<Utc>,
    #[serde(with = "moment")]
    updated_at: DateTime<Utc>,
}

/// What people were given in an organization.
pub(crate) struct OfPeople;

#[async_trait]
impl Part for OfPeople {
    const NAME: &'static str = "permission";
    type Row = OfPersonRow;

    /// By what it is of: there is one for each source.
    fn key(row: &OfPersonRow) -> Vec<String> {
        vec![
            row.user_id.clone(),
            row.resource_type.as_str().to_owned(),
            row.resource_name.clone(),
            row.permission_source.as_str().to_owned(),
        ]
    }

    fn check(row: &OfPersonRow, known: &mut Known) -> Result<(), Wrong> {
        check_text("id", &row.id, 255)?;
        known.check_person(&row.user_id)?;
        check_text("resource_name", &row.resource_name, LONGEST_NAME)?;
        check_length("granted_by_user_id", Some(&row.granted_by_user_id), 255)?;
        check_length("reason", row.reason.as_deref(), 2_000)
    }

    async fn page(conn: &mut Conn, organization_id: &str, after: Option<&OfPersonRow>) -> Result<Vec<OfPersonRow>> {
        let after = after.map(|row| (row.user_id.as_str(), row.id.as_str()));
        let found = store::list_belongings(conn, organization_id, after, PAGE).await?;
        let rows = found.into_iter().map(|found| OfPersonRow {
            id: found.id,
            user_id: found.user_id,
            resource_type: found.resource_type,
            resource_name: found.resource_name,
            access_level: found.access_level,
            permission_source: found.permission_source,
            granted_by_user_id: found.granted_by_user_id,
            expires_at: found.expires_at,
            reason: found.reason,
            created_at: found.created_at,
            updated_at: found.updated_at,
        });
        Ok(rows.collect())
    }

    async fn insert(tx: &mut Tx, _: &Ctx, organization_id: &str, rows: Vec<OfPersonRow>) -> Result<()> {
        let rows: Vec<Permission> = rows
            .into_iter()
            .map(|row| Permission {
                id: row.id,
                user_id: row.user_id,
                resource_type: row.resource_type,
                resource_name: row.resource_name,
                access_level: row.access_level,
                permission_source: row.permission_source,
                organization_id: organization_id.to_owned(),
                granted_by_user_id: row.granted_by_user_id,
                expires_at: row.expires_at,
                reason: row.reason,
                created_at: row.created_at,
                updated_at: row.updated_at,
            })
            .collect();
        store::put_permissions(tx, &rows.iter().collect::<Vec<_>>()).await
    }

    async fn remove(tx: &mut Tx, organization_id: &str) -> Result<u64> {
        store::delete_belongings(tx, organization_id, PAGE).await
    }
}
