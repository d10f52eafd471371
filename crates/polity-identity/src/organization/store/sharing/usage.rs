//! SQL of what was used of what is shared.

use polity_kernel::db::{Conn, Result, Rows, Tx};
use serde::Serialize;

use crate::organization::model::sharing::Period;

/// A count that a use is added to, as long as it does not come to more than `most`.
#[derive(Debug, Clone, Serialize)]
pub(in crate::organization) struct Count<'a> {
    /// Empty: everybody together.
    pub user_id: &'a str,
    pub period: Period,
    pub start: i64,
    pub most: i64,
}

/// Adds a use to counts; returns those it was added to: whose, in which period, and what they have come to.
pub(in crate::organization) async fn count_use(
    tx: &mut Tx,
    sharing_id: &str,
    amount: i64,
    counts: &[Count<'_>],
) -> Result<Vec<(String, Period, i64)>> {
    tx.sql(
        "insert into sharing_usage (sharing_id, user_id, period, start, used, uses, most)
         select cast($1 as text), r.item ->> 'user_id', r.item ->> 'period', cast(r.item ->> 'start' as bigint),
                cast($2 as bigint), 1, cast(r.item ->> 'most' as bigint)
         from rows($3) as r
         where cast($2 as bigint) <= cast(r.item ->> 'most' as bigint)
         on conflict (sharing_id, period, start, user_id) do update
            set used = sharing_usage.used + excluded.used, uses = sharing_usage.uses + 1, most = excluded.most
            where sharing_usage.used + excluded.used <= excluded.most
         returning user_id, period, used",
    )
    .bind(sharing_id)
    .bind(&amount)
    .bind(&Rows::of(counts))
    .all()
    .await
}

/// How much was used of a sharing in a period, and how often.
pub(in crate::organization) async fn used(
    conn: &mut Conn,
    sharing_id: &str,
    user_id: &str,
    (period, start): (Period, i64),
) -> Result<(i64, i64)> {
    let row = conn
        .sql("select used, uses from sharing_usage where sharing_id = $1 and user_id = $2 and period = $3 and start = $4")
        .bind(sharing_id)
        .bind(user_id)
        .bind(&period)
        .bind(&start)
        .optional::<(i64, i64)>()
        .await?;
    Ok(row.unwrap_or_default())
}

/// How much was used on some days, how often, and by how many.
pub(in crate::organization) async fn sum(
    conn: &mut Conn,
    sharing_id: &str,
    (from, until): (i64, i64),
) -> Result<(i64, i64, i64)> {
    conn.sql(
        "select cast(coalesce(sum(used), 0) as bigint), cast(coalesce(sum(uses), 0) as bigint), count(distinct user_id)
         from sharing_usage
         where sharing_id = $1 and period = 'daily' and start >= $2 and start < $3 and user_id <> ''",
    )
    .bind(sharing_id)
    .bind(&from)
    .bind(&until)
    .one()
    .await
}

/// The same by member, who used most first, at most so many.
pub(in crate::organization) async fn sum_by_member(
    conn: &mut Conn,
    sharing_id: &str,
    (from, until): (i64, i64),
    limit: i64,
) -> Result<Vec<(String, i64, i64)>> {
    conn.sql(
        "select user_id, cast(sum(used) as bigint), cast(sum(uses) as bigint)
         from sharing_usage
         where sharing_id = $1 and period = 'daily' and start >= $2 and start < $3 and user_id <> ''
         group by user_id
         order by 2 desc, 1
         limit $4",
    )
    .bind(sharing_id)
    .bind(&from)
    .bind(&until)
    .bind(&limit)
    .all()
    .await
}

pub(in crate::organization) async fn delete_usage(tx: &mut Tx, before: i64, limit: i64) -> Result<u64> {
    tx.sql(
        "delete from sharing_usage
         where (sharing_id, period, start, user_id) in
               (select sharing_id, period, start, user_id from sharing_usage
                where period <> 'total' and start < $1 limit $2)",
    )
    .bind(&before)
    .bind(&limit)
    .execute()
    .await
}
