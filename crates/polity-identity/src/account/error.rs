//! What can go wrong with an account, by cause, and how each cause is answered.

use polity_kernel::{
    db,
    http::{ErrorCode, Problem, codes},
};

use super::model::AdminRole;

/// The codes of this service.
pub(super) mod code {
    use super::ErrorCode;

    /// There is no such account, or none the caller may know of.
    pub(crate) const ACCOUNT_NOT_FOUND: ErrorCode = ErrorCode::new("ACCOUNT_NOT_FOUND", 404, "Account not found");
    /// The address belongs to somebody.
    pub(crate) const EMAIL_TAKEN: ErrorCode = ErrorCode::new("EMAIL_TAKEN", 400, "The e-mail address is taken");
    /// A role that is none.
    pub(crate) const INVALID_ADMIN_ROLES: ErrorCode = ErrorCode::new("INVALID_ADMIN_ROLES", 400, "Invalid admin roles");
    /// The last super_admin would go.
    pub(crate) const LAST_SUPER_ADMIN: ErrorCode =
        ErrorCode::new("LAST_SUPER_ADMIN", 400, "The last super_admin cannot lose the role");
    /// A code that is wrong, spent or too old.
    pub(crate) const INVALID_CONFIRMATION: ErrorCode =
        ErrorCode::new("INVALID_CONFIRMATION", 400, "The confirmation code is not valid");
}

/// Why the service refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such account.
    #[error("Account not found: {0}")]
    NotFound(String),
    /// The address belongs to somebody else.
    #[error("Account with email already exists: {0}")]
    EmailTaken(String),
    /// The caller may not.
    #[error("{0}")]
    Forbidden(&'static str),
    /// Something that is required is blank, or a state forbids it.
    #[error("{0}")]
    Refused(&'static str),
    /// A value in the body breaks a rule.
    #[error("{1}")]
    Invalid(&'static str, &'static str),
    /// Texts that are no roles.
    #[error("Invalid admin roles: {0:?}. Valid roles: {1:?}")]
    InvalidRoles(Vec<String>, Vec<&'static str>),
    /// The last super_admin.
    #[error("The last super_admin cannot lose the role; assign it to somebody else first")]
    LastSuperAdmin,
    /// A confirmation that does not hold.
    #[error("The confirmation code is wrong or has expired; request the change again")]
    InvalidConfirmation,
    /// Changed since the caller looked.
    #[error("The account was changed by somebody else; read it again and repeat the change")]
    Changed,
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
}

impl Error {
    /// The error for texts that are no roles.
    pub(super) fn invalid_roles(wrong: Vec<String>) -> Self {
        Self::InvalidRoles(wrong, AdminRole::ALL.iter().map(|role| role.as_str()).collect())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(_) => Self::new(code::ACCOUNT_NOT_FOUND, error.to_string()),
            Error::EmailTaken(_) => Self::new(code::EMAIL_TAKEN, error.to_string()),
            Error::Forbidden(detail) => Self::new(codes::FORBIDDEN, detail),
            Error::Refused(detail) => Self::new(codes::BAD_REQUEST, detail),
            Error::Invalid(field, detail) => Self::field(&[field], detail, "value_error"),
            Error::InvalidRoles(..) => Self::new(code::INVALID_ADMIN_ROLES, error.to_string()),
            Error::LastSuperAdmin => Self::new(code::LAST_SUPER_ADMIN, error.to_string()),
            Error::InvalidConfirmation => Self::new(code::INVALID_CONFIRMATION, error.to_string()),
            Error::Changed => Self::new(codes::PRECONDITION_FAILED, error.to_string()),
            Error::Db(error) => error.into(),
        }
    }
}
