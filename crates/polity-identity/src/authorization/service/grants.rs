//! Giving and taking permissions, one or many in one way: what the operations need is read at once, each is judged in its
//! order and on its own, and what became of all is written at once.

mod authority;
mod state;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use polity_kernel::db::Tx;
use polity_ports::{
    Said,
    authorization::{AccessLevel, BulkGranted, BulkRevoked, ResourceType},
};

pub(super) use state::revoked;

use super::Actor;
use crate::authorization::{
    Authorization, Error,
    model::{Source, normal},
    store::{self, Held, Named},
};
use authority::facts;
use state::{State, write};

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
