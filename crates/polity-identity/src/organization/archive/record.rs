//! The organization itself, as it stands in archives.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use polity_kernel::{
    Ctx,
    db::{Conn, Json, Result, Tx},
};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::{
    archive::{Known, Part, Wrong, check_length, check_text, moment},
    organization::{
        model::{Details, Kind, Organization, Plan, RateLimits, Security, Status},
        service, store,
    },
};

/// The organization itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrganizationRow {
    pub organization_id: String,
    pub name: String,
    pub domain: Option<String>,
    pub billing_email: String,
    pub plan: Plan,
    pub status: Status,
    pub kind: Option<Kind>,
    pub details: Details,
    pub settings: Map<String, serde_json::Value>,
    pub security: Security,
    pub rate_limits: Option<RateLimits>,
    pub flag: Option<String>,
    pub created_by: String,
    #[serde(with = "moment")]
    pub created_at: DateTime<Utc>,
    #[serde(with = "moment")]
    pub updated_at: DateTime<Utc>,
}

impl From<Organization> for OrganizationRow {
    fn from(found: Organization) -> Self {
        Self {
            organization_id: found.organization_id,
            name: found.name,
            domain: found.domain,
            billing_email: found.billing_email,
            plan: found.plan,
            status: found.status,
            kind: found.kind,
            details: found.details.0,
            settings: found.settings.0,
            security: found.security.0,
            rate_limits: found.rate_limits.map(|limits| limits.0),
            flag: found.flag,
            created_by: found.created_by,
            created_at: found.created_at,
            updated_at: found.updated_at,
        }
    }
}

impl From<OrganizationRow> for Organization {
    fn from(row: OrganizationRow) -> Self {
        Self {
            organization_id: row.organization_id,
            name: row.name,
            domain: row.domain,
            billing_email: row.billing_email,
            plan: row.plan,
            status: row.status,
            kind: row.kind,
            details: Json(row.details),
            settings: Json(row.settings),
            security: Json(row.security),
            rate_limits: row.rate_limits.map(Json),
            flag: row.flag,
            member_count: 0,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// The part of which there is one row.
pub(crate) struct Itself;

#[async_trait]
impl Part for Itself {
    const NAME: &'static str = "organization";
    type Row = OrganizationRow;

    fn key(row: &OrganizationRow) -> Vec<String> {
        vec![row.organization_id.clone()]
    }

    fn check(row: &OrganizationRow, known: &mut Known) -> Result<(), Wrong> {
        if known.organization.is_some() {
            return Err(Wrong("", "an archive is of one organization".to_owned()));
        }
        if row.organization_id != known.organization_id {
            return Err(Wrong("organization_id", "is not that of the header".to_owned()));
        }
        known.organization = Some(row.status == Status::Active);
        if row.status == Status::Deleted {
            return Err(Wrong("status", "a deleted organization cannot be imported".to_owned()));
        }
        check_text("name", &row.name, 100)?;
        check_length("domain", row.domain.as_deref(), 255)?;
        check_text("billing_email", &row.billing_email, 254)?;
        check_length("flag", row.flag.as_deref(), 1_000)?;
        check_text("created_by", &row.created_by, 255)?;
        service::check_settings(&row.settings).map_err(|error| Wrong("settings", error.to_string()))?;
        if row.security.allowed_email_domains.len() > 100 {
            return Err(Wrong("security", "may name at most 100 domains".to_owned()));
        }
        Ok(())
    }

    async fn page(
        conn: &mut Conn,
        organization_id: &str,
        after: Option<&OrganizationRow>,
    ) -> Result<Vec<OrganizationRow>> {
        if after.is_some() {
            return Ok(Vec::new());
        }
        let found = store::find(conn, organization_id).await?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    /// Nothing: its row was hidden before, and is shown at the end.
    async fn insert(_: &mut Tx, _: &Ctx, _: &str, _: Vec<OrganizationRow>) -> Result<()> {
        Ok(())
    }

    /// Nothing: it goes with the claim.
    async fn remove(_: &mut Tx, _: &str) -> Result<u64> {
        Ok(0)
    }
}
