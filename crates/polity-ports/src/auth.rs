//! What auth says.

use chrono::{DateTime, Utc};

crate::said! { "auth_service":
    /// A token pair was issued: somebody signed in.
    UserLoggedIn = "user.logged_in" by user_id {
        /// Who.
        user_id: String,
        /// Their address.
        email: String,
        /// The organization they signed in to.
        organization_id: Option<String>,
        /// How.
        provider: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A person registered and proved their address.
    UserRegistered = "user.registered" by user_id {
        /// Who.
        user_id: String,
        /// Their address.
        email: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// Somebody signed out.
    UserLoggedOut = "user.logged_out" by user_id {
        /// Who.
        user_id: String,
        /// Their address.
        email: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A refresh token was exchanged.
    TokenRefreshed = "auth.token.refreshed" by user_id {
        /// Whose.
        user_id: String,
        /// Of which session.
        session_id: String,
        /// The id of the new access token.
        jti: String,
        /// `refresh`.
        reason: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// The tokens of a session are worth nothing any more.
    TokenRevoked = "auth.token.revoked" by user_id {
        /// Whose.
        user_id: String,
        /// Of which session.
        session_id: String,
        /// Null: all tokens of the session.
        jti: Option<String>,
        /// Why: logout, reuse, password_changed, disabled, role_revoked, deleted.
        reason: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
}
