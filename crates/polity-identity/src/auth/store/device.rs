//! The SQL of devices, their attempts to authenticate, and pairing.

use chrono::{DateTime, Utc};
use polity_kernel::db::{Conn, Result, Tx};

use super::super::model::{Device, DeviceStatus, Metadata, Pairing};
use polity_kernel::db::Json;

macro_rules! device {
    ($rest:literal) => {
        concat!(
            "select device_id, organization_id, credential_id, session_id, device_name, device_type, status, metadata,
                    paired_user_id, paired_at, last_authenticated_at, authentication_count, expires_at, created_by, created_at
             from device ",
            $rest
        )
    };
}

pub(crate) async fn find(conn: &mut Conn, device_id: &str) -> Result<Option<Device>> {
    conn.sql(device!("where device_id = $1"))
        .bind(device_id)
        .optional()
        .await
}

/// The devices of an organization, newest first.
pub(crate) async fn list(conn: &mut Conn, organization_id: &str, limit: i64, offset: i64) -> Result<Vec<Device>> {
    conn.sql(device!(
        "where organization_id = $1 order by created_at desc, device_id limit $2 offset $3"
    ))
    .bind(organization_id)
    .bind(&limit)
    .bind(&offset)
    .all()
    .await
}

pub(crate) async fn count(conn: &mut Conn, organization_id: &str) -> Result<i64> {
    let (count,) = conn
        .sql("select count(*) from device where organization_id = $1")
        .bind(organization_id)
        .one::<(i64,)>()
        .await?;
    Ok(count)
}

/// Says whether the id was free.
pub(crate) async fn insert(tx: &mut Tx, device: &Device) -> Result<bool> {
    let inserted = tx
        .sql(
            "insert into device (device_id, organization_id, credential_id, session_id, device_name, device_type, status,
                                 metadata, authentication_count, expires_at, created_by, created_at, updated_at)
             values ($1, $2, $3, $3, $4, $5, $6, $7, 0, $8, $9, $10, $10)
             on conflict do nothing",
        )
        .bind(&device.device_id)
        .bind(&device.organization_id)
        .bind(&device.credential_id)
        .bind(&device.device_name)
        .bind(&device.device_type)
        .bind(&device.status)
        .bind(&device.metadata)
        .bind(&device.expires_at)
        .bind(&device.created_by)
        .bind(&device.created_at)
        .execute()
        .await?;
    Ok(inserted == 1)
}

pub(crate) async fn set_credential(
    tx: &mut Tx,
    device_id: &str,
    credential_id: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    tx.sql("update device set credential_id = $2, session_id = $2, updated_at = $3 where device_id = $1")
        .bind(device_id)
        .bind(credential_id)
        .bind(&now)
        .execute()
        .await?;
    Ok(())
}

pub(crate) async fn update(
    tx: &mut Tx,
    device_id: &str,
    name: Option<&str>,
    metadata: &Json<Metadata>,
    status: DeviceStatus,
    now: DateTime<Utc>,
) -> Result<()> {
    tx.sql("update device set device_name = $2, metadata = $3, status = $4, updated_at = $5 where device_id = $1")
        .bind(device_id)
        .bind(&name)
        .bind(metadata)
        .bind(&status)
        .bind(&now)
        .execute()
        .await?;
    Ok(())
}

/// Ends the tokens that were given for a secret, until they would have ended anyway.
pub(crate) async fn end_session(tx: &mut Tx, credential_id: &str, until: DateTime<Utc>) -> Result<()> {
    tx.sql(
        "insert into revocation (session_id, expires_at)
         select session_id, cast($2 as timestamptz) from device where credential_id = $1
         on conflict do nothing",
    )
    .bind(credential_id)
    .bind(&until)
    .execute()
    .await?;
    Ok(())
}

/// Gives tokens from now on another session than those before.
pub(crate) async fn set_session(tx: &mut Tx, device_id: &str, session_id: &str) -> Result<()> {
    tx.sql("update device set session_id = $2 where device_id = $1")
        .bind(device_id)
        .bind(session_id)
        .execute()
        .await?;
    Ok(())
}

pub(crate) async fn mark_authenticated(tx: &mut Tx, device_id: &str, now: DateTime<Utc>) -> Result<()> {
    tx.sql(
        "update device set last_authenticated_at = $2, authentication_count = authentication_count + 1 where device_id = $1",
    )
    .bind(device_id)
    .bind(&now)
    .execute()
    .await?;
    Ok(())
}

pub(crate) async fn mark_paired(tx: &mut Tx, device_id: &str, user_id: &str, now: DateTime<Utc>) -> Result<()> {
    tx.sql("update device set paired_user_id = $2, paired_at = $3, updated_at = $3 where device_id = $1")
        .bind(device_id)
        .bind(user_id)
        .bind(&now)
        .execute()
        .await?;
    Ok(())
}

/// An attempt to authenticate.
pub(crate) struct Attempt<'a> {
    pub id: String,
    pub device_id: &'a str,
    pub status: &'static str,
    pub ip: &'a str,
    pub user_agent: &'a str,
    pub error: Option<&'static str>,
}

pub(crate) async fn log(tx: &mut Tx, attempt: &Attempt<'_>, now: DateTime<Utc>) -> Result<()> {
    tx.sql(
        "insert into device_log (id, device_id, auth_status, ip, user_agent, error, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&attempt.id)
    .bind(attempt.device_id)
    .bind(attempt.status)
    .bind(attempt.ip)
    .bind(attempt.user_agent)
    .bind(&attempt.error)
    .bind(&now)
    .execute()
    .await?;
    Ok(())
}

/// Replaces the unused pairing tokens of a device by a new one.
pub(crate) async fn put_pairing(tx: &mut Tx, device_id: &str, hash: &str, expires_at: DateTime<Utc>) -> Result<()> {
    tx.sql("delete from pairing_token where device_id = $1 and used_at is null")
        .bind(device_id)
        .execute()
        .await?;
    tx.sql("insert into pairing_token (hash, device_id, expires_at) values ($1, $2, $3)")
        .bind(hash)
        .bind(device_id)
        .bind(&expires_at)
        .execute()
        .await?;
    Ok(())
}

pub(crate) async fn find_pairing(conn: &mut Conn, hash: &str) -> Result<Option<Pairing>> {
    conn.sql("select device_id, expires_at, used_at from pairing_token where hash = $1")
        .bind(hash)
        .optional()
        .await
}

/// Spends a pairing token; whoever comes second finds it spent.
pub(crate) async fn use_pairing(tx: &mut Tx, hash: &str, user_id: &str, now: DateTime<Utc>) -> Result<bool> {
    let used = tx
        .sql("update pairing_token set used_at = $2, user_id = $3 where hash = $1 and used_at is null and expires_at > $2")
        .bind(hash)
        .bind(&now)
        .bind(user_id)
        .execute()
        .await?;
    Ok(used == 1)
}
