//! What can go wrong with an account, by cause, and how each cause is answered.

use polity_kernel::{
    db,
    http::{ErrorCode, Problem, codes},
};

/// The codes of this service.
pub(super) mod code {
    use super::ErrorCode;

    /// There is no such account, or none the caller may know of.
    pub(crate) const ACCOUNT_NOT_FOUND: ErrorCode = ErrorCode::new("ACCOUNT_NOT_FOUND", 404, "Account not found");
}

/// Why the service refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such account.
    #[error("Account not found: {0}")]
    NotFound(String),
    /// The caller may not.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(_) => Self::new(code::ACCOUNT_NOT_FOUND, error.to_string()),
            Error::Forbidden(detail) => Self::new(codes::FORBIDDEN, detail),
            Error::Db(error) => error.into(),
        }
    }
}
