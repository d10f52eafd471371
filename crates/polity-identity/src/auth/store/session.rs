//! The SQL of sessions, refresh tokens and revocations.

use chrono::{DateTime, Utc};
use polity_kernel::{
    db::{Conn, Result, Tx},
    secret::Sealed,
};

use super::super::model::{RefreshToken, Session};

macro_rules! session {
    ($rest:literal) => {
        concat!(
            "select id, user_id, scope, provider, organization_id, permissions, metadata, ip, user_agent, created_at,
                    last_activity, expires_at, invalidated_at
             from auth_session ",
            $rest
        )
    };
}

pub(crate) async fn insert(tx: &mut Tx, session: &Session) -> Result<()> {
    tx.sql(
        "insert into auth_session (id, user_id, scope, provider, organization_id, permissions, metadata, ip, user_agent,
                                   created_at, last_activity, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11)",
    )
    .bind(&session.id)
    .bind(&session.user_id)
    .bind(&session.scope)
    .bind(&session.provider)
    .bind(&session.organization_id)
    .bind(&session.permissions)
    .bind(&session.metadata)
    .bind(&session.ip)
    .bind(&session.user_agent)
    .bind(&session.created_at)
    .bind(&session.expires_at)
    .execute()
    .await?;
    Ok(())
}

pub(crate) async fn find(conn: &mut Conn, id: &str) -> Result<Option<Session>> {
    conn.sql(session!("where id = $1")).bind(id).optional().await
}

/// The live sessions of a person, newest first, at most 200.
pub(crate) async fn list_live(conn: &mut Conn, user_id: &str, now: DateTime<Utc>) -> Result<Vec<Session>> {
    conn.sql(session!(
        "where user_id = $1 and invalidated_at is null and expires_at > $2 order by created_at desc, id limit 200"
    ))
    .bind(user_id)
    .bind(&now)
    .all()
    .await
}

/// Whether the session may still be used.
pub(crate) async fn is_live(conn: &mut Conn, id: &str) -> Result<bool> {
    let row = conn
        .sql("select session_id from revocation where session_id = $1")
        .bind(id)
        .optional::<(String,)>()
        .await?;
    Ok(row.is_none())
}

pub(crate) async fn prolong(tx: &mut Tx, id: &str, now: DateTime<Utc>, expires_at: DateTime<Utc>) -> Result<()> {
    tx.sql("update auth_session set last_activity = $2, expires_at = $3 where id = $1")
        .bind(id)
        .bind(&now)
        .bind(&expires_at)
        .execute()
        .await?;
    Ok(())
}

/// Ends the live sessions of a person, `but` one, of one `scope` or all; returns their ids.
pub(crate) async fn end_all(
    tx: &mut Tx,
    user_id: &str,
    but: Option<&str>,
    scope: Option<&str>,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<Vec<String>> {
    let ended = tx
        .sql(
            "update auth_session set invalidated_at = $2, reason = $3
             where user_id = $1 and invalidated_at is null
               and (cast($4 as text) is null or id <> $4)
               and (cast($5 as text) is null or scope = $5)
             returning id",
        )
        .bind(user_id)
        .bind(&now)
        .bind(reason)
        .bind(&but)
        .bind(&scope)
        .all::<(String,)>()
        .await?;
    Ok(ended.into_iter().map(|(id,)| id).collect())
}

/// Ends the oldest live sessions of a person beyond the `most`; returns their ids.
pub(crate) async fn end_oldest(
    tx: &mut Tx,
    user_id: &str,
    most: i64,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<Vec<String>> {
    let ended = tx
        .sql(
            "update auth_session set invalidated_at = $2, reason = $3
             where invalidated_at is null and id in (
                 select id from auth_session
                 where user_id = $1 and invalidated_at is null
                 order by created_at desc, id desc
                 limit 50 offset $4)
             returning id",
        )
        .bind(user_id)
        .bind(&now)
        .bind(reason)
        .bind(&most)
        .all::<(String,)>()
        .await?;
    Ok(ended.into_iter().map(|(id,)| id).collect())
}

/// Leaves nothing of a person's sessions; their refresh tokens go with them.
pub(crate) async fn delete_all(tx: &mut Tx, user_id: &str) -> Result<()> {
    tx.sql("delete from auth_session where user_id = $1")
        .bind(user_id)
        .execute()
        .await?;
    Ok(())
}

/// Ends one session; false if it had ended.
pub(crate) async fn end(tx: &mut Tx, id: &str, reason: &str, now: DateTime<Utc>) -> Result<bool> {
    let ended = tx
        .sql("update auth_session set invalidated_at = $2, reason = $3 where id = $1 and invalidated_at is null")
        .bind(id)
        .bind(&now)
        .bind(reason)
        .execute()
        .await?;
    Ok(ended == 1)
}

pub(crate) async fn revoke(tx: &mut Tx, id: &str, expires_at: DateTime<Utc>) -> Result<()> {
    tx.sql("insert into revocation (session_id, expires_at) values ($1, $2) on conflict do nothing")
        .bind(id)
        .bind(&expires_at)
        .execute()
        .await?;
    Ok(())
}

/// Revocations after a place in their sequence: place, session, and until when it matters.
pub(crate) async fn revoked_after(conn: &mut Conn, seq: i64) -> Result<Vec<(i64, String, DateTime<Utc>)>> {
    conn.sql("select seq, session_id, expires_at from revocation where seq > $1")
        .bind(&seq)
        .all()
        .await
}

pub(crate) async fn insert_token(tx: &mut Tx, token: &RefreshToken, now: DateTime<Utc>) -> Result<()> {
    tx.sql("insert into refresh_token (hash, session_id, created_at, expires_at) values ($1, $2, $3, $4)")
        .bind(&token.hash)
        .bind(&token.session_id)
        .bind(&now)
        .bind(&token.expires_at)
        .execute()
        .await?;
    Ok(())
}

pub(crate) async fn find_token(conn: &mut Conn, hash: &str) -> Result<Option<RefreshToken>> {
    conn.sql("select hash, session_id, expires_at, used_at, successor from refresh_token where hash = $1")
        .bind(hash)
        .optional()
        .await
}

pub(crate) async fn use_token(tx: &mut Tx, hash: &str, now: DateTime<Utc>, successor: &Sealed) -> Result<()> {
    tx.sql("update refresh_token set used_at = $2, successor = $3 where hash = $1")
        .bind(hash)
        .bind(&now)
        .bind(successor)
        .execute()
        .await?;
    Ok(())
}
