//! The SQL of events.

use crate::{
    clock::Timestamp,
    db::{Conn, Filter, List, Result, Rows, Tx},
};
use serde::Serialize;

use super::Event;

pub(super) async fn insert(tx: &mut Tx, event: &Event) -> Result<()> {
    tx.sql(
        "insert into event (id, type, source, key, data, metadata, time)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&event.id)
    .bind(&event.r#type)
    .bind(&event.source)
    .bind(&event.key)
    .bind(&event.data)
    .bind(&event.metadata)
    .bind(&event.time)
    .execute()
    .await?;
    Ok(())
}

/// An event, and its place among those that are inserted with it.
#[derive(Serialize)]
struct Placed<'a> {
    n: usize,
    id: &'a str,
    r#type: &'a str,
    source: &'a str,
    key: &'a str,
    data: &'a serde_json::Value,
    metadata: &'a serde_json::Value,
}

/// Inserts events of one moment, in this order.
pub(super) async fn insert_all(tx: &mut Tx, events: &[Event]) -> Result<()> {
    let Some(first) = events.first() else { return Ok(()) };
    let placed: Vec<Placed<'_>> = events
        .iter()
        .enumerate()
        .map(|(n, event)| Placed {
            n,
            id: &event.id,
            r#type: &event.r#type,
            source: &event.source,
            key: &event.key,
            data: &event.data,
            metadata: &event.metadata,
        })
        .collect();
    tx.sql(
        "insert into event (id, type, source, key, data, metadata, time)
         select r.item ->> 'id', r.item ->> 'type', r.item ->> 'source', r.item ->> 'key',
                r.item -> 'data', r.item -> 'metadata', cast($2 as timestamptz)
         from rows($1) as r
         order by cast(r.item ->> 'n' as bigint)",
    )
    .bind(&Rows::of(&placed))
    .bind(&first.time)
    .execute()
    .await?;
    Ok(())
}

pub(super) async fn any_unstamped(conn: &mut Conn) -> Result<bool> {
    let row = conn
        .sql("select seq from event where position is null limit 1")
        .optional::<(i64,)>()
        .await?;
    Ok(row.is_some())
}

/// Stamps the oldest committed events; says how many.
pub(super) async fn stamp(tx: &mut Tx, limit: i64) -> Result<u64> {
    let (last,) = tx
        .sql("select last from event_counter where id = 1")
        .one::<(i64,)>()
        .await?;
    let stamped = tx
        .sql(
            "update event
             set position = next.place + $1
             from (
                 select seq, row_number() over (order by seq) as place
                 from (select seq from event where position is null order by seq limit $2) as oldest
             ) as next
             where event.seq = next.seq",
        )
        .bind(&last)
        .bind(&limit)
        .execute()
        .await?;
    let last = last + i64::try_from(stamped).unwrap_or(0);
    tx.sql("update event_counter set last = $1 where id = 1")
        .bind(&last)
        .execute()
        .await?;
    Ok(stamped)
}

/// The position of the newest stamped event; 0 if there is none.
pub(super) async fn last_position(conn: &mut Conn) -> Result<i64> {
    Ok(conn
        .sql("select last from event_counter where id = 1")
        .one::<(i64,)>()
        .await?
        .0)
}

/// Events after a position, in order; of these types (`x.*` is a prefix), or of all if there are none.
pub(super) async fn after(conn: &mut Conn, position: i64, types: &[&str], limit: i64) -> Result<Vec<Event>> {
    let exact = List::of(types);
    let prefixes: Vec<&str> = types.iter().filter_map(|text| text.strip_suffix('*')).collect();
    let mut filter = Filter::new("select position, id, type, source, key, data, metadata, time from event");
    filter.with("where position > ?", &position);
    if !types.is_empty() {
        filter.with("and (type in list(?)", &exact);
        for prefix in &prefixes {
            filter.with("or substr(type, 1, length(?)) = ?", prefix);
        }
        filter.push(")");
    }
    filter.with("order by position limit ?", &limit);
    conn.filter(filter).all().await
}

pub(super) async fn at(conn: &mut Conn, position: i64) -> Result<Option<Event>> {
    conn.sql("select position, id, type, source, key, data, metadata, time from event where position = $1")
        .bind(&position)
        .optional()
        .await
}

pub(super) async fn progress(conn: &mut Conn, consumer: &str) -> Result<Option<i64>> {
    let row = conn
        .sql("select position from event_consumer where name = $1")
        .bind(consumer)
        .optional::<(i64,)>()
        .await?;
    Ok(row.map(|(position,)| position))
}

/// Notes that the consumer is alive, which enrols a new one.
pub(super) async fn see(tx: &mut Tx, consumer: &str, now: Timestamp) -> Result<()> {
    tx.sql(
        "insert into event_consumer (name, position, seen_at) values ($1, 0, $2)
         on conflict (name) do update set seen_at = excluded.seen_at",
    )
    .bind(consumer)
    .bind(&now)
    .execute()
    .await?;
    Ok(())
}

/// Moves a consumer on, unless somebody else has.
pub(super) async fn advance(tx: &mut Tx, consumer: &str, from: i64, to: i64) -> Result<bool> {
    let moved = tx
        .sql("update event_consumer set position = $3 where name = $1 and position = $2")
        .bind(consumer)
        .bind(&from)
        .bind(&to)
        .execute()
        .await?;
    Ok(moved == 1)
}

/// Starts a consumer over: what it had set aside after that position is forgotten, for it is heard again. Never
/// forward: that would skip events.
pub(super) async fn rewind(tx: &mut Tx, consumer: &str, to: i64) -> Result<bool> {
    tx.sql("delete from event_backlog where consumer = $1 and position > $2")
        .bind(consumer)
        .bind(&to)
        .execute()
        .await?;
    let moved = tx
        .sql("update event_consumer set position = case when position < $2 then position else $2 end where name = $1")
        .bind(consumer)
        .bind(&to)
        .execute()
        .await?;
    Ok(moved == 1)
}

/// Whether something with that key waits to be tried again.
pub(super) async fn is_held_back(conn: &mut Conn, consumer: &str, key: &str) -> Result<bool> {
    let row = conn
        .sql("select position from event_backlog where consumer = $1 and key = $2 and state = 'retry' limit 1")
        .bind(consumer)
        .bind(key)
        .optional::<(i64,)>()
        .await?;
    Ok(row.is_some())
}

/// What a consumer could not take.
pub(super) struct Parked<'a> {
    pub consumer: &'a str,
    pub position: i64,
    pub key: &'a str,
    pub state: &'static str,
    pub attempts: i64,
    pub next_at: Timestamp,
    pub error: Option<&'a str>,
}

