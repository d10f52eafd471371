//! The SQL of signing keys.

use chrono::{DateTime, Utc};
use polity_kernel::{
    Record,
    db::{Conn, Result, Tx},
    secret::Sealed,
};

/// A stored signing key.
#[derive(Debug, Clone, Record)]
pub(crate) struct SigningKeyRow {
    pub kid: String,
    pub sealed: Sealed,
    pub public_key: Vec<u8>,
    pub replaced_at: Option<DateTime<Utc>>,
}

/// The keys whose tokens may still be valid, newest first.
pub(crate) async fn list(conn: &mut Conn, replaced_after: DateTime<Utc>) -> Result<Vec<SigningKeyRow>> {
    conn.sql(
        "select kid, sealed, public_key, replaced_at
         from signing_key
         where replaced_at is null or replaced_at > $1
         order by created_at desc, kid",
    )
    .bind(&replaced_after)
    .all()
    .await
}

/// Inserts a key that replaces all before it.
pub(crate) async fn insert(tx: &mut Tx, key: &SigningKeyRow, now: DateTime<Utc>) -> Result<()> {
    tx.sql("update signing_key set replaced_at = $1 where replaced_at is null")
        .bind(&now)
        .execute()
        .await?;
    tx.sql("insert into signing_key (kid, sealed, public_key, created_at) values ($1, $2, $3, $4)")
        .bind(&key.kid)
        .bind(&key.sealed)
        .bind(&key.public_key)
        .bind(&now)
        .execute()
        .await?;
    Ok(())
}
