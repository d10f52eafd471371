//! What is known about permissions, and the decision. Pure: no I/O, no clock.

use chrono::{DateTime, Utc};
use polity_kernel::{Record, Value};
use polity_ports::authorization::{AccessLevel, OrganizationPlan, ResourceType, Tier};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::organization::{Plan, Standing};

/// On what a permission rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    /// A subscription.
    Subscription,
    /// An organization.
    Organization,
    /// The word of an administrator, which comes before everything.
    AdminGrant,
    /// Nothing in particular.
    SystemDefault,
}

/// What was done to a permission, for the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    /// It was given.
    Grant,
    /// It was taken.
    Revoke,
    /// It was asked for and refused.
    Check,
    /// A role was given.
    AssignRole,
}

/// A permission that somebody was given.
#[expect(clippy::struct_field_names, reason = "the column and the contract call it so")]
#[derive(Debug, Clone, Record, Serialize)]
pub(super) struct Permission {
    pub id: String,
    pub user_id: String,
    pub resource_type: ResourceType,
    pub resource_name: String,
    pub access_level: AccessLevel,
    pub permission_source: Source,
    /// Empty: it counts everywhere.
    pub organization_id: String,
    pub granted_by_user_id: String,
    pub expires_at: Option<DateTime<Utc>>,
    pub reason: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl Permission {
    /// Whether it has ended; at the moment it ends it has (EC-002).
    pub(super) fn has_ended(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// The organization in which it counts; none: everywhere.
    pub(super) fn organization(&self) -> Option<&str> {
        Some(self.organization_id.as_str()).filter(|id| !id.is_empty())
    }
}

/// What the members of an organization may use.
#[derive(Debug, Clone, Record)]
pub(super) struct OrganizationPermission {
    pub organization_id: String,
    pub resource_type: ResourceType,
    pub resource_name: String,
    pub access_level: AccessLevel,
    pub org_plan_required: OrganizationPlan,
    pub is_enabled: bool,
    pub created_by_user_id: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What everybody may use who pays for it.
#[derive(Debug, Clone, Record)]
pub(super) struct CatalogueEntry {
    pub resource_type: ResourceType,
    pub resource_name: String,
    pub resource_category: String,
    pub description: Option<String>,
    pub subscription_tier_required: Tier,
    pub access_level: AccessLevel,
    pub is_enabled: bool,
}

/// The longest name of a resource, in characters (EC-013).
pub(super) const LONGEST_NAME: usize = 255;

/// A name as it is stored and compared: normalised (NFC), and nothing else (EC-013, EC-014).
pub(super) fn normal(name: &str) -> String {
    name.nfc().collect()
}

/// What is known of somebody who asks, as far as it decides.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub user_id: String,
    /// Whether there is an account that may be used.
    pub is_active: bool,
    pub tier: Tier,
    /// The organization they act in.
    pub acts_in: Option<String>,
    /// The organizations they are active members of.
    pub standings: Vec<Standing>,
    /// Until when this may be remembered: not at all if there is nobody, or if something could not be found out.
    pub until: DateTime<Utc>,
}

impl Person {
    fn standing(&self, organization_id: &str) -> Option<&Standing> {
        self.standings
            .iter()
            .find(|standing| standing.organization_id == organization_id)
    }

    /// Whether what counts in that organization counts for them.
    fn is_in(&self, organization_id: &str) -> bool {
        self.standing(organization_id).is_some_and(|found| found.is_usable)
    }

    /// The organizations in which they may use something, and what these pay for.
    pub(super) fn usable(&self) -> impl Iterator<Item = (&str, OrganizationPlan)> {
        self.standings
            .iter()
            .filter(|standing| standing.is_usable)
            .map(|standing| (standing.organization_id.as_str(), plan(standing.plan)))
    }
}

/// What permissions call the plan of an organization.
pub(super) fn plan(plan: Plan) -> OrganizationPlan {
    match plan {
        Plan::Free | Plan::Starter => OrganizationPlan::Startup,
        Plan::Professional => OrganizationPlan::Growth,
        Plan::Enterprise => OrganizationPlan::Enterprise,
    }
}

/// What was found about one resource: everything that can decide.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    /// What the person was given.
    pub permissions: Vec<Permission>,
    /// What the organizations have that they are members of.
    pub organizations: Vec<OrganizationPermission>,
    /// What the catalogue says.
    pub catalogue: Option<CatalogueEntry>,
}

/// One step of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Whether they may ask at all.
    Person,
    /// What an administrator gave them.
    AdminGrant,
    /// What the organization has that they act in.
    Organization,
    /// What they pay for.
    Subscription,
    /// What else they have.
    UserGrant,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub stage: Stage,
    pub is_granted: bool,
    pub reason: String,
}

