//! SQL and nothing else. An account is its own tenant: whose it is comes first.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use polity_kernel::db::{Conn, Cursor, Filter, List, Result, Rows, Tx};
use serde_json::json;

use super::{
    archive::Person,
    model::{self, Account, AccountId, EmailChange, Note, StatusChange},
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select user_id, email, name, is_active, status, status_reason, admin_roles, preferences, custom_instructions,
                    created_at, updated_at, deleted_at, erase_at, erased_at, last_seen_at
             from account ",
            $rest
        )
    };
}

/// The account of a person, active or not.
pub(super) async fn find(conn: &mut Conn, user_id: &AccountId) -> Result<Option<Account>> {
    conn.sql(select!("where user_id = $1")).bind(user_id).optional().await
}

/// The account with an address, active or not.
pub(super) async fn find_by_email(conn: &mut Conn, email: &str) -> Result<Option<Account>> {
    conn.sql(select!("where email = $1")).bind(email).optional().await
}

/// Those of these people who have an account that was not deleted.
pub(super) async fn existing(conn: &mut Conn, people: &List) -> Result<Vec<(AccountId,)>> {
    conn.sql("select user_id from account where user_id in list($1) and deleted_at is null")
        .bind(people)
        .all()
        .await
}

/// People as archives have them: those of these who have an account that was not deleted, in the order of their ids.
pub(super) async fn people(conn: &mut Conn, people: &List) -> Result<Vec<Person>> {
    conn.sql(
        "select user_id, email, name, is_active from account
         where user_id in list($1) and deleted_at is null and erased_at is null
         order by user_id",
    )
    .bind(people)
    .all()
    .await
}

/// Somebody here who has the address of another one of these people, or whose account was deleted: by id and address.
pub(super) async fn taken(conn: &mut Conn, people: &[Person]) -> Result<Option<(AccountId, String)>> {
    conn.sql(
        "select account.user_id, account.email
         from rows($1) as r join account on account.email = r.item ->> 'email' or account.user_id = r.item ->> 'user_id'
         where account.user_id <> r.item ->> 'user_id' or account.deleted_at is not null
         order by account.user_id
         limit 1",
    )
    .bind(&Rows::of(people))
    .optional()
    .await
}

/// Inserts the accounts of those who have none; says whose they are.
pub(super) async fn insert_people(tx: &mut Tx, people: &[Person], now: DateTime<Utc>) -> Result<Vec<(AccountId,)>> {
    let rows: Vec<_> = people
        .iter()
        .map(|person| (person, model::search_text(&person.name, &person.email)))
        .map(|(person, text)| json!({ "person": person, "text": text }))
        .collect();
    let made: Vec<(AccountId,)> = tx
        .sql(
            "insert into account (user_id, email, name, is_active, status, admin_roles, preferences, custom_instructions,
                                  search_text, created_at, updated_at)
             select r.item -> 'person' ->> 'user_id', r.item -> 'person' ->> 'email', r.item -> 'person' ->> 'name',
                    cast(r.item -> 'person' ->> 'is_active' as boolean), 'active', '[]', '{}', '',
                    r.item ->> 'text', $2, $2
             from rows($1) as r
             where true
             on conflict do nothing
             returning user_id",
        )
        .bind(&Rows::of(&rows))
        .bind(&now)
        .all()
        .await?;
    let new: HashSet<&str> = made.iter().map(|(id,)| id.0.as_str()).collect();
    let grams: Vec<_> = people
        .iter()
        .filter(|person| new.contains(person.user_id.as_str()))
        .flat_map(|person| {
            let grams = model::grams(&model::search_text(&person.name, &person.email));
            grams.into_iter().map(|gram| json!([gram, person.user_id]))
        })
        .collect();
    tx.sql("insert into account_gram (gram, user_id) select r.item ->> 0, r.item ->> 1 from rows($1) as r")
        .bind(&Rows::of(&grams))
        .execute()
        .await?;
    Ok(made)
}

