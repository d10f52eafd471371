//! The SQL of uses: added up in batches, read by page, deleted when they are old.

use chrono::{DateTime, Utc};
use polity_kernel::{
    Record,
    db::{Conn, Filter, List, Result, Rows, Tx},
};
use serde::Serialize;

/// A row of the log, to be added to what is there.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LogRow {
    pub id: String,
    pub organization_id: String,
    pub credential_id: String,
    pub minute: i64,
    pub method: String,
    pub endpoint: String,
    pub status_code: i64,
    pub requests: i64,
    pub milliseconds: i64,
    pub ip: String,
    pub user_agent: String,
}

/// Uses of a credential, or with an empty id of its whole organization, in one span of time.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct UsageRow {
    pub organization_id: String,
    pub credential_id: String,
    pub grain: &'static str,
    pub start: i64,
    pub requests: i64,
    pub tokens: i64,
    pub refused: i64,
}

/// That a credential was used.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LastUse {
    pub id: String,
    pub ip: String,
}

pub(crate) async fn add_log(tx: &mut Tx, rows: &[LogRow]) -> Result<()> {
    tx.sql(
        "insert into usage_log (id, organization_id, credential_id, minute, method, endpoint, status_code, requests,
                                milliseconds, ip, user_agent)
         select r.item ->> 'id', r.item ->> 'organization_id', r.item ->> 'credential_id',
                cast(r.item ->> 'minute' as bigint), r.item ->> 'method', r.item ->> 'endpoint',
                cast(r.item ->> 'status_code' as bigint), cast(r.item ->> 'requests' as bigint),
                cast(r.item ->> 'milliseconds' as bigint), r.item ->> 'ip', r.item ->> 'user_agent'
         from rows($1) as r
         where true
         on conflict (credential_id, minute, method, endpoint, status_code) do update
            set requests = usage_log.requests + excluded.requests,
                milliseconds = usage_log.milliseconds + excluded.milliseconds,
                ip = excluded.ip, user_agent = excluded.user_agent",
    )
    .bind(&Rows::of(rows))
    .execute()
    .await?;
    Ok(())
}

/// Adds uses; returns what the days have come to: organization, credential, start, requests, tokens.
pub(crate) async fn add_usage(tx: &mut Tx, rows: &[UsageRow]) -> Result<Vec<(String, String, String, i64, i64, i64)>> {
    tx.sql(
        "insert into credential_usage (organization_id, credential_id, grain, start, requests, tokens, refused)
         select r.item ->> 'organization_id', r.item ->> 'credential_id', r.item ->> 'grain',
                cast(r.item ->> 'start' as bigint), cast(r.item ->> 'requests' as bigint),
                cast(r.item ->> 'tokens' as bigint), cast(r.item ->> 'refused' as bigint)
         from rows($1) as r
         where true
         on conflict (organization_id, credential_id, grain, start) do update
            set requests = credential_usage.requests + excluded.requests,
                tokens = credential_usage.tokens + excluded.tokens,
                refused = credential_usage.refused + excluded.refused
         returning organization_id, credential_id, grain, start, requests, tokens",
    )
    .bind(&Rows::of(rows))
    .all()
    .await
}

/// Notes when credentials were used last, at most once a minute each (BR-API-037).
pub(crate) async fn mark_used(tx: &mut Tx, uses: &[LastUse], now: DateTime<Utc>, before: DateTime<Utc>) -> Result<()> {
    tx.sql(
        "update credential
         set last_used_at = $2,
             last_used_ip = (select r.item ->> 'ip' from rows($1) as r where r.item ->> 'id' = credential.id)
         where id in (select r.item ->> 'id' from rows($1) as r)
           and (last_used_at is null or last_used_at <= $3)",
    )
    .bind(&Rows::of(uses))
    .bind(&now)
    .bind(&before)
    .execute()
    .await?;
    Ok(())
}

/// Says whether this is news: a share of a quota is told of once per window.
pub(crate) async fn mark_threshold(tx: &mut Tx, scope_id: &str, field: &str, start: i64, percent: i64) -> Result<bool> {
    let marked = tx
        .sql(
            "insert into usage_threshold (scope_id, field, start, percent) values ($1, $2, $3, $4)
             on conflict do nothing",
        )
        .bind(scope_id)
        .bind(field)
        .bind(&start)
        .bind(&percent)
        .execute()
        .await?;
    Ok(marked == 1)
}

