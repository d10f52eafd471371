//! SQL and nothing else: identities and registrations here, sessions and keys in the files beside.

pub(super) mod device;
pub(super) mod keys;
pub(super) mod session;

use chrono::{DateTime, Utc};
use polity_kernel::db::{Conn, Result, Rows, Tx};

use super::model::{Identity, Pending};
use crate::account::archive::Person;

macro_rules! identity {
    ($rest:literal) => {
        concat!(
            "select user_id, email, name, password_hash, password_version, is_active from identity ",
            $rest
        )
    };
}

pub(super) async fn find_identity(conn: &mut Conn, user_id: &str) -> Result<Option<Identity>> {
    conn.sql(identity!("where user_id = $1")).bind(user_id).optional().await
}

pub(super) async fn find_identity_by_email(conn: &mut Conn, email: &str) -> Result<Option<Identity>> {
    conn.sql(identity!("where email = $1")).bind(email).optional().await
}

/// Inserts identities without a password for people who have none.
pub(super) async fn insert_people(tx: &mut Tx, people: &[&Person], now: DateTime<Utc>) -> Result<u64> {
    tx.sql(
        "insert into identity (user_id, email, name, password_hash, is_active, email_verified, created_at, updated_at)
         select r.item ->> 'user_id', r.item ->> 'email', r.item ->> 'name', null,
                cast(r.item ->> 'is_active' as boolean), false, $2, $2
         from rows($1) as r
         where true
         on conflict (user_id) do nothing",
    )
    .bind(&Rows::of(people))
    .bind(&now)
    .execute()
    .await
}

/// Says whether the identity is new: the address may have become somebody's.
pub(super) async fn insert_identity(
    tx: &mut Tx,
    identity: &Identity,
    verified: bool,
    now: DateTime<Utc>,
) -> Result<bool> {
    let inserted = tx
        .sql(
            "insert into identity (user_id, email, name, password_hash, is_active, email_verified, created_at, updated_at)
             values ($1, $2, $3, $4, $5, $6, $7, $7)
             on conflict do nothing",
        )
        .bind(&identity.user_id)
        .bind(&identity.email)
        .bind(&identity.name)
        .bind(&identity.password_hash)
        .bind(&identity.is_active)
        .bind(&verified)
        .bind(&now)
        .execute()
        .await?;
    Ok(inserted == 1)
}

pub(super) async fn mark_login(tx: &mut Tx, user_id: &str, now: DateTime<Utc>) -> Result<()> {
    tx.sql("update identity set last_login = $2 where user_id = $1")
        .bind(user_id)
        .bind(&now)
        .execute()
        .await?;
    Ok(())
}

/// Until when an address answers nobody.
pub(super) async fn locked_until(conn: &mut Conn, subject: &str) -> Result<Option<DateTime<Utc>>> {
    let row = conn
        .sql("select locked_until from login_failure where subject = $1")
        .bind(subject)
        .optional::<(Option<DateTime<Utc>>,)>()
        .await?;
    Ok(row.and_then(|(until,)| until))
}

/// Counts a wrong password; returns how many there were in a row.
pub(super) async fn count_failure(tx: &mut Tx, subject: &str, now: DateTime<Utc>) -> Result<i64> {
    let (failures,) = tx
        .sql(
            "insert into login_failure (subject, failures, at) values ($1, 1, $2)
             on conflict (subject) do update set failures = login_failure.failures + 1, at = excluded.at
             returning failures",
        )
        .bind(subject)
        .bind(&now)
        .one::<(i64,)>()
        .await?;
    Ok(failures)
}

pub(super) async fn lock_subject(tx: &mut Tx, subject: &str, until: Option<DateTime<Utc>>) -> Result<()> {
    tx.sql("update login_failure set locked_until = $2 where subject = $1")
        .bind(subject)
        .bind(&until)
        .execute()
        .await?;
    Ok(())
}

/// Forgets the wrong passwords of an address.
pub(super) async fn forget_failures(tx: &mut Tx, subject: &str) -> Result<()> {
    tx.sql("delete from login_failure where subject = $1")
        .bind(subject)
        .execute()
        .await?;
    Ok(())
}

/// Sets a new password. What was proved with the old one counts no more, and neither do resets that wait.
pub(super) async fn set_password(tx: &mut Tx, user_id: &str, hash: &str, now: DateTime<Utc>) -> Result<()> {
    tx.sql(
        "update identity set password_hash = $2, password_version = password_version + 1, updated_at = $3
         where user_id = $1",
    )
    .bind(user_id)
    .bind(hash)
    .bind(&now)
    .execute()
    .await?;
    delete_resets(tx, user_id).await
}

