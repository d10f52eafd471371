//! What can go wrong with consents, by cause, and how each cause is answered.

use polity_kernel::{
    db,
    http::{ErrorCode, Problem, codes},
    limit::Usage,
};

use crate::workspace;

/// The codes of this service.
pub(super) mod code {
    use super::ErrorCode;

    /// There is no such consent, or none of the caller's.
    pub(crate) const CONSENT_NOT_FOUND: ErrorCode = ErrorCode::new("CONSENT_NOT_FOUND", 404, "Consent not found");
    /// Nobody ever consented to anything under that name.
    pub(crate) const CHAIN_NOT_FOUND: ErrorCode = ErrorCode::new("CHAIN_NOT_FOUND", 404, "History not found");
    /// What was shown was an older policy.
    pub(crate) const POLICY_CHANGED: ErrorCode = ErrorCode::new("POLICY_CHANGED", 409, "The policy has changed");
    /// Somebody has as many active consents as they may have.
    pub(crate) const TOO_MANY_CONSENTS: ErrorCode = ErrorCode::new("TOO_MANY_CONSENTS", 409, "Too many consents");
}

/// Why the service refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none, or none of the caller's.
    #[error("Consent not found")]
    NotFound,
    /// The caller is no member of the workspace, or there is none.
    #[error("Workspace not found")]
    WorkspaceNotFound,
    /// There is no such chain.
    #[error("There is no history of that person")]
    ChainNotFound,
    /// What was shown was the policy of another version than this one.
    #[error("The policy is of version {0} now; show that one, and ask again")]
    PolicyChanged(u32),
    /// They have as many as they may have.
    #[error("There may be at most {0} active consents; revoke some first")]
    TooMany(u32),
    /// Something about the request that only a rule could judge: where, and what.
    #[error("{1}")]
    Field(&'static str, String),
    /// Too often.
    #[error("Too often; try again in {} seconds", .0.reset_seconds().max(1))]
    Limited(Usage),
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
}

impl From<workspace::Error> for Error {
    fn from(error: workspace::Error) -> Self {
        match error {
            workspace::Error::NotFound => Self::WorkspaceNotFound,
            workspace::Error::Db(error) => Self::Db(error),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::NotFound => Self::new(code::CONSENT_NOT_FOUND, text),
            Error::WorkspaceNotFound => Self::new(workspace::WORKSPACE_NOT_FOUND, text),
            Error::ChainNotFound => Self::new(code::CHAIN_NOT_FOUND, text),
            Error::PolicyChanged(version) => Self::new(code::POLICY_CHANGED, text).with("policy_version", version),
            Error::TooMany(_) => Self::new(code::TOO_MANY_CONSENTS, text),
            Error::Field(path, _) => Self::field(&[path], text, "value_error"),
            Error::Limited(usage) => {
                let name = usage.window.clone();
                Self::new(codes::RATE_LIMITED, text).with_headers(usage.headers(&name))
            }
            Error::Db(error) => error.into(),
        }
    }
}
