//! What can go wrong with permissions, by cause, and how each cause is answered.

use polity_kernel::{
    db,
    http::{ErrorCode, Problem, codes},
    limit::Usage,
};

use crate::{account, organization};

/// The codes of this service.
pub(crate) mod code {
    use super::ErrorCode;

    /// There is no such person.
    pub(crate) const USER_NOT_FOUND: ErrorCode = ErrorCode::new("USER_NOT_FOUND", 404, "User not found");
    /// There is no such organization, or none the caller may know of.
    pub(crate) const ORGANIZATION_NOT_FOUND: ErrorCode =
        ErrorCode::new("ORGANIZATION_NOT_FOUND", 404, "Organization not found");
    /// There is nothing active to revoke.
    pub(crate) const PERMISSION_NOT_FOUND: ErrorCode =
        ErrorCode::new("PERMISSION_NOT_FOUND", 404, "Permission not found");
    /// A role that is none, in a scope that is none.
    pub(crate) const ROLE_REFUSED: ErrorCode = ErrorCode::new("ROLE_REFUSED", 400, "The role cannot be assigned");
    /// The caller may not assign it.
    pub(crate) const ROLE_FORBIDDEN: ErrorCode = ErrorCode::new("ROLE_FORBIDDEN", 403, "The role may not be assigned");
}

/// Why the service refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing of the kind is there, or nothing the caller may know of.
    #[error("Permission not found")]
    NotFound,
    /// No such person.
    #[error("User not found")]
    UserNotFound,
    /// No such organization, or none the caller may know of.
    #[error("Organization not found")]
    OrganizationNotFound,
    /// The caller may not, and why.
    #[error("{0}")]
    Forbidden(String),
    /// A state or a value forbids it.
    #[error("{0}")]
    Refused(String),
    /// A value in the body breaks a rule: where, and which.
    #[error("{1}")]
    Invalid(&'static str, &'static str),
    /// A role cannot be assigned: the rule, and what is wrong (400).
    #[error("{1}")]
    Role(&'static str, String),
    /// A role may not be assigned by the caller: the rule, and why (403).
    #[error("{1}")]
    RoleForbidden(&'static str, String),
    /// Too often.
    #[error("Too many requests; try again in {} seconds", .0.reset_seconds().max(1))]
    Limited(Usage),
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// Something unexpected.
    #[error("{0}")]
    Internal(String),
}

impl From<organization::Error> for Error {
    fn from(error: organization::Error) -> Self {
        match error {
            organization::Error::Db(error) => Self::Db(error),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<account::Error> for Error {
    fn from(error: account::Error) -> Self {
        match error {
            account::Error::Db(error) => Self::Db(error),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::NotFound => Self::new(code::PERMISSION_NOT_FOUND, text),
            Error::UserNotFound => Self::new(code::USER_NOT_FOUND, text),
            Error::OrganizationNotFound => Self::new(code::ORGANIZATION_NOT_FOUND, text),
            Error::Forbidden(_) => Self::new(codes::FORBIDDEN, text),
            Error::Refused(_) => Self::new(codes::BAD_REQUEST, text),
            Error::Invalid(path, _) => Self::field(&path.split('.').collect::<Vec<_>>(), text, "value_error"),
            Error::Role(rule, _) => Self::new(code::ROLE_REFUSED, text.clone())
                .with("rule", rule)
                .with("message", text),
            Error::RoleForbidden(rule, _) => Self::new(code::ROLE_FORBIDDEN, text.clone())
                .with("rule", rule)
                .with("message", text),
            Error::Limited(usage) => Self::new(codes::RATE_LIMITED, text)
                .with("retry_after", usage.reset_seconds().max(1))
                .with_headers(usage.headers("authorization")),
            Error::Db(error) => error.into(),
            Error::Internal(_) => Self::internal(&text),
        }
    }
}
