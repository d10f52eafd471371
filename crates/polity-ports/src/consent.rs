//! What consent says.

use chrono::{DateTime, Utc};

crate::said! { "consent_service":
    /// One was created.
    ConsentCreated = "consent.created" by consent_id {
        /// Which.
        consent_id: String,
        /// Whose.
        owner_id: String,
        /// What it is called.
        name: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
}
