//! What can go wrong, by cause, and how each cause is answered.

use polity_kernel::{
    db,
    http::{ErrorCode, Problem},
};

/// The codes of this service.
pub(super) mod code {
    use super::ErrorCode;

    /// There is none, or none the caller may know of.
    pub(crate) const NOT_FOUND: ErrorCode = ErrorCode::new("CONSENT_NOT_FOUND", 404, "Consent not found");
    /// Somebody has as many as they may have.
    pub(crate) const LIMIT_REACHED: ErrorCode = ErrorCode::new("LIMIT_REACHED", 400, "A limit is reached");
}

/// Why the service refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("There is no such consent")]
    NotFound,
    /// They have as many as they may have.
    #[error("There may be at most {0}; delete some first")]
    TooMany(u32),
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::new(code::NOT_FOUND, error.to_string()),
            Error::TooMany(_) => Self::new(code::LIMIT_REACHED, error.to_string()),
            Error::Db(error) => error.into(),
        }
    }
}
