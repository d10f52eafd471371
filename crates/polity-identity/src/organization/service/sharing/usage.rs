//! What is used of something shared: asked, counted and limited in one statement (BR-FSH-006).

use chrono::{DateTime, Utc};
use polity_kernel::db::{Conn, List, Tx};

use super::{
    Access, Actor, Error, Object, Organizations, Permission, Quota, Role, Sharing, access::check_holds, changed, found,
    manages, seen, store,
};
use crate::organization::{
    error::Exceeded,
    model::{
        Status,
        sharing::{Period, UNLIMITED},
    },
    store::sharing::usage::Count,
};

/// How many members are listed in a report.
const LISTED: i64 = 1_000;

/// A use.
pub(in crate::organization) struct Use {
    /// By whom; `None`: by whoever asks.
    pub user_id: Option<String>,
    /// How much, in what the quotas count.
    pub amount: i64,
    /// What it takes.
    pub needs: Permission,
}

/// What came of a use.
pub(in crate::organization) struct Used {
    pub user_id: String,
    pub level: Permission,
    pub period: Period,
    pub member: (i64, Option<i64>),
    pub all: (i64, Option<i64>),
    pub restrictions: Object,
}

/// Counts a use by a member, if they may and no quota is against it. For the member, and for services that serve them.
pub(in crate::organization) async fn use_shared(
    tx: &mut Tx,
    organizations: &Organizations,
    actor: &Actor,
    (organization_id, sharing_id): (&str, &str),
    wanted: Use,
) -> Result<Used, Error> {
    let (found_in, _) = changed(tx, actor, organization_id).await?;
    if found_in.status != Status::Active {
        return Err(Error::forbidden(
            "The organization is suspended; nothing can be used in it",
        ));
    }
    let sharing = found(tx, organization_id, sharing_id).await?;
    let user_id = user(tx, actor, organization_id, wanted.user_id).await?;
    let now = organizations.ctx.clock.now();
    let place = (sharing_id, user_id.as_str());
    let access = store::access::find(tx, place, &store::access::starts(now)).await?;
    let access = access.ok_or_else(|| Error::forbidden("This is not shared with this member"))?;
    check_holds(&access, now)?;
    if !access.permission_level.includes(wanted.needs) {
        let (needs, level) = (wanted.needs.as_str(), access.permission_level.as_str());
        return Err(Error::forbidden(format!(
            "This takes the permission {needs}; there is {level}"
        )));
    }
    let quota = sharing.quota()?;
    let (member, all) = count(tx, &access, &quota, wanted.amount, now).await?;
    store::access::touch(tx, sharing_id, &user_id, now).await?;
    Ok(Used {
        user_id,
        level: access.permission_level,
        period: quota.period,
        member: (
            member,
            quota.of_member(access.quota_override, access.user_id == access.created_by),
        ),
        all: (all, quota.of_all()),
        restrictions: access.restrictions.0,
    })
}

/// Who uses it: whoever asks, or the member a service names. An active member in any case.
async fn user(tx: &mut Tx, actor: &Actor, organization_id: &str, named: Option<String>) -> Result<String, Error> {
    let user_id = named.unwrap_or_else(|| actor.id().to_owned());
    if matches!(actor, Actor::Person(_)) && user_id != actor.id() {
        return Err(Error::forbidden("Only services can count uses of others"));
    }
    let person = List::of([&user_id]);
    if store::access::strangers(tx, organization_id, &person, 1)
        .await?
        .is_empty()
    {
        return Ok(user_id);
    }
    let text = format!("Not an active member of the organization: {user_id}");
    Err(Error::NotMembers(text))
}

