//! What can go wrong with organizations, by cause, and how each cause is answered.

use http::{HeaderValue, header};
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
    /// There is no such sharing in the organization.
    pub(crate) const SHARING_NOT_FOUND: ErrorCode = ErrorCode::new("SHARING_NOT_FOUND", 404, "Sharing not found");
    /// The resource is shared in the organization already.
    pub(crate) const ALREADY_SHARED: ErrorCode = ErrorCode::new("ALREADY_SHARED", 409, "Already shared");
    /// A quota of a sharing is used up.
    pub(crate) const QUOTA_EXCEEDED: ErrorCode = ErrorCode::new("QUOTA_EXCEEDED", 429, "Quota exceeded");
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
    /// No such sharing in the organization.
    #[error("Sharing not found")]
    SharingNotFound,
    /// Somebody who is to have access is no active member, and who.
    #[error("{0}")]
    NotMembers(String),
    /// The resource is shared already.
    #[error("This resource is already shared in the organization")]
    AlreadyShared,
    /// Two changes met.
    #[error("The sharing was changed at the same time; try again")]
    Changed,
    /// A quota of a sharing is used up.
    #[error("Quota exceeded: {}", .0.quota)]
    Quota(Box<Exceeded>),
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

/// Which quota is used up, and how far.
#[derive(Debug)]
pub struct Exceeded {
    /// Its name in the settings of the sharing.
    pub quota: &'static str,
    /// The window it counts in.
    pub period: &'static str,
    /// How much may be used in the window.
    pub limit: i64,
    /// How much was.
    pub used: i64,
    /// When the next window begins, in seconds; `None`: never.
    pub retry_after: Option<u64>,
}

impl Exceeded {
    fn problem(self, text: String) -> Problem {
        let problem = Problem::new(code::QUOTA_EXCEEDED, text)
            .with("quota", self.quota)
            .with("quota_type", self.period)
            .with("limit", self.limit)
            .with("used", self.used)
            .with("remaining", (self.limit - self.used).max(0));
        match self.retry_after {
            Some(seconds) => problem
                .with("retry_after", seconds)
                .with_header(header::RETRY_AFTER, HeaderValue::from(seconds)),
            None => problem,
        }
    }
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
            Error::SharingNotFound => Self::new(code::SHARING_NOT_FOUND, text),
            Error::AlreadyShared => Self::new(code::ALREADY_SHARED, text),
            Error::Changed => Self::new(codes::CONFLICT, text),
            Error::Quota(exceeded) => exceeded.problem(text),
            Error::InvalidRole(_) | Error::OwnerAdded => Self::new(code::INVALID_ROLE, text),
            Error::Forbidden(_) => Self::new(codes::FORBIDDEN, text),
            Error::LastOwner => Self::new(code::LAST_OWNER, text),
            Error::Limit(_) => Self::new(code::LIMIT_REACHED, text),
            Error::Refused(_) | Error::NotMembers(_) => Self::new(codes::BAD_REQUEST, text),
            Error::Invalid(path, _) => Self::field(&path.split('.').collect::<Vec<_>>(), text, "value_error"),
            Error::Db(error) => error.into(),
            Error::Internal(_) => Self::internal(&text),
        }
    }
}
