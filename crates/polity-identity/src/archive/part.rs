//! What a service puts into archives and takes out of them.

use std::{collections::HashSet, marker::PhantomData};

use async_trait::async_trait;
use polity_kernel::{
    Ctx,
    db::{Conn, Error as DbError, Result, Tx},
};
use serde::{Serialize, de::DeserializeOwned};

/// A table of a service, as it stands in an archive.
#[async_trait]
pub(crate) trait Part: Send + Sync + 'static {
    /// What it is called in the archive.
    const NAME: &'static str;
    /// A row, as the archive has it; the organization is known and not in it.
    type Row: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// What the row is known by; two of a part with the same key are refused.
    fn key(row: &Self::Row) -> Vec<String>;

    /// Whether the row may stand in an archive, after what is known to stand before it. Notes what others may refer to.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(row: &Self::Row, known: &mut Known) -> Result<(), Wrong>;

    /// At most [`super::PAGE`] rows of an organization, after a row, in an order of their own.
    async fn page(conn: &mut Conn, organization_id: &str, after: Option<&Self::Row>) -> Result<Vec<Self::Row>>;

    /// Writes rows that were checked.
    async fn insert(tx: &mut Tx, ctx: &Ctx, organization_id: &str, rows: Vec<Self::Row>) -> Result<()>;

    /// Deletes some of what an import wrote that did not come to its end; says how much.
    async fn remove(tx: &mut Tx, organization_id: &str) -> Result<u64>;
}

/// What is wrong with a row: in which member of it, and what.
#[derive(Debug)]
pub(crate) struct Wrong(pub &'static str, pub String);

/// What stands in an archive so far, as far as others refer to it.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Whose archive it is, as the header says.
    pub organization_id: String,
    /// Whether the organization was there, and whether somebody has to own it.
    pub organization: Option<bool>,
    /// People, and their addresses.
    pub people: HashSet<String>,
    /// Addresses of people.
    pub addresses: HashSet<String>,
    /// Whether there is an active owner.
    pub has_owner: bool,
    /// Sharings.
    pub sharings: HashSet<String>,
    /// What they share, as far as it is not revoked.
    pub shared: HashSet<String>,
}

impl Known {
    /// Refuses a row of somebody who is not among the people.
    pub(crate) fn check_person(&self, user_id: &str) -> Result<(), Wrong> {
        if self.people.contains(user_id) {
            return Ok(());
        }
        Err(Wrong("user_id", "is none of the people of the archive".to_owned()))
    }
}

/// Refuses a text that is blank, or longer than so many characters.
pub(crate) fn check_text(name: &'static str, text: &str, most: usize) -> Result<(), Wrong> {
    if text.trim().is_empty() {
        return Err(Wrong(name, "must not be blank".to_owned()));
    }
    check_length(name, Some(text), most)
}

/// Refuses a text that is longer than so many characters.
pub(crate) fn check_length(name: &'static str, text: Option<&str>, most: usize) -> Result<(), Wrong> {
    if text.is_some_and(|text| text.chars().count() > most) {
        return Err(Wrong(name, format!("may have at most {most} characters")));
    }
    Ok(())
}

/// The lines of some rows.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// What of them can be imported, as JSON.
    pub rows: Vec<String>,
    /// How many refer to what came or went while the archive was made, and are left out.
    pub left_out: u64,
    /// The last one, if there may be more.
    pub last: Option<String>,
}

/// A part of whatever rows.
#[async_trait]
pub(super) trait AnyPart: Send + Sync {
    fn name(&self) -> &'static str;

    async fn page(
        &self,
        conn: &mut Conn,
        organization_id: &str,
        after: Option<&str>,
        known: &mut Known,
    ) -> Result<Page>;

    /// Looks at a row; says what it is known by.
    fn check(&self, row: &str, known: &mut Known) -> Result<Vec<String>, Wrong>;

    async fn insert(&self, tx: &mut Tx, ctx: &Ctx, organization_id: &str, rows: &[&str]) -> Result<()>;

    async fn remove(&self, tx: &mut Tx, organization_id: &str) -> Result<u64>;
}

/// A part, without its type.
pub(super) struct Of<P>(PhantomData<P>);

impl<P> Of<P> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

fn parse<T: DeserializeOwned>(row: &str) -> Result<T> {
    serde_json::from_str(row).map_err(unread)
}

fn unread(error: serde_json::Error) -> DbError {
    DbError::Decode {
        column: "a row of an archive".to_owned(),
        message: error.to_string(),
    }
}

#[async_trait]
impl<P: Part> AnyPart for Of<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    async fn page(
        &self,
        conn: &mut Conn,
        organization_id: &str,
        after: Option<&str>,
        known: &mut Known,
    ) -> Result<Page> {
        let after: Option<P::Row> = after.map(parse).transpose()?;
        let found = P::page(conn, organization_id, after.as_ref()).await?;
        let mut page = Page::default();
        if let Some(last) = found.last() {
            page.last = Some(serde_json::to_string(last).map_err(unread)?);
        }
        for row in &found {
            match P::check(row, known) {
                Ok(()) => page.rows.push(serde_json::to_string(row).map_err(unread)?),
                Err(wrong) => {
                    tracing::debug!(part = P::NAME, key = ?P::key(row), ?wrong, "left out of an archive");
                    page.left_out += 1;
                }
            }
        }
        Ok(page)
    }

    fn check(&self, row: &str, known: &mut Known) -> Result<Vec<String>, Wrong> {
        let row: P::Row = serde_json::from_str(row).map_err(|error| Wrong("", error.to_string()))?;
        P::check(&row, known)?;
        Ok(P::key(&row))
    }

    async fn insert(&self, tx: &mut Tx, ctx: &Ctx, organization_id: &str, rows: &[&str]) -> Result<()> {
        let rows: Vec<P::Row> = rows.iter().map(|row| parse(row)).collect::<Result<_>>()?;
        P::insert(tx, ctx, organization_id, rows).await
    }

    async fn remove(&self, tx: &mut Tx, organization_id: &str) -> Result<u64> {
        P::remove(tx, organization_id).await
    }
}