/// Adds a use to what the member and all together have used by day, week, month and ever; all of it or nothing. Returns what
/// both have come to in the window of the quota.
async fn count(
    tx: &mut Tx,
    access: &Access,
    quota: &Quota,
    amount: i64,
    now: DateTime<Utc>,
) -> Result<(i64, i64), Error> {
    let own = quota.of_member(access.quota_override, access.user_id == access.created_by);
    // In one order for everybody, so that two uses at once wait for one another and never in a circle.
    let whose = [("", quota.of_all()), (access.user_id.as_str(), own)];
    let counts: Vec<Count<'_>> = whose
        .iter()
        .flat_map(|(user_id, limit)| {
            Period::ALL.iter().map(|period| Count {
                user_id,
                period: *period,
                start: period.start(now),
                most: limit.filter(|_| *period == quota.period).unwrap_or(UNLIMITED),
            })
        })
        .collect();
    let counted = store::usage::count_use(tx, &access.sharing_id, amount, &counts).await?;
    let of = |user_id: &str| {
        let mut found = counted
            .iter()
            .filter(|(whose, period, _)| whose == user_id && *period == quota.period);
        found.next().map(|(_, _, used)| *used)
    };
    if let (true, Some(all), Some(member)) = (counted.len() == counts.len(), of(""), of(&access.user_id)) {
        return Ok((member, all));
    }
    let (name, user_id, limit) = if of(&access.user_id).is_none() {
        ("per_member_quota", access.user_id.as_str(), own)
    } else {
        ("total_quota", "", quota.of_all())
    };
    let window = (quota.period, quota.period.start(now));
    let (used, _) = store::usage::used(tx, &access.sharing_id, user_id, window).await?;
    Err(Error::Quota(Box::new(Exceeded {
        quota: name,
        period: quota.period.as_str(),
        limit: limit.unwrap_or(UNLIMITED),
        used,
        retry_after: quota.period.ends_in(now),
    })))
}

/// What was used of a sharing until now.
pub(in crate::organization) struct Figures {
    pub period: Period,
    /// By all, in the current window of the quota.
    pub used: i64,
    /// How much all may use in it; `None`: any amount.
    pub quota: Option<i64>,
    /// By all, ever.
    pub total_used: i64,
    pub total_uses: i64,
}

impl Figures {
    /// How much of the quota is used, in percent; `None`: there is none.
    pub(in crate::organization) fn utilization(&self) -> Option<f64> {
        let quota = self.quota?;
        if self.used >= quota {
            return Some(100.0);
        }
        // In thousandths of a percent, which a double holds exactly enough.
        let thousandths = i128::from(self.used) * 100_000 / i128::from(quota.max(1));
        i32::try_from(thousandths).ok().map(|share| f64::from(share) / 1_000.0)
    }
}

/// What was used of a sharing until now.
pub(in crate::organization) async fn figures(
    read: &mut Conn,
    sharing: &Sharing,
    now: DateTime<Utc>,
) -> Result<Figures, Error> {
    let quota = sharing.quota()?;
    let id = sharing.sharing_id.as_str();
    let (used, _) = store::usage::used(read, id, "", (quota.period, quota.period.start(now))).await?;
    let (total_used, total_uses) = store::usage::used(read, id, "", (Period::Total, 0)).await?;
    Ok(Figures {
        period: quota.period,
        used,
        quota: quota.of_all(),
        total_used,
        total_uses,
    })
}

/// What was used of a sharing in a period.
pub(in crate::organization) struct Report {
    pub sharing: Sharing,
    pub figures: Figures,
    pub used: i64,
    pub uses: i64,
    pub active_members: i64,
    /// Who, how much and how often; who used most first.
    pub members: Vec<(String, i64, i64)>,
}

/// What was used of a sharing on the days (in UTC) of a period; for its creator and administrators.
pub(in crate::organization) async fn report(
    read: &mut Conn,
    actor: &Actor,
    (organization_id, sharing_id): (&str, &str),
    (start, end): (DateTime<Utc>, DateTime<Utc>),
    now: DateTime<Utc>,
) -> Result<Report, Error> {
    let (_, role) = seen(read, actor, organization_id).await?;
    let sharing = found(read, organization_id, sharing_id).await?;
    if !manages(actor, role.unwrap_or(Role::Owner), &sharing) {
        return Err(Error::forbidden(
            "Only the creator of a sharing and administrators see what was used of it",
        ));
    }
    // The day that the end is in counts, unless the end is its beginning.
    let span = (
        Period::Daily.start(start),
        end.timestamp().max(Period::Daily.start(start) + 1),
    );
    let (used, uses, active_members) = store::usage::sum(read, sharing_id, span).await?;
    Ok(Report {
        figures: figures(read, &sharing, now).await?,
        used,
        uses,
        active_members,
        members: store::usage::sum_by_member(read, sharing_id, span, LISTED).await?,
        sharing,
    })
}
