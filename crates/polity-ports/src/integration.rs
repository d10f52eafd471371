//! What integrations say.

use chrono::{DateTime, Utc};
use polity_kernel::{
    caller::Pending,
    db::{Conn, Result},
};

/// Knows the connections with outside accounts. Integrations implement it, and the server hands it to whoever asks.
pub trait Connected: Send + Sync {
    /// How many active connections there are in a workspace.
    fn count<'a>(&'a self, conn: &'a mut Conn, workspace_id: &'a str) -> Pending<'a, Result<i64>>;
}

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
    /// An outside account was connected, or its owner signed in there again.
    ConnectionCreated = "connection.created" by connection_id {
        /// Which.
        connection_id: String,
        /// Whose.
        user_id: String,
        /// In which workspace.
        workspace_id: String,
        /// With which app, by name.
        app: String,
        /// What it may do there.
        scopes: Vec<String>,
        /// Whether it was there before.
        is_reconnected: bool,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A connection has new tokens.
    ConnectionRefreshed = "connection.refreshed" by connection_id {
        /// Which.
        connection_id: String,
        /// Whose.
        user_id: String,
        /// In which workspace.
        workspace_id: String,
        /// How often its tokens have changed.
        version: i64,
        /// When the new one ends.
        expires_at: Option<DateTime<Utc>>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// The provider ended a connection: its owner has to sign in again.
    ConnectionExpired = "connection.expired" by connection_id {
        /// Which.
        connection_id: String,
        /// Whose.
        user_id: String,
        /// In which workspace.
        workspace_id: String,
        /// Why, in the provider's word.
        reason: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A connection was taken back.
    ConnectionRevoked = "connection.revoked" by connection_id {
        /// Which.
        connection_id: String,
        /// Whose.
        user_id: String,
        /// In which workspace.
        workspace_id: String,
        /// With which app.
        oauth_app_id: String,
        /// By whom.
        revoked_by: String,
        /// Why: revoked, consent_ended, user_deleted, member_removed, organization_deleted.
        reason: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// The provider was called through Polity with a connection's token.
    ConnectionCalled = "connection.called" by connection_id {
        /// Which.
        connection_id: String,
        /// By whom.
        caller: String,
        /// The method.
        method: String,
        /// The host and the path, without a query.
        url: String,
        /// What the provider answered; null: no answer came, and nobody knows what it did.
        status: Option<u16>,
        /// When.
        timestamp: DateTime<Utc>,
    }
}
