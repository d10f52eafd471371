//! The guards of authorization's own operations.

use polity_ports::authorization::{AccessLevel, Permitted, ResourceType, Right};

/// Looking into the audit, the catalogue, and who may use what: for administrators and services, and for whom they give it.
pub(super) struct MayAudit;

impl Right for MayAudit {
    const NAME: &'static str = "admin, service, or api_endpoint:authorization.audit";
    const RESOURCE_TYPE: ResourceType = ResourceType::ApiEndpoint;
    const RESOURCE: &'static str = "authorization.audit";
    const LEVEL: AccessLevel = AccessLevel::ReadOnly;
}

/// The guard of [`MayAudit`].
pub(super) type Auditor = Permitted<MayAudit>;
