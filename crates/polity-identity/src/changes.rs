//! How the services of this domain hear that what they remember of a person or an organization is no longer true.
//!
//! Whoever owns a fact says so in the transaction that changes it: account and auth whether a person may act, organizations
//! who is in them and on which terms they are.

use std::{hash::Hash, sync::Arc};

use polity_kernel::{
    Ctx,
    cache::{Cache, Invalidations, Stale},
    db::{Result, Tx},
};

/// What is told of a person.
const PERSON: &str = "person";
/// What is told of an organization.
const ORGANIZATION: &str = "organization";

/// A person may act or may not, or is another member of an organization than before.
pub(crate) async fn of_person(tx: &mut Tx, ctx: &Ctx, user_id: &str) -> Result<()> {
    ctx.invalidations.tell(tx, ctx, PERSON, user_id).await
}

/// The same of several people.
pub(crate) async fn of_people(tx: &mut Tx, ctx: &Ctx, people: Vec<String>) -> Result<()> {
    ctx.invalidations.tell_each(tx, ctx, PERSON, people).await
}

/// The plan, the status or the limits of an organization are others than before.
pub(crate) async fn of_organization(tx: &mut Tx, ctx: &Ctx, organization_id: &str) -> Result<()> {
    ctx.invalidations.tell(tx, ctx, ORGANIZATION, organization_id).await
}

/// Lets a cache forget what rests on a person or an organization that has changed.
pub(crate) fn forget_with<K, V>(invalidations: &Invalidations, cache: &Arc<Cache<K, V>>)
where
    K: Hash + Eq + Send + Sync + Clone + 'static,
    V: Clone + Send + Sync + 'static,
{
    for kind in [PERSON, ORGANIZATION] {
        let cache = Arc::clone(cache);
        invalidations.listen(kind, move |stale| match stale {
            Stale::Everything => cache.clear(),
            Stale::Subject(id) => cache.forget_group(id),
        });
    }
}
