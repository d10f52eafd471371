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
    /// The time for connecting or for the whole call ran out.
    #[error("no complete answer in time")]
    Timeout,
    /// The name is unknown, or the connection was refused or broke.
    #[error("the connection failed: {0}")]
    Connect(String),
    /// The peer could not prove who it is, or spoke no acceptable TLS.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The request or the answer is malformed.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Timeout | Self::Connect(_))
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
        if error.is_timeout() {
            return Self::Timeout;
        }
        if let Some(tls) = cause::<rustls::Error>(&error) {
            return Self::Tls(tls.to_string());
        }
        if error.is_builder() || error.is_decode() {
            return Self::Invalid(root(&error));
        }
        Self::Connect(root(&error))
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
