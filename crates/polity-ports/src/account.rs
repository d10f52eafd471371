//! What account says.

use chrono::{DateTime, Utc};

crate::said! { "account_service":
    /// An account was inserted; once per account.
    UserCreated = "user.created" by user_id {
        /// Whose.
        user_id: String,
        /// Their address.
        email: String,
        /// Their name.
        name: String,
        /// The plan they start with.
        subscription_plan: String,
        /// When.
        created_at: DateTime<Utc>,
    }
    /// Name, address or preferences changed.
    UserProfileUpdated = "user.profile_updated" by user_id {
        /// Whose.
        user_id: String,
        /// Their address now.
        email: String,
        /// Their name now.
        name: String,
        /// Exactly the fields that changed.
        updated_fields: Vec<String>,
        /// When.
        updated_at: DateTime<Utc>,
    }
    /// The active flag was set, perhaps to what it was.
    UserStatusChanged = "user.status_changed" by user_id {
        /// Whose.
        user_id: String,
        /// Their address.
        email: String,
        /// Whether the account may be used.
        is_active: bool,
        /// Whether that is new.
        changed: bool,
        /// Why.
        reason: Option<String>,
        /// When.
        changed_at: DateTime<Utc>,
        /// By whom.
        changed_by: String,
    }
    /// An account was deleted; its data are kept until it is erased.
    UserDeleted = "user.deleted" by user_id {
        /// Whose.
        user_id: String,
        /// Their address.
        email: String,
        /// Why.
        reason: Option<String>,
        /// When.
        deleted_at: DateTime<Utc>,
    }
    /// The personal data of a deleted account are gone.
    UserErased = "user.erased" by user_id {
        /// Whose.
        user_id: String,
        /// When.
        erased_at: DateTime<Utc>,
    }
    /// A platform role was given.
    RoleAssigned = "role.assigned" by target_user_id {
        /// By whom.
        actor_user_id: String,
        /// To whom.
        target_user_id: String,
        /// `platform`.
        scope: String,
        /// Null: a platform role belongs to no organization.
        org_id: Option<String>,
        /// Null.
        app_id: Option<String>,
        /// Null.
        old_role: Option<String>,
        /// The role.
        new_role: Option<String>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A platform role was taken.
    RoleRevoked = "role.revoked" by target_user_id {
        /// By whom.
        actor_user_id: String,
        /// From whom.
        target_user_id: String,
        /// `platform`.
        scope: String,
        /// Null.
        org_id: Option<String>,
        /// Null.
        app_id: Option<String>,
        /// The role.
        old_role: Option<String>,
        /// Null.
        new_role: Option<String>,
        /// When.
        timestamp: DateTime<Utc>,
    }
}
