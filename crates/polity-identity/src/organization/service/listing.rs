//! Lists and figures.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Datelike, TimeZone, Utc};
use polity_kernel::db::{Conn, List, Part};

use super::{Actor, Error, Role, seen};
use crate::{
    credential,
    organization::{
        Organizations,
        model::{Membership, Organization},
        store::{self, MemberFilter, Wanted},
    },
};

/// A page.
pub(in crate::organization) struct Page<T> {
    pub items: Vec<T>,
    /// How many there are in all; `None` if nobody counted.
    pub total: Option<i64>,
}

/// The organizations a person is an active member of, newest membership first, with what they are in each.
pub(in crate::organization) async fn of_person(
    read: &mut Conn,
    user_id: &str,
    (limit, offset): (i64, i64),
) -> Result<Page<(Organization, Role)>, Error> {
    let listed = store::list_of(read, user_id, limit, offset).await?;
    let ids = List::of(listed.iter().map(|(id, _)| id));
    let found = store::find_all(read, &ids).await?;
    let mut found: HashMap<String, Organization> = found
        .into_iter()
        .map(|found| (found.organization_id.clone(), found))
        .collect();
    let items = listed
        .into_iter()
        .filter_map(|(id, role)| Some((found.remove(&id)?, role)))
        .collect();
    Ok(Page {
        items,
        total: Some(store::count_of(read, user_id).await?),
    })
}

/// The active members of an organization, longest first; with a cursor nobody counts.
pub(in crate::organization) async fn members(
    read: &mut Conn,
    actor: &Actor,
    organization_id: &str,
    (role, search): (Option<Role>, Option<String>),
    (part, limit): (Part, i64),
) -> Result<Page<Membership>, Error> {
    seen(read, actor, organization_id).await?;
    let (offset, after) = match part {
        Part::From(offset) => (Some(offset), None),
        Part::After(after) => (None, after),
    };
    let filter = MemberFilter { role, search, after };
    let items = store::list_members(read, organization_id, &filter, limit, offset.unwrap_or(0)).await?;
    let total = match offset {
        Some(_) => Some(store::count_listed(read, organization_id, &filter).await?),
        None => None,
    };
    Ok(Page { items, total })
}

/// All organizations, for administrators of the platform.
pub(in crate::organization) async fn all(
    read: &mut Conn,
    wanted: Wanted,
    (limit, offset): (i64, i64),
) -> Result<Page<Organization>, Error> {
    let (items, total) = store::list_all(read, &wanted, limit, offset).await?;
    Ok(Page {
        items,
        total: Some(total),
    })
}

/// Figures of the platform.
pub(in crate::organization) async fn platform_stats(read: &mut Conn) -> Result<(i64, i64, i64), Error> {
    Ok(store::stats(read).await?)
}

fn first_of_month(at: DateTime<Utc>) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(at.year(), at.month(), 1, 0, 0, 0)
        .single()
        .unwrap_or(at)
}

/// An organization, and how often its keys and tokens were used since the month began.
pub(in crate::organization) async fn stats(
    read: &mut Conn,
    organizations: &Organizations,
    actor: &Actor,
    organization_id: &str,
) -> Result<(Organization, i64), Error> {
    let (found, _) = seen(read, actor, organization_id).await?;
    let now = organizations.ctx.clock.now();
    let calls = credential::calls(read, organization_id, first_of_month(now), now).await?;
    Ok((found, calls))
}

/// What was used in an organization.
pub(in crate::organization) struct Usage {
    pub period_start: DateTime<Utc>,
    pub period_end: DateTime<Utc>,
    pub api_calls: i64,
    pub by_service: BTreeMap<&'static str, i64>,
}

/// What was used in an organization in a period; for its administrators.
pub(in crate::organization) async fn usage(
    read: &mut Conn,
    organizations: &Organizations,
    actor: &Actor,
    organization_id: &str,
    (start, end): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
) -> Result<Usage, Error> {
    let (_, role) = seen(read, actor, organization_id).await?;
    if role.is_some_and(|role| !role.is_admin()) {
        return Err(Error::forbidden("Admin access required"));
    }
    let period_end = end.unwrap_or_else(|| organizations.ctx.clock.now());
    let period_start = start.unwrap_or_else(|| first_of_month(period_end));
    let api_calls = credential::calls(read, organization_id, period_start, period_end).await?;
    Ok(Usage {
        period_start,
        period_end,
        api_calls,
        by_service: BTreeMap::from([("api", api_calls)]),
    })
}