/// Requests and tokens of a credential (an empty id: of the organization) in one span.
pub(crate) async fn used(
    conn: &mut Conn,
    organization_id: &str,
    credential_id: &str,
    grain: &str,
    start: i64,
) -> Result<(i64, i64)> {
    let row = conn
        .sql(
            "select requests, tokens from credential_usage
             where organization_id = $1 and credential_id = $2 and grain = $3 and start = $4",
        )
        .bind(organization_id)
        .bind(credential_id)
        .bind(grain)
        .bind(&start)
        .optional()
        .await?;
    Ok(row.unwrap_or_default())
}

/// A limit of an organization, and the day of which its uses are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Common {
    pub organization_id: String,
    pub field: &'static str,
    pub day: i64,
}

/// What counts against such a limit: requests and tokens of the organization's keys that have none of their own of that
/// name.
#[derive(Debug, Clone, Record)]
pub(crate) struct CommonUse {
    pub organization_id: String,
    pub field: String,
    pub requests: i64,
    pub tokens: i64,
}

/// What counts against these limits; nothing of one that nobody used.
pub(crate) async fn used_of_organizations(conn: &mut Conn, limits: &[Common]) -> Result<Vec<CommonUse>> {
    if limits.is_empty() {
        return Ok(Vec::new());
    }
    conn.sql(
        "select c.organization_id, r.item ->> 'field' as field, cast(sum(u.requests) as bigint) as requests,
                cast(sum(u.tokens) as bigint) as tokens
         from rows($1) as r
         join credential as c on c.organization_id = r.item ->> 'organization_id' and c.kind in ('user', 'service')
                             and (c.rate_limits -> (r.item ->> 'field')) is null
         join credential_usage as u on u.organization_id = c.organization_id and u.credential_id = c.id
                                   and u.grain = 'day' and u.start = cast(r.item ->> 'day' as bigint)
         group by c.organization_id, r.item ->> 'field'",
    )
    .bind(&Rows::of(limits))
    .all()
    .await
}

/// Uses in a span of time.
#[derive(Debug, Clone, Record)]
pub(crate) struct Span {
    pub start: i64,
    pub requests: i64,
    pub tokens: i64,
    pub refused: i64,
}

/// Uses of a credential (an empty id: of the organization) by span, oldest first, at most 1,500.
pub(crate) async fn spans(
    conn: &mut Conn,
    organization_id: &str,
    credential_id: &str,
    grain: &str,
    from: i64,
    to: i64,
) -> Result<Vec<Span>> {
    conn.sql(
        "select start, requests, tokens, refused from credential_usage
         where organization_id = $1 and credential_id = $2 and grain = $3 and start >= $4 and start <= $5
         order by start limit 1500",
    )
    .bind(organization_id)
    .bind(credential_id)
    .bind(grain)
    .bind(&from)
    .bind(&to)
    .all()
    .await
}

/// An entry of the log.
#[derive(Debug, Clone, Record)]
pub(crate) struct Entry {
    pub id: String,
    pub credential_id: String,
    pub minute: i64,
    pub method: String,
    pub endpoint: String,
    pub status_code: i64,
    pub requests: i64,
    pub milliseconds: i64,
    pub ip: String,
    pub user_agent: String,
}

/// Which entries are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogFilter {
    pub organization_id: String,
    /// Of this person's tokens alone.
    pub subject_id: Option<String>,
    pub credential_id: Option<String>,
    pub status_code: Option<i64>,
    /// After this entry, by minute and id.
    pub after: Option<(i64, String)>,
}

impl LogFilter {
    fn apply<'p>(&'p self, start: &'static str) -> Filter<'p> {
        let mut filter = Filter::new(start);
        filter.and("organization_id = ?", &self.organization_id);
        filter.and_some(
            "credential_id in (select id from credential where subject_id = ?)",
            self.subject_id.as_ref(),
        );
        filter.and_some("credential_id = ?", self.credential_id.as_ref());
        filter.and_some("status_code = ?", self.status_code.as_ref());
        filter
    }
}

/// A page of the log, newest first.
pub(crate) async fn log(conn: &mut Conn, wanted: &LogFilter, limit: i64, offset: i64) -> Result<Vec<Entry>> {
    let mut page = wanted.apply(
        "select id, credential_id, minute, method, endpoint, status_code, requests, milliseconds, ip, user_agent
         from usage_log where true",
    );
    if let Some((minute, id)) = &wanted.after {
        page.and("minute <= ?", minute);
        page.with("and (minute < ?", minute).with("or id < ?)", id);
    }
    page.push("order by minute desc, id desc");
    page.with("limit ?", &limit).with("offset ?", &offset);
    conn.filter(page).all().await
}

