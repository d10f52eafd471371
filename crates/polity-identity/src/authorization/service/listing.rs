//! What somebody may use, who may use something, and what was done.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};
use polity_kernel::db::{Conn, List, Place};
use polity_ports::authorization::{AccessLevel, OrganizationPlan, ResourceType, Tier, Visible};

use crate::authorization::{
    Authorization, Error,
    model::{CatalogueEntry, OrganizationPermission, Permission, Person, normal, plan},
    store::{
        self, Named,
        audit::{Entry, Wanted},
        listing::{self, Paying},
    },
};

/// The most names a page has.
const LARGEST: usize = 1_000;

fn paying(person: &Person) -> Vec<Paying<'_>> {
    person.usable().map(|(id, plan)| Paying::new(id, plan)).collect()
}

/// Names of the resources of a type that somebody may use at a level, in order, after a name: exactly those of which a check
/// says so. Each of the three sources yields a page, and no more.
pub(in crate::authorization) async fn visible(
    authorization: &Authorization,
    user_id: &str,
    (resource_type, level): (ResourceType, AccessLevel),
    after: Option<&str>,
    limit: usize,
) -> Result<Visible, Error> {
    let limit = limit.clamp(1, LARGEST);
    let mut read = authorization.ctx.db.read().await?;
    let person = authorization.person(&mut read, user_id).await?;
    if !person.is_active {
        return Ok(Visible {
            names: Vec::new(),
            has_more: false,
        });
    }
    let page = listing::Page {
        user_id,
        resource_type,
        level: level.max(AccessLevel::ReadOnly),
        after: after.unwrap_or_default(),
        limit: i64::try_from(limit + 1).unwrap_or(i64::MAX),
        now: authorization.ctx.clock.now(),
    };
    let organizations = paying(&person);
    let ids = List::of(organizations.iter().map(|one| one.id));
    let mut names: BTreeSet<String> = listing::given(&mut read, &ids, page).await?.into_iter().collect();
    names.extend(listing::of_organizations(&mut read, &organizations, page).await?);
    names.extend(listing::of_tier(&mut read, person.tier, page).await?);
    Ok(Visible {
        has_more: names.len() > limit,
        names: names.into_iter().take(limit).collect(),
    })
}

/// How somebody may use something.
pub(in crate::authorization) enum Through {
    /// It was given to them.
    Given(Box<Permission>),
    /// An organization has it.
    Organization(String),
    /// They pay for it.
    Subscription(Box<CatalogueEntry>),
}

/// A page of what somebody may use: each resource once, at its highest level.
pub(in crate::authorization) struct Accessible {
    pub items: Vec<(ResourceType, String, AccessLevel, Through)>,
    /// How many there are; `None` if nobody counted.
    pub total: Option<i64>,
    pub next: Option<Place>,
}

