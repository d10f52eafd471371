//! Consenting (5.7.1): explicitly, for one purpose and one thing, to what was shown.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use polity_kernel::{
    clock,
    db::{self, Conn, Json, List, Tx},
    limit::Window,
};
use polity_ports::{Said, consent::ConsentGranted};

use super::{
    By, audit,
    chain::{AuditEvent, Entry},
    ending::{end_all, enforced},
    lock_person,
};
use crate::consent::{
    Consents, Error,
    model::{Consent, Ending, EntityType, Place, Purpose, Status, SubjectKind},
    store,
};

/// The consent that counts now at a place.
///
/// # Errors
/// What the database says.
pub async fn active(conn: &mut Conn, place: &Place<'_>, now: DateTime<Utc>) -> db::Result<Option<Consent>> {
    let found = store::find_active(conn, place).await?;
    Ok(found.filter(|consent| consent.counts(now)))
}

/// The same, and it stays so until the transaction ends: whoever makes something that rests on it asks with this, before any
/// lock of their own. A consent that is taken back at the same time finds what was made, and stops it.
///
/// # Errors
/// What the database says.
pub async fn hold(tx: &mut Tx, place: &Place<'_>, now: DateTime<Utc>) -> db::Result<Option<Consent>> {
    tx.lock("consent.person", place.user_id).await?;
    active(tx, place, now).await
}

/// What somebody consents to.
#[derive(Debug)]
pub struct NewConsent {
    /// What for.
    pub purpose: Purpose,
    /// What rests on it.
    pub subject_kind: SubjectKind,
    /// What it is to.
    pub entity_type: EntityType,
    /// Which one; empty: all of that type.
    pub entity_id: String,
    /// What they were shown.
    pub description: String,
    /// What was asked for.
    pub requested_permissions: Vec<String>,
    /// What they gave of it.
    pub granted_permissions: Vec<String>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// What was shown, if it was more than the description.
    pub text_hash: Option<String>,
    /// Which policy was shown, if that is known.
    pub policy_version: Option<u32>,
    /// When it was shown, if that is known.
    pub shown_at: Option<DateTime<Utc>>,
}

/// Counts a consent that somebody gives: each is kept for years, whatever becomes of it. It comes before any transaction.
pub(in crate::consent) async fn count_given(consents: &Consents, user_id: &str) -> Result<(), Error> {
    let most = u64::from(consents.settings.given_per_hour);
    let window = Window::new("consents_given", most, Duration::from_hours(1));
    let usage = consents.ctx.limiter.take(&[window], user_id, 1).await;
    if usage.allowed {
        Ok(())
    } else {
        Err(Error::Limited(usage))
    }
}

/// Consents. What is consented to already on the same terms stays as it is; on others, the new consent takes its place.
pub async fn grant(
    tx: &mut Tx,
    consents: &Consents,
    user_id: &str,
    workspace_id: &str,
    new: NewConsent,
    by: &By,
) -> Result<Consent, Error> {
    let now = consents.ctx.clock.now();
    check(consents, &new, now)?;
    let shown_at = new.shown_at;
    let new = made(consents, user_id, workspace_id, new, by);
    lock_person(tx, user_id).await?;
    let mut before = store::find_active(tx, &new.place()).await?;
    if let Some(over) = before.take_if(|consent| consent.due(now).is_some()) {
        let why = over.due(now).unwrap_or(Ending::Expired);
        end_all(tx, consents, user_id, vec![over], why, &By::nobody()).await?;
    }
    match before {
        Some(same) if is_same(&same, &new) => return Ok(same),
        Some(before) => replace(tx, consents, before, &new, shown_at, by).await?,
        None => {
            let most = consents.settings.most_per_person;
            if store::count_active(tx, user_id).await? >= i64::from(most) {
                return Err(Error::TooMany(most));
            }
            store::insert(tx, &new).await?;
            store::renewed(tx, &new.place(), &new.id).await?;
            let mut entries = shown(&new, shown_at);
            entries.push(Entry::of(AuditEvent::Granted, &new));
            audit::append(tx, &consents.ctx, user_id, &entries, by).await?;
            tell(tx, consents, &new, None).await?;
        }
    }
    Ok(new)
}

