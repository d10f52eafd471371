//! Giving and taking permissions, one or many in one way: what the operations need is read at once, each is judged in its
//! order and on its own, and what became of all is written at once.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Duration, Utc};
use polity_kernel::{
    db::{List, Tx},
    event::NewEvent,
};
use polity_ports::{
    Said,
    authorization::{AccessLevel, BulkGranted, BulkRevoked, PermissionGranted, PermissionRevoked, ResourceType},
};

use super::Actor;
use crate::{
    account,
    authorization::{
        Authorization, Error,
        engine::{Gathered, evidence_of},
        model::{Action, Evidence, Permission, Person, Question, Source, decide, normal},
        store::{self, Held, Named, audit},
    },
    organization,
};

/// A permission to give.
#[derive(Debug, Clone)]
pub(in crate::authorization) struct NewGrant {
    pub user_id: String,
    pub resource_type: ResourceType,
    pub resource_name: String,
    pub access_level: AccessLevel,
    pub source: Source,
    pub organization_id: Option<String>,
    pub expires_at: Option<DateTime<Utc>>,
    pub reason: Option<String>,
}

/// Permissions to take.
#[derive(Debug, Clone)]
pub(in crate::authorization) struct Revocation {
    pub user_id: String,
    pub resource_type: ResourceType,
    pub resource_name: String,
    /// Only those that rest on this.
    pub source: Option<Source>,
    /// Only those that count in this organization.
    pub organization_id: Option<String>,
    pub reason: Option<String>,
}

/// What to do.
#[derive(Debug, Clone)]
pub(in crate::authorization) enum Operation {
    /// Give.
    Grant(NewGrant),
    /// Take.
    Revoke(Revocation),
}

impl Operation {
    /// To or from whom, and what.
    pub(in crate::authorization) fn of(&self) -> (&str, ResourceType, &str) {
        match self {
            Self::Grant(one) => (&one.user_id, one.resource_type, &one.resource_name),
            Self::Revoke(one) => (&one.user_id, one.resource_type, &one.resource_name),
        }
    }

    fn held(&self) -> Held<'_> {
        let (user_id, resource_type, resource_name) = self.of();
        Held {
            user_id,
            resource: Named {
                resource_type,
                resource_name,
            },
        }
    }

    fn organization_id(&self) -> Option<&str> {
        match self {
            Self::Grant(one) => one.organization_id.as_deref(),
            Self::Revoke(one) => one.organization_id.as_deref(),
        }
    }

    fn normalise(&mut self) {
        let (Self::Grant(NewGrant { resource_name, .. }) | Self::Revoke(Revocation { resource_name, .. })) = self;
        *resource_name = normal(resource_name);
    }
}

/// Many operations that are reported as one.
#[derive(Debug, Clone)]
pub(in crate::authorization) struct Batch {
    pub id: String,
    pub reason: Option<String>,
}

/// What the judgement of operations rests on.
struct Facts {
    now: DateTime<Utc>,
    /// People who have an account.
    people: HashSet<String>,
    /// Organizations that are there.
    organizations: HashSet<String>,
    /// Active members, as organization and person.
    members: HashSet<(String, String)>,
    /// The person who acts, and what they hold of each resource, where that bounds what they may give.
    bound: Option<Bound>,
}

struct Bound {
    person: Person,
    evidence: Gathered,
}

/// What people have of the resources in question, and what is to be written of it.
#[derive(Default)]
struct State {
    held: HashMap<(String, ResourceType, String), Vec<Permission>>,
    /// The ids of what is written anew.
    written: HashSet<String>,
    /// The ids of what is gone.
    gone: Vec<String>,
    audit: Vec<audit::Entry>,
    events: Vec<NewEvent>,
    people: BTreeSet<String>,
}

