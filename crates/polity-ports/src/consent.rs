//! What consents say.

use chrono::{DateTime, Utc};

crate::said! { "integration_service":
    /// A person consented.
    ConsentGranted = "consent.granted" by user_id {
        /// Which consent.
        consent_id: String,
        /// Who.
        user_id: String,
        /// In which workspace.
        workspace_id: String,
        /// What for: data_usage, third_party, analytics, marketing.
        purpose: String,
        /// What rests on it: oauth_connection, plugin_installation, api_token.
        subject_kind: String,
        /// What it is to: oauth_app, plugin, integration.
        entity_type: String,
        /// Which one; null: all of that type.
        entity_id: Option<String>,
        /// What they allow.
        granted_permissions: Vec<String>,
        /// Under which policy.
        policy_version: i64,
        /// The consent whose place it takes.
        replaces: Option<String>,
        /// When it ends by itself.
        expires_at: Option<DateTime<Utc>>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// Nothing may rest on a consent any more, and nothing does.
    ConsentRevoked = "consent.revoked" by user_id {
        /// Which consent.
        consent_id: String,
        /// Whose.
        user_id: String,
        /// In which workspace.
        workspace_id: String,
        /// What it was for.
        purpose: String,
        /// What rested on it.
        subject_kind: String,
        /// What it was to.
        entity_type: String,
        /// Which one; null: all of that type.
        entity_id: Option<String>,
        /// Why: revoked, disconnected, superseded, expired, user_deleted, member_removed, organization_deleted.
        reason: String,
        /// How many things that rested on it were stopped.
        enforced: u64,
        /// When.
        timestamp: DateTime<Utc>,
    }
}
