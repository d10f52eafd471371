//! What invitations say.

use chrono::{DateTime, Utc};

crate::said! { "invitation_service":
    /// Somebody was invited.
    InvitationSent = "invitation.sent" by invitation_id {
        /// Which.
        invitation_id: String,
        /// To which organization.
        organization_id: String,
        /// At which address.
        email: String,
        /// As what.
        role: String,
        /// By whom.
        invited_by: String,
        /// Whether the mail is on its way.
        email_sent: bool,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// An invitation was accepted.
    InvitationAccepted = "invitation.accepted" by invitation_id {
        /// Which.
        invitation_id: String,
        /// To which organization.
        organization_id: String,
        /// By whom.
        user_id: String,
        /// At which address.
        email: String,
        /// As what.
        role: String,
        /// When.
        accepted_at: DateTime<Utc>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// An invitation was looked at after its end.
    InvitationExpired = "invitation.expired" by invitation_id {
        /// Which.
        invitation_id: String,
        /// To which organization.
        organization_id: String,
        /// At which address.
        email: String,
        /// When that was noticed.
        expired_at: DateTime<Utc>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// An invitation was taken back.
    InvitationCancelled = "invitation.cancelled" by invitation_id {
        /// Which.
        invitation_id: String,
        /// To which organization.
        organization_id: String,
        /// At which address.
        email: String,
        /// By whom.
        cancelled_by: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// An invitation was declined.
    InvitationDeclined = "invitation.declined" by invitation_id {
        /// Which.
        invitation_id: String,
        /// To which organization.
        organization_id: String,
        /// At which address.
        email: String,
        /// By whom.
        declined_by: Option<String>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// An invitation was mailed again.
    InvitationResent = "invitation.resent" by invitation_id {
        /// Which.
        invitation_id: String,
        /// To which organization.
        organization_id: String,
        /// At which address.
        email: String,
        /// By whom.
        resent_by: String,
        /// Whether the mail is on its way.
        email_sent: bool,
        /// When it ends now.
        expires_at: DateTime<Utc>,
        /// When.
        timestamp: DateTime<Utc>,
    }
}
