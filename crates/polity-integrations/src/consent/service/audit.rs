//! The history: written, read and exported (B9).

use std::time::Duration;

use polity_kernel::{
    Ctx,
    db::{Conn, Part, Tx, cut},
    limit::Window,
};

use super::{
    By,
    chain::{self, AuditEvent, Body, Entry, PersonBody},
    keeping, lock_person,
};
use crate::consent::{
    Consents, Error,
    model::Consent,
    store::{
        self,
        audit::{self, Link},
    },
};

/// How many exports somebody may ask for in an hour.
const EXPORTS: u64 = 20;
/// How many consents an export holds; the history beside them holds everything.
const EXPORTED: i64 = 1_000;

/// Writes entries into the history of a person, whose lock is held.
pub(super) async fn append(tx: &mut Tx, ctx: &Ctx, user_id: &str, entries: &[Entry<'_>], by: &By) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut chain = match audit::chain_of(tx, user_id).await? {
        Some(id) => keeping::kept(tx, ctx, &id).await?,
        None => keeping::begin(tx, ctx, user_id).await?,
    };
    let links = chain::extend(ctx, &mut chain, entries, by);
    audit::append(tx, &chain.id, &links).await?;
    keeping::sealed(tx, ctx, &mut chain).await
}

/// An entry, and what is known of the person.
pub(in crate::consent) struct Found {
    pub body: Body,
    pub person: Option<PersonBody>,
    pub previous_hash: String,
    pub hash: String,
}

impl Found {
    /// What cannot be read any more is left out: the verdict says so.
    fn of(link: Link) -> Option<Self> {
        Some(Self {
            body: serde_json::from_str(&link.body).ok()?,
            person: link.person.and_then(|person| serde_json::from_str(&person).ok()),
            previous_hash: link.previous_hash,
            hash: link.hash,
        })
    }
}

/// Entries of somebody's history after one of them, of one consent or of all; and where to go on, if there are more.
pub(in crate::consent) async fn history(
    conn: &mut Conn,
    user_id: &str,
    consent_id: Option<&str>,
    after: i64,
    limit: i64,
) -> Result<(Vec<Found>, Option<i64>), Error> {
    let Some(chain_id) = audit::chain_of(conn, user_id).await? else {
        return Ok((Vec::new(), None));
    };
    let mut links = audit::links(conn, &chain_id, consent_id, after, limit + 1).await?;
    let next = cut(&mut links, limit).map(|last| last.sequence);
    Ok((links.into_iter().filter_map(Found::of).collect(), next))
}

/// What somebody gets who asks for everything about themselves.
pub(in crate::consent) struct Exported {
    pub consents: Vec<Consent>,
    pub has_more_consents: bool,
    pub history: Vec<Found>,
    pub next: Option<i64>,
}

/// Everything about a person's consents; that it was given is an entry as well.
pub(in crate::consent) async fn export(
    consents: &Consents,
    user_id: &str,
    after: i64,
    limit: i64,
    by: &By,
) -> Result<Exported, Error> {
    let ctx = &consents.ctx;
    // Going on with an export is not another one.
    let is_first = after == 0;
    if is_first {
        let window = Window::new("consent_exports", EXPORTS, Duration::from_hours(1));
        let usage = ctx.limiter.take(&[window], user_id, 1).await;
        if !usage.allowed {
            return Err(Error::Limited(usage));
        }
    }
    let mut tx = ctx.db.begin().await?;
    if is_first {
        lock_person(&mut tx, user_id).await?;
        let entry = Entry {
            event: AuditEvent::Exported,
            consent: None,
            reason: None,
            detail: None,
        };
        append(&mut tx, ctx, user_id, &[entry], by).await?;
    }
    let part = Part::After(None);
    let mut found = store::list(&mut tx, user_id, None, &part, EXPORTED + 1).await?;
    let has_more_consents = cut(&mut found, EXPORTED).is_some();
    let (history, next) = history(&mut tx, user_id, None, after, limit).await?;
    tx.commit().await?;
    Ok(Exported {
        consents: found,
        has_more_consents,
        history,
        next,
    })
}