/// Carries out operations in their order, each on its own: one that is refused changes nothing and stops no other. What was
/// refused is in the audit too. Nothing is kept if the transaction is not committed.
pub(in crate::authorization) async fn apply(
    tx: &mut Tx,
    authorization: &Authorization,
    actor: &Actor,
    batch: Option<&Batch>,
    mut operations: Vec<Operation>,
) -> Result<Vec<Result<(), Error>>, Error> {
    for operation in &mut operations {
        operation.normalise();
    }
    // In one order, so that none waits for another that waits for it (EC-003). Who changes the members of an organization, or
    // deletes it, does so before or after.
    let organizations: BTreeSet<&str> = operations.iter().filter_map(Operation::organization_id).collect();
    for organization in &organizations {
        tx.lock("organization", organization).await?;
    }
    let people: BTreeSet<&str> = operations.iter().map(|operation| operation.of().0).collect();
    for person in &people {
        tx.lock("permission", person).await?;
    }
    let facts = facts(tx, authorization, actor, &operations).await?;
    let mut state = State::default();
    let held: BTreeSet<Held<'_>> = operations.iter().map(Operation::held).collect();
    let held: Vec<Held<'_>> = held.into_iter().collect();
    for found in store::permissions_of(tx, &held).await? {
        let key = (found.user_id.clone(), found.resource_type, found.resource_name.clone());
        state.held.entry(key).or_default().push(found);
    }
    let mut results = Vec::with_capacity(operations.len());
    for operation in &operations {
        let done = match operation {
            Operation::Grant(new) => state.grant(authorization, actor, &facts, new),
            Operation::Revoke(gone) => state.revoke(authorization, actor, &facts, gone),
        };
        if let Err(error) = &done {
            state.note_refused(authorization, actor, operation, error);
        }
        results.push(done);
    }
    if let Some(batch) = batch {
        say_batch(&mut state, actor, batch, &operations, &results, facts.now);
    }
    write(tx, authorization, state, facts.now).await?;
    Ok(results)
}

async fn facts(
    tx: &mut Tx,
    authorization: &Authorization,
    actor: &Actor,
    operations: &[Operation],
) -> Result<Facts, Error> {
    let people: BTreeSet<&str> = operations.iter().map(|operation| operation.of().0).collect();
    let people: Vec<&str> = people.into_iter().collect();
    let organizations: BTreeSet<&str> = operations.iter().filter_map(Operation::organization_id).collect();
    let organizations: Vec<&str> = organizations.into_iter().collect();
    Ok(Facts {
        now: authorization.ctx.clock.now(),
        people: account::existing(tx, &people).await?,
        members: match actor {
            Actor::Person(_) => organization::members_among(tx, &organizations, &people).await?,
            _ => HashSet::new(),
        },
        organizations: organization::existing(tx, &organizations).await?,
        bound: match actor {
            Actor::Service(_) | Actor::SuperAdmin(_) => None,
            Actor::Admin(id) | Actor::Person(id) => Some(bound(tx, authorization, id, operations).await?),
        },
    })
}

/// What somebody holds of everything that is to be given.
async fn bound(
    tx: &mut Tx,
    authorization: &Authorization,
    user_id: &str,
    operations: &[Operation],
) -> Result<Bound, Error> {
    let person = authorization.look_at(tx, user_id).await?;
    let resources: BTreeSet<Named<'_>> = operations.iter().map(|operation| operation.held().resource).collect();
    let resources: Vec<Named<'_>> = resources.into_iter().collect();
    let evidence = evidence_of(tx, &person, &resources).await?;
    Ok(Bound { person, evidence })
}

