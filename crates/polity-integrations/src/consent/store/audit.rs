//! SQL of the history.

use chrono::{DateTime, Utc};
use polity_kernel::{
    Record,
    db::{Conn, Filter, Result, Rows, Tx},
};
use serde::Serialize;

/// A chain as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub(in crate::consent) struct Chain {
    pub id: String,
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
            "select chain_id as id, base_sequence, base_hash, head_sequence, head_hash, is_pseudonymous, seal, checked_at,
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

/// Who is behind a chain, under a seal.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub(in crate::consent) struct Behind {
    pub user_id: String,
    pub seal: String,
}

/// Who is behind a chain.
pub(in crate::consent) async fn person_behind(conn: &mut Conn, chain_id: &str) -> Result<Option<Behind>> {
    conn.sql("select user_id, seal from consent_person where chain_id = $1")
        .bind(chain_id)
        .optional()
        .await
}

/// Whose a chain is.
pub(in crate::consent) async fn insert_person(tx: &mut Tx, chain_id: &str, person: &Behind) -> Result<()> {
    tx.sql("insert into consent_person (user_id, chain_id, seal) values ($1, $2, $3)")
        .bind(&person.user_id)
        .bind(chain_id)
        .bind(&person.seal)
        .execute()
        .await?;
    Ok(())
}

/// The last entry of a chain, and its hash.
pub(in crate::consent) async fn last(conn: &mut Conn, chain_id: &str) -> Result<Option<(i64, String)>> {
    conn.sql("select sequence, hash from consent_audit where chain_id = $1 order by sequence desc limit 1")
        .bind(chain_id)
        .optional()
        .await
}

/// A new chain.
pub(in crate::consent) async fn insert_chain(tx: &mut Tx, chain: &Chain) -> Result<()> {
    tx.sql(
        "insert into consent_chain (chain_id, base_sequence, base_hash, head_sequence, head_hash, is_pseudonymous, seal,
                                    checked_at, broken_sequence, problem)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&chain.id)
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
    .bind(&chain.id)
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
