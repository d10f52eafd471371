//! What can go wrong with invitations, by cause, and how each cause is answered.

use polity_kernel::{
    db,
    http::{ErrorCode, Problem, codes},
    limit::Usage,
};

use super::model::Status;
use crate::{account, organization};

/// The codes of this service.
pub(crate) mod code {
    use super::ErrorCode;

    /// There is no such invitation, or none the caller may know of.
    pub(crate) const INVITATION_NOT_FOUND: ErrorCode =
        ErrorCode::new("INVITATION_NOT_FOUND", 404, "Invitation not found");
    /// There is no such organization, or none the caller may know of.
    pub(crate) const ORGANIZATION_NOT_FOUND: ErrorCode =
        ErrorCode::new("ORGANIZATION_NOT_FOUND", 404, "Organization not found");
    /// It was accepted, cancelled, or has ended.
    pub(crate) const INVITATION_CLOSED: ErrorCode =
        ErrorCode::new("INVITATION_CLOSED", 400, "The invitation is closed");
    /// There is one for this address already, or they are a member.
    pub(crate) const ALREADY_INVITED: ErrorCode = ErrorCode::new("ALREADY_INVITED", 400, "Already invited or a member");
    /// It is for another address.
    pub(crate) const EMAIL_MISMATCH: ErrorCode = ErrorCode::new("EMAIL_MISMATCH", 400, "Email mismatch");
}

/// Why the service refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such invitation.
    #[error("Invitation not found")]
    NotFound,
    /// No such organization.
    #[error("Organization not found")]
    OrganizationNotFound,
    /// It is not pending any more.
    #[error("Invitation is {}", .0.as_str())]
    Closed(Status),
    /// It has just ended.
    #[error("Invitation has expired")]
    Expired,
    /// Cancelling what was accepted.
    #[error("Cannot cancel accepted invitation")]
    Accepted,
    /// Resending what is not pending.
    #[error("Cannot resend {} invitation", .0.as_str())]
    NotResendable(Status),
    /// There is one.
    #[error("A pending invitation already exists for this email")]
    Pending,
    /// They are one.
    #[error("User is already a member of this organization")]
    Member,
    /// It is for somebody else.
    #[error("Email mismatch")]
    EmailMismatch,
    /// They could not be added, and why.
    #[error("Failed to add user to organization: {0}")]
    NotAdded(String),
    /// The caller may not, and why.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A state forbids it.
    #[error("{0}")]
    Refused(&'static str),
    /// Too often.
    #[error("Too many invitations; try again in {} seconds", .0.reset_seconds().max(1))]
    Limited(Usage),
    /// Mailed often enough, or a moment ago; in how many seconds again, if at all.
    #[error("The invitation was mailed often enough")]
    Mailed(Option<u64>),
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
            organization::Error::NotFound => Self::OrganizationNotFound,
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
            Error::NotFound => Self::new(code::INVITATION_NOT_FOUND, text),
            Error::OrganizationNotFound => Self::new(code::ORGANIZATION_NOT_FOUND, text),
            Error::Closed(_) | Error::Expired | Error::Accepted | Error::NotResendable(_) => {
                Self::new(code::INVITATION_CLOSED, text)
            }
            Error::Pending | Error::Member => Self::new(code::ALREADY_INVITED, text),
            Error::EmailMismatch => Self::new(code::EMAIL_MISMATCH, text),
            Error::Forbidden(_) => Self::new(codes::FORBIDDEN, text),
            Error::NotAdded(_) | Error::Refused(_) => Self::new(codes::BAD_REQUEST, text),
            Error::Limited(usage) => {
                let name = usage.window.clone();
                Self::new(codes::RATE_LIMITED, text).with_headers(usage.headers(&name))
            }
            Error::Mailed(wait) => {
                let seconds = wait.unwrap_or(86_400);
                Self::new(codes::RATE_LIMITED, text)
                    .with_header(http::header::RETRY_AFTER, http::HeaderValue::from(seconds))
            }
            Error::Db(error) => error.into(),
            Error::Internal(_) => Self::internal(&text),
        }
    }
}
