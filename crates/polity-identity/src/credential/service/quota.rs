//! Telling that a quota is nearly used, or all: once per quota and window.

use chrono::{DateTime, Utc};
use polity_kernel::db::Tx;
use polity_ports::{Said, auth::ApiKeyQuotaReached};

use crate::credential::{Credentials, Error, limits::Limit, model::Credential, store::usage};

/// Of what share it is told, in percent.
const SHARES: [i64; 2] = [80, 100];

/// A quota and what of it is used, in one window.
struct Quota<'a> {
    scope_id: &'a str,
    field: &'static str,
    limit: i64,
    used: i64,
    start: i64,
}

impl<'a> Quota<'a> {
    fn of_day(limit: &'a Limit, used: i64, start: i64) -> Self {
        Self {
            scope_id: &limit.scope_id,
            field: limit.field,
            limit: i64::try_from(limit.most).unwrap_or(i64::MAX),
            used,
            start,
        }
    }

    /// The shares of it that are used.
    fn reached(&self) -> impl Iterator<Item = i64> {
        let (limit, used) = (self.limit, self.used);
        SHARES
            .into_iter()
            .filter(move |share| limit > 0 && used.saturating_mul(100) >= limit.saturating_mul(*share))
    }

    /// By what a process knows that it has told of a share already.
    fn mark(&self, share: i64) -> String {
        format!("{}/{}/{}/{share}", self.scope_id, self.field, self.start)
    }
}

/// Tells what a limit of a day has come to.
pub(in crate::credential) async fn tell_used(
    tx: &mut Tx,
    credentials: &Credentials,
    credential: &Credential,
    limit: &Limit,
    (used, start): (i64, i64),
) -> Result<(), Error> {
    tell(tx, credentials, credential, &Quota::of_day(limit, used, start)).await
}

/// Whether there may be something to tell of a limit of a day, if so much of it is used at most.
pub(in crate::credential) fn is_news(credentials: &Credentials, limit: &Limit, (used, start): (i64, i64)) -> bool {
    let quota = Quota::of_day(limit, used, start);
    quota
        .reached()
        .any(|share| credentials.told.get(&quota.mark(share)).is_none())
}

/// Tells what the credits of a period have come to. Credits that are never filled up have one period.
pub(in crate::credential) async fn tell_credits(
    tx: &mut Tx,
    credentials: &Credentials,
    credential: &Credential,
    left: i64,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let (Some(limit), Some(interval)) = (credential.credit_amount, credential.credit_interval) else {
        return Ok(());
    };
    let quota = Quota {
        scope_id: &credential.id,
        field: "credits",
        limit,
        used: limit - left,
        start: interval.period(now),
    };
    tell(tx, credentials, credential, &quota).await
}

async fn tell(tx: &mut Tx, credentials: &Credentials, credential: &Credential, quota: &Quota<'_>) -> Result<(), Error> {
    for share in quota.reached() {
        // What this process has told already, it need not look up.
        let mark = quota.mark(share);
        if credentials.told.get(&mark).is_some() {
            continue;
        }
        if usage::mark_threshold(tx, quota.scope_id, quota.field, quota.start, share).await? {
            let event = ApiKeyQuotaReached {
                key_id: (quota.scope_id == credential.id).then(|| credential.id.clone()),
                organization_id: credential.organization_id.clone(),
                field: quota.field.to_owned(),
                percent: share,
                limit: quota.limit,
                used: quota.used,
                window_start: DateTime::from_timestamp(quota.start, 0).unwrap_or_default(),
                timestamp: credentials.ctx.clock.now(),
            };
            credentials.ctx.events.publish(tx, event.event()).await?;
        }
        let told = credentials.told.clone();
        tx.on_commit(move || told.insert(mark, ()));
    }
    Ok(())
}