/// Who decided, and until when.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Decision {
    pub is_granted: bool,
    pub level: AccessLevel,
    pub source: Source,
    pub reason: String,
    /// When what decided ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// What the organization has that decided: its id, its plan, and the plan it had to have.
    pub organization: Option<(String, OrganizationPlan, OrganizationPlan)>,
    /// What the catalogue says that decided: the tier it demands, and the category.
    pub catalogue: Option<(Tier, String)>,
}

impl Decision {
    fn denied(reason: impl Into<String>) -> Self {
        Self {
            is_granted: false,
            level: AccessLevel::None,
            source: Source::SystemDefault,
            reason: reason.into(),
            expires_at: None,
            organization: None,
            catalogue: None,
        }
    }

    fn granted(level: AccessLevel, source: Source, whose: &str) -> Self {
        Self {
            is_granted: true,
            level,
            source,
            reason: format!("{whose}: {}", level.as_str()),
            ..Self::denied("")
        }
    }
}

/// What is asked, once the person is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub resource_type: ResourceType,
    pub resource_name: &'a str,
    pub level: AccessLevel,
    pub organization_id: Option<&'a str>,
    pub now: DateTime<Utc>,
}

/// What one step found: who decided, or why it did not.
type Found = Result<Decision, String>;
/// A step.
type Try = fn(&Person, &Evidence, Question<'_>) -> Found;

/// Decides (BR-ACL-006): what an administrator gave, what the organization has, what is paid for, what else was given; the
/// first that suffices. The steps that were taken are told to `seen`.
pub(super) fn decide(
    person: &Person,
    evidence: &Evidence,
    question: Question<'_>,
    mut seen: impl FnMut(Stage, &Found),
) -> Decision {
    if !person.is_active {
        let nobody: Found = Err("User not found or inactive".to_owned());
        seen(Stage::Person, &nobody);
        return Decision::denied("User not found or inactive");
    }
    let stages: [(Stage, Try); 4] = [
        (Stage::AdminGrant, by_administrator),
        (Stage::Organization, by_organization),
        (Stage::Subscription, by_subscription),
        (Stage::UserGrant, by_user),
    ];
    for (stage, attempt) in stages {
        let found = attempt(person, evidence, question);
        seen(stage, &found);
        if let Ok(decision) = found {
            return decision;
        }
    }
    if question.level == AccessLevel::None {
        return Decision {
            is_granted: true,
            ..Decision::denied("No access level is required")
        };
    }
    Decision::denied(format!(
        "Insufficient permissions for {}:{}, required: {}",
        question.resource_type.as_str(),
        question.resource_name,
        question.level.as_str()
    ))
}

/// The highest of these permissions that counts now.
fn highest<'e>(
    person: &Person,
    evidence: &'e Evidence,
    now: DateTime<Utc>,
    wanted: impl Fn(Source) -> bool,
) -> Option<&'e Permission> {
    let counts = |permission: &&Permission| {
        wanted(permission.permission_source)
            && !permission.has_ended(now)
            && permission.organization().is_none_or(|id| person.is_in(id))
    };
    let all = evidence.permissions.iter().filter(counts);
    // Of equal ones the one that lasts longest.
    all.max_by_key(|permission| {
        let end = permission.expires_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
        (permission.access_level, end)
    })
}

fn insufficient(level: AccessLevel, question: Question<'_>) -> String {
    format!(
        "{} is less than the required {}",
        level.as_str(),
        question.level.as_str()
    )
}

