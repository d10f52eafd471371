//! What can go wrong with connections, by cause, and how each cause is answered.

use polity_grants::{failure::Failure, manager};
use polity_kernel::{
    db,
    http::{ErrorCode, Problem, codes},
    limit::Usage,
};

use super::model::Status;
use crate::{consent, workspace};

/// The codes of this service.
pub(super) mod code {
    use super::ErrorCode;

    /// There is no such app, or it is not offered.
    pub(crate) const APP_NOT_FOUND: ErrorCode = ErrorCode::new("APP_NOT_FOUND", 404, "App not found");
    /// There is an app of that name.
    pub(crate) const APP_EXISTS: ErrorCode = ErrorCode::new("APP_EXISTS", 409, "The name is taken");
    /// There are connections with the app.
    pub(crate) const APP_IN_USE: ErrorCode = ErrorCode::new("APP_IN_USE", 409, "The app has connections");
    /// There is no such connection, or none of the caller's.
    pub(crate) const CONNECTION_NOT_FOUND: ErrorCode =
        ErrorCode::new("CONNECTION_NOT_FOUND", 404, "Connection not found");
    /// The connection is in a state that forbids it.
    pub(crate) const CONNECTION_STATE: ErrorCode =
        ErrorCode::new("CONNECTION_STATE", 409, "The connection is not in the state for that");
    /// The provider ended it: its owner has to sign in again.
    pub(crate) const NEEDS_REAUTHORIZATION: ErrorCode =
        ErrorCode::new("NEEDS_REAUTHORIZATION", 409, "The owner has to sign in again");
    /// Somebody has as many connections as they may have.
    pub(crate) const TOO_MANY_CONNECTIONS: ErrorCode =
        ErrorCode::new("TOO_MANY_CONNECTIONS", 409, "Too many connections");
    /// A sign-in that is not known, or no longer.
    pub(crate) const SIGN_IN_UNKNOWN: ErrorCode = ErrorCode::new("SIGN_IN_UNKNOWN", 400, "The sign-in is not known");
    /// The provider, or the person there, refused.
    pub(crate) const PROVIDER_REFUSED: ErrorCode = ErrorCode::new("PROVIDER_REFUSED", 400, "The provider refused");
    /// The provider does not work, or not as it should.
    pub(crate) const PROVIDER_FAILED: ErrorCode = ErrorCode::new("PROVIDER_FAILED", 502, "The provider failed");
    /// The person has not consented, or not to all of it.
    pub(crate) const CONSENT_REQUIRED: ErrorCode = ErrorCode::new("CONSENT_REQUIRED", 409, "Consent is required");
    /// The provider gave less than the app needs.
    pub(crate) const SCOPES_MISSING: ErrorCode = ErrorCode::new("SCOPES_MISSING", 409, "Scopes are missing");
    /// Another account signed in than the connection is of.
    pub(crate) const OTHER_ACCOUNT: ErrorCode = ErrorCode::new("OTHER_ACCOUNT", 409, "Another account signed in");
    /// The token lacks a scope.
    pub(crate) const SCOPE_REQUIRED: ErrorCode = ErrorCode::new("SCOPE_REQUIRED", 403, "A scope is missing");
}

