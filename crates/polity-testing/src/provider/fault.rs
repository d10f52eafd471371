//! What can go wrong, and where.

use std::time::Duration;

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `GET /authorize`: sends the browser back at once.
    Authorize,
    /// `POST /token`.
    Token,
    /// `POST /revoke` (RFC 7009).
    Revoke,
    /// `GET` or `POST /userinfo`.
    Userinfo,
    /// `POST /device` (RFC 8628).
    Device,
    /// `/api/…`: answers what it was asked.
    Api,
}

impl Endpoint {
    pub(super) fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/authorize" => Self::Authorize,
            "/token" => Self::Token,
            "/revoke" => Self::Revoke,
            "/userinfo" => Self::Userinfo,
            "/device" => Self::Device,
            _ if path.starts_with("/api/") => Self::Api,
            _ => return None,
        })
    }
}

/// What happens to one call. The first group works everywhere; the second at `/token`; the last at `/authorize`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is done at once, and answered so much later.
    Slow(Duration),
    /// It is done so much later, even if nobody waits any more, and then answered.
    Late(Duration),
    /// That status, and nothing is done.
    Status(u16),
    /// It is done, and answered with that status.
    StatusAfter(u16),
    /// 429 with that `Retry-After`, and nothing is done.
    TooMany(String),
    /// An error of RFC 6749 5.2 with status 400, and nothing is done.
    Error(String),
    /// The connection is closed, and nothing is done.
    DropBefore,
    /// It is done, and the connection is closed instead of an answer.
    DropAfter,
    /// It is done, and the answer is JSON that breaks off.
    WrongJson,
    /// It is done, and the answer is a web page with status 200.
    Html,
    /// It is done, and the answer is 10 MB of JSON.
    Huge,

    /// The refresh token is replaced twice: the answer has a pair that was replaced already.
    RotatedTwice,
    /// The grant ended before this call came.
    Revoked,
    /// The answer does not say how long the token lasts.
    WithoutExpiry,
    /// The answer says that the token lasts so many seconds. It does not.
    ExpiresIn(i64),
    /// The tokens have, and the answer says, these scopes.
    Scope(String),
    /// The answer says that the token is of this type.
    TokenType(String),
    /// The refresh token is replaced, and the answer does not have the new one.
    NoNewRefresh,

    /// The owner refuses.
    Denied,
}