/// Says whether the account is new: its id or its address may be there already.
pub(super) async fn insert(tx: &mut Tx, account: &Account) -> Result<bool> {
    let text = model::search_text(&account.name, &account.email);
    let inserted = tx
        .sql(
            "insert into account (user_id, email, name, is_active, status, status_reason, admin_roles, preferences,
                                  custom_instructions, search_text, created_at, updated_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
             on conflict do nothing",
        )
        .bind(&account.user_id)
        .bind(&account.email)
        .bind(&account.name)
        .bind(&account.is_active)
        .bind(&account.status)
        .bind(&account.status_reason)
        .bind(&account.admin_roles)
        .bind(&account.preferences)
        .bind(&account.custom_instructions)
        .bind(&text)
        .bind(&account.created_at)
        .execute()
        .await?;
    if inserted == 1 {
        insert_grams(tx, &account.user_id, model::grams(&text)).await?;
    }
    Ok(inserted == 1)
}

/// Writes what may change in an account.
pub(super) async fn update(tx: &mut Tx, account: &Account) -> Result<()> {
    tx.sql(
        "update account
         set is_active = $2, status = $3, status_reason = $4, admin_roles = $5, preferences = $6,
             custom_instructions = $7, updated_at = $8, deleted_at = $9, erase_at = $10,
             erased_at = $11
         where user_id = $1",
    )
    .bind(&account.user_id)
    .bind(&account.is_active)
    .bind(&account.status)
    .bind(&account.status_reason)
    .bind(&account.admin_roles)
    .bind(&account.preferences)
    .bind(&account.custom_instructions)
    .bind(&account.updated_at)
    .bind(&account.deleted_at)
    .bind(&account.erase_at)
    .bind(&account.erased_at)
    .execute()
    .await?;
    Ok(())
}

/// Writes name and address, and what they are searched by.
///
/// The address was found free under its lock; an account inserted meanwhile may still refuse it as not unique.
pub(super) async fn update_name_and_email(tx: &mut Tx, account: &Account) -> Result<()> {
    let text = model::search_text(&account.name, &account.email);
    let before = tx
        .sql("select search_text from account where user_id = $1")
        .bind(&account.user_id)
        .optional::<(String,)>()
        .await?;
    tx.sql("update account set email = $2, name = $3, search_text = $4, updated_at = $5 where user_id = $1")
        .bind(&account.user_id)
        .bind(&account.email)
        .bind(&account.name)
        .bind(&text)
        .bind(&account.updated_at)
        .execute()
        .await?;
    let (old, new) = (model::grams(&before.unwrap_or_default().0), model::grams(&text));
    let gone = List::of(old.iter().filter(|gram| new.binary_search(gram).is_err()));
    tx.sql("delete from account_gram where user_id = $2 and gram in list($1)")
        .bind(&gone)
        .bind(&account.user_id)
        .execute()
        .await?;
    let fresh = new.into_iter().filter(|gram| old.binary_search(gram).is_err());
    insert_grams(tx, &account.user_id, fresh.collect()).await
}

/// One statement for all grams: their list is taken apart in the database.
async fn insert_grams(tx: &mut Tx, user_id: &AccountId, grams: Vec<String>) -> Result<()> {
    let grams = List::of(grams);
    tx.sql("insert into account_gram (gram, user_id) select item, cast($2 as text) from list($1) as items")
        .bind(&grams)
        .bind(user_id)
        .execute()
        .await?;
    Ok(())
}

/// Marks that somebody was seen, at most once per pause.
pub(super) async fn touch(
    tx: &mut Tx,
    user_id: &AccountId,
    seen: DateTime<Utc>,
    unless_after: DateTime<Utc>,
) -> Result<()> {
    tx.sql(
        "update account set last_seen_at = $2
         where user_id = $1 and (last_seen_at is null or last_seen_at < $3)",
    )
    .bind(user_id)
    .bind(&seen)
    .bind(&unless_after)
    .execute()
    .await?;
    Ok(())
}

