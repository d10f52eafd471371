//! What a failed call means for a grant.
//!
//! | what happened | [`Failure`] | the refresh token | what is done |
//! |---|---|---|---|
//! | no connection, address refused | `Transient` | untouched | kept, back off |
//! | 429, 503, `temporarily_unavailable`, `slow_down` | `Transient` | refused before it was looked at | kept, back off as `Retry-After` says |
//! | 500, 501 and other 5xx that a server says of itself | `Transient` | taken as untouched | kept, back off |
//! | time-out, connection dropped, 502, 504, 408 | `Unknown` | may be spent | the provider's recovery rule |
//! | 2xx that is no token answer: HTML, cut, too large | `Unknown` | probably spent | the provider's recovery rule |
//! | `invalid_grant` and the names providers have for it | `Reauthorize` | ended | the owner signs in again |
//! | `invalid_client`, `unauthorized_client`, other codes, other 3xx and 4xx | `Misconfigured` | untouched | kept, tried slowly, the operator is told |
//!
//! A status from 500 up, and 429, is believed before a code in the body: a failing server does not end a grant. Only
//! the code of an error is kept. Its description may quote what it was sent.

use std::time::UNIX_EPOCH;

use crate::{
    clock::{Millis, SECOND},
    http::{HttpError, Response},
    provider::{Provider, Quirk},
};

/// The longest pause a provider can ask for: a day.
const LONGEST_PAUSE: Millis = 24 * 60 * 60 * SECOND;

/// What a failed call means. The texts hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing happened to the grant; later it may work.
    #[error("for now: {text}")]
    Transient {
        /// The pause the provider asks for, in milliseconds.
        retry_after: Option<Millis>,
        /// What happened.
        text: String,
    },
    /// The grant ended: its owner has to sign in again.
    #[error("the owner has to sign in again: {reason}")]
    Reauthorize {
        /// The provider's code, or a reason of this library.
        reason: String,
    },
    /// The client or the provider's entry is wrong: the operator has to look.
    #[error("the client is not set up right: {reason}")]
    Misconfigured {
        /// The provider's code, or what is wrong.
        reason: String,
    },
    /// Nobody knows whether it happened.
    #[error("the outcome is not known: {text}")]
    Unknown {
        /// What was seen of it.
        text: String,
    },
}

impl Failure {
    /// A setting that is wrong.
    pub(crate) fn misconfigured(reason: impl Into<String>) -> Self {
        Self::Misconfigured { reason: reason.into() }
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        let text = error.to_string();
        if error.may_have_arrived() {
            Self::Unknown { text }
        } else {
            Self::Transient {
                retry_after: None,
                text,
            }
        }
    }
}

/// What an answer that brings no tokens means. `code` is that of RFC 6749 5.2, if the body had one; `now` is the time in
/// unix milliseconds, for a `Retry-After` that is a date.
pub fn of_answer(provider: &Provider, response: &Response, code: Option<&str>, now: Millis) -> Failure {
    let status = response.status;
    let text = match code {
        Some(code) => format!("status {status}, {code}"),
        None => format!("status {status}"),
    };
    match status {
        408 | 502 | 504 => return Failure::Unknown { text },
        425 | 429 | 500.. => {
            let retry_after = retry_after(response, now);
            return Failure::Transient { retry_after, text };
        }
        _ => {}
    }
    match code {
        Some(code) => of_code(provider, code, response, now),
        None if response.is_success() => Failure::Unknown {
            text: format!("{text} without a token that could be read"),
        },
        None => Failure::Misconfigured { reason: text },
    }
}

/// What a code means, in an answer whose status leaves it open.
fn of_code(provider: &Provider, code: &str, response: &Response, now: Millis) -> Failure {
    let reason = code.to_owned();
    match code {
        "invalid_grant"
        | "bad_refresh_token"
        | "invalid_refresh_token"
        | "bad_verification_code"
        | "token_revoked"
        | "token_expired"
        | "access_denied"
        | "consent_required"
        | "interaction_required"
        | "login_required"
        | "account_inactive"
        | "expired_token" => Failure::Reauthorize { reason },
        "unauthorized_client" if provider.has(Quirk::UnauthorizedClientEndsGrant) => Failure::Reauthorize { reason },
        "invalid_request" if provider.has(Quirk::InvalidRequestEndsGrant) => Failure::Reauthorize { reason },
        "invalid_auth" | "invalid_code" if provider.has(Quirk::SlackCodes) => Failure::Reauthorize { reason },
        "temporarily_unavailable"
        | "server_error"
        | "slow_down"
        | "authorization_pending"
        | "ratelimited"
        | "rate_limited"
        | "internal_error"
        | "fatal_error"
        | "service_unavailable" => Failure::Transient {
            retry_after: retry_after(response, now),
            text: reason,
        },
        _ => Failure::Misconfigured { reason },
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110 10.2.3), as milliseconds from `now`; at most a day. A date that is over
/// asks for no pause.
fn retry_after(response: &Response, now: Millis) -> Option<Millis> {
    let text = response.header("retry-after")?.trim();
    let pause = match text.parse::<u32>() {
        Ok(seconds) => Millis::from(seconds).saturating_mul(SECOND),
        Err(_) => date(text)?.saturating_sub(now),
    };
    Some(pause.clamp(0, LONGEST_PAUSE))
}

/// A date in one of the three forms of RFC 9110 5.6.7, in unix milliseconds.
fn date(text: &str) -> Option<Millis> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Millis::try_from(since.as_millis()).ok()
}

