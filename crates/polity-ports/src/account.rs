//! What account says, and what is asked of it.

use chrono::{DateTime, Utc};
use polity_kernel::{
    caller::Pending,
    db::{Conn, Result, Tx},
};

/// Writes to people, who are known by their ids elsewhere. Accounts implement it, and the server hands it to whoever has to
/// tell somebody something.
pub trait Letters: Send + Sync {
    /// Mails the owner of an active account, when the transaction is committed; `false` if there is none.
    fn write<'a>(&'a self, tx: &'a mut Tx, user_id: &'a str, letter: Letter) -> Pending<'a, Result<bool>>;

    /// The address of the owner of an active account, for a page that says whose something is.
    fn address<'a>(&'a self, conn: &'a mut Conn, user_id: &'a str) -> Pending<'a, Result<Option<String>>>;
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// What kind of mail it is, such as `connection`.
    pub category: &'static str,
    /// The subject, in one line.
    pub subject: String,
    /// The text.
    pub text: String,
}

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