/// Stores another hash of the same password.
pub(super) async fn rehash_password(tx: &mut Tx, user_id: &str, hash: &str) -> Result<()> {
    tx.sql("update identity set password_hash = $2 where user_id = $1")
        .bind(user_id)
        .bind(hash)
        .execute()
        .await?;
    Ok(())
}

pub(super) async fn set_active(tx: &mut Tx, user_id: &str, is_active: bool, now: DateTime<Utc>) -> Result<()> {
    tx.sql("update identity set is_active = $2, updated_at = $3 where user_id = $1")
        .bind(user_id)
        .bind(&is_active)
        .bind(&now)
        .execute()
        .await?;
    Ok(())
}

/// Takes over name and address from the account, unless the address is another identity's.
pub(super) async fn sync_profile(
    tx: &mut Tx,
    user_id: &str,
    name: &str,
    email: &str,
    now: DateTime<Utc>,
) -> Result<bool> {
    // A reset was mailed to the address that was; perhaps it is somebody else's by now.
    tx.sql(
        "delete from password_reset
         where user_id in (select user_id from identity where user_id = $1 and email <> $2)",
    )
    .bind(user_id)
    .bind(email)
    .execute()
    .await?;
    let updated = tx
        .sql(
            "update identity set name = $2, email = $3, updated_at = $4
             where user_id = $1
               and not exists (select 1 from identity as other where other.email = $3 and other.user_id <> $1)",
        )
        .bind(user_id)
        .bind(name)
        .bind(email)
        .bind(&now)
        .execute()
        .await?;
    Ok(updated == 1)
}

/// Leaves nothing of an identity but its id.
pub(super) async fn erase_identity(tx: &mut Tx, user_id: &str, email: &str, now: DateTime<Utc>) -> Result<()> {
    delete_resets(tx, user_id).await?;
    tx.sql(
        "update identity set email = $2, name = 'Erased', password_hash = null, password_version = password_version + 1,
                             is_active = $3, updated_at = $4
         where user_id = $1",
    )
    .bind(user_id)
    .bind(email)
    .bind(&false)
    .bind(&now)
    .execute()
    .await?;
    Ok(())
}

/// Keeps a registration; one that waited for the same address is replaced.
pub(super) async fn put_pending(tx: &mut Tx, pending: &Pending) -> Result<()> {
    tx.sql("delete from pending_registration where email = $1")
        .bind(&pending.email)
        .execute()
        .await?;
    tx.sql(
        "insert into pending_registration (id, email, name, password_hash, code_hash, known, attempts, resends,
                                           expires_at, dev_code)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&pending.id)
    .bind(&pending.email)
    .bind(&pending.name)
    .bind(&pending.password_hash)
    .bind(&pending.code_hash)
    .bind(&pending.known)
    .bind(&pending.attempts)
    .bind(&pending.resends)
    .bind(&pending.expires_at)
    .bind(&pending.dev_code)
    .execute()
    .await?;
    Ok(())
}

pub(super) async fn find_pending(conn: &mut Conn, id: &str) -> Result<Option<Pending>> {
    conn.sql(
        "select id, email, name, password_hash, code_hash, known, attempts, resends, expires_at, dev_code
         from pending_registration
         where id = $1",
    )
    .bind(id)
    .optional()
    .await
}

pub(super) async fn count_attempt(tx: &mut Tx, id: &str) -> Result<()> {
    tx.sql("update pending_registration set attempts = attempts + 1 where id = $1")
        .bind(id)
        .execute()
        .await?;
    Ok(())
}

pub(super) async fn delete_pending(tx: &mut Tx, id: &str) -> Result<()> {
    tx.sql("delete from pending_registration where id = $1")
        .bind(id)
        .execute()
        .await?;
    Ok(())
}

/// Forgets the resets that wait for a person.
pub(super) async fn delete_resets(tx: &mut Tx, user_id: &str) -> Result<()> {
    tx.sql("delete from password_reset where user_id = $1")
        .bind(user_id)
        .execute()
        .await?;
    Ok(())
}

/// Keeps a reset; those that waited for the same person are worth nothing from now on.
pub(super) async fn put_reset(tx: &mut Tx, hash: &str, user_id: &str, expires_at: DateTime<Utc>) -> Result<()> {
    delete_resets(tx, user_id).await?;
    tx.sql("insert into password_reset (hash, user_id, expires_at) values ($1, $2, $3)")
        .bind(hash)
        .bind(user_id)
        .bind(&expires_at)
        .execute()
        .await?;
    Ok(())
}