/// A code fit to be stored and logged: what could be anything else than a code is cut off.
pub fn plain_code(text: &str) -> Option<String> {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    let code: String = text.chars().take_while(is_plain).take(64).collect();
    (!code.is_empty()).then(|| code.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::provider::testing::provider;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110.
    const NOW: Millis = 784_111_777_000;

    fn answer(status: u16, retry: Option<&str>) -> Response {
        Response {
            status,
            headers: retry
                .map(|value| ("retry-after".to_owned(), value.to_owned()))
                .into_iter()
                .collect(),
            body: Vec::new(),
        }
    }

    #[test]
    fn the_table_holds() {
        let plain = provider("");
        let kind = |status, code| match of_answer(&plain, &answer(status, None), code, NOW) {
            Failure::Transient { .. } => "transient",
            Failure::Reauthorize { .. } => "reauthorize",
            Failure::Misconfigured { .. } => "misconfigured",
            Failure::Unknown { .. } => "unknown",
        };
        for (status, code, expected) in [
            (400, Some("invalid_grant"), "reauthorize"),
            (200, Some("bad_refresh_token"), "reauthorize"),
            (401, Some("invalid_client"), "misconfigured"),
            (400, Some("unauthorized_client"), "misconfigured"),
            (400, Some("unsupported_grant_type"), "misconfigured"),
            (400, Some("invalid_request"), "misconfigured"),
            (400, Some("something_else"), "misconfigured"),
            (404, None, "misconfigured"),
            (302, None, "misconfigured"),
            (429, Some("invalid_grant"), "transient"),
            (500, Some("invalid_grant"), "transient"),
            (503, None, "transient"),
            (400, Some("temporarily_unavailable"), "transient"),
            (502, None, "unknown"),
            (504, Some("invalid_grant"), "unknown"),
            (408, None, "unknown"),
            (200, None, "unknown"),
        ] {
            assert_eq!(kind(status, code), expected, "{status} {code:?}");
        }
    }

    #[test]
    fn quirks_change_what_a_code_means() {
        let quirky =
            provider("quirks = [\"unauthorized_client_ends_grant\", \"slack_codes\", \"invalid_request_ends_grant\"]");
        for code in ["unauthorized_client", "invalid_auth", "invalid_request"] {
            assert!(matches!(
                of_answer(&quirky, &answer(403, None), Some(code), NOW),
                Failure::Reauthorize { .. }
            ));
        }
    }

    #[test]
    fn pauses_are_read_and_bounded() {
        let pause = |text| match of_answer(&provider(""), &answer(429, Some(text)), None, NOW) {
            Failure::Transient { retry_after, .. } => retry_after,
            other => panic!("{other:?}"),
        };
        assert_eq!(pause("7"), Some(7_000));
        assert_eq!(pause("4000000000"), Some(LONGEST_PAUSE));
        assert_eq!(pause("soon"), None);
        assert_eq!(pause("-1"), None);
        assert_eq!(pause("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30_000));
        assert_eq!(pause("Sunday, 06-Nov-94 08:50:07 GMT"), Some(30_000));
        assert_eq!(pause("Sun Nov  6 08:50:07 1994"), Some(30_000));
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
        assert_eq!(pause("Sat, 05 Nov 1994 08:49:37 GMT"), Some(0), "it is over");
        assert_eq!(pause("Mon, 06 Nov 1995 08:49:37 GMT"), Some(LONGEST_PAUSE));
        assert_eq!(pause("Sun, 06 Nov 1994"), None);
    }

    proptest! {
        #[test]
        fn only_a_known_code_below_500_ends_a_grant(status in 100_u16..1000, code in prop::option::of("[a-z_]{1,24}")) {
            let failure = of_answer(&provider(""), &answer(status, None), code.as_deref(), NOW);
            if let Failure::Reauthorize { reason } = failure {
                prop_assert!(status < 500 && ![408, 425, 429].contains(&status));
                prop_assert_eq!(Some(reason), code);
            }
        }

        #[test]
        fn any_pause_is_read_and_bounded(text in ".*", now: i64) {
            let pause = retry_after(&answer(429, Some(&text)), now);
            prop_assert!(pause.is_none_or(|pause| (0..=LONGEST_PAUSE).contains(&pause)));
        }

        #[test]
        fn what_may_have_arrived_is_never_transient(text in ".*") {
            let unknown = Failure::from(HttpError::Unknown(text.clone()));
            prop_assert!(matches!(unknown, Failure::Unknown { .. }), "{:?}", unknown);
            let unsent = Failure::from(HttpError::NotSent(text));
            prop_assert!(matches!(unsent, Failure::Transient { .. }), "{:?}", unsent);
        }

        #[test]
        fn codes_are_short_and_plain(text in ".*") {
            if let Some(code) = plain_code(&text) {
                prop_assert!(code.len() <= 64 && code.is_ascii());
            }
        }
    }
}
