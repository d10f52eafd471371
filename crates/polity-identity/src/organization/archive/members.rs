//! Members and the audit log, as they stand in archives.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use polity_kernel::{
    Ctx, Record,
    db::{Conn, Json, Result, Tx},
};
use serde::{Deserialize, Serialize};

use crate::{
    archive::{Known, Part, Wrong, check_length, check_text, moment},
    organization::{
        model::{MemberStatus, Role},
        service,
        store::archive as store,
    },
};

/// A membership.
#[derive(Debug, Clone, Record, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberRow {
    pub user_id: String,
    pub role: Role,
    pub status: MemberStatus,
    pub permissions: Json<Vec<String>>,
    pub department: Option<String>,
    pub title: Option<String>,
    pub is_founder: bool,
    #[serde(with = "moment")]
    pub joined_at: DateTime<Utc>,
    #[serde(default, with = "moment::option")]
    pub last_active_at: Option<DateTime<Utc>>,
    #[serde(with = "moment")]
    pub updated_at: DateTime<Utc>,
}

/// Memberships, ended ones too.
pub(crate) struct Members;

#[async_trait]
impl Part for Members {
    const NAME: &'static str = "membership";
    type Row = MemberRow;

    fn key(row: &MemberRow) -> Vec<String> {
        vec![row.user_id.clone()]
    }

    fn check(row: &MemberRow, known: &mut Known) -> Result<(), Wrong> {
        known.check_person(&row.user_id)?;
        service::check_permissions(&row.permissions.0).map_err(|error| Wrong("permissions", error.to_string()))?;
        check_length("department", row.department.as_deref(), 255)?;
        check_length("title", row.title.as_deref(), 255)?;
        known.has_owner |= row.role == Role::Owner && row.status == MemberStatus::Active;
        Ok(())
    }

    async fn page(conn: &mut Conn, organization_id: &str, after: Option<&MemberRow>) -> Result<Vec<MemberRow>> {
        store::members(conn, organization_id, after.map(|row| row.user_id.as_str())).await
    }

    async fn insert(tx: &mut Tx, _: &Ctx, organization_id: &str, rows: Vec<MemberRow>) -> Result<()> {
        store::insert_members(tx, organization_id, &rows).await
    }

    async fn remove(tx: &mut Tx, organization_id: &str) -> Result<u64> {
        store::remove_members(tx, organization_id).await
    }
}

/// An entry of the audit log.
#[derive(Debug, Clone, Record, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditRow {
    pub id: String,
    pub actor_id: String,
    pub action: String,
    pub target_id: Option<String>,
    pub data: serde_json::Value,
    #[serde(with = "moment")]
    pub created_at: DateTime<Utc>,
}

/// The audit log.
pub(crate) struct Audit;

#[async_trait]
impl Part for Audit {
    const NAME: &'static str = "audit";
    type Row = AuditRow;

    fn key(row: &AuditRow) -> Vec<String> {
        vec![row.id.clone()]
    }

    fn check(row: &AuditRow, _: &mut Known) -> Result<(), Wrong> {
        check_text("id", &row.id, 255)?;
        check_length("actor_id", Some(&row.actor_id), 255)?;
        check_text("action", &row.action, 255)?;
        check_length("target_id", row.target_id.as_deref(), 255)
    }

    async fn page(conn: &mut Conn, organization_id: &str, after: Option<&AuditRow>) -> Result<Vec<AuditRow>> {
        let after = after.map(|row| (row.created_at, row.id.as_str()));
        store::audit(conn, organization_id, after).await
    }

    async fn insert(tx: &mut Tx, _: &Ctx, organization_id: &str, rows: Vec<AuditRow>) -> Result<()> {
        store::insert_audit(tx, organization_id, &rows).await
    }

    async fn remove(tx: &mut Tx, organization_id: &str) -> Result<u64> {
        store::remove_audit(tx, organization_id).await
    }
}
