//! Keeping histories: under a seal, looked over, and cut when they are old enough (B9).

use chrono::{DateTime, Utc};
use polity_kernel::{
    Ctx,
    db::{Conn, List, Tx},
};

use super::chain::{self, Broken};
use crate::consent::{
    Consents, Error,
    store::{
        audit::{self, Behind, Chain},
        due, keeping,
    },
};

/// How many entries are looked at in one statement.
const PAGE: i64 = 500;
/// How many entries, or consents, are deleted in one transaction.
const AT_ONCE: i64 = 500;
/// How many chains are looked over before that is written down, and how often in one go.
const CHAINS: i64 = 1_000;
const ROUNDS: u32 = 50;

/// A chain of a person who has none.
pub(super) async fn begin(tx: &mut Tx, ctx: &Ctx, user_id: &str) -> Result<Chain, Error> {
    let chain = empty(ctx, ctx.ids.new_id("cch_"), (0, String::new()), None);
    let person = Behind {
        seal: chain::person_seal(&ctx.secrets, &chain.id, user_id),
        user_id: user_id.to_owned(),
    };
    audit::insert_person(tx, &chain.id, &person).await?;
    audit::insert_chain(tx, &chain).await?;
    Ok(chain)
}

/// A chain that goes on after an entry.
fn empty(ctx: &Ctx, id: String, (sequence, hash): (i64, String), broken: Option<&Broken>) -> Chain {
    let mut chain = Chain {
        id,
        base_sequence: sequence,
        base_hash: hash.clone(),
        head_sequence: sequence,
        head_hash: hash,
        is_pseudonymous: false,
        seal: String::new(),
        checked_at: ctx.clock.now(),
        broken_sequence: None,
        problem: None,
    };
    if let Some(broken) = broken {
        note(&mut chain, broken);
    }
    chain.seal = chain::seal(&ctx.secrets, &chain);
    chain
}

/// The chain of a person, as [`locked`]. That somebody took it away keeps nobody from taking a consent back: it goes on after
/// what is left, and is known to be broken.
pub(super) async fn kept(tx: &mut Tx, ctx: &Ctx, chain_id: &str) -> Result<Chain, Error> {
    if let Some(chain) = locked(tx, ctx, chain_id).await? {
        return Ok(chain);
    }
    let last = audit::last(tx, chain_id).await?.unwrap_or_default();
    let broken = Broken {
        sequence: last.0,
        problem: "the chain was taken away",
    };
    let chain = empty(ctx, chain_id.to_owned(), last, Some(&broken));
    audit::insert_chain(tx, &chain).await?;
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
        chain.id = chain.id,
        chain.sequence = broken.sequence,
        problem = broken.problem,
        "a history of consents is broken"
    );
    chain.broken_sequence.get_or_insert(broken.sequence);
    chain.problem.get_or_insert_with(|| broken.problem.to_owned());
}

pub(super) async fn sealed(tx: &mut Tx, ctx: &Ctx, chain: &mut Chain) -> Result<(), Error> {
    chain.seal = chain::seal(&ctx.secrets, chain);
    Ok(audit::update_chain(tx, chain).await?)
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

/// Looks at every entry of a chain; by the id of the person, or of the chain itself once nobody is behind it.
pub(in crate::consent) async fn verdict(consents: &Consents, id: &str) -> Result<Chain, Error> {
    let ctx = &consents.ctx;
    let mut tx = ctx.db.begin().await?;
    // Looked at under the lock: nothing is added or cut meanwhile.
    let mut chain = match audit::chain_of(&mut tx, id).await? {
        Some(chain_id) => kept(&mut tx, ctx, &chain_id).await?,
        None => locked(&mut tx, ctx, id).await?.ok_or(Error::ChainNotFound)?,
    };
    let broken = look(&mut tx, ctx, &chain).await?.err();
    if let Some(broken) = &broken {
        note(&mut chain, broken);
    }
    chain.checked_at = ctx.clock.now();
    sealed(&mut tx, ctx, &mut chain).await?;
    tx.commit().await?;
    Ok(chain)
}

async fn look(conn: &mut Conn, ctx: &Ctx, chain: &Chain) -> Result<Result<(), Broken>, Error> {
    let secrets = &ctx.secrets;
    let mut at = (chain.base_sequence, chain.base_hash.clone());
    loop {
        let links = audit::links(conn, &chain.id, None, at.0, PAGE).await?;
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
    let person = audit::person_behind(conn, &chain.id).await?;
    let whole = chain::check_person(secrets, chain, person.as_ref());
    Ok(whole.and_then(|()| chain::check_seal(secrets, chain)))
}

/// Looks over the chains that were not looked at for a day; says how many are broken.
pub(in crate::consent) async fn verify_all(consents: &Consents) -> Result<u64, Error> {
    let ctx = &consents.ctx;
    let mut broken = 0;
    for _ in 0..ROUNDS {
        let now = ctx.clock.now();
        let before = now - chrono::Duration::days(1);
        let wanted = keeping::unchecked(&mut *ctx.db.read().await?, before, CHAINS).await?;
        if wanted.is_empty() {
            break;
        }
        let mut whole = Vec::with_capacity(wanted.len());
        for (chain_id,) in wanted {
            if looks_whole(ctx, &chain_id).await? {
                whole.push(chain_id);
            } else {
                broken += u64::from(is_broken(consents, &chain_id).await?);
            }
        }
        let mut tx = ctx.db.begin().await?;
        keeping::checked(&mut tx, &List::of(&whole), now).await?;
        tx.commit().await?;
    }
    Ok(broken)
}

/// Whether a chain is whole, without a lock: one that is added to meanwhile may look as if it were not.
async fn looks_whole(ctx: &Ctx, chain_id: &str) -> Result<bool, Error> {
    let mut read = ctx.db.read().await?;
    let Some(chain) = audit::find_chain(&mut read, chain_id).await? else {
        return Ok(false);
    };
    Ok(look(&mut read, ctx, &chain).await?.is_ok())
}

/// Whether a chain is broken, under the lock.
async fn is_broken(consents: &Consents, chain_id: &str) -> Result<bool, Error> {
    match verdict(consents, chain_id).await {
        Ok(chain) => Ok(chain.broken_sequence.is_some()),
        // It was cut away in the meantime.
        Err(Error::ChainNotFound) => Ok(false),
        Err(error) => Err(error),
    }
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
        .in_batches(move |tx| Box::pin(due::delete_old(tx, before, AT_ONCE)))
        .await?;
    let mut after = String::new();
    loop {
        let chains = keeping::chains_before(&mut *ctx.db.read().await?, before, &after, PAGE).await?;
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
    let first = keeping::first_since(&mut tx, chain_id, before).await?;
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
    keeping::cut(&mut tx, chain_id, upto).await?;
    if chain.is_pseudonymous && upto == chain.head_sequence {
        keeping::delete_chain(&mut tx, chain_id).await?;
    } else {
        sealed(&mut tx, ctx, &mut chain).await?;
    }
    tx.commit().await?;
    Ok(upto < old)
}