/// Which accounts a list shows.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub is_active: Option<bool>,
    pub folded: Option<String>,
}

/// How a list is cut.
pub(super) enum Cut {
    /// So many, after so many.
    Page { limit: i64, offset: i64 },
    /// So many, after this one.
    After { limit: i64, cursor: Option<Cursor> },
}

/// What a filter binds has to live as long as it does.
struct Terms {
    is_active: Option<bool>,
    grams: Vec<String>,
    pattern: Option<String>,
}

impl Terms {
    fn new(wanted: &Wanted) -> Self {
        let folded = wanted.folded.as_deref();
        // Three grams narrow it down far enough; the pattern decides.
        let grams = folded
            .map(model::grams)
            .unwrap_or_default()
            .into_iter()
            .take(3)
            .collect();
        Self {
            is_active: wanted.is_active,
            grams,
            pattern: folded.map(model::like_pattern),
        }
    }

    fn narrow<'t>(&'t self, filter: &mut Filter<'t>) {
        filter.and_some("is_active = ?", self.is_active.as_ref());
        for gram in &self.grams {
            filter.and("user_id in (select user_id from account_gram where gram = ?)", gram);
        }
        filter.and_some("search_text like ? escape '\\'", self.pattern.as_ref());
    }
}

/// The accounts that are wanted, newest first (BR-QRY-004).
pub(super) async fn list(conn: &mut Conn, wanted: &Wanted, cut: &Cut) -> Result<Vec<Account>> {
    let terms = Terms::new(wanted);
    let mut filter = Filter::new(select!("where true"));
    terms.narrow(&mut filter);
    if let Cut::After {
        cursor: Some(cursor), ..
    } = cut
    {
        // The first condition is what an index can begin at.
        filter
            .and("created_at <= ?", &cursor.at)
            .and("(created_at < ?", &cursor.at)
            .with("or user_id > ?)", &cursor.id);
    }
    filter.push("order by created_at desc, user_id");
    match cut {
        Cut::Page { limit, offset } => filter.with("limit ?", limit).with("offset ?", offset),
        Cut::After { limit, .. } => filter.with("limit ?", limit),
    };
    conn.filter(filter).all().await
}

/// How many accounts are wanted (BR-QRY-005).
pub(super) async fn count(conn: &mut Conn, wanted: &Wanted) -> Result<i64> {
    let terms = Terms::new(wanted);
    let mut filter = Filter::new("select count(*) from account where true");
    terms.narrow(&mut filter);
    Ok(conn.filter(filter).one::<(i64,)>().await?.0)
}

/// How many accounts there are: all, active, created since the first moment, since the second.
pub(super) async fn stats(conn: &mut Conn, week: DateTime<Utc>, month: DateTime<Utc>) -> Result<(i64, i64, i64, i64)> {
    conn.sql(
        "select count(*), count(*) filter (where is_active), count(*) filter (where created_at >= $1),
                count(*) filter (where created_at >= $2)
         from account",
    )
    .bind(&week)
    .bind(&month)
    .one()
    .await
}

/// How many active accounts have the role of super_admin.
pub(super) async fn count_super_admins(conn: &mut Conn) -> Result<i64> {
    let pattern = "%\"super_admin\"%";
    let (count,) = conn
        .sql("select count(*) from account where is_active and cast(admin_roles as text) like $1")
        .bind(pattern)
        .one::<(i64,)>()
        .await?;
    Ok(count)
}

/// The accounts whose time has come to be erased.
pub(super) async fn list_due_for_erasure(conn: &mut Conn, now: DateTime<Utc>, limit: i64) -> Result<Vec<Account>> {
    conn.sql(select!(
        "where erase_at is not null and erase_at <= $1 order by erase_at limit $2"
    ))
    .bind(&now)
    .bind(&limit)
    .all()
    .await
}

