//! What is shared, as it stands in archives. Deleted sharings are in none.

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
        model::sharing::{Object, Period, Permission, Quota, ResourceType, SharingStatus},
        store::sharing::archive as store,
    },
};

/// The largest open object of a sharing, in bytes.
const LARGEST: usize = 64 << 10;

/// A sharing.
#[derive(Debug, Clone, Record, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SharingRow {
    pub sharing_id: String,
    pub resource_type: ResourceType,
    pub resource_id: String,
    pub resource_name: Option<String>,
    pub created_by: String,
    pub share_with_all_members: bool,
    pub auto_include: bool,
    pub default_permission: Permission,
    pub status: SharingStatus,
    pub quota_period: Period,
    pub quota_settings: Json<Object>,
    pub restrictions: Json<Object>,
    pub metadata: Json<Object>,
    #[serde(default, with = "moment::option")]
    pub expires_at: Option<DateTime<Utc>>,
    #[serde(with = "moment")]
    pub created_at: DateTime<Utc>,
    #[serde(with = "moment")]
    pub updated_at: DateTime<Utc>,
}

fn check_object(name: &'static str, object: &Object) -> Result<(), Wrong> {
    if serde_json::to_vec(object).map_or(usize::MAX, |text| text.len()) > LARGEST {
        return Err(Wrong(name, "may have at most 64 KB".to_owned()));
    }
    Ok(())
}

/// Sharings.
pub(crate) struct Sharings;

#[async_trait]
impl Part for Sharings {
    const NAME: &'static str = "sharing";
    type Row = SharingRow;

    fn key(row: &SharingRow) -> Vec<String> {
        vec![row.sharing_id.clone()]
    }

    fn check(row: &SharingRow, known: &mut Known) -> Result<(), Wrong> {
        check_text("sharing_id", &row.sharing_id, 255)?;
        check_text("resource_id", &row.resource_id, 255)?;
        check_length("resource_name", row.resource_name.as_deref(), 1_000)?;
        check_text("created_by", &row.created_by, 255)?;
        for (name, object) in [
            ("quota_settings", &row.quota_settings),
            ("restrictions", &row.restrictions),
            ("metadata", &row.metadata),
        ] {
            check_object(name, &object.0)?;
        }
        Quota::read(&row.quota_settings.0).map_err(|error| Wrong("quota_settings", error.to_string()))?;
        // Of a thing that is shared twice, one sharing was revoked.
        let thing = format!("{}\n{}", row.resource_type.as_str(), row.resource_id);
        if row.status != SharingStatus::Revoked && !known.shared.insert(thing) {
            return Err(Wrong("resource_id", "is shared already".to_owned()));
        }
        known.sharings.insert(row.sharing_id.clone());
        Ok(())
    }

    async fn page(conn: &mut Conn, organization_id: &str, after: Option<&SharingRow>) -> Result<Vec<SharingRow>> {
        let after = after.map(|row| (row.created_at, row.sharing_id.as_str()));
        store::sharings(conn, organization_id, after).await
    }

    async fn insert(tx: &mut Tx, _: &Ctx, organization_id: &str, rows: Vec<SharingRow>) -> Result<()> {
        store::insert_sharings(tx, organization_id, &rows).await
    }

    async fn remove(tx: &mut Tx, organization_id: &str) -> Result<u64> {
        store::remove_sharings(tx, organization_id).await
    }
}

fn check_sharing(sharing_id: &str, known: &Known) -> Result<(), Wrong> {
    if known.sharings.contains(sharing_id) {
        return Ok(());
    }
    Err(Wrong("sharing_id", "is none of the sharings of the archive".to_owned()))
}

/// What somebody may do with what is shared.
#[derive(Debug, Clone, Record, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessRow {
    pub sharing_id: String,
    pub user_id: String,
    pub permission_level: Permission,
    pub is_active: bool,
    pub quota_override: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restrictions_override: Option<Json<Object>>,
    pub granted_by: String,
    #[serde(with = "moment")]
    pub granted_at: DateTime<Utc>,
    #[serde(default, with = "moment::option")]
    pub last_accessed_at: Option<DateTime<Utc>>,
}

/// Who may do what with what is shared.
pub(crate) struct Accesses;

#[async_trait]
impl Part for Accesses {
    const NAME: &'static str = "sharing_permission";
    type Row = AccessRow;

    fn key(row: &AccessRow) -> Vec<String> {
        vec![row.sharing_id.clone(), row.user_id.clone()]
    }

    fn check(row: &AccessRow, known: &mut Known) -> Result<(), Wrong> {
        check_sharing(&row.sharing_id, known)?;
        known.check_person(&row.user_id)?;
        check_length("granted_by", Some(&row.granted_by), 255)?;
        if row.quota_override.is_some_and(|quota| quota < 0) {
            return Err(Wrong("quota_override", "must not be negative".to_owned()));
        }
        row.restrictions_override
            .as_ref()
            .map_or(Ok(()), |object| check_object("restrictions_override", &object.0))
    }

    async fn page(conn: &mut Conn, organization_id: &str, after: Option<&AccessRow>) -> Result<Vec<AccessRow>> {
        store::accesses(conn, organization_id, after).await
    }

    async fn insert(tx: &mut Tx, _: &Ctx, organization_id: &str, rows: Vec<AccessRow>) -> Result<()> {
        store::insert_accesses(tx, organization_id, &rows).await
    }

    async fn remove(tx: &mut Tx, organization_id: &str) -> Result<u64> {
        store::remove_accesses(tx, organization_id).await
    }
}

/// What was used of what is shared.
#[derive(Debug, Clone, Record, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UseRow {
    pub sharing_id: String,
    pub user_id: String,
    pub period: Period,
    pub start: i64,
    pub used: i64,
    pub uses: i64,
    pub most: i64,
}

/// What was used of what is shared.
pub(crate) struct Uses;

#[async_trait]
impl Part for Uses {
    const NAME: &'static str = "sharing_usage";
    type Row = UseRow;

    fn key(row: &UseRow) -> Vec<String> {
        let (period, start) = (row.period.as_str().to_owned(), row.start.to_string());
        vec![row.sharing_id.clone(), period, start, row.user_id.clone()]
    }

    fn check(row: &UseRow, known: &mut Known) -> Result<(), Wrong> {
        check_sharing(&row.sharing_id, known)?;
        // Those of who is gone are in the sums of everybody.
        check_length("user_id", Some(&row.user_id), 255)?;
        if row.used < 0 || row.uses < 0 || row.most < 0 {
            return Err(Wrong("used", "must not be negative".to_owned()));
        }
        Ok(())
    }

    async fn page(conn: &mut Conn, organization_id: &str, after: Option<&UseRow>) -> Result<Vec<UseRow>> {
        store::uses(conn, organization_id, after).await
    }

    async fn insert(tx: &mut Tx, _: &Ctx, _: &str, rows: Vec<UseRow>) -> Result<()> {
        store::insert_uses(tx, &rows).await
    }

    async fn remove(tx: &mut Tx, organization_id: &str) -> Result<u64> {
        store::remove_uses(tx, organization_id).await
    }
}