fn by_administrator(person: &Person, evidence: &Evidence, question: Question<'_>) -> Found {
    let found = highest(person, evidence, question.now, |source| source == Source::AdminGrant);
    let found = found.ok_or("No administrator has given anything")?;
    if found.access_level < question.level {
        return Err(insufficient(found.access_level, question));
    }
    Ok(Decision {
        expires_at: found.expires_at,
        ..Decision::granted(found.access_level, Source::AdminGrant, "Admin-granted permission")
    })
}

fn by_organization(person: &Person, evidence: &Evidence, question: Question<'_>) -> Found {
    let organization_id = question.organization_id.or(person.acts_in.as_deref());
    let organization_id = organization_id.ok_or("No organization was named, and they act in none")?;
    let standing = person.standing(organization_id);
    let standing = standing.ok_or("User is not a member of the organization")?;
    if !standing.is_usable {
        return Err("Organization not found or inactive".to_owned());
    }
    let found = evidence
        .organizations
        .iter()
        .find(|found| found.is_enabled && found.organization_id == organization_id);
    let found = found.ok_or("The organization has no such permission")?;
    organization_suffices(found, plan(standing.plan), question)?;
    Ok(Decision {
        organization: Some((
            found.organization_id.clone(),
            plan(standing.plan),
            found.org_plan_required,
        )),
        ..Decision::granted(found.access_level, Source::Organization, "Organization permission")
    })
}

fn organization_suffices(
    found: &OrganizationPermission,
    plan: OrganizationPlan,
    question: Question<'_>,
) -> Result<(), String> {
    if plan < found.org_plan_required {
        let (is, must) = (plan.as_str(), found.org_plan_required.as_str());
        return Err(format!("Organization plan '{is}' insufficient, requires '{must}'"));
    }
    if found.access_level < question.level {
        return Err(insufficient(found.access_level, question));
    }
    Ok(())
}

fn by_subscription(person: &Person, evidence: &Evidence, question: Question<'_>) -> Found {
    let entry = evidence.catalogue.as_ref().filter(|entry| entry.is_enabled);
    let entry = entry.ok_or("Resource not configured for subscription access")?;
    let required = entry.subscription_tier_required;
    if person.tier < required {
        return Err(format!(
            "Subscription tier '{}' insufficient, requires '{}'",
            person.tier.as_str(),
            required.as_str()
        ));
    }
    if entry.access_level < question.level {
        return Err(insufficient(entry.access_level, question));
    }
    Ok(Decision {
        catalogue: Some((required, entry.resource_category.clone())),
        ..Decision::granted(entry.access_level, Source::Subscription, "Subscription access")
    })
}

/// What else somebody has: other permissions they were given, and what any organization has that they are a member of, as
/// if each member had been given it.
fn by_user(person: &Person, evidence: &Evidence, question: Question<'_>) -> Found {
    let given = highest(person, evidence, question.now, |source| source != Source::AdminGrant);
    let organizations = evidence.organizations.iter().filter(|found| found.is_enabled);
    let derived = organizations
        .filter_map(|found| Some((found, plan(person.standing(&found.organization_id)?.plan))))
        .filter(|(found, plan)| person.is_in(&found.organization_id) && *plan >= found.org_plan_required)
        .max_by_key(|(found, _)| found.access_level);
    let given_level = given.map(|found| found.access_level);
    let derived_level = derived.map(|(found, _)| found.access_level);
    let highest = given_level.max(derived_level).ok_or("Nothing else was given")?;
    if highest < question.level {
        return Err(insufficient(highest, question));
    }
    if let Some(given) = given.filter(|given| Some(given.access_level) >= derived_level) {
        return Ok(Decision {
            expires_at: given.expires_at,
            ..Decision::granted(given.access_level, given.permission_source, "User permission")
        });
    }
    let organization = derived.map(|(found, plan)| (found.organization_id.clone(), plan, found.org_plan_required));
    Ok(Decision {
        organization,
        ..Decision::granted(highest, Source::Organization, "User permission")
    })
}

#[cfg(test)]
mod tests;