impl Bound {
    /// Whether they hold that much themselves, and will until what they give ends: what somebody holds only ever ends, so
    /// its last moment is looked at. What is given in an organization may rest on that organization alone, and not on another
    /// one they are in; what is given everywhere may rest on none.
    fn holds(&self, new: &NewGrant) -> bool {
        let mut person = self.person.clone();
        let place = new.organization_id.as_deref();
        person
            .standings
            .retain(|standing| place == Some(standing.organization_id.as_str()));
        person.acts_in = None;
        let last = new.expires_at.map(|end| end - Duration::microseconds(1));
        let question = Question {
            resource_type: new.resource_type,
            resource_name: &new.resource_name,
            // What gives nothing is about something they have, too.
            level: new.access_level.max(AccessLevel::ReadOnly),
            organization_id: new.organization_id.as_deref(),
            now: last.unwrap_or(DateTime::<Utc>::MAX_UTC),
        };
        let none = Evidence::default();
        let key = (new.resource_type, new.resource_name.clone());
        decide(&person, self.evidence.get(&key).unwrap_or(&none), question, |_, _| ()).is_granted
    }

    /// Whether they run that organization.
    fn runs(&self, organization_id: &str) -> bool {
        let mut standings = self.person.standings.iter();
        let found = standings.find(|standing| standing.organization_id == organization_id);
        self.person.is_active && found.is_some_and(|standing| standing.is_usable && standing.role.is_admin())
    }
}

impl Facts {
    /// Whether the actor may give that (last section): nobody more than they have, nor to themselves.
    fn may_grant(&self, actor: &Actor, new: &NewGrant) -> Result<(), Error> {
        let Some(bound) = &self.bound else { return Ok(()) };
        if let Actor::Person(_) = actor {
            let organization_id = new.organization_id.as_deref();
            let runs = organization_id.is_some_and(|id| bound.runs(id));
            if new.source != Source::Organization || !runs {
                let text =
                    "An administrator is required; those of an organization grant with the source organization, in it";
                return Err(Error::Forbidden(text.to_owned()));
            }
            let id = organization_id.unwrap_or_default();
            if !self.members.contains(&(id.to_owned(), new.user_id.clone())) {
                return Err(Error::Refused(
                    "The user is not a member of the organization".to_owned(),
                ));
            }
        }
        if new.user_id == actor.id() {
            return Err(Error::Forbidden(
                "Nobody may grant permissions to themselves".to_owned(),
            ));
        }
        if !bound.holds(new) {
            let text = format!(
                "You may not grant more than you have, nor for longer; {} is more",
                new.access_level.as_str()
            );
            return Err(Error::Forbidden(text));
        }
        Ok(())
    }

    /// Whether the actor may take that: an administrator, who gave it, or who runs the organization in which it counts.
    fn may_revoke(&self, actor: &Actor, held: &Permission) -> bool {
        match (actor, &self.bound) {
            (Actor::Person(id), Some(bound)) => {
                held.granted_by_user_id == *id
                    || held.organization().is_some_and(|organization| bound.runs(organization))
            }
            _ => true,
        }
    }
}

impl State {
    fn grant(
        &mut self,
        authorization: &Authorization,
        actor: &Actor,
        facts: &Facts,
        new: &NewGrant,
    ) -> Result<(), Error> {
        if new.expires_at.is_some_and(|at| at <= facts.now) {
            return Err(Error::Invalid("expires_at", "Expiry date must be in the future"));
        }
        facts.may_grant(actor, new)?;
        if !facts.people.contains(&new.user_id) {
            return Err(Error::Refused("User not found".to_owned()));
        }
        let organization_id = new.organization_id.clone().unwrap_or_default();
        if !organization_id.is_empty() && !facts.organizations.contains(&organization_id) {
            return Err(Error::Refused("Organization not found".to_owned()));
        }
        let key = (new.user_id.clone(), new.resource_type, new.resource_name.clone());
        let held = self.held.entry(key).or_default();
        let at = held
            .iter()
            .position(|one| one.permission_source == new.source && one.organization_id == organization_id);
        let before = at
            .map(|at| held.remove(at))
            .filter(|before| !before.has_ended(facts.now));
        let now = facts.now;
        let after = Permission {
            id: before
                .as_ref()
                .map_or_else(|| authorization.ctx.ids.new_id("prm_"), |before| before.id.clone()),
            user_id: new.user_id.clone(),
            resource_type: new.resource_type,
            resource_name: new.resource_name.clone(),
            access_level: new.access_level,
            permission_source: new.source,
            organization_id,
            granted_by_user_id: actor.id().to_owned(),
            expires_at: new.expires_at,
            reason: new.reason.clone(),
            created_at: before.as_ref().map_or(now, |before| before.created_at),
            updated_at: now,
        };
        let levels = (before.map(|before| before.access_level), Some(after.access_level));
        self.note(authorization, Action::Grant, actor, &after, levels, new.reason.clone());
        self.events.push(granted(&after, now).event());
        self.written.insert(after.id.clone());
        self.people.insert(after.user_id.clone());
        let key = (after.user_id.clone(), after.resource_type, after.resource_name.clone());
        self.held.entry(key).or_default().push(after);
        Ok(())
    }

