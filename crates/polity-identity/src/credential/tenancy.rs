//! What the rules of credentials ask of an organization: who may do what in it, and on which terms it is.
//!
//! Everybody is the owner of a personal organization, whose id is their own.

use polity_kernel::db::Conn;

use super::{Error, limits::RateLimits, settings::Tier};
use crate::{
    auth,
    organization::{self, Plan, Role, Status},
};

/// Whether a scope may rest on a role: viewers and guests read, members write besides, administrators do everything.
pub(super) fn carries(role: Role, scope: &str) -> bool {
    let verb = scope.split_once(':').map(|(verb, _)| verb);
    role.is_admin() || verb == Some("read") || (role == Role::Member && verb == Some("write"))
}

/// On which terms an organization is.
pub(crate) struct Terms {
    /// Its tier.
    pub tier: Tier,
    /// Its limits for keys that have none of their own.
    pub rate_limits: Option<RateLimits>,
    /// Whether tokens that never end may be made in it.
    pub allows_endless: bool,
    /// Whether anything in it may be used.
    pub is_active: bool,
}

/// What a person is in an organization; `None` for a stranger, and for an organization that is not there.
pub(crate) async fn role(conn: &mut Conn, organization_id: &str, user_id: &str) -> Result<Option<Role>, Error> {
    if organization_id == user_id {
        return Ok(Some(Role::Owner));
    }
    Ok(organization::role(conn, organization_id, user_id).await?)
}

/// The terms of an organization; `None` if it is gone. One that never was is somebody's personal one.
pub(crate) async fn terms(conn: &mut Conn, organization_id: &str) -> Result<Option<Terms>, Error> {
    let Some(found) = organization::terms(conn, organization_id).await? else {
        // That of somebody whose account may not be used rests with it.
        let personal = Terms {
            tier: Tier::Free,
            rate_limits: None,
            allows_endless: false,
            is_active: !auth::is_disabled(conn, organization_id).await?,
        };
        return Ok((!organization_id.starts_with("org_")).then_some(personal));
    };
    Ok(Some(Terms {
        tier: match found.plan {
            Plan::Free | Plan::Starter => Tier::Free,
            Plan::Professional => Tier::Pro,
            Plan::Enterprise => Tier::Enterprise,
        },
        rate_limits: found.rate_limits,
        allows_endless: found.allows_endless_tokens,
        is_active: found.status == Status::Active,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_carry_verbs() {
        let verbs = [
            "read:tasks",
            "write:tasks",
            "delete:tasks",
            "admin:tasks",
            "read:*",
            "write:*",
            "*",
            "other",
        ];
        let carried = |role| verbs.into_iter().filter(|scope| carries(role, scope)).count();
        assert_eq!(
            [Role::Guest, Role::Viewer, Role::Member, Role::Admin, Role::Owner].map(carried),
            [2, 2, 4, 8, 8]
        );
    }
}