/// Whose password a reset sets.
pub(super) async fn find_reset(conn: &mut Conn, hash: &str, now: DateTime<Utc>) -> Result<Option<String>> {
    let row = conn
        .sql("select user_id from password_reset where hash = $1 and expires_at > $2")
        .bind(hash)
        .bind(&now)
        .optional::<(String,)>()
        .await?;
    Ok(row.map(|(user_id,)| user_id))
}

/// Spends a reset: whoever comes second finds none.
pub(super) async fn take_reset(tx: &mut Tx, hash: &str, now: DateTime<Utc>) -> Result<bool> {
    let taken = tx
        .sql("delete from password_reset where hash = $1 and expires_at > $2")
        .bind(hash)
        .bind(&now)
        .execute()
        .await?;
    Ok(taken == 1)
}

pub(super) async fn put_setup_token(tx: &mut Tx, hash: &str, expires_at: DateTime<Utc>) -> Result<()> {
    tx.sql(
        "insert into setup_token (id, hash, expires_at) values (1, $1, $2)
         on conflict (id) do update set hash = excluded.hash, expires_at = excluded.expires_at",
    )
    .bind(hash)
    .bind(&expires_at)
    .execute()
    .await?;
    Ok(())
}

/// Whether the set-up link still works.
pub(super) async fn find_setup_token(conn: &mut Conn, hash: &str, now: DateTime<Utc>) -> Result<bool> {
    let row = conn
        .sql("select id from setup_token where hash = $1 and expires_at > $2")
        .bind(hash)
        .bind(&now)
        .optional::<(i64,)>()
        .await?;
    Ok(row.is_some())
}

/// Spends the set-up link.
pub(super) async fn take_setup_token(tx: &mut Tx, hash: &str, now: DateTime<Utc>) -> Result<bool> {
    let taken = tx
        .sql("delete from setup_token where hash = $1 and expires_at > $2")
        .bind(hash)
        .bind(&now)
        .execute()
        .await?;
    Ok(taken == 1)
}

/// What was of use before these times is not any more.
#[derive(Clone, Copy)]
pub(super) struct Ended {
    pub now: DateTime<Utc>,
    /// Wrong passwords are forgotten, and so are the successors of refresh tokens: their use is over in seconds.
    pub recent: DateTime<Utc>,
    /// Mails that could not be sent in this time are given up.
    pub mails: DateTime<Utc>,
    pub sessions: DateTime<Utc>,
    /// Attempts of devices to authenticate.
    pub attempts: DateTime<Utc>,
    pub keys: DateTime<Utc>,
}

macro_rules! delete_some {
    ($table:literal, $key:literal, $rest:literal) => {
        concat!(
            "delete from ",
            $table,
            " where ",
            $key,
            " in (select ",
            $key,
            " from ",
            $table,
            " where ",
            $rest,
            " limit $2)"
        )
    };
}

/// Deletes what has ended, at most `limit` rows of a table; says how many.
pub(super) async fn clean_up(tx: &mut Tx, ended: Ended, limit: i64) -> Result<u64> {
    let mut gone = 0;
    for (sql, before) in [
        (
            delete_some!("pending_registration", "id", "expires_at <= $1"),
            ended.now,
        ),
        (delete_some!("password_reset", "hash", "expires_at <= $1"), ended.now),
        (delete_some!("revocation", "session_id", "expires_at <= $1"), ended.now),
        (delete_some!("setup_token", "id", "expires_at <= $1"), ended.now),
        (delete_some!("refresh_token", "hash", "expires_at <= $1"), ended.now),
        (delete_some!("login_failure", "subject", "at <= $1"), ended.recent),
        (delete_some!("identity_mail", "id", "created_at <= $1"), ended.mails),
        (delete_some!("auth_session", "id", "expires_at <= $1"), ended.sessions),
        (delete_some!("pairing_token", "hash", "expires_at <= $1"), ended.recent),
        (delete_some!("device_log", "id", "created_at <= $1"), ended.attempts),
        (delete_some!("signing_key", "kid", "replaced_at <= $1"), ended.keys),
        (
            "update refresh_token set successor = null
             where hash in (select hash from refresh_token where successor is not null and used_at <= $1 limit $2)",
            ended.recent,
        ),
    ] {
        gone += tx.sql(sql).bind(&before).bind(&limit).execute().await?;
    }
    Ok(gone)
}
