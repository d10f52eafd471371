//! The settings of organizations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{Kind, Plan};

/// Organizations.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OrganizationSettings {
    /// How many organizations that are not deleted a person may have made, whoever owns them now.
    pub most_owned: u32,
    /// How many members there may be by plan, pending ones included; 0: no limit.
    pub members: MemberLimits,
    /// How long the audit log of an organization is kept, in days.
    pub audit_retention_days: u32,
    /// How many sharings an organization may have that were not revoked.
    pub most_sharings: u32,
    /// How long it is kept what was used of sharings by day, week and month, in days.
    pub sharing_usage_retention_days: u32,
}

impl Default for OrganizationSettings {
    fn default() -> Self {
        Self {
            most_owned: 100,
            members: MemberLimits::default(),
            audit_retention_days: 730,
            most_sharings: 1_000,
            sharing_usage_retention_days: 730,
        }
    }
}

/// Members by plan, or by kind for families and teams.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MemberLimits {
    /// Plan free.
    pub free: u32,
    /// Families, whatever their plan.
    pub family: u32,
    /// Plan starter, and teams that pay nothing.
    pub starter: u32,
    /// Plan professional.
    pub professional: u32,
    /// Plan enterprise.
    pub enterprise: u32,
}

impl Default for MemberLimits {
    fn default() -> Self {
        Self {
            free: 5,
            family: 6,
            starter: 25,
            professional: 100,
            enterprise: 0,
        }
    }
}

impl MemberLimits {
    /// How many members an organization may have; `None`: any number (BR-MEM-003).
    pub(super) fn of(&self, plan: Plan, kind: Option<Kind>) -> Option<u32> {
        let limit = match (kind, plan) {
            (Some(Kind::Family), _) => self.family,
            (Some(Kind::Team), Plan::Free) | (_, Plan::Starter) => self.starter,
            (_, Plan::Free) => self.free,
            (_, Plan::Professional) => self.professional,
            (_, Plan::Enterprise) => self.enterprise,
        };
        (limit > 0).then_some(limit)
    }
}