/// Puts a consent in the place of another; what rests on it goes on, with what is allowed now.
async fn replace(
    tx: &mut Tx,
    consents: &Consents,
    before: Consent,
    new: &Consent,
    shown_at: Option<DateTime<Utc>>,
    by: &By,
) -> Result<(), Error> {
    let ids = List::of([&before.id]);
    store::end(
        tx,
        &before.user_id,
        &ids,
        Ending::Replaced,
        Some(&new.id),
        new.granted_at,
    )
    .await?;
    store::insert(tx, new).await?;
    let is_narrower = !new.allows(before.granted_permissions.0.iter().map(String::as_str));
    let mut stopped = Vec::new();
    if is_narrower {
        for rests in consents.enforced() {
            stopped.push((rests.what(), rests.narrowed(tx, &before, new).await?));
        }
    }
    let mut entries = shown(new, shown_at);
    entries.push(Entry::of(AuditEvent::Changed, new).with(format!("replaces {}", before.id)));
    entries.extend(enforced(new, &stopped));
    audit::append(tx, &consents.ctx, &before.user_id, &entries, by).await?;
    tell(tx, consents, new, Some(before.id.clone())).await
}

fn shown(new: &Consent, shown_at: Option<DateTime<Utc>>) -> Vec<Entry<'_>> {
    let at = shown_at.into_iter();
    at.map(|at| Entry::of(AuditEvent::Shown, new).with(format!("shown at {}", clock::rfc3339(at))))
        .collect()
}

/// What only a rule can judge: what is given was asked for, ends later, and was shown as it is now.
fn check(consents: &Consents, new: &NewConsent, now: DateTime<Utc>) -> Result<(), Error> {
    let current = consents.settings.policy_version;
    if new.policy_version.is_some_and(|shown| shown != current) {
        return Err(Error::PolicyChanged(current));
    }
    let extra = |name: &&String| !new.requested_permissions.contains(*name);
    if let Some(name) = new.granted_permissions.iter().find(extra) {
        let text = format!("{name:?} was not asked for: what is granted is part of what is requested");
        return Err(Error::Field("granted_permissions", text));
    }
    if new.expires_at.is_some_and(|at| at <= now) {
        return Err(Error::Field(
            "expires_at",
            "Expiry date must be in the future".to_owned(),
        ));
    }
    if new.shown_at.is_some_and(|at| at > now + chrono::Duration::minutes(5)) {
        return Err(Error::Field(
            "shown_at",
            "The text cannot have been shown later than now".to_owned(),
        ));
    }
    Ok(())
}

fn made(consents: &Consents, user_id: &str, workspace_id: &str, new: NewConsent, by: &By) -> Consent {
    let now = consents.ctx.clock.now();
    let hash = || hex::encode(digest(&SHA256, new.description.as_bytes()));
    Consent {
        id: consents.ctx.ids.new_id("cns_"),
        user_id: user_id.to_owned(),
        workspace_id: workspace_id.to_owned(),
        purpose: new.purpose,
        subject_kind: new.subject_kind,
        entity_type: new.entity_type,
        text_hash: new.text_hash.unwrap_or_else(hash),
        entity_id: new.entity_id,
        description: new.description,
        requested_permissions: Json(sorted(new.requested_permissions)),
        granted_permissions: Json(sorted(new.granted_permissions)),
        status: Status::Granted,
        is_active: true,
        granted_at: now,
        revoked_at: None,
        expires_at: new.expires_at,
        superseded_at: None,
        grace_ends_at: None,
        ended_at: None,
        end_reason: None,
        replaced_by: None,
        ip_address: by.ip_address.clone(),
        user_agent: by.user_agent.clone(),
        locale: by.locale.clone(),
        policy_version: i64::from(consents.settings.policy_version),
        updated_at: now,
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names.dedup();
    names
}

/// Whether two consents say the same, but for when and from where.
fn is_same(one: &Consent, other: &Consent) -> bool {
    one.requested_permissions == other.requested_permissions
        && one.granted_permissions == other.granted_permissions
        && one.description == other.description
        && one.text_hash == other.text_hash
        && one.locale == other.locale
        && one.expires_at == other.expires_at
        && one.policy_version == other.policy_version
}

async fn tell(tx: &mut Tx, consents: &Consents, new: &Consent, replaces: Option<String>) -> Result<(), Error> {
    let said = ConsentGranted {
        consent_id: new.id.clone(),
        user_id: new.user_id.clone(),
        workspace_id: new.workspace_id.clone(),
        purpose: new.purpose.as_str().to_owned(),
        subject_kind: new.subject_kind.as_str().to_owned(),
        entity_type: new.entity_type.as_str().to_owned(),
        entity_id: Some(new.entity_id.clone()).filter(|id| !id.is_empty()),
        granted_permissions: new.granted_permissions.0.clone(),
        policy_version: new.policy_version,
        replaces,
        expires_at: new.expires_at,
        timestamp: new.granted_at,
    };
    consents.ctx.events.publish(tx, said.event()).await?;
    Ok(())
}
