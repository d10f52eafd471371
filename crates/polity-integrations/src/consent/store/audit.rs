//! SQL of the history.

use chrono::{DateTime, Utc};
use polity_kernel::{
    Record,
    db::{Conn, Filter, List, Result, Rows, Tx},
};
use serde::Serialize;

/// A chain as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub(in crate::consent) struct Chain {
    pub chain_id: String,
    pub base_sequence: i64,
    pub base_hash: String,
    pub head_sequence: i64,
    pub head_hash: String,
    pub is_pseudonymous: bool,
    pub seal: String,
    pub checked_at: DateTime<Utc>,
    pub broken_sequence: Option<i64>,
    pub problem: Option<String>,
}

macro_rules! chain {
    ($rest:literal) => {
        concat!(
            "select chain_id, base_sequence, base_hash, head_sequence, head_hash, is_pseudonymous, seal, checked_at,
                    broken_sequence, problem
             from consent_chain ",
            $rest
        )
    };
}

/// An entry as it is stored, and what is known of the person.
#[derive(Debug, Clone, Record)]
pub(in crate::consent) struct Link {
    pub sequence: i64,
    pub consent_id: Option<String>,
    pub at: DateTime<Utc>,
    pub body: String,
    pub previous_hash: String,
    pub hash: String,
    pub person: Option<String>,
}

/// An entry to write.
#[derive(Debug, Serialize)]
pub(in crate::consent) struct NewLink {
    pub sequence: i64,
    pub consent_id: Option<String>,
    /// In microseconds.
    pub at: i64,
    pub body: String,
    pub previous_hash: String,
    pub hash: String,
    pub person: String,
}

/// The chain of a person.
pub(in crate::consent) async fn chain_of(conn: &mut Conn, user_id: &str) -> Result<Option<String>> {
    let found = conn
        .sql("select chain_id from consent_person where user_id = $1")
        .bind(user_id)
        .optional::<(String,)>()
        .await?;
    Ok(found.map(|(id,)| id))
}

pub(in crate::consent) async fn find_chain(conn: &mut Conn, chain_id: &str) -> Result<Option<Chain>> {
    conn.sql(chain!("where chain_id = $1")).bind(chain_id).optional().await
}

/// A new chain, and whose it is.
pub(in crate::consent) async fn insert_chain(tx: &mut Tx, user_id: &str, chain: &Chain) -> Result<()> {
    tx.sql("insert into consent_person (user_id, chain_id) values ($1, $2)")
        .bind(user_id)
        .bind(&chain.chain_id)
        .execute()
        .await?;
    tx.sql(
        "insert into consent_chain (chain_id, base_sequence, base_hash, head_sequence, head_hash, is_pseudonymous, seal,
                                    checked_at, broken_sequence, problem)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&chain.chain_id)
    .bind(&chain.base_sequence)
    .bind(&chain.base_hash)
    .bind(&chain.head_sequence)
    .bind(&chain.head_hash)
    .bind(&chain.is_pseudonymous)
    .bind(&chain.seal)
    .bind(&chain.checked_at)
    .bind(&chain.broken_sequence)
    .bind(&chain.problem)
    .execute()
    .await?;
    Ok(())
}

pub(in crate::consent) async fn update_chain(tx: &mut Tx, chain: &Chain) -> Result<()> {
    tx.sql(
        "update consent_chain
         set base_sequence = $2, base_hash = $3, head_sequence = $4, head_hash = $5, is_pseudonymous = $6, seal = $7,
             checked_at = $8, broken_sequence = $9, problem = $10
         where chain_id = $1",
    )
    .bind(&chain.chain_id)
    .bind(&chain.base_sequence)
    .bind(&chain.base_hash)
    .bind(&chain.head_sequence)
    .bind(&chain.head_hash)
    .bind(&chain.is_pseudonymous)
    .bind(&chain.seal)
    .bind(&chain.checked_at)
    .bind(&chain.broken_sequence)
    .bind(&chain.problem)
    .execute()
    .await?;
    Ok(())
}

/// Entries at the end of a chain.
pub(in crate::consent) async fn append(tx: &mut Tx, chain_id: &str, links: &[NewLink]) -> Result<()> {
    let rows = Rows::of(links);
    tx.sql(
        "insert into consent_audit (chain_id, sequence, consent_id, at, body, previous_hash, hash)
         select $1, cast(r.item ->> 'sequence' as bigint), r.item ->> 'consent_id', moment(r.item ->> 'at'),
                r.item ->> 'body', r.item ->> 'previous_hash', r.item ->> 'hash'
         from rows($2) as r",
    )
    .bind(chain_id)
    .bind(&rows)
    .execute()
    .await?;
    tx.sql(
        "insert into consent_audit_person (chain_id, sequence, body)
         select $1, cast(r.item ->> 'sequence' as bigint), r.item ->> 'person' from rows($2) as r",
    )
    .bind(chain_id)
    .bind(&rows)
    .execute()
    .await?;
    Ok(())
}

/// Entries of a chain after one of them, in order; of one consent, or of all.
pub(in crate::consent) async fn links(
    conn: &mut Conn,
    chain_id: &str,
    consent_id: Option<&str>,
    after: i64,
    limit: i64,
) -> Result<Vec<Link>> {
    let mut filter = Filter::new(
        "select a.sequence, a.consent_id, a.at, a.body, a.previous_hash, a.hash, p.body as person
         from consent_audit as a
         left join consent_audit_person as p on p.chain_id = a.chain_id and p.sequence = a.sequence
         where true",
    );
    filter.and("a.chain_id = ?", chain_id);
    filter.and_some("a.consent_id = ?", consent_id.as_ref());
    filter.and("a.sequence > ?", &after);
    filter.push("order by a.sequence");
    filter.with("limit ?", &limit);
    conn.filter(filter).all().await
}

/// Chains, by id; only those that were found broken, or all.
pub(in crate::consent) async fn chains(
    conn: &mut Conn,
    is_broken: Option<bool>,
    after: &str,
    limit: i64,
) -> Result<Vec<Chain>> {
    let mut filter = Filter::new(chain!("where true"));
    filter.and("chain_id > ?", after);
    match is_broken {
        Some(true) => filter.push("and broken_sequence is not null"),
        Some(false) => filter.push("and broken_sequence is null"),
        None => &mut filter,
    };
    filter.push("order by chain_id");
    filter.with("limit ?", &limit);
    conn.filter(filter).all().await
}

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