/// Why the service refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such app, or it is not offered.
    #[error("App not found")]
    AppNotFound,
    /// There is an app of that name.
    #[error("There is an app named {0}")]
    AppExists(String),
    /// It has connections.
    #[error(
        "The app has {0} connections, or its provider has not been told yet that they ended; disconnect them first, or \
         disable the app"
    )]
    AppInUse(i64),
    /// There is none, or none of the caller's.
    #[error("Connection not found")]
    NotFound,
    /// The caller is no member of the workspace, or there is none.
    #[error("Workspace not found")]
    WorkspaceNotFound,
    /// Viewers and guests change nothing.
    #[error("Viewers and guests of a workspace change nothing in it")]
    Forbidden,
    /// It is in a state that forbids it.
    #[error("The connection is {}", .0.word())]
    State(Status),
    /// The provider ended it.
    #[error("The owner has to sign in again: reconnect it ({0})")]
    NeedsReauthorization(String),
    /// They have as many as they may have.
    #[error("There may be at most {0} connections; disconnect some first")]
    TooMany(u32),
    /// Missing, used, expired, or of another browser or person: not told apart.
    #[error("This sign-in is not known, or no longer: begin again")]
    SignIn,
    /// The person, or the provider, said no.
    #[error("The provider answered {0}")]
    Refused(String),
    /// The provider does not work, or not as it should.
    #[error("The provider could not be used: {0}")]
    Provider(String),
    /// For now.
    #[error("The provider cannot be used for now: {0}")]
    Unavailable(String),
    /// Not consented.
    #[error("You have not consented to that, or not to all of it")]
    Consent,
    /// Less was given than is needed.
    #[error("The provider did not give {}", .0.join(", "))]
    ScopesMissing(Vec<String>),
    /// Another account than before.
    #[error("You signed in at the provider with another account than this connection is of")]
    OtherAccount,
    /// Something about the request that only a rule could judge: where, and what.
    #[error("{1}")]
    Field(&'static str, String),
    /// Too often.
    #[error("Too many sign-ins; try again in {} seconds", .0.reset_seconds().max(1))]
    Limited(Usage),
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// What nobody expects.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Whether it is about Polity and nobody else; its text is for the log alone.
    pub(super) fn is_internal(&self) -> bool {
        matches!(self, Self::Db(_) | Self::Internal(_))
    }

    /// What people are told.
    pub(super) fn told(&self) -> String {
        if self.is_internal() {
            return "Something went wrong here; try again".to_owned();
        }
        self.to_string()
    }
}

impl From<workspace::Error> for Error {
    fn from(error: workspace::Error) -> Self {
        match error {
            workspace::Error::NotFound => Self::WorkspaceNotFound,
            workspace::Error::Db(error) => Self::Db(error),
        }
    }
}

impl From<consent::Error> for Error {
    fn from(error: consent::Error) -> Self {
        match error {
            consent::Error::Db(error) => Self::Db(error),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<manager::Error> for Error {
    fn from(error: manager::Error) -> Self {
        match error {
            manager::Error::NotFound | manager::Error::Revoked => Self::State(Status::Revoked),
            manager::Error::NeedsReauthorization(reason) => Self::NeedsReauthorization(reason),
            manager::Error::Misconfigured(reason) => Self::Provider(reason),
            manager::Error::Fresh | manager::Error::Lasting => Self::Unavailable(error.to_string()),
            manager::Error::Unavailable(reason) => Self::Unavailable(reason),
            manager::Error::Store(error) => Self::Unavailable(error.to_string()),
            manager::Error::Open(error) => Self::Internal(error.to_string()),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Transient { text, .. } => Self::Unavailable(text),
            Failure::Reauthorize { reason } => Self::Refused(reason),
            Failure::Misconfigured { reason } => Self::Provider(reason),
            Failure::Unknown { text } => Self::Provider(text),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::AppNotFound => Self::new(code::APP_NOT_FOUND, text),
            Error::AppExists(_) => Self::new(code::APP_EXISTS, text),
            Error::AppInUse(_) => Self::new(code::APP_IN_USE, text),
            Error::NotFound => Self::new(code::CONNECTION_NOT_FOUND, text),
            Error::WorkspaceNotFound => Self::new(workspace::WORKSPACE_NOT_FOUND, text),
            Error::Forbidden => Self::new(codes::FORBIDDEN, text),
            Error::State(status) => Self::new(code::CONNECTION_STATE, text).with("status", status.word()),
            Error::NeedsReauthorization(_) => Self::new(code::NEEDS_REAUTHORIZATION, text),
            Error::TooMany(_) => Self::new(code::TOO_MANY_CONNECTIONS, text),
            Error::SignIn => Self::new(code::SIGN_IN_UNKNOWN, text),
            Error::Refused(_) => Self::new(code::PROVIDER_REFUSED, text),
            Error::Provider(_) => Self::new(code::PROVIDER_FAILED, text),
            Error::Unavailable(_) => Self::unavailable(text, 5),
            Error::Consent => Self::new(code::CONSENT_REQUIRED, text),
            Error::ScopesMissing(missing) => Self::new(code::SCOPES_MISSING, text).with("missing_scopes", missing),
            Error::OtherAccount => Self::new(code::OTHER_ACCOUNT, text),
            Error::Field(path, _) => Self::field(&[path], text, "value_error"),
            Error::Limited(usage) => {
                let name = usage.window.clone();
                Self::new(codes::RATE_LIMITED, text).with_headers(usage.headers(&name))
            }
            Error::Db(error) => error.into(),
            Error::Internal(_) => Self::internal(&text),
        }
    }
}
