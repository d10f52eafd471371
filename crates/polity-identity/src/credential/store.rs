//! SQL and nothing else; uses are in the file beside. The organization comes first where there is one.

pub(super) mod scopes;
pub(super) mod usage;

use chrono::{DateTime, Utc};
use polity_kernel::db::{Conn, Filter, Json, List, Result, Tx};

use super::{
    limits::RateLimits,
    model::{Credential, Kind},
};

macro_rules! credential {
    ($rest:literal) => {
        concat!(
            "select id, kind, hash, organization_id, subject_id, project_id, name, preview, grant_all, permissions, scopes,
                    ip_allowlist, rate_limits, credits, credit_amount, credit_interval, credit_period, is_enabled,
                    created_by, created_at, updated_at, expires_at, retires_at, revoked_at, rotated_from_id,
                    last_used_at, last_used_ip
             from credential ",
            $rest
        )
    };
}

pub(super) async fn find_by_hash(conn: &mut Conn, hash: &str) -> Result<Option<Credential>> {
    conn.sql(credential!("where hash = $1")).bind(hash).optional().await
}

pub(super) async fn find(conn: &mut Conn, organization_id: &str, id: &str) -> Result<Option<Credential>> {
    conn.sql(credential!("where organization_id = $1 and id = $2"))
        .bind(organization_id)
        .bind(id)
        .optional()
        .await
}

/// Which credentials of an organization are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub organization_id: &'a str,
    pub kinds: &'a [&'a str],
    pub subject_id: Option<&'a str>,
    pub project_id: Option<&'a str>,
}

impl Wanted<'_> {
    fn filter<'p>(&'p self, kinds: &'p List, start: &'static str) -> Filter<'p> {
        let mut filter = Filter::new(start);
        filter.and("organization_id = ?", self.organization_id);
        filter.and("kind in list(?)", kinds);
        filter.and_some("subject_id = ?", self.subject_id.as_ref());
        filter.and_some("project_id = ?", self.project_id.as_ref());
        filter
    }
}

/// A page of credentials, newest first, and how many there are.
pub(super) async fn list(
    conn: &mut Conn,
    wanted: &Wanted<'_>,
    limit: i64,
    offset: i64,
) -> Result<(Vec<Credential>, i64)> {
    let kinds = List::of(wanted.kinds);
    let mut page = wanted.filter(&kinds, credential!("where true"));
    page.push("order by created_at desc, id desc");
    page.with("limit ?", &limit).with("offset ?", &offset);
    let found = conn.filter(page).all().await?;
    let count = wanted.filter(&kinds, "select count(*) from credential where true");
    let (total,) = conn.filter(count).one::<(i64,)>().await?;
    Ok((found, total))
}

/// How many of an owner's credentials are alive.
pub(super) async fn count_live(
    conn: &mut Conn,
    organization_id: &str,
    kind: Kind,
    subject_id: Option<&str>,
    now: DateTime<Utc>,
) -> Result<i64> {
    let (count,) = conn
        .sql(
            "select count(*) from credential
             where organization_id = $1 and kind = $2 and (cast($3 as text) is null or subject_id = $3)
               and revoked_at is null and (expires_at is null or expires_at > $4)",
        )
        .bind(organization_id)
        .bind(&kind)
        .bind(&subject_id)
        .bind(&now)
        .one::<(i64,)>()
        .await?;
    Ok(count)
}

pub(super) async fn insert(tx: &mut Tx, new: &Credential) -> Result<()> {
    tx.sql(
        "insert into credential (id, kind, hash, organization_id, subject_id, project_id, name, preview, grant_all,
                                 permissions, scopes, ip_allowlist, rate_limits, credits, credit_amount, credit_interval,
                                 credit_period, is_enabled, created_by, created_at, updated_at, expires_at,
                                 rotated_from_id, expiry_told)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $20, $21, $22,
                 false)",
    )
    .bind(&new.id)
    .bind(&new.kind)
    .bind(&new.hash)
    .bind(&new.organization_id)
    .bind(&new.subject_id)
    .bind(&new.project_id)
    .bind(&new.name)
    .bind(&new.preview)
    .bind(&new.grant_all)
    .bind(&new.permissions)
    .bind(&new.scopes)
    .bind(&new.ip_allowlist)
    .bind(&new.rate_limits)
    .bind(&new.credits)
    .bind(&new.credit_amount)
    .bind(&new.credit_interval)
    .bind(&new.credit_period)
    .bind(&new.is_enabled)
    .bind(&new.created_by)
    .bind(&new.created_at)
    .bind(&new.expires_at)
    .bind(&new.rotated_from_id)
    .execute()
    .await?;
    Ok(())
}

