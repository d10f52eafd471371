//! What organizations say, and what they are asked.

use chrono::{DateTime, Utc};
use polity_kernel::{
    caller::Pending,
    db::{Conn, Result},
};

/// Knows who is in which organization. Organizations implement it, and the server hands it to whoever asks.
pub trait Membership: Send + Sync {
    /// What somebody is in an organization, in a word: owner, admin, member, viewer or guest. `None`: nothing, or there is no
    /// such organization. Everybody is the owner of their personal one, whose id is their own.
    fn role<'a>(
        &'a self,
        conn: &'a mut Conn,
        organization_id: &'a str,
        user_id: &'a str,
    ) -> Pending<'a, Result<Option<&'static str>>>;

    /// What an organization is called; `None` for a personal one, and where there is none.
    fn name<'a>(&'a self, conn: &'a mut Conn, organization_id: &'a str) -> Pending<'a, Result<Option<String>>>;
}

crate::said! { "organization_service":
    /// An organization was made.
    OrganizationCreated = "organization.created" by organization_id {
        /// Which.
        organization_id: String,
        /// Its name.
        organization_name: String,
        /// Whose it is.
        owner_user_id: String,
        /// Where bills go.
        billing_email: String,
        /// What it pays for.
        plan: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// An organization was changed.
    OrganizationUpdated = "organization.updated" by organization_id {
        /// Which.
        organization_id: String,
        /// Its name now.
        organization_name: String,
        /// By whom.
        updated_by: String,
        /// Exactly the fields that changed.
        updated_fields: Vec<String>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// An organization is gone.
    OrganizationDeleted = "organization.deleted" by organization_id {
        /// Which.
        organization_id: String,
        /// Its name.
        organization_name: String,
        /// By whom.
        deleted_by: String,
        /// Why.
        reason: Option<String>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// Somebody is a member now.
    MemberAdded = "organization.member_added" by organization_id {
        /// Of which organization.
        organization_id: String,
        /// Who.
        user_id: String,
        /// As what.
        role: String,
        /// By whom.
        added_by: String,
        /// What else they may do.
        permissions: Vec<String>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A membership was changed.
    MemberUpdated = "organization.member_updated" by organization_id {
        /// Of which organization.
        organization_id: String,
        /// Whose.
        user_id: String,
        /// The role before.
        old_role: String,
        /// The role now.
        new_role: String,
        /// The status before.
        old_status: String,
        /// The status now.
        new_status: String,
        /// By whom.
        updated_by: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// Somebody is no member any more.
    MemberRemoved = "organization.member_removed" by organization_id {
        /// Of which organization.
        organization_id: String,
        /// Who.
        user_id: String,
        /// By whom.
        removed_by: String,
        /// Why.
        reason: Option<String>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A role in an organization was given.
    RoleAssigned = "role.assigned" by target_user_id {
        /// By whom.
        actor_user_id: String,
        /// To whom.
        target_user_id: String,
        /// `organization`.
        scope: String,
        /// In which organization.
        org_id: Option<String>,
        /// The role before.
        old_role: Option<String>,
        /// The role now.
        new_role: Option<String>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A role in an organization was taken.
    RoleRevoked = "role.revoked" by target_user_id {
        /// By whom.
        actor_user_id: String,
        /// From whom.
        target_user_id: String,
        /// `organization`.
        scope: String,
        /// In which organization.
        org_id: Option<String>,
        /// The role before.
        old_role: Option<String>,
        /// Null.
        new_role: Option<String>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// Something is shared among members.
    ResourceShared = "family.resource_shared" by organization_id {
        /// The sharing.
        sharing_id: String,
        /// In which organization.
        organization_id: String,
        /// What kind of thing.
        resource_type: String,
        /// Which.
        resource_id: String,
        /// Its name.
        resource_name: Option<String>,
        /// By whom.
        created_by: String,
        /// Whether with everybody who was a member.
        share_with_all_members: bool,
        /// What those may who have no permission of their own.
        default_permission: String,
        /// With how many, besides whoever shared it.
        shared_with_count: i64,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A sharing was made.
    SharingCreated = "organization.sharing_created" by organization_id {
        /// In which organization.
        organization_id: String,
        /// The sharing.
        sharing_id: String,
        /// What kind of thing.
        resource_type: String,
        /// Which.
        resource_id: String,
        /// By whom; `polity` if by nobody.
        actor: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A sharing, or who may do what with it, was changed.
    SharingUpdated = "organization.sharing_updated" by organization_id {
        /// In which organization.
        organization_id: String,
        /// The sharing.
        sharing_id: String,
        /// What kind of thing.
        resource_type: String,
        /// Which.
        resource_id: String,
        /// By whom; `polity` if by nobody.
        actor: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A sharing was revoked.
    SharingDeleted = "organization.sharing_deleted" by organization_id {
        /// In which organization.
        organization_id: String,
        /// The sharing.
        sharing_id: String,
        /// What kind of thing.
        resource_type: String,
        /// Which.
        resource_id: String,
        /// By whom; `polity` if by nobody.
        actor: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// The time of a sharing is over.
    SharingExpired = "organization.sharing_expired" by organization_id {
        /// In which organization.
        organization_id: String,
        /// The sharing.
        sharing_id: String,
        /// What kind of thing.
        resource_type: String,
        /// Which.
        resource_id: String,
        /// By whom; `polity` if by nobody.
        actor: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
}
