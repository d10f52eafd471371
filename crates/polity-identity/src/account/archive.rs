//! People, as they stand in archives: by id, address and name, and nothing else of theirs.

use async_trait::async_trait;
use polity_kernel::{
    Ctx, Record,
    db::{Conn, List, Result, Tx},
};
use serde::{Deserialize, Serialize};

use super::{
    model::{fold_email, is_reserved},
    service, store,
};
use crate::{
    archive::{Known, Part, Wrong, check_text},
    organization,
};

/// What the part is called.
pub(crate) const NAME: &str = "person";

/// Somebody who is or was a member.
#[derive(Debug, Clone, Record, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Person {
    pub user_id: String,
    pub email: String,
    pub name: String,
    pub is_active: bool,
}

/// Those who are or were members and whose account was not deleted.
pub(crate) struct People;

#[async_trait]
impl Part for People {
    const NAME: &'static str = NAME;
    type Row = Person;

    fn key(row: &Person) -> Vec<String> {
        vec![row.user_id.clone()]
    }

    fn check(row: &Person, known: &mut Known) -> Result<(), Wrong> {
        check_text("user_id", &row.user_id, 255)?;
        check_text("name", &row.name, 255)?;
        check_text("email", &row.email, 254)?;
        let is_address = polity_kernel::http::email(&row.email, &()).is_ok() && fold_email(&row.email) == row.email;
        if !is_address || is_reserved(&row.email) {
            return Err(Wrong("email", "is no address as it is stored here".to_owned()));
        }
        if !known.addresses.insert(row.email.clone()) {
            return Err(Wrong("email", "is another person's too".to_owned()));
        }
        known.people.insert(row.user_id.clone());
        Ok(())
    }

    /// Those of a page of members who have an account; of the next one, if none has.
    async fn page(conn: &mut Conn, organization_id: &str, after: Option<&Person>) -> Result<Vec<Person>> {
        let mut after = after.map(|row| row.user_id.clone());
        loop {
            let ids = organization::archive::member_ids(conn, organization_id, after.as_deref()).await?;
            let Some((last,)) = ids.last() else {
                return Ok(Vec::new());
            };
            after = Some(last.clone());
            let found = store::people(conn, &List::of(ids.iter().map(|(id,)| id))).await?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }

    async fn insert(tx: &mut Tx, ctx: &Ctx, _: &str, rows: Vec<Person>) -> Result<()> {
        service::adopt(tx, ctx, &rows).await.map(drop)
    }

    /// Nothing: people are there for themselves, whatever becomes of the organization.
    async fn remove(_: &mut Tx, _: &str) -> Result<u64> {
        Ok(0)
    }
}

/// Why some of these people cannot be taken in.
///
/// # Errors
/// What the database says.
pub(crate) async fn taken(conn: &mut Conn, people: &[Person]) -> Result<Option<String>> {
    let found = store::taken(conn, people).await?;
    Ok(
        found.map(|(id, email)| match people.iter().find(|one| one.user_id == id.0) {
            Some(_) => {
                format!("The account of {id} was deleted here, or has the address of another person of the archive")
            }
            None => format!("The address {email} is another person's here: {id}"),
        }),
    )
}
