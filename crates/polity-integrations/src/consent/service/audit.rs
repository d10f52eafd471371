//! The history: written, read, exported, looked over, and cut when it is old enough (B9).

use std::time::Duration;

use chrono::{DateTime, Utc};
use polity_kernel::{
    Ctx,
    db::{Conn, List, Tx},
    limit::Window,
};

use super::{
    By,
    chain::{self, AuditEvent, Body, Broken, Entry, PersonBody},
    lock_person,
};
use crate::consent::{
    Consents, Error,
    model::Consent,
    store::{
        self,
        audit::{self, Chain, Link},
    },
};

/// How many entries are looked at in one statement.
const PAGE: i64 = 500;
/// How many entries, or consents, are deleted in one transaction.
const AT_ONCE: i64 = 500;
/// How many exports somebody may ask for in an hour.
const EXPORTS: u64 = 20;
/// How many consents an export holds; the history beside them holds everything.
const EXPORTED: i64 = 1_000;
/// How many chains are looked over in one go.
const CHAINS: i64 = 1_000;

/// Writes entries into the history of a person, whose lock is held.
pub(super) async fn append(tx: &mut Tx, ctx: &Ctx, user_id: &str, entries: &[Entry<'_>], by: &By) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut chain = match audit::chain_of(tx, user_id).await? {
        Some(id) => locked(tx, ctx, &id).await?.ok_or(Error::ChainNotFound)?,
        None => begin(tx, ctx, user_id).await?,
    };
    let links = chain::extend(ctx, &mut chain, entries, by);
    audit::append(tx, &chain.chain_id, &links).await?;
    sealed(tx, ctx, &mut chain).await
}

async fn begin(tx: &mut Tx, ctx: &Ctx, user_id: &str) -> Result<Chain, Error> {
    let mut chain = Chain {
        chain_id: ctx.ids.new_id("cch_"),
        base_sequence: 0,
        base_hash: String::new(),
        head_sequence: 0,
        head_hash: String::new(),
        is_pseudonymous: false,
        seal: String::new(),
        checked_at: ctx.clock.now(),
        broken_sequence: None,
        problem: None,
    };
    chain.seal = chain::seal(&ctx.secrets, &chain);
    audit::insert_chain(tx, user_id, &chain).await?;
    Ok(chain)
}

/// A chain that nobody else changes until the transaction ends. That its seal does not hold is noted before it gets a new
/// one, and stays so.
async fn locked(tx: &mut Tx, ctx: &Ctx, chain_id: &str) -> Result<Option<Chain>, Error> {
    tx.lock("consent.chain", chain_id).await?;
    let mut found = audit::find_chain(tx, chain_id).await?;
    if let Some(chain) = &mut found
        && let Err(broken) = chain::check_seal(&ctx.secrets, chain)
    {
        note(chain, &broken);
    }
    Ok(found)
}

fn note(chain: &mut Chain, broken: &Broken) {
    tracing::error!(
        chain.id = chain.chain_id,
        chain.sequence = broken.sequence,
        problem = broken.problem,
        "a history of consents is broken"
    );
    chain.broken_sequence.get_or_insert(broken.sequence);
    chain.problem.get_or_insert_with(|| broken.problem.to_owned());
}