/// What somebody may use, in the order of types and names.
pub(in crate::authorization) async fn accessible(
    authorization: &Authorization,
    user_id: &str,
    of_type: Option<ResourceType>,
    after: Option<Place>,
    limit: usize,
) -> Result<Accessible, Error> {
    let mut read = authorization.ctx.db.read().await?;
    let person = known(authorization, &mut read, user_id).await?;
    let now = authorization.ctx.clock.now();
    let organizations = paying(&person);
    let ids = List::of(organizations.iter().map(|one| one.id));
    let from = after.as_ref().and_then(named);
    let page = (from, i64::try_from(limit + 1).unwrap_or(i64::MAX));
    let mut found: BTreeMap<(&'static str, String), (ResourceType, AccessLevel, Through)> = BTreeMap::new();
    let mut ends: Vec<(&'static str, String)> = Vec::new();
    let mut add = |of: ResourceType, name: String, level: AccessLevel, through: Through| {
        let key = (of.as_str(), name);
        if found.get(&key).is_none_or(|(_, held, _)| *held < level) {
            found.insert(key, (of, level, through));
        }
    };
    if person.is_active {
        // A source that filled its page says nothing of what follows its last one.
        let given = listing::permissions(&mut read, (user_id, &ids), of_type, page, now).await?;
        ends.extend(end_of(
            given.iter().map(|one| (one.resource_type, &one.resource_name)),
            page.1,
        ));
        for one in given {
            let (of, name, level) = (one.resource_type, one.resource_name.clone(), one.access_level);
            add(of, name, level, Through::Given(Box::new(one)));
        }
        let derived = listing::derived(&mut read, &organizations, of_type, page).await?;
        ends.extend(end_of(
            derived.iter().map(|one| (one.resource_type, &one.resource_name)),
            page.1,
        ));
        for one in derived {
            let through = Through::Organization(one.organization_id);
            add(one.resource_type, one.resource_name, one.access_level, through);
        }
        let subscribed = listing::subscribed(&mut read, person.tier, of_type, page).await?;
        ends.extend(end_of(
            subscribed.iter().map(|one| (one.resource_type, &one.resource_name)),
            page.1,
        ));
        for one in subscribed {
            let (of, name, level) = (one.resource_type, one.resource_name.clone(), one.access_level);
            add(of, name, level, Through::Subscription(Box::new(one)));
        }
    }
    let total = match after {
        None if person.is_active => {
            Some(listing::count(&mut read, (user_id, &organizations), person.tier, of_type, now).await?)
        }
        None => Some(0),
        Some(_) => None,
    };
    // Beyond the first end something may be missing.
    if let Some(end) = ends.iter().min() {
        found.retain(|key, _| key <= end);
    }
    let has_more = found.len() > limit || !ends.is_empty();
    let items: Vec<_> = found
        .into_iter()
        .take(limit)
        .map(|((_, name), (of, level, through))| (of, name, level, through))
        .collect();
    let next = items.last().filter(|_| has_more);
    Ok(Accessible {
        total,
        next: next.map(|(of, name, ..)| Place(vec![of.as_str().to_owned(), name.clone()])),
        items,
    })
}

/// The last of a page, if it was full.
fn end_of<'a>(
    page: impl ExactSizeIterator<Item = (ResourceType, &'a String)>,
    limit: i64,
) -> Option<(&'static str, String)> {
    let is_full = i64::try_from(page.len()).is_ok_and(|count| count >= limit);
    let last = page.last().filter(|_| is_full);
    last.map(|(of, name)| (of.as_str(), name.clone()))
}

/// The resource a place names.
fn named(place: &Place) -> Option<Named<'_>> {
    let [of, name] = place.0.as_slice() else { return None };
    Some(Named {
        resource_type: of.parse().ok()?,
        resource_name: name,
    })
}

/// The person, if there is one.
async fn known(authorization: &Authorization, conn: &mut Conn, user_id: &str) -> Result<std::sync::Arc<Person>, Error> {
    let there = crate::account::existing(conn, &[user_id]).await?;
    if there.is_empty() {
        return Err(Error::UserNotFound);
    }
    authorization.person(conn, user_id).await
}

/// What somebody has, in figures.
pub(in crate::authorization) struct Summary {
    pub tier: Tier,
    pub organization: Option<(String, OrganizationPlan)>,
    pub total: i64,
    pub by_type: BTreeMap<String, i64>,
    pub by_source: BTreeMap<String, i64>,
    pub by_level: BTreeMap<String, i64>,
    /// How many end within a week.
    pub expires_soon: i64,
    pub last_check: Option<DateTime<Utc>>,
}

/// How soon is soon, in days.
const SOON: i64 = 7;

/// What somebody was given, and what their organizations have for them, in figures.
pub(in crate::authorization) async fn summary(authorization: &Authorization, user_id: &str) -> Result<Summary, Error> {
    let mut read = authorization.ctx.db.read().await?;
    let person = known(authorization, &mut read, user_id).await?;
    let now = authorization.ctx.clock.now();
    let organizations = paying(&person);
    let soon = now + Duration::days(SOON);
    let mut summary = Summary {
        tier: person.tier,
        organization: person.acts_in.as_ref().and_then(|id| {
            let standing = person
                .standings
                .iter()
                .find(|standing| standing.organization_id == *id)?;
            Some((id.clone(), plan(standing.plan)))
        }),
        total: 0,
        by_type: BTreeMap::new(),
        by_source: BTreeMap::new(),
        by_level: BTreeMap::new(),
        expires_soon: 0,
        last_check: store::last_check(&mut read, user_id).await?,
    };
    if !person.is_active {
        return Ok(summary);
    }
    for part in listing::tally(&mut read, (user_id, &organizations), now, soon).await? {
        summary.total += part.count;
        summary.expires_soon += part.ending;
        *summary
            .by_type
            .entry(part.resource_type.as_str().to_owned())
            .or_default() += part.count;
        *summary.by_source.entry(part.permission_source).or_default() += part.count;
        *summary
            .by_level
            .entry(part.access_level.as_str().to_owned())
            .or_default() += part.count;
    }
    Ok(summary)
}

/// Who may use a resource.
pub(in crate::authorization) struct Holders {
    /// Who was given it.
    pub permissions: Vec<Permission>,
    pub next: Option<Place>,
    /// Which organizations have it, the first thousand; on the first page alone.
    pub organizations: Vec<OrganizationPermission>,
    /// Who pays for it has it.
    pub catalogue: Option<CatalogueEntry>,
}

/// Who may use a resource: a page of those who were given it, in the order of their ids.
pub(in crate::authorization) async fn holders(
    authorization: &Authorization,
    (resource_type, resource_name): (ResourceType, &str),
    after: Option<Place>,
    limit: usize,
) -> Result<Holders, Error> {
    let resource_name = normal(resource_name);
    let resource = Named {
        resource_type,
        resource_name: &resource_name,
    };
    let mut read = authorization.ctx.db.read().await?;
    let from = after.as_ref().and_then(|place| match place.0.as_slice() {
        [user_id, id] => Some((user_id.as_str(), id.as_str())),
        _ => None,
    });
    let now = authorization.ctx.clock.now();
    let most = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let mut permissions = store::holders(&mut read, resource, from, most, now).await?;
    let has_more = permissions.len() > limit;
    permissions.truncate(limit);
    let next = permissions.last().filter(|_| has_more);
    let next = next.map(|last| Place(vec![last.user_id.clone(), last.id.clone()]));
    let (organizations, catalogue) = if after.is_none() {
        let organizations = store::organizations_with(&mut read, resource, 1_000).await?;
        let entry = store::catalogue_entry(&mut read, resource).await?;
        (organizations, entry.filter(|entry| entry.is_enabled))
    } else {
        (Vec::new(), None)
    };
    Ok(Holders {
        permissions,
        next,
        organizations,
        catalogue,
    })
}

/// How many permissions there are, how many people have some, and of how many types they are.
pub(in crate::authorization) async fn stats(authorization: &Authorization) -> Result<(i64, i64, i64), Error> {
    let mut read = authorization.ctx.db.read().await?;
    Ok(store::stats(&mut read, authorization.ctx.clock.now()).await?)
}

/// What was done, newest first: one more than asked for, if there are more.
pub(in crate::authorization) async fn trail(
    authorization: &Authorization,
    wanted: &Wanted,
    limit: i64,
) -> Result<Vec<Entry>, Error> {
    let mut read = authorization.ctx.db.read().await?;
    Ok(store::audit::list(&mut read, wanted, limit + 1).await?)
}