    fn revoke(
        &mut self,
        authorization: &Authorization,
        actor: &Actor,
        facts: &Facts,
        gone: &Revocation,
    ) -> Result<(), Error> {
        let key = (gone.user_id.clone(), gone.resource_type, gone.resource_name.clone());
        let held = self.held.remove(&key).unwrap_or_default();
        let wanted = |one: &Permission| {
            !one.has_ended(facts.now)
                && gone.source.is_none_or(|source| one.permission_source == source)
                && gone
                    .organization_id
                    .as_deref()
                    .is_none_or(|id| one.organization_id == id)
        };
        let (wanted, mut kept): (Vec<_>, Vec<_>) = held.into_iter().partition(wanted);
        let (taken, theirs): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|one| facts.may_revoke(actor, one));
        let is_theirs = !theirs.is_empty();
        kept.extend(theirs);
        self.held.insert(key, kept);
        if taken.is_empty() {
            // Who may take nothing learns nothing of what others have.
            return Err(if is_theirs && gone.user_id == actor.id() {
                Error::Forbidden("Only an administrator, or who granted it, may revoke it".to_owned())
            } else {
                Error::NotFound
            });
        }
        for one in taken {
            let levels = (Some(one.access_level), None);
            self.note(authorization, Action::Revoke, actor, &one, levels, gone.reason.clone());
            self.events
                .push(revoked(&one, actor.id(), gone.reason.clone(), facts.now).event());
            self.people.insert(one.user_id);
            self.written.remove(&one.id);
            self.gone.push(one.id);
        }
        Ok(())
    }

    fn note(
        &mut self,
        authorization: &Authorization,
        action: Action,
        actor: &Actor,
        one: &Permission,
        (old, new): (Option<AccessLevel>, Option<AccessLevel>),
        reason: Option<String>,
    ) {
        self.audit.push(audit::Entry {
            id: authorization.ctx.ids.new_id("pad_"),
            user_id: one.user_id.clone(),
            resource_type: one.resource_type.as_str().to_owned(),
            resource_name: one.resource_name.clone(),
            action,
            old_access_level: old.map(|level| level.as_str().to_owned()),
            new_access_level: new.map(|level| level.as_str().to_owned()),
            performed_by_user_id: actor.id().to_owned(),
            reason,
            success: true,
            error_message: None,
            created_at: authorization.ctx.clock.now(),
        });
    }

    fn note_refused(&mut self, authorization: &Authorization, actor: &Actor, operation: &Operation, error: &Error) {
        let (user_id, resource_type, resource_name) = operation.of();
        let (action, new) = match operation {
            Operation::Grant(new) => (Action::Grant, Some(new.access_level.as_str().to_owned())),
            Operation::Revoke(_) => (Action::Revoke, None),
        };
        self.audit.push(audit::Entry {
            id: authorization.ctx.ids.new_id("pad_"),
            user_id: user_id.to_owned(),
            resource_type: resource_type.as_str().to_owned(),
            resource_name: resource_name.to_owned(),
            action,
            old_access_level: None,
            new_access_level: new,
            performed_by_user_id: actor.id().to_owned(),
            reason: None,
            success: false,
            error_message: Some(error.to_string()),
            created_at: authorization.ctx.clock.now(),
        });
    }
}