/// Deletes what hangs on an account and is about the person.
pub(super) async fn delete_belongings(tx: &mut Tx, user_id: &AccountId) -> Result<()> {
    tx.sql("delete from account_note where user_id = $1")
        .bind(user_id)
        .execute()
        .await?;
    tx.sql("delete from account_email_change where user_id = $1")
        .bind(user_id)
        .execute()
        .await?;
    tx.sql("update account_status_change set reason = null where user_id = $1")
        .bind(user_id)
        .execute()
        .await?;
    Ok(())
}

pub(super) async fn insert_status_change(tx: &mut Tx, change: &StatusChange) -> Result<()> {
    tx.sql(
        "insert into account_status_change (id, user_id, is_active, status, reason, changed_by, changed_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&change.id)
    .bind(&change.user_id)
    .bind(&change.is_active)
    .bind(&change.status)
    .bind(&change.reason)
    .bind(&change.changed_by)
    .bind(&change.changed_at)
    .execute()
    .await?;
    Ok(())
}

/// The newest changes of status, at most 200.
pub(super) async fn list_status_changes(conn: &mut Conn, user_id: &AccountId) -> Result<Vec<StatusChange>> {
    conn.sql(
        "select id, user_id, is_active, status, reason, changed_by, changed_at
         from account_status_change
         where user_id = $1
         order by changed_at desc, id desc
         limit 200",
    )
    .bind(user_id)
    .all()
    .await
}

pub(super) async fn insert_note(tx: &mut Tx, note: &Note) -> Result<()> {
    tx.sql("insert into account_note (note_id, user_id, author_id, note, created_at) values ($1, $2, $3, $4, $5)")
        .bind(&note.note_id)
        .bind(&note.user_id)
        .bind(&note.author_id)
        .bind(&note.note)
        .bind(&note.created_at)
        .execute()
        .await?;
    Ok(())
}

/// The newest notes, at most 200.
pub(super) async fn list_notes(conn: &mut Conn, user_id: &AccountId) -> Result<Vec<Note>> {
    conn.sql(
        "select note_id, user_id, author_id, note, created_at
         from account_note
         where user_id = $1
         order by created_at desc, note_id desc
         limit 200",
    )
    .bind(user_id)
    .all()
    .await
}

/// Keeps the address that waits; a new one replaces the old.
pub(super) async fn put_email_change(tx: &mut Tx, user_id: &AccountId, change: &EmailChange) -> Result<()> {
    tx.sql(
        "insert into account_email_change (user_id, email, code_hash, attempts, expires_at)
         values ($1, $2, $3, $4, $5)
         on conflict (user_id) do update
         set email = excluded.email, code_hash = excluded.code_hash, attempts = excluded.attempts,
             expires_at = excluded.expires_at",
    )
    .bind(user_id)
    .bind(&change.email)
    .bind(&change.code_hash)
    .bind(&change.attempts)
    .bind(&change.expires_at)
    .execute()
    .await?;
    Ok(())
}

pub(super) async fn find_email_change(conn: &mut Conn, user_id: &AccountId) -> Result<Option<EmailChange>> {
    conn.sql("select email, code_hash, attempts, expires_at from account_email_change where user_id = $1")
        .bind(user_id)
        .optional()
        .await
}

pub(super) async fn count_email_attempt(tx: &mut Tx, user_id: &AccountId) -> Result<()> {
    tx.sql("update account_email_change set attempts = attempts + 1 where user_id = $1")
        .bind(user_id)
        .execute()
        .await?;
    Ok(())
}

pub(super) async fn delete_email_change(tx: &mut Tx, user_id: &AccountId) -> Result<()> {
    tx.sql("delete from account_email_change where user_id = $1")
        .bind(user_id)
        .execute()
        .await?;
    Ok(())
}
