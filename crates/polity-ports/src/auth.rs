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
    /// An API key was made.
    ApiKeyCreated = "apikey.created" by key_id {
        /// Which.
        key_id: String,
        /// Of which organization.
        organization_id: String,
        /// The one project it is for.
        project_id: Option<String>,
        /// By whom.
        created_by: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// An API key is worth nothing any more.
    ApiKeyRevoked = "apikey.revoked" by key_id {
        /// Which.
        key_id: String,
        /// Of which organization.
        organization_id: String,
        /// The one project it was for.
        project_id: Option<String>,
        /// By whom.
        revoked_by: String,
        /// Why: revoked, rotated, leaked, user_deleted, member_removed, organization_deleted.
        reason: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A quota is used by 80 or 100 percent; once each per window.
    ApiKeyQuotaReached = "apikey.quota_reached" by organization_id {
        /// The key; null if it is the quota of the whole organization.
        key_id: Option<String>,
        /// The organization.
        organization_id: String,
        /// requests_per_day, tokens_per_day or credits.
        field: String,
        /// 80 or 100.
        percent: i64,
        /// How much there is.
        limit: i64,
        /// How much of it is used.
        used: i64,
        /// When the window began.
        window_start: DateTime<Utc>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A device was registered.
    DeviceRegistered = "device.registered" by device_id {
        /// Which.
        device_id: String,
        /// Of which organization.
        organization_id: String,
        /// What it is called.
        device_name: Option<String>,
        /// What it is.
        device_type: Option<String>,
        /// `active`.
        status: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A device proved its secret.
    DeviceAuthenticated = "device.authenticated" by device_id {
        /// Which.
        device_id: String,
        /// Of which organization.
        organization_id: String,
        /// What it is called.
        device_name: Option<String>,
        /// What it is.
        device_type: Option<String>,
        /// From where.
        ip_address: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A device asked for a token to be paired with.
    PairingTokenGenerated = "device.pairing_token.generated" by device_id {
        /// Which.
        device_id: String,
        /// When the token ends.
        expires_at: DateTime<Utc>,
        /// When.
        generated_at: DateTime<Utc>,
    }
    /// A person presented the token of a device.
    PairingTokenVerified = "device.pairing_token.verified" by device_id {
        /// Which.
        device_id: String,
        /// Who.
        user_id: String,
        /// When.
        verified_at: DateTime<Utc>,
    }
    /// A person and a device belong together now.
    PairingCompleted = "device.pairing.completed" by device_id {
        /// Which.
        device_id: String,
        /// Who.
        user_id: String,
        /// What it is called.
        device_name: Option<String>,
        /// What it is.
        device_type: Option<String>,
        /// When.
        paired_at: DateTime<Utc>,
    }
    /// A device was revoked: neither its secret nor its tokens are worth anything.
    DeviceRevoked = "device.revoked" by device_id {
        /// Which.
        device_id: String,
        /// Of which organization.
        organization_id: String,
        /// By whom.
        revoked_by: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
}