pub(crate) async fn count_log(conn: &mut Conn, wanted: &LogFilter) -> Result<i64> {
    let (total,) = conn
        .filter(wanted.apply("select count(*) from usage_log where true"))
        .one::<(i64,)>()
        .await?;
    Ok(total)
}

/// A place in the log: minute and id.
pub(crate) type Place = (i64, String);

/// Takes the addresses off some entries of a credential, those after a place; says where they end, `None` at the end.
pub(crate) async fn forget_some(tx: &mut Tx, credential_id: &str, after: &Place, limit: i64) -> Result<Option<Place>> {
    let some: Vec<Place> = tx
        .sql(
            "select minute, id from usage_log
             where credential_id = $1 and minute >= $2 and (minute > $2 or id > $3)
             order by minute, id limit $4",
        )
        .bind(credential_id)
        .bind(&after.0)
        .bind(&after.1)
        .bind(&limit)
        .all()
        .await?;
    tx.sql("update usage_log set ip = '', user_agent = '' where id in (select item from list($1) as ids)")
        .bind(&List::of(some.iter().map(|(_, id)| id)))
        .execute()
        .await?;
    Ok(some.into_iter().last())
}

/// What is older than these moments, in seconds since 1970, is deleted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Old {
    pub log: i64,
    pub minutes: i64,
    pub hours: i64,
    pub days: i64,
    /// What was told of quotas; the longest, of credits, is a month.
    pub thresholds: i64,
}

/// Deletes some of what is old; says how much.
pub(crate) async fn delete_old(tx: &mut Tx, old: Old, limit: i64) -> Result<u64> {
    let mut gone = tx
        .sql("delete from usage_log where id in (select id from usage_log where minute < $1 limit $2)")
        .bind(&old.log)
        .bind(&limit)
        .execute()
        .await?;
    for (grain, before) in [("minute", old.minutes), ("hour", old.hours), ("day", old.days)] {
        gone += tx
            .sql(
                "delete from credential_usage
                 where (organization_id, credential_id, grain, start) in
                       (select organization_id, credential_id, grain, start from credential_usage
                        where grain = $1 and start < $2 limit $3)",
            )
            .bind(grain)
            .bind(&before)
            .bind(&limit)
            .execute()
            .await?;
    }
    gone += tx
        .sql(
            "delete from usage_threshold
             where (scope_id, field, start, percent) in
                   (select scope_id, field, start, percent from usage_threshold where start < $1 limit $2)",
        )
        .bind(&old.thresholds)
        .bind(&limit)
        .execute()
        .await?;
    Ok(gone)
}

/// The requests of an organization in the days that begin in a span.
pub(crate) async fn requests(conn: &mut Conn, organization_id: &str, from: i64, to: i64) -> Result<i64> {
    let (sum,) = conn
        .sql(
            "select cast(coalesce(sum(requests), 0) as bigint) from credential_usage
             where organization_id = $1 and credential_id = '' and grain = 'day' and start >= $2 and start <= $3",
        )
        .bind(organization_id)
        .bind(&from)
        .bind(&to)
        .one::<(i64,)>()
        .await?;
    Ok(sum)
}

/// The requests of all organizations in a day.
pub(crate) async fn all_requests(conn: &mut Conn, day: i64) -> Result<i64> {
    let (sum,) = conn
        .sql(
            "select cast(coalesce(sum(requests), 0) as bigint) from credential_usage
             where grain = 'day' and start = $1 and credential_id = ''",
        )
        .bind(&day)
        .long()
        .one::<(i64,)>()
        .await?;
    Ok(sum)
}

/// How long the logged requests since a moment took on the average; `None` if there were none.
pub(crate) async fn mean_milliseconds(conn: &mut Conn, since: i64) -> Result<Option<i64>> {
    let (milliseconds, requests) = conn
        .sql(
            "select cast(coalesce(sum(milliseconds), 0) as bigint), cast(coalesce(sum(requests), 0) as bigint)
             from usage_log where minute >= $1",
        )
        .bind(&since)
        .long()
        .one::<(i64, i64)>()
        .await?;
    Ok((requests > 0).then(|| milliseconds / requests))
}
