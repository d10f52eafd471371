//! The SQL of apps.

use polity_kernel::db::{Conn, List, Result, Tx};

use crate::connection::model::OauthApp;

macro_rules! app {
    ($rest:literal) => {
        concat!(
            "select id, name, provider, display_name, description, version, client_id, client_secret, redirect_uri,
                    required_scopes, is_enabled, is_deprecated, icon_url, documentation_url, created_at, updated_at
             from oauth_app ",
            $rest
        )
    };
}

/// How many apps there can be.
pub(in crate::connection) const MOST: i64 = 1_000;

pub(in crate::connection) async fn find(conn: &mut Conn, id: &str) -> Result<Option<OauthApp>> {
    conn.sql(app!("where id = $1")).bind(id).optional().await
}

pub(in crate::connection) async fn find_named(conn: &mut Conn, name: &str) -> Result<Option<OauthApp>> {
    conn.sql(app!("where name = $1")).bind(name).optional().await
}

/// The apps, by what people call them; with or without those that are not offered.
pub(in crate::connection) async fn list(conn: &mut Conn, every: bool) -> Result<Vec<OauthApp>> {
    conn.sql(app!(
        "where $1 or (is_enabled and not is_deprecated) order by display_name, id limit 1000"
    ))
    .bind(&every)
    .all()
    .await
}

pub(in crate::connection) async fn count(conn: &mut Conn) -> Result<i64> {
    let (count,) = conn.sql("select count(*) from oauth_app").one::<(i64,)>().await?;
    Ok(count)
}

/// With how many connections each app is used.
pub(in crate::connection) async fn uses(conn: &mut Conn, ids: &List) -> Result<Vec<(String, i64)>> {
    conn.sql(
        "select oauth_app_id, count(*) from oauth_connection
         where oauth_app_id in list($1) and status not in ('pending', 'revoked') group by oauth_app_id",
    )
    .bind(ids)
    .all()
    .await
}

/// With how many connections an app is used or about to be, and of how many its provider is still to be told: without the app
/// their tokens could not be taken back.
pub(in crate::connection) async fn count_uses(conn: &mut Conn, id: &str) -> Result<i64> {
    let (count,) = conn
        .sql(
            "select (select count(*) from oauth_connection where oauth_app_id = $1 and status not in ('revoked', 'error'))
                  + (select count(*) from oauth_take_back where oauth_app_id = $1)",
        )
        .bind(id)
        .one::<(i64,)>()
        .await?;
    Ok(count)
}

/// Writes an app, new or not. Its secret is written only if it is another: it is never written as it was read, since a new
/// master key may seal it again at the same time.
pub(in crate::connection) async fn put(tx: &mut Tx, app: &OauthApp, has_other_secret: bool) -> Result<()> {
    tx.sql(
        "insert into oauth_app (id, name, provider, display_name, description, version, client_id, client_secret, redirect_uri,
                required_scopes, is_enabled, is_deprecated, icon_url, documentation_url, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
         on conflict (id) do update
         set name = excluded.name, display_name = excluded.display_name, description = excluded.description,
             version = excluded.version, client_id = excluded.client_id, client_secret = case when $17 then excluded.client_secret else oauth_app.client_secret end,
             redirect_uri = excluded.redirect_uri, required_scopes = excluded.required_scopes,
             is_enabled = excluded.is_enabled, is_deprecated = excluded.is_deprecated, icon_url = excluded.icon_url,
             documentation_url = excluded.documentation_url, updated_at = excluded.updated_at",
    )
    .bind(&app.id)
    .bind(&app.name)
    .bind(&app.provider)
    .bind(&app.display_name)
    .bind(&app.description)
    .bind(&app.version)
    .bind(&app.client_id)
    .bind(&app.client_secret)
    .bind(&app.redirect_uri)
    .bind(&app.required_scopes)
    .bind(&app.is_enabled)
    .bind(&app.is_deprecated)
    .bind(&app.icon_url)
    .bind(&app.documentation_url)
    .bind(&app.created_at)
    .bind(&app.updated_at)
    .bind(&has_other_secret)
    .execute()
    .await?;
    Ok(())
}

pub(in crate::connection) async fn delete(tx: &mut Tx, id: &str) -> Result<u64> {
    tx.sql("delete from oauth_app where id = $1").bind(id).execute().await
}
