//! Whether somebody may give or take what they want to: judged by what is read once for all operations.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Duration, Utc};
use polity_kernel::db::Tx;
use polity_ports::authorization::{AccessLevel, Tier};

use super::{super::Actor, NewGrant, Operation};
use crate::{
    account,
    authorization::{
        Authorization, Error,
        engine::{Gathered, evidence_of},
        model::{Evidence, Permission, Person, Question, Source, decide},
        store::Named,
    },
    organization,
};

/// What the judgement of operations rests on.
pub(super) struct Facts {
    pub(super) now: DateTime<Utc>,
    /// People who have an account.
    pub(super) people: HashSet<String>,
    /// Organizations that are there.
    pub(super) organizations: HashSet<String>,
    /// Active members, as organization and person.
    members: HashSet<(String, String)>,
    /// The person who acts, and what they hold of each resource, where that bounds what they may give.
    bound: Option<Bound>,
}

struct Bound {
    person: Person,
    evidence: Gathered,
}

pub(super) async fn facts(
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
    /// one they are in; what is given everywhere may rest on none. What they pay for they have for themselves: it would
    /// outlast the payment.
    fn holds(&self, new: &NewGrant) -> bool {
        let mut person = self.person.clone();
        let place = new.organization_id.as_deref();
        person
            .standings
            .retain(|standing| place == Some(standing.organization_id.as_str()));
        person.acts_in = None;
        person.tier = Tier::Free;
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
    pub(super) fn may_grant(&self, actor: &Actor, new: &NewGrant) -> Result<(), Error> {
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
    pub(super) fn may_revoke(&self, actor: &Actor, held: &Permission) -> bool {
        match (actor, &self.bound) {
            (Actor::Person(id), Some(bound)) => {
                held.granted_by_user_id == *id
                    || held.organization().is_some_and(|organization| bound.runs(organization))
            }
            _ => true,
        }
    }
}