/// What people may change of a credential that is alive; says whether there was one.
pub(super) async fn update(tx: &mut Tx, changed: &Credential, now: DateTime<Utc>) -> Result<bool> {
    let updated = tx
        .sql(
            "update credential set name = $3, is_enabled = $4, ip_allowlist = $5, scopes = $6, expires_at = $7, updated_at = $8
             where organization_id = $1 and id = $2 and revoked_at is null",
        )
        .bind(&changed.organization_id)
        .bind(&changed.id)
        .bind(&changed.name)
        .bind(&changed.is_enabled)
        .bind(&changed.ip_allowlist)
        .bind(&changed.scopes)
        .bind(&changed.expires_at)
        .bind(&now)
        .execute()
        .await?;
    Ok(updated == 1)
}

pub(super) async fn set_limits(
    tx: &mut Tx,
    organization_id: &str,
    id: &str,
    limits: &Json<RateLimits>,
    now: DateTime<Utc>,
) -> Result<()> {
    tx.sql("update credential set rate_limits = $3, updated_at = $4 where organization_id = $1 and id = $2")
        .bind(organization_id)
        .bind(id)
        .bind(limits)
        .bind(&now)
        .execute()
        .await?;
    Ok(())
}

/// Lets a credential that is alive end beside its successor; says whether there was one.
pub(super) async fn retire(
    tx: &mut Tx,
    organization_id: &str,
    id: &str,
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool> {
    let retired = tx
        .sql(
            "update credential set retires_at = $3, updated_at = $4
             where organization_id = $1 and id = $2 and revoked_at is null and retires_at is null",
        )
        .bind(organization_id)
        .bind(id)
        .bind(&at)
        .bind(&now)
        .execute()
        .await?;
    Ok(retired == 1)
}

/// What was revoked: enough to say so.
pub(super) type Revoked = (String, Kind, String, String, Option<String>, Option<String>);

macro_rules! revoke {
    ($rest:literal) => {
        concat!(
            "update credential set revoked_at = $1, revoked_by = $2, revoke_reason = $3, updated_at = $1
             where revoked_at is null and ",
            $rest,
            " returning id, kind, hash, organization_id, subject_id, project_id"
        )
    };
}

/// Revokes one credential of an organization; `None` if there was none that is not.
pub(super) async fn revoke(
    tx: &mut Tx,
    by: &str,
    reason: &str,
    (organization_id, id): (&str, &str),
    now: DateTime<Utc>,
) -> Result<Option<Revoked>> {
    tx.sql(revoke!("organization_id = $4 and id = $5"))
        .bind(&now)
        .bind(by)
        .bind(reason)
        .bind(organization_id)
        .bind(id)
        .optional()
        .await
}

/// Revokes those with these hashes, whosever they are.
pub(super) async fn revoke_hashes(
    tx: &mut Tx,
    by: &str,
    reason: &str,
    hashes: &List,
    now: DateTime<Utc>,
) -> Result<Vec<Revoked>> {
    tx.sql(revoke!("hash in list($4)"))
        .bind(&now)
        .bind(by)
        .bind(reason)
        .bind(hashes)
        .all()
        .await
}

/// Revokes some of those whose successors have taken over.
pub(super) async fn revoke_retired(tx: &mut Tx, now: DateTime<Utc>, limit: i64) -> Result<Vec<Revoked>> {
    tx.sql(revoke!(
        "id in (select id from credential where revoked_at is null and retires_at <= $1 limit $4)"
    ))
    .bind(&now)
    .bind("polity")
    .bind("rotated")
    .bind(&limit)
    .all()
    .await
}

/// Revokes some of a person's tokens, and of the keys of their personal organization.
pub(super) async fn revoke_of_person(
    tx: &mut Tx,
    user_id: &str,
    reason: &str,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Revoked>> {
    tx.sql(revoke!(
        "id in (select id from credential
                where revoked_at is null and (organization_id = $4 or (subject_id = $4 and kind = 'token')) limit $5)"
    ))
    .bind(&now)
    .bind("polity")
    .bind(reason)
    .bind(user_id)
    .bind(&limit)
    .all()
    .await
}

/// Revokes some of an organization's credentials; with a person, those of that person alone.
pub(super) async fn revoke_of_organization(
    tx: &mut Tx,
    organization_id: &str,
    user_id: Option<&str>,
    reason: &str,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Revoked>> {
    tx.sql(revoke!(
        "id in (select id from credential
                where revoked_at is null and organization_id = $4
                  and (cast($5 as text) is null
                       or (kind = 'token' and subject_id = $5) or (kind <> 'device' and created_by = $5))
                limit $6)"
    ))
    .bind(&now)
    .bind("polity")
    .bind(reason)
    .bind(organization_id)
    .bind(&user_id)
    .bind(&limit)
    .all()
    .await
}

/// Takes credits; returns what is left, or `None` if there are not so many. Those of one that was replaced are its
/// successor's, also for a process that has not heard of it yet.
pub(super) async fn take_credits(tx: &mut Tx, id: &str, units: i64) -> Result<Option<i64>> {
    let left = tx
        .sql(
            "update credential set credits = credits - $2
             where id = $1 and credits >= $2 and revoked_at is null
             returning credits",
        )
        .bind(id)
        .bind(&units)
        .optional::<(i64,)>()
        .await?;
    Ok(left.map(|(left,)| left))
}

/// Gives back what was taken for a use that a limit then refused.
pub(super) async fn give_credits_back(tx: &mut Tx, id: &str, units: i64) -> Result<()> {
    tx.sql("update credential set credits = credits + $2 where id = $1 and revoked_at is null")
        .bind(id)
        .bind(&units)
        .execute()
        .await?;
    Ok(())
}

/// Fills credits up for a period, unless that was done; whoever comes second finds it done.
pub(super) async fn fill_credits(tx: &mut Tx, id: &str, period: i64) -> Result<()> {
    tx.sql(
        "update credential set credits = credit_amount, credit_period = $2
         where id = $1 and credit_amount is not null and credit_period < $2",
    )
    .bind(id)
    .bind(&period)
    .execute()
    .await?;
    Ok(())
}

pub(super) async fn credits_left(conn: &mut Conn, id: &str) -> Result<i64> {
    let left = conn
        .sql("select coalesce(credits, 0) from credential where id = $1 and revoked_at is null")
        .bind(id)
        .optional::<(i64,)>()
        .await?;
    Ok(left.map_or(0, |(left,)| left))
}

/// Tokens that end soon, of which nobody was told; marks them as told.
pub(super) async fn take_expiring(
    tx: &mut Tx,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<(String, String, Option<String>, DateTime<Utc>)>> {
    tx.sql(
        "update credential set expiry_told = true
         where id in (select id from credential
                      where revoked_at is null and kind = 'token' and expires_at > $1 and expires_at <= $2
                        and not expiry_told limit $3)
         returning id, organization_id, subject_id, expires_at",
    )
    .bind(&now)
    .bind(&until)
    .bind(&limit)
    .all()
    .await
}

/// Takes the name and the address off some of a person's credentials, those after an id; returns the ids of these, the last
/// one last.
pub(super) async fn forget_some(tx: &mut Tx, user_id: &str, after: &str, limit: i64) -> Result<Vec<(String,)>> {
    let some: Vec<(String,)> = tx
        .sql(
            "select id from credential
             where ((subject_id = $1 and kind = 'token') or organization_id = $1) and id > $2
             order by id limit $3",
        )
        .bind(user_id)
        .bind(after)
        .bind(&limit)
        .all()
        .await?;
    tx.sql("update credential set name = 'Erased', last_used_ip = null where id in (select item from list($1) as ids)")
        .bind(&List::of(some.iter().map(|(id,)| id)))
        .execute()
        .await?;
    Ok(some)
}
