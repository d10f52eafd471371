//! What integrations say.

use chrono::{DateTime, Utc};

crate::said! { "integration_service":
    /// A token was made.
    ApiTokenCreated = "api_token.created" by token_id {
        /// Which.
        token_id: String,
        /// For which workspace.
        workspace_id: String,
        /// Whose.
        user_id: Option<String>,
        /// What it may do.
        scopes: Vec<String>,
        /// When it ends.
        expires_at: Option<DateTime<Utc>>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A token is worth nothing any more.
    ApiTokenRevoked = "api_token.revoked" by token_id {
        /// Which.
        token_id: String,
        /// For which workspace.
        workspace_id: String,
        /// Whose.
        user_id: Option<String>,
        /// By whom.
        revoked_by: String,
        /// Why: revoked, rotated, leaked, user_deleted, member_removed, organization_deleted.
        reason: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A token ends within a week.
    ApiTokenExpiring = "api_token.expiring" by token_id {
        /// Which.
        token_id: String,
        /// For which workspace.
        workspace_id: String,
        /// Whose.
        user_id: Option<String>,
        /// When it ends.
        expires_at: DateTime<Utc>,
        /// When.
        timestamp: DateTime<Utc>,
    }
}
