//! What can go wrong with credentials, by cause, and how each cause is answered.

use polity_kernel::{
    config::ConfigError,
    db,
    http::{ErrorCode, Problem, codes},
};

use super::engine::Limited;
use crate::organization;

/// The codes of this service.
pub(crate) mod code {
    use super::ErrorCode;

    /// There is no such key in the organization.
    pub(crate) const API_KEY_NOT_FOUND: ErrorCode = ErrorCode::new("API_KEY_NOT_FOUND", 404, "API key not found");
    /// The same, where the contract answers 400.
    pub(crate) const NO_SUCH_API_KEY: ErrorCode = ErrorCode::new("NO_SUCH_API_KEY", 400, "API key not found");
    /// There is no such token of the caller's in the workspace.
    pub(crate) const TOKEN_NOT_FOUND: ErrorCode = ErrorCode::new("TOKEN_NOT_FOUND", 404, "Token not found");
    /// There is no such organization.
    pub(crate) const ORGANIZATION_NOT_FOUND: ErrorCode =
        ErrorCode::new("ORGANIZATION_NOT_FOUND", 404, "Organization not found");
    /// The caller is no member of the workspace, or there is none.
    pub(crate) const WORKSPACE_NOT_FOUND: ErrorCode = ErrorCode::new("WORKSPACE_NOT_FOUND", 404, "Workspace not found");
    /// What was revoked, or has ended, stays so.
    pub(crate) const CREDENTIAL_OVER: ErrorCode = ErrorCode::new("CREDENTIAL_OVER", 409, "The credential has ended");
    /// The owner has as many live credentials as there may be.
    pub(crate) const TOO_MANY_CREDENTIALS: ErrorCode =
        ErrorCode::new("TOO_MANY_CREDENTIALS", 409, "Too many credentials");
    /// The token lacks a scope, which is named.
    pub(crate) const SCOPE_REQUIRED: ErrorCode = ErrorCode::new("SCOPE_REQUIRED", 403, "A scope is missing");
    /// There is a scope of that name.
    pub(crate) const SCOPE_EXISTS: ErrorCode = ErrorCode::new("SCOPE_EXISTS", 409, "The scope exists");
    /// There is no scope of that name.
    pub(crate) const SCOPE_NOT_FOUND: ErrorCode = ErrorCode::new("SCOPE_NOT_FOUND", 404, "Scope not found");
}

/// Why the service refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such key in the organization.
    #[error("API key not found")]
    KeyNotFound,
    /// There is no such token of the caller's.
    #[error("Token not found")]
    TokenNotFound,
    /// No member, or no workspace: not told apart.
    #[error("Workspace not found")]
    WorkspaceNotFound,
    /// There is no such organization.
    #[error("Organization not found")]
    OrganizationNotFound,
    /// The caller may not do this, and why.
    #[error("{0}")]
    Forbidden(&'static str),
    /// Something about the request that only a rule could judge: where, and what.
    #[error("{1}")]
    Field(&'static str, String),
    /// It has ended for good.
    #[error("The credential was revoked or has ended, which is final; make a new one")]
    Over,
    /// No more may be made.
    #[error("There may be at most {0} live credentials; revoke some first")]
    TooMany(u32),
    /// There is a scope of that name.
    #[error("The scope {0} exists")]
    ScopeExists(String),
    /// There is no scope of that name.
    #[error("Scope not found")]
    ScopeNotFound,
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// Something unexpected.
    #[error("{0}")]
    Internal(String),
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Internal(error.to_string())
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

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::KeyNotFound => Self::new(code::API_KEY_NOT_FOUND, text),
            Error::TokenNotFound => Self::new(code::TOKEN_NOT_FOUND, text),
            Error::WorkspaceNotFound => Self::new(code::WORKSPACE_NOT_FOUND, text),
            Error::OrganizationNotFound => Self::new(code::ORGANIZATION_NOT_FOUND, text),
            Error::Forbidden(_) => Self::new(codes::FORBIDDEN, text),
            Error::Field(path, _) => Self::field(&path.split('.').collect::<Vec<_>>(), text, "value_error"),
            Error::Over => Self::new(code::CREDENTIAL_OVER, text),
            Error::TooMany(_) => Self::new(code::TOO_MANY_CREDENTIALS, text),
            Error::ScopeExists(_) => Self::new(code::SCOPE_EXISTS, text),
            Error::ScopeNotFound => Self::new(code::SCOPE_NOT_FOUND, text),
            Error::Db(error) => error.into(),
            Error::Internal(_) => Self::internal(&text),
        }
    }
}

/// 429, with what the contract says of the limit; never "invalid".
impl From<Limited> for Problem {
    fn from(limited: Limited) -> Self {
        let text = match limited.retry_after {
            Some(wait) => format!("Rate limit exceeded: {}; try again in {wait} seconds", limited.field),
            None => format!("Rate limit exceeded: {}; none are left", limited.field),
        };
        let remaining = limited.limit.saturating_sub(limited.used);
        let mut problem = Self::new(codes::RATE_LIMITED, text)
            .with("error", "Rate limit exceeded")
            .with("field", limited.field)
            .with("limit", limited.limit)
            .with("used", limited.used)
            .with("remaining", remaining)
            .with("source", limited.source)
            .with("scope_id", limited.scope_id)
            .with("retry_after", limited.retry_after)
            .with_headers(limited.headers);
        for (name, value) in [
            ("x-ratelimit-field", limited.field),
            ("x-ratelimit-source", limited.source),
        ] {
            problem = problem.with_header(
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static(value),
            );
        }
        problem
    }
}
