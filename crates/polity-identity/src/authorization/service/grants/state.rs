//! What people have of what operations are about, as they are carried out one after the other; written at the end.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use polity_kernel::{
    db::{List, Tx},
    event::NewEvent,
};
use polity_ports::{
    Said,
    authorization::{AccessLevel, PermissionGranted, PermissionRevoked, ResourceType},
};

use super::{super::Actor, NewGrant, Operation, Revocation, authority::Facts};
use crate::authorization::{
    Authorization, Error,
    model::{Action, Permission},
    store::{self, audit},
};

/// What people have of the resources in question, and what is to be written of it.
#[derive(Default)]
pub(super) struct State {
    pub(super) held: HashMap<(String, ResourceType, String), Vec<Permission>>,
    /// The ids of what is written anew.
    written: HashSet<String>,
    /// The ids of what is gone.
    gone: Vec<String>,
    audit: Vec<audit::Entry>,
    pub(super) events: Vec<NewEvent>,
    people: BTreeSet<String>,
}

impl State {
    pub(super) fn grant(
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

    pub(super) fn revoke(
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

    pub(super) fn note_refused(
        &mut self,
        authorization: &Authorization,
        actor: &Actor,
        operation: &Operation,
        error: &Error,
    ) {
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
pub(in crate::authorization::service) fn revoked(
    one: &Permission,
    by: &str,
    reason: Option<String>,
    now: DateTime<Utc>,
) -> PermissionRevoked {
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

pub(super) async fn write(
    tx: &mut Tx,
    authorization: &Authorization,
    state: State,
    now: DateTime<Utc>,
) -> Result<(), Error> {
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
