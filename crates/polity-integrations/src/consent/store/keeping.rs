//! SQL of keeping histories: looking them over, cutting them, making them nobody's.

use chrono::{DateTime, Utc};
use polity_kernel::db::{Conn, List, Result, Tx};

/// Chains that were not looked at since.
pub(in crate::consent) async fn unchecked(
    conn: &mut Conn,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<(String,)>> {
    conn.sql("select chain_id from consent_chain where checked_at < $1 order by checked_at, chain_id limit $2")
        .bind(&before)
        .bind(&limit)
        .all()
        .await
}

/// Writes down that chains were looked at, and found whole.
pub(in crate::consent) async fn checked(tx: &mut Tx, chain_ids: &List, now: DateTime<Utc>) -> Result<u64> {
    tx.sql("update consent_chain set checked_at = $2 where chain_id in list($1)")
        .bind(chain_ids)
        .bind(&now)
        .execute()
        .await
}

/// Chains with entries from before, by id.
pub(in crate::consent) async fn chains_before(
    conn: &mut Conn,
    before: DateTime<Utc>,
    after: &str,
    limit: i64,
) -> Result<Vec<(String,)>> {
    conn.sql("select distinct chain_id from consent_audit where at < $1 and chain_id > $2 order by chain_id limit $3")
        .bind(&before)
        .bind(after)
        .bind(&limit)
        .all()
        .await
}

/// The first entry of a chain that is not from before.
pub(in crate::consent) async fn first_since(
    conn: &mut Conn,
    chain_id: &str,
    since: DateTime<Utc>,
) -> Result<Option<i64>> {
    let (first,) = conn
        .sql("select min(sequence) from consent_audit where chain_id = $1 and at >= $2")
        .bind(chain_id)
        .bind(&since)
        .one::<(Option<i64>,)>()
        .await?;
    Ok(first)
}

/// Deletes the beginning of a chain, up to an entry.
pub(in crate::consent) async fn cut(tx: &mut Tx, chain_id: &str, sequence: i64) -> Result<u64> {
    tx.sql("delete from consent_audit_person where chain_id = $1 and sequence <= $2")
        .bind(chain_id)
        .bind(&sequence)
        .execute()
        .await?;
    tx.sql("delete from consent_audit where chain_id = $1 and sequence <= $2")
        .bind(chain_id)
        .bind(&sequence)
        .execute()
        .await
}

/// Deletes a chain that holds nothing any more.
pub(in crate::consent) async fn delete_chain(tx: &mut Tx, chain_id: &str) -> Result<u64> {
    tx.sql("delete from consent_chain where chain_id = $1")
        .bind(chain_id)
        .execute()
        .await
}

/// Deletes some of what is known of the person of a chain; says how much.
pub(in crate::consent) async fn delete_person_some(tx: &mut Tx, chain_id: &str, limit: i64) -> Result<u64> {
    tx.sql(
        "delete from consent_audit_person where chain_id = $1 and sequence in
           (select sequence from consent_audit_person where chain_id = $1 limit $2)",
    )
    .bind(chain_id)
    .bind(&limit)
    .execute()
    .await
}

/// Nobody is behind the chain any more.
pub(in crate::consent) async fn delete_person(tx: &mut Tx, user_id: &str) -> Result<u64> {
    tx.sql("delete from consent_person where user_id = $1")
        .bind(user_id)
        .execute()
        .await
}
