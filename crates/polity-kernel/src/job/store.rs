//! The SQL of jobs.

use super::{Claimed, State};
use crate::{
    clock::Timestamp,
    db::{Conn, List, Result, Tx},
};

/// A row to insert.
pub(super) struct Row<'a> {
    pub id: &'a str,
    pub kind: &'a str,
    pub key: Option<&'a str>,
    pub payload: &'a serde_json::Value,
    pub run_at: Timestamp,
    pub max_attempts: i64,
    pub now: Timestamp,
}

/// Says whether the job is new: one with its key may be queued already.
pub(super) async fn insert(tx: &mut Tx, row: &Row<'_>) -> Result<bool> {
    let inserted = tx
        .sql(
            "insert into job (id, kind, key, payload, state, run_at, attempts, max_attempts, fence, cancel_requested, created_at)
             values ($1, $2, $3, $4, 'queued', $5, 0, $6, 0, $7, $8)
             on conflict do nothing",
        )
        .bind(row.id)
        .bind(row.kind)
        .bind(&row.key)
        .bind(row.payload)
        .bind(&row.run_at)
        .bind(&row.max_attempts)
        .bind(&false)
        .bind(&row.now)
        .execute()
        .await?;
    Ok(inserted == 1)
}

/// Whether anything is due, so that an idle worker writes nothing.
pub(super) async fn any_due(conn: &mut Conn, kinds: &List, now: Timestamp) -> Result<bool> {
    let row = conn
        .sql(
            "select 1
             where exists (select 1 from job where state = 'queued' and run_at <= $1 and kind in list($2))
                or exists (select 1 from job where state = 'running' and lease_until <= $1 and kind in list($2))",
        )
        .bind(&now)
        .bind(kinds)
        .optional::<(i32,)>()
        .await?;
    Ok(row.is_some())
}

/// Ends what a worker was given and lost if it was called off or has no attempt left; says how many.
pub(super) async fn give_up_lost(tx: &mut Tx, kinds: &List, now: Timestamp) -> Result<u64> {
    tx.sql(
        "update job
         set state = case when cancel_requested then 'cancelled' else 'failed' end,
             error = 'its worker was lost', finished_at = $1, lease_until = null
         where state = 'running' and lease_until <= $1 and kind in list($2)
           and (cancel_requested or attempts >= max_attempts)",
    )
    .bind(&now)
    .bind(kinds)
    .execute()
    .await
}

/// Claims what is due, and what a worker was given and lost. Materialised: PostgreSQL may otherwise run the inner query
/// more than once and claim more than the limit.
pub(super) async fn claim(
    tx: &mut Tx,
    kinds: &List,
    now: Timestamp,
    until: Timestamp,
    limit: i64,
) -> Result<Vec<Claimed>> {
    tx.sql(
        "with due as materialized (
             select id from job
             where ((state = 'queued' and run_at <= $1) or (state = 'running' and lease_until <= $1)) and kind in list($3)
             order by run_at, id
             limit $4
             {{skip locked}}
         )
         update job
         set state = 'running', lease_until = $2, attempts = attempts + 1, fence = fence + 1
         where id in (select id from due)
         returning id, kind, payload, attempts, max_attempts, fence, run_at",
    )
    .bind(&now)
    .bind(&until)
    .bind(kinds)
    .bind(&limit)
    .all()
    .await
}

/// Brings back what a clock that was ahead has put off: jobs made in what is the future now wait as long as they were meant
/// to, and those to be tried again do not wait for longer than any pause is.
pub(super) async fn bring_back(tx: &mut Tx, now: Timestamp, longest_pause: Timestamp) -> Result<u64> {
    tx.sql("update job set run_at = $1 where state = 'queued' and attempts > 0 and run_at > $2")
        .bind(&now)
        .bind(&longest_pause)
        .execute()
        .await?;
    tx.sql(
        "update job set run_at = run_at - (created_at - cast($1 as timestamptz)), created_at = cast($1 as timestamptz)
         where state = 'queued' and created_at > cast($1 as timestamptz)",
    )
    .bind(&now)
    .execute()
    .await
}