fn granted(one: &Permission, now: DateTime<Utc>) -> PermissionGranted {
    PermissionGranted {
        user_id: one.user_id.clone(),
        resource_type: one.resource_type,
        resource_name: one.resource_name.clone(),
        access_level: one.access_level,
        permission_source: one.permission_source.as_str().to_owned(),
        granted_by_user_id: one.granted_by_user_id.clone(),
        organization_id: one.organization().map(str::to_owned),
        expires_at: one.expires_at,
        timestamp: now,
    }
}

/// That a permission was taken.
pub(super) fn revoked(one: &Permission, by: &str, reason: Option<String>, now: DateTime<Utc>) -> PermissionRevoked {
    PermissionRevoked {
        user_id: one.user_id.clone(),
        resource_type: one.resource_type,
        resource_name: one.resource_name.clone(),
        previous_access_level: one.access_level,
        revoked_by_user_id: by.to_owned(),
        reason,
        timestamp: now,
    }
}

/// Says of many operations what they came to: what was given, and what was taken.
fn say_batch(
    state: &mut State,
    actor: &Actor,
    batch: &Batch,
    operations: &[Operation],
    results: &[Result<(), Error>],
    now: DateTime<Utc>,
) {
    let done = || {
        operations
            .iter()
            .zip(results)
            .filter(|(_, result)| result.is_ok())
            .map(|(one, _)| one)
    };
    let grants: Vec<&Operation> = done().filter(|one| matches!(one, Operation::Grant(_))).collect();
    let revocations: Vec<&Operation> = done().filter(|one| matches!(one, Operation::Revoke(_))).collect();
    let people = |of: &[&Operation]| -> Vec<String> {
        let people: BTreeSet<&str> = of.iter().map(|one| one.of().0).collect();
        people.into_iter().map(str::to_owned).collect()
    };
    let organization = |of: &[&Operation]| -> Option<String> {
        let mut all: BTreeSet<Option<&str>> = of.iter().map(|one| one.organization_id()).collect();
        let only = all.pop_first().flatten().map(str::to_owned);
        only.filter(|_| all.is_empty())
    };
    let count = |of: &[&Operation]| i64::try_from(of.len()).unwrap_or(i64::MAX);
    if !grants.is_empty() {
        let event = BulkGranted {
            batch_id: batch.id.clone(),
            user_ids: people(&grants),
            permission_count: count(&grants),
            granted_by_user_id: actor.id().to_owned(),
            organization_id: organization(&grants),
            reason: batch.reason.clone(),
            timestamp: now,
        };
        state.events.push(event.event());
    }
    if !revocations.is_empty() {
        let event = BulkRevoked {
            batch_id: batch.id.clone(),
            user_ids: people(&revocations),
            permission_count: count(&revocations),
            revoked_by_user_id: actor.id().to_owned(),
            organization_id: organization(&revocations),
            reason: batch.reason.clone(),
            timestamp: now,
        };
        state.events.push(event.event());
    }
}

async fn write(tx: &mut Tx, authorization: &Authorization, state: State, now: DateTime<Utc>) -> Result<(), Error> {
    if !state.gone.is_empty() {
        store::delete_permissions(tx, &List::of(&state.gone)).await?;
    }
    let all = state.held.values().flatten();
    let written: Vec<&Permission> = all.filter(|one| state.written.contains(&one.id)).collect();
    if !written.is_empty() {
        store::put_permissions(tx, &written).await?;
    }
    if !state.audit.is_empty() {
        audit::insert(tx, &state.audit, now).await?;
    }
    authorization.ctx.events.publish_all(tx, state.events).await?;
    if !state.people.is_empty() {
        authorization.tell(tx, state.people.into_iter().collect()).await?;
    }
    Ok(())
}