async fn sealed(tx: &mut Tx, ctx: &Ctx, chain: &mut Chain) -> Result<(), Error> {
    chain.seal = chain::seal(&ctx.secrets, chain);
    Ok(audit::update_chain(tx, chain).await?)
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
    let next = polity_kernel::db::cut(&mut links, limit).map(|last| last.sequence);
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
    let window = Window::new("consent_exports", EXPORTS, Duration::from_hours(1));
    let is_first = after == 0;
    // Going on with an export is not another one.
    let usage = ctx.limiter.take(&[window], user_id, u64::from(is_first)).await;
    if !usage.allowed {
        return Err(Error::Limited(usage));
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
    let part = polity_kernel::db::Part::After(None);
    let mut found = store::list(&mut tx, user_id, None, &part, EXPORTED + 1).await?;
    let has_more_consents = polity_kernel::db::cut(&mut found, EXPORTED).is_some();
    let (history, next) = history(&mut tx, user_id, None, after, limit).await?;
    tx.commit().await?;
    Ok(Exported {
        consents: found,
        has_more_consents,
        history,
        next,
    })
}

/// Chains by id, as they were found when they were looked over last.
pub(in crate::consent) async fn chains(
    consents: &Consents,
    is_whole: Option<bool>,
    after: &str,
    limit: i64,
) -> Result<Vec<Chain>, Error> {
    let mut read = consents.ctx.db.read().await?;
    Ok(audit::chains(&mut read, is_whole.map(|whole| !whole), after, limit).await?)
}

/// What is true of a chain.
pub(in crate::consent) struct Verdict {
    pub chain: Chain,
    /// Why it does not hold, if it does not.
    pub broken: Option<Broken>,
}

/// Looks at every entry of a chain; by the id of the person, or of the chain itself once nobody is behind it.
pub(in crate::consent) async fn verdict(consents: &Consents, id: &str) -> Result<Verdict, Error> {
    let ctx = &consents.ctx;
    let mut tx = ctx.db.begin().await?;
    let chain_id = audit::chain_of(&mut tx, id).await?.unwrap_or_else(|| id.to_owned());
    // Looked at under the lock: nothing is added or cut meanwhile.
    tx.lock("consent.chain", &chain_id).await?;
    let chain = audit::find_chain(&mut tx, &chain_id).await?;
    let mut chain = chain.ok_or(Error::ChainNotFound)?;
    let broken = look(&mut tx, ctx, &chain).await?.err();
    if let Some(broken) = &broken {
        note(&mut chain, broken);
        chain.checked_at = ctx.clock.now();
        sealed(&mut tx, ctx, &mut chain).await?;
    }
    tx.commit().await?;
    Ok(Verdict { chain, broken })
}

async fn look(conn: &mut Conn, ctx: &Ctx, chain: &Chain) -> Result<Result<(), Broken>, Error> {
    let secrets = &ctx.secrets;
    let mut at = (chain.base_sequence, chain.base_hash.clone());
    loop {
        let links = audit::links(conn, &chain.chain_id, None, at.0, PAGE).await?;
        for link in &links {
            if let Err(broken) = chain::check(secrets, chain, link, (at.0, &at.1)) {
                return Ok(Err(broken));
            }
            at = (link.sequence, link.hash.clone());
        }
        if links.is_empty() {
            break;
        }
    }
    if at != (chain.head_sequence, chain.head_hash.clone()) {
        let problem = "entries at the end are missing, or not the chain's";
        return Ok(Err(Broken {
            sequence: at.0 + 1,
            problem,
        }));
    }
    Ok(chain::check_seal(secrets, chain))
}

/// Looks over the chains that were not looked at for a day; says how many are broken.
pub(in crate::consent) async fn verify_all(consents: &Consents) -> Result<u64, Error> {
    let ctx = &consents.ctx;
    let now = ctx.clock.now();
    let wanted = audit::unchecked(&mut *ctx.db.read().await?, now - chrono::Duration::days(1), CHAINS).await?;
    let (mut whole, mut count) = (Vec::new(), 0);
    for (chain_id,) in wanted {
        match verdict(consents, &chain_id).await {
            Ok(Verdict { broken: None, .. }) => whole.push(chain_id),
            Ok(_) => count += 1,
            // It was cut away in the meantime.
            Err(Error::ChainNotFound) => {}
            Err(error) => return Err(error),
        }
    }
    let mut tx = ctx.db.begin().await?;
    audit::checked(&mut tx, &List::of(&whole), now).await?;
    tx.commit().await?;
    Ok(count)
}

/// Makes a chain one that leads nowhere: what is personal may be missing from then on.
pub(super) async fn make_pseudonymous(tx: &mut Tx, ctx: &Ctx, chain_id: &str) -> Result<(), Error> {
    let Some(mut chain) = locked(tx, ctx, chain_id).await? else {
        return Ok(());
    };
    chain.is_pseudonymous = true;
    sealed(tx, ctx, &mut chain).await
}

/// Deletes what has been kept long enough: ended consents, and the beginnings of chains.
pub(in crate::consent) async fn clean_up(consents: &Consents) -> Result<(), Error> {
    let ctx = &consents.ctx;
    let days = i64::from(consents.settings.audit_retention_days);
    let before = ctx.clock.now() - chrono::Duration::days(days);
    ctx.db
        .in_batches(move |tx| Box::pin(store::delete_old(tx, before, AT_ONCE)))
        .await?;
    let mut after = String::new();
    loop {
        let chains = audit::chains_before(&mut *ctx.db.read().await?, before, &after, PAGE).await?;
        let Some((last,)) = chains.last() else {
            return Ok(());
        };
        after.clone_from(last);
        for (chain_id,) in chains {
            while cut(ctx, &chain_id, before).await? {}
        }
    }
}

/// Cuts some of a chain's beginning off; says whether there is more to cut.
async fn cut(ctx: &Ctx, chain_id: &str, before: DateTime<Utc>) -> Result<bool, Error> {
    let mut tx = ctx.db.begin().await?;
    let Some(mut chain) = locked(&mut tx, ctx, chain_id).await? else {
        return Ok(false);
    };
    let first = audit::first_since(&mut tx, chain_id, before).await?;
    let old = first.map_or(chain.head_sequence, |first| first - 1);
    let upto = old.min(chain.base_sequence + AT_ONCE);
    let links = audit::links(&mut tx, chain_id, None, upto - 1, 1).await?;
    // What does not hold is not cut: it is evidence.
    let Some(link) = links
        .first()
        .filter(|link| link.sequence == upto && chain.broken_sequence.is_none())
    else {
        return Ok(false);
    };
    chain.base_sequence = upto;
    chain.base_hash.clone_from(&link.hash);
    audit::cut(&mut tx, chain_id, upto).await?;
    if chain.is_pseudonymous && upto == chain.head_sequence {
        audit::delete_chain(&mut tx, chain_id).await?;
    } else {
        sealed(&mut tx, ctx, &mut chain).await?;
    }
    tx.commit().await?;
    Ok(upto < old)
}
