//! SQL of what happens by the clock, and with the ends of people and organizations.

use chrono::{DateTime, Utc};
use polity_kernel::db::{Conn, List, Result, Tx};

/// Some people for whom the clock or the policy has something to say, but for those named.
pub(in crate::consent) async fn people_due(
    conn: &mut Conn,
    now: DateTime<Utc>,
    policy_version: i64,
    but: &List,
    limit: i64,
) -> Result<Vec<(String,)>> {
    // Each part reads the beginning of its index, however many are due.
    conn.sql(
        "select user_id from (select user_id from consent where is_active and expires_at <= $1
                                and user_id not in list($3) order by expires_at limit $4) as a
         union
         select user_id from (select user_id from consent where is_active and grace_ends_at <= $1
                                and user_id not in list($3) order by grace_ends_at limit $4) as b
         union
         select user_id from (select user_id from consent where is_active and status = 'granted'
                                and policy_version < $2 and user_id not in list($3)
                              order by policy_version limit $4) as c",
    )
    .bind(&now)
    .bind(&policy_version)
    .bind(but)
    .bind(&limit)
    .all()
    .await
}

/// People with active consents in a workspace, in the order of their ids.
pub(in crate::consent) async fn people_in(
    conn: &mut Conn,
    workspace_id: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<(String,)>> {
    conn.sql(
        "select distinct user_id from consent where workspace_id = $1 and is_active and user_id > $2
         order by user_id limit $3",
    )
    .bind(workspace_id)
    .bind(after)
    .bind(&limit)
    .all()
    .await
}

/// Deletes some of a person's that have ended; says how many.
pub(in crate::consent) async fn delete_some(tx: &mut Tx, user_id: &str, limit: i64) -> Result<u64> {
    tx.sql("delete from consent where id in (select id from consent where user_id = $1 and not is_active limit $2)")
        .bind(user_id)
        .bind(&limit)
        .execute()
        .await
}

/// Deletes some that ended long ago; says how many.
pub(in crate::consent) async fn delete_old(tx: &mut Tx, before: DateTime<Utc>, limit: i64) -> Result<u64> {
    tx.sql("delete from consent where id in (select id from consent where ended_at < $1 and not is_active limit $2)")
        .bind(&before)
        .bind(&limit)
        .execute()
        .await
}

/// Writes down that active ones of a person are for an older policy.
pub(in crate::consent) async fn supersede(
    tx: &mut Tx,
    user_id: &str,
    ids: &List,
    now: DateTime<Utc>,
    grace_ends_at: DateTime<Utc>,
) -> Result<u64> {
    tx.sql(
        "update consent set status = 'superseded', superseded_at = $3, grace_ends_at = $4, updated_at = $3
         where user_id = $1 and id in list($2) and is_active and status = 'granted'",
    )
    .bind(user_id)
    .bind(ids)
    .bind(&now)
    .bind(&grace_ends_at)
    .execute()
    .await
}