/// Renews a lease; `None` if the job is somebody else's now, else whether it is to be called off.
pub(super) async fn renew(tx: &mut Tx, id: &str, fence: i64, until: Timestamp) -> Result<Option<bool>> {
    let row = tx
        .sql(
            "update job set lease_until = $3
             where id = $1 and fence = $2 and state = 'running'
             returning cancel_requested",
        )
        .bind(id)
        .bind(&fence)
        .bind(&until)
        .optional::<(bool,)>()
        .await?;
    Ok(row.map(|(cancel,)| cancel))
}

/// Writes a result; false if the job is somebody else's now.
pub(super) async fn finish(
    tx: &mut Tx,
    id: &str,
    fence: i64,
    state: State,
    error: Option<&str>,
    now: Timestamp,
) -> Result<bool> {
    let done = tx
        .sql(
            "update job set state = $3, error = $4, finished_at = $5, lease_until = null
             where id = $1 and fence = $2 and state = 'running'",
        )
        .bind(id)
        .bind(&fence)
        .bind(&state)
        .bind(&error)
        .bind(&now)
        .execute()
        .await?;
    Ok(done == 1)
}

/// Puts a job back for another attempt, or ends it if it was called off; false if it is somebody else's now.
pub(super) async fn put_back(
    tx: &mut Tx,
    id: &str,
    fence: i64,
    error: &str,
    now: Timestamp,
    run_at: Timestamp,
) -> Result<bool> {
    let done = tx
        .sql(
            "update job
             set state = case when cancel_requested then 'cancelled' else 'queued' end,
                 finished_at = case when cancel_requested then cast($5 as timestamptz) end,
                 error = $3, run_at = $4, lease_until = null
             where id = $1 and fence = $2 and state = 'running'",
        )
        .bind(id)
        .bind(&fence)
        .bind(error)
        .bind(&run_at)
        .bind(&now)
        .execute()
        .await?;
    Ok(done == 1)
}

pub(super) async fn set_progress(tx: &mut Tx, id: &str, fence: i64, progress: &serde_json::Value) -> Result<bool> {
    let done = tx
        .sql("update job set progress = $3 where id = $1 and fence = $2 and state = 'running'")
        .bind(id)
        .bind(&fence)
        .bind(progress)
        .execute()
        .await?;
    Ok(done == 1)
}

/// Calls a job off: at once if it waits, by a flag if it runs. Says whether there was one to call off.
pub(super) async fn cancel(tx: &mut Tx, id: &str, now: Timestamp) -> Result<bool> {
    let called_off = tx
        .sql(
            "update job
             set cancel_requested = true,
                 state = case when state = 'queued' then 'cancelled' else state end,
                 finished_at = case when state = 'queued' then cast($2 as timestamptz) end
             where id = $1 and state in ('queued', 'running')",
        )
        .bind(id)
        .bind(&now)
        .execute()
        .await?;
    Ok(called_off == 1)
}

pub(super) async fn state(
    conn: &mut Conn,
    id: &str,
) -> Result<Option<(State, Option<serde_json::Value>, Option<String>)>> {
    conn.sql("select state, progress, error from job where id = $1")
        .bind(id)
        .optional()
        .await
}

/// Deletes jobs that ended before; says how many.
pub(super) async fn prune(tx: &mut Tx, before: Timestamp, limit: i64) -> Result<u64> {
    tx.sql(
        "delete from job where id in (select id from job where finished_at is not null and finished_at < $1 limit $2)",
    )
    .bind(&before)
    .bind(&limit)
    .execute()
    .await
}

pub(super) async fn last_tick(conn: &mut Conn, name: &str) -> Result<Option<Timestamp>> {
    let row = conn
        .sql("select last_tick from cron where name = $1")
        .bind(name)
        .optional::<(Timestamp,)>()
        .await?;
    Ok(row.map(|(tick,)| tick))
}

pub(super) async fn enrol_cron(tx: &mut Tx, name: &str, now: Timestamp) -> Result<()> {
    tx.sql("insert into cron (name, last_tick) values ($1, $2) on conflict (name) do nothing")
        .bind(name)
        .bind(&now)
        .execute()
        .await?;
    Ok(())
}

/// Takes a tick; false if somebody has taken it, or a later one.
pub(super) async fn take_tick(tx: &mut Tx, name: &str, tick: Timestamp) -> Result<bool> {
    let taken = tx
        .sql("update cron set last_tick = $2 where name = $1 and last_tick < $2")
        .bind(name)
        .bind(&tick)
        .execute()
        .await?;
    Ok(taken == 1)
}
