//! Why a call failed, by cause.

use std::{error::Error as StdError, io, net::IpAddr};

use super::resolve::ResolveError;

/// Why a call gave no answer. An answer with an error status is an answer.
///
/// The texts are for the operator: an inner address in them tells an outsider about the network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host has only addresses that may not be reached.
    #[error("{host} is at {address}, which is not a public address; `outbound.allow` can list it")]
    Blocked {
        /// The host as the URL has it.
        host: String,
        /// The address it has, or the first of them.
        address: IpAddr,
    },
    /// Not `https`, nor `http` where that is allowed.
    #[error("{scheme}:// may not be used for {host}; `outbound.allow` or `outbound.allow_http` can permit http")]
    Scheme {
        /// The scheme as the URL has it.
        scheme: String,
        /// The host as the URL has it.
        host: String,
    },
    /// More redirects than allowed.
    #[error("more than {limit} redirects")]
    TooManyRedirects {
        /// How many were allowed.
        limit: u32,
    },
    /// The answer's body is larger than allowed.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// How many bytes were allowed.
        limit: usize,
    },
    /// The time for the whole call ran out.
    #[error("no complete answer in time")]
    Timeout,
    /// There was no connection: the name is unknown, it was refused, or it was not made in time.
    #[error("the connection failed: {0}")]
    Connect(String),
    /// The connection broke after it was made.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The peer could not prove who it is, or spoke no acceptable TLS, before the connection was made.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The request is malformed, or its address.
    #[error("{0}")]
    Invalid(String),
    /// The answer is malformed.
    #[error("the answer is malformed: {0}")]
    Malformed(String),
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Timeout | Self::Connect(_) | Self::Broken(_))
    }

    /// Whether the other side may have seen the request: `false` only if nothing of it left. With redirects followed, it is
    /// the last request that is spoken of; the ones before did arrive.
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::Blocked { .. } | Self::Scheme { .. } | Self::Connect(_) | Self::Tls(_) | Self::Invalid(_) => false,
            Self::TooManyRedirects { .. }
            | Self::TooLarge { .. }
            | Self::Timeout
            | Self::Broken(_)
            | Self::Malformed(_) => true,
        }
    }
}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if let Some(ResolveError::Blocked { host, address }) = cause::<ResolveError>(&error) {
            return Self::Blocked {
                host: host.clone(),
                address: *address,
            };
        }
        if let Some(unknown) = cause::<ResolveError>(&error) {
            return Self::Connect(unknown.to_string());
        }
        // While connecting, TLS included, nothing of the request is written.
        if error.is_connect() {
            return match cause::<rustls::Error>(&error) {
                Some(tls) => Self::Tls(tls.to_string()),
                None => Self::Connect(root(&error)),
            };
        }
        if error.is_timeout() {
            return Self::Timeout;
        }
        if error.is_builder() {
            return Self::Invalid(root(&error));
        }
        if error.is_decode() {
            return Self::Malformed(root(&error));
        }
        Self::Broken(root(&error))
    }
}

/// The first error of type `T` in the chain of causes. `io::Error` hides the error it wraps from the chain.
fn cause<'e, T: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped
            .map(|inner| inner as &(dyn StdError + 'static))
            .or_else(|| error.source());
    }
    None
}

/// The text of the innermost cause, which says most.
fn root(error: &(dyn StdError + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