pub(super) async fn park(tx: &mut Tx, parked: &Parked<'_>) -> Result<()> {
    tx.sql(
        "insert into event_backlog (consumer, position, key, state, attempts, next_at, error)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (consumer, position) do update
         set state = excluded.state, attempts = excluded.attempts, next_at = excluded.next_at, error = excluded.error",
    )
    .bind(parked.consumer)
    .bind(&parked.position)
    .bind(parked.key)
    .bind(parked.state)
    .bind(&parked.attempts)
    .bind(&parked.next_at)
    .bind(&parked.error)
    .execute()
    .await?;
    Ok(())
}

/// The parked events that are due: of each key only the first.
/// No pause ends later than `longest_pause`, unless the clock that set it was ahead.
pub(super) async fn due(
    conn: &mut Conn,
    consumer: &str,
    now: Timestamp,
    longest_pause: Timestamp,
    limit: i64,
) -> Result<Vec<(i64, i64)>> {
    conn.sql(
        "select position, attempts
         from event_backlog as first
         where consumer = $1 and state = 'retry' and (next_at <= $2 or next_at > $4)
           and not exists (
               select 1 from event_backlog as earlier
               where earlier.consumer = $1 and earlier.key = first.key and earlier.state = 'retry'
                 and earlier.position < first.position
           )
         order by position
         limit $3",
    )
    .bind(consumer)
    .bind(&now)
    .bind(&limit)
    .bind(&longest_pause)
    .all()
    .await
}

/// Takes a parked event off the list, unless somebody else has, or has tried it meanwhile.
pub(super) async fn unpark(tx: &mut Tx, consumer: &str, position: i64, attempts: i64) -> Result<bool> {
    let gone = tx
        .sql("delete from event_backlog where consumer = $1 and position = $2 and attempts = $3 and state = 'retry'")
        .bind(consumer)
        .bind(&position)
        .bind(&attempts)
        .execute()
        .await?;
    Ok(gone == 1)
}

pub(super) async fn dead(conn: &mut Conn, limit: i64) -> Result<Vec<super::DeadLetter>> {
    conn.sql(
        "select consumer, position, key, attempts, error
         from event_backlog
         where state = 'dead'
         order by consumer, position
         limit $1",
    )
    .bind(&limit)
    .all()
    .await
}

pub(super) async fn revive(tx: &mut Tx, consumer: &str, position: i64, now: Timestamp) -> Result<bool> {
    let revived = tx
        .sql(
            "update event_backlog set state = 'retry', attempts = 0, next_at = $3
             where consumer = $1 and position = $2 and state = 'dead'",
        )
        .bind(consumer)
        .bind(&position)
        .bind(&now)
        .execute()
        .await?;
    Ok(revived == 1)
}

/// Deletes old events that every consumer has passed and none has set aside; says how many. Whoever was last seen before is
/// no consumer any more.
pub(super) async fn prune(tx: &mut Tx, before: Timestamp, limit: i64) -> Result<u64> {
    tx.sql(
        "delete from event
         where seq in (
             select seq from event
             where position is not null and time < $1
               and position <= (
                   select coalesce(min(position), 0) from event_consumer where seen_at is null or seen_at >= $1
               )
               and not exists (select 1 from event_backlog where event_backlog.position = event.position)
             order by seq
             limit $2
         )",
    )
    .bind(&before)
    .bind(&limit)
    .execute()
    .await
}
