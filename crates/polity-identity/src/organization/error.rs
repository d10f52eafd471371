//! What can go wrong with organizations, by cause, and how each cause is answered.

use polity_kernel::{
    db,
    http::{ErrorCode, Problem, codes},
};

/// The codes of this service.
pub(crate) mod code {
    use super::ErrorCode;

    /// There is no such organization, or none the caller may know of.
    pub(crate) const ORGANIZATION_NOT_FOUND: ErrorCode =
        ErrorCode::new("ORGANIZATION_NOT_FOUND", 404, "Organization not found");
    /// There is no such member.
    pub(crate) const MEMBER_NOT_FOUND: ErrorCode = ErrorCode::new("MEMBER_NOT_FOUND", 404, "Member not found");
    /// A role that is none, or cannot be had this way.
    pub(crate) const INVALID_ROLE: ErrorCode = ErrorCode::new("INVALID_ROLE", 400, "Invalid organization role");
    /// The last owner would go.
    pub(crate) const LAST_OWNER: ErrorCode = ErrorCode::new("LAST_OWNER", 400, "The last owner has to stay");
    /// No more members, or organizations.
    pub(crate) const LIMIT_REACHED: ErrorCode = ErrorCode::new("LIMIT_REACHED", 400, "A limit is reached");
}

/// Why the service refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none, or none the caller may know of.
    #[error("Organization not found")]
    NotFound,
    /// No such member.
    #[error("Member not found")]
    MemberNotFound,
    /// A role that is none.
    #[error("Invalid org role '{0}'. Valid roles: owner, admin, member, viewer, guest (rule: invalid_org_role)")]
    InvalidRole(String),
    /// An owner is made by changing a member, or by a transfer.
    #[error("Cannot directly add owner role")]
    OwnerAdded,
    /// The caller may not, and why.
    #[error("{0}")]
    Forbidden(String),
    /// The last owner.
    #[error("Cannot remove the last owner from organization")]
    LastOwner,
    /// A limit, and which.
    #[error("{0}")]
    Limit(String),
    /// A state or a value forbids it.
    #[error("{0}")]
    Refused(&'static str),
    /// A value in the body breaks a rule.
    #[error("{1}")]
    Invalid(&'static str, &'static str),
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// Something unexpected.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    pub(super) fn forbidden(text: impl Into<String>) -> Self {
        Self::Forbidden(text.into())
    }
}

impl From<crate::credential::Error> for Error {
    fn from(error: crate::credential::Error) -> Self {
        match error {
            crate::credential::Error::Db(error) => Self::Db(error),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<crate::account::Error> for Error {
    fn from(error: crate::account::Error) -> Self {
        match error {
            crate::account::Error::Db(error) => Self::Db(error),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::NotFound => Self::new(code::ORGANIZATION_NOT_FOUND, text),
            Error::MemberNotFound => Self::new(code::MEMBER_NOT_FOUND, text),
            Error::InvalidRole(_) | Error::OwnerAdded => Self::new(code::INVALID_ROLE, text),
            Error::Forbidden(_) => Self::new(codes::FORBIDDEN, text),
            Error::LastOwner => Self::new(code::LAST_OWNER, text),
            Error::Limit(_) => Self::new(code::LIMIT_REACHED, text),
            Error::Refused(_) => Self::new(codes::BAD_REQUEST, text),
            Error::Invalid(path, _) => Self::field(&path.split('.').collect::<Vec<_>>(), text, "value_error"),
            Error::Db(error) => error.into(),
            Error::Internal(_) => Self::internal(&text),
        }
    }
}
