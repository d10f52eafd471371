//! What can go wrong with signing in, by cause, and how each cause is answered.

use http::{HeaderValue, header};
use polity_kernel::{
    db,
    http::{ErrorCode, Problem, codes},
    password::PasswordError,
};

use crate::{account, credential, organization};

/// The codes of this service.
pub(super) mod code {
    use super::ErrorCode;

    /// Address or password is wrong, or nobody has that address: the answer is one.
    pub(crate) const INVALID_CREDENTIALS: ErrorCode = ErrorCode::new("INVALID_CREDENTIALS", 401, "Invalid credentials");
    /// The password was right, the account is locked.
    pub(crate) const ACCOUNT_DISABLED: ErrorCode = ErrorCode::new("ACCOUNT_DISABLED", 401, "The account is disabled");
    /// The account signs in by other means.
    pub(crate) const PASSWORD_NOT_SET: ErrorCode = ErrorCode::new("PASSWORD_NOT_SET", 401, "No password is set");
    /// A token that is wrong, expired, revoked, or of another type.
    pub(crate) const INVALID_TOKEN: ErrorCode = ErrorCode::new("INVALID_TOKEN", 401, "The token is not valid");
    /// The person has no platform role.
    pub(crate) const NOT_AN_ADMIN: ErrorCode = ErrorCode::new("NOT_AN_ADMIN", 401, "Insufficient admin privileges");
    /// The bootstrap, or the set-up link, is closed.
    pub(crate) const BOOTSTRAP_CLOSED: ErrorCode =
        ErrorCode::new("BOOTSTRAP_CLOSED", 403, "Bootstrap is not available");
    /// A device that is unknown, has another secret, or may not be used: not told apart.
    pub(crate) const INVALID_DEVICE: ErrorCode = ErrorCode::new("INVALID_DEVICE", 401, "Invalid device credentials");
    /// The organization has no such device.
    pub(crate) const DEVICE_NOT_FOUND: ErrorCode = ErrorCode::new("DEVICE_NOT_FOUND", 400, "Device not found");
    /// A device that is unknown or may not be used.
    pub(crate) const DEVICE_UNUSABLE: ErrorCode = ErrorCode::new("DEVICE_UNUSABLE", 400, "The device is not active");
    /// There is a device of that id.
    pub(crate) const DEVICE_EXISTS: ErrorCode = ErrorCode::new("DEVICE_EXISTS", 400, "The device id is taken");
    /// There is no such session of the caller's.
    pub(crate) const SESSION_NOT_FOUND: ErrorCode = ErrorCode::new("SESSION_NOT_FOUND", 404, "Session not found");
    /// There is no such registration, or it has ended.
    pub(crate) const REGISTRATION_ENDED: ErrorCode =
        ErrorCode::new("REGISTRATION_ENDED", 400, "The registration has ended");
}

/// Why the service refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Address or password is wrong.
    #[error("Invalid email or password")]
    InvalidCredentials,
    /// The account is locked.
    #[error("Account is disabled")]
    Disabled,
    /// There is no password to compare with.
    #[error("Password not set; use the password reset to set one")]
    PasswordNotSet,
    /// A token that opens nothing, and why.
    #[error("{0}")]
    InvalidToken(&'static str),
    /// Not told apart: unknown, wrong secret, not to be used.
    #[error("Invalid device credentials")]
    InvalidDevice,
    /// The organization has no such device.
    #[error("Device not found or unauthorized")]
    DeviceNotFound,
    /// An organization that is not there, or suspended.
    #[error("The organization is unknown or suspended")]
    OrganizationUnusable,
    /// Unknown, or not to be used.
    #[error("Device is unknown or not active")]
    DeviceUnusable,
    /// There is a device of that id.
    #[error("A device with this id is registered already")]
    DeviceExists,
    /// A rule of credentials.
    #[error(transparent)]
    Credential(#[from] credential::Error),
    /// No platform role.
    #[error("Insufficient admin privileges")]
    NotAnAdmin,
    /// Closed for good, or the secret is wrong: not told apart.
    #[error("Bootstrap is not available")]
    BootstrapClosed,
    /// The organization is none of the person's.
    #[error("You are not a member of this organization")]
    NotAMember,
    /// No pair of tokens for this person on the word of this caller.
    #[error("{0}")]
    NoPair(&'static str),
    /// The token would be longer than those that are verified.
    #[error("permissions and metadata are too much to carry in a token")]
    TokenTooLong,
    /// No such session.
    #[error("There is no such session")]
    SessionNotFound,
    /// No such registration, or no more codes.
    #[error("This registration has ended; start again")]
    RegistrationEnded,
    /// A password outside the limits.
    #[error("passwords have 8 to 1024 bytes")]
    PasswordLength,
    /// More people sign in than passwords can be checked.
    #[error("too many people are signing in; try again in a moment")]
    Overloaded,
    /// What account said.
    #[error(transparent)]
    Account(#[from] account::Error),
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// Anything that must not happen.
    #[error("{0}")]
    Internal(String),
}

impl From<PasswordError> for Error {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Overloaded => Self::Overloaded,
            PasswordError::Length => Self::PasswordLength,
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<organization::Error> for Error {
    fn from(error: organization::Error) -> Self {
        match error {
            organization::Error::Db(error) => Self::Db(error),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<polity_kernel::secret::Error> for Error {
    fn from(error: polity_kernel::secret::Error) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let challenge = |code: ErrorCode, error: &Error| {
            let header = HeaderValue::from_static("Bearer realm=\"polity\"");
            Self::new(code, error.to_string()).with_header(header::WWW_AUTHENTICATE, header)
        };
        match &error {
            Error::InvalidCredentials => challenge(code::INVALID_CREDENTIALS, &error),
            Error::Disabled => challenge(code::ACCOUNT_DISABLED, &error),
            Error::PasswordNotSet => challenge(code::PASSWORD_NOT_SET, &error),
            Error::InvalidToken(_) => challenge(code::INVALID_TOKEN, &error),
            Error::NotAnAdmin => challenge(code::NOT_AN_ADMIN, &error),
            Error::BootstrapClosed => Self::new(code::BOOTSTRAP_CLOSED, error.to_string()),
            Error::NotAMember | Error::NoPair(_) => Self::new(codes::FORBIDDEN, error.to_string()),
            Error::TokenTooLong => Self::field(&["metadata"], error.to_string(), "too_long"),
            Error::InvalidDevice => challenge(code::INVALID_DEVICE, &error),
            Error::DeviceNotFound => Self::new(code::DEVICE_NOT_FOUND, error.to_string()),
            Error::DeviceUnusable => Self::new(code::DEVICE_UNUSABLE, error.to_string()),
            Error::OrganizationUnusable => Self::new(codes::BAD_REQUEST, error.to_string()),
            Error::DeviceExists => Self::new(code::DEVICE_EXISTS, error.to_string()),
            Error::SessionNotFound => Self::new(code::SESSION_NOT_FOUND, error.to_string()),
            Error::RegistrationEnded => Self::new(code::REGISTRATION_ENDED, error.to_string()),
            Error::PasswordLength => Self::field(&["password"], error.to_string(), "value_error"),
            Error::Overloaded => Self::unavailable(error.to_string(), 1),
            Error::Account(_) | Error::Credential(_) | Error::Db(_) | Error::Internal(_) => match error {
                Error::Credential(error) => error.into(),
                Error::Account(error) => error.into(),
                Error::Db(error) => error.into(),
                other => Self::internal(&other),
            },
        }
    }
}
