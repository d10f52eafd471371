//! The one HTTP client for everything that leaves the program.
//!
//! Users choose many of the addresses Polity calls (webhooks, plugins, providers), so every call is guarded against
//! server-side request forgery. Invariants:
//!
//! - A connection goes to an address that was judged after resolution, the very one that was judged: the guard is the
//!   resolver of the client, and address literals, which no resolver sees, are judged before. So a name that answers
//!   differently the second time gains nothing.
//! - Only public addresses, and what [`OutboundSettings::allow`] lists, are reached.
//! - Every redirect is judged like a first request; what the caller attached stays with the origin it was meant for.
//! - Time, body size and number of redirects are bounded.
//!
//! Deliberately absent: proxies (they would resolve names for us, unguarded), cookies, retries (that is a job's work).

mod address;
mod error;
mod request;
mod resolve;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

pub use address::is_public;
pub use error::Error;
pub use request::{Request, Response};
pub use resolve::{Lookup, SystemLookup};

use resolve::{Allowed, Guard};

/// Outgoing connections.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutboundSettings {
    /// Host names, addresses and networks (such as `10.1.0.0/16`) that may be called although they are not public.
    /// A listed name or address literal may also be called without TLS.
    pub allow: Vec<String>,
    /// Whole milliseconds a call may take, from resolving the name to the last byte, redirects included.
    pub timeout_ms: u64,
    /// Whole milliseconds that connecting, TLS included, may take.
    pub connect_timeout_ms: u64,
    /// Largest answer that is read, in bytes, counted after decompression.
    pub max_body_bytes: usize,
    /// How many redirects are followed.
    pub max_redirects: u32,
    /// Whether `http://` may be called everywhere.
    pub allow_http: bool,
}

impl Default for OutboundSettings {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            timeout_ms: 10_000,
            connect_timeout_ms: 5_000,
            max_body_bytes: 1024 * 1024,
            max_redirects: 3,
            allow_http: false,
        }
    }
}

/// The client. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Outbound(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: reqwest::Client,
    allowed: Arc<Allowed>,
    settings: OutboundSettings,
}

impl Outbound {
    /// A client that resolves names as the system does. Fails with [`Error::Invalid`] if an `allow` entry is neither a
    /// host name nor an address nor a network.
    pub fn new(settings: &OutboundSettings) -> Result<Self, Error> {
        Self::with_lookup(settings, Arc::new(SystemLookup))
    }

    /// A client that resolves names with `lookup`; its answers are judged like any other.
    pub fn with_lookup(settings: &OutboundSettings, lookup: Arc<dyn Lookup>) -> Result<Self, Error> {
        let allowed = Arc::new(Allowed::parse(&settings.allow)?);
        let guard = Guard::new(lookup, Arc::clone(&allowed));
        let client = client(settings, &guard)?;
        Ok(Self(Arc::new(Inner {
            client,
            allowed,
            settings: settings.clone(),
        })))
    }

    /// Begins a `GET`.
    pub fn get(&self, url: &str) -> Request {
        self.request(Method::GET, url)
    }

    /// Begins a `POST`.
    pub fn post(&self, url: &str) -> Request {
        self.request(Method::POST, url)
    }

    /// Begins a request. A bad URL is reported when it is sent.
    pub fn request(&self, method: Method, url: &str) -> Request {
        Request::new(self.clone(), method, url)
    }

    /// Judges a URL without calling it: form, scheme and address literal. For refusing a bad address when it is entered;
    /// a name is resolved and judged at every call.
    pub fn check(&self, url: &str) -> Result<Url, Error> {
        let url = Url::parse(url).map_err(|error| Error::Invalid(format!("{url:.200} is not a URL: {error}")))?;
        self.judge(&url)?;
        Ok(url)
    }

    fn judge(&self, url: &Url) -> Result<(), Error> {
        let host = url
            .host()
            .ok_or_else(|| Error::Invalid("the URL names no host".to_owned()))?;
        let listed = match &host {
            Host::Domain(name) => self.0.allowed.name(name),
            Host::Ipv4(address) => self.0.allowed.address((*address).into()),
            Host::Ipv6(address) => self.0.allowed.address((*address).into()),
        };
        match url.scheme() {
            "https" => {}
            "http" if listed || self.0.settings.allow_http => {}
            scheme => {
                return Err(Error::Scheme {
                    scheme: scheme.to_owned(),
                    host: host.to_string(),
                });
            }
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::Invalid("a URL may not carry a user name or password".to_owned()));
        }
        let literal = match host {
            Host::Domain(_) => return Ok(()),
            Host::Ipv4(address) => address.into(),
            Host::Ipv6(address) => address.into(),
        };
        if listed || is_public(literal) {
            return Ok(());
        }
        Err(Error::Blocked {
            host: host.to_string(),
            address: literal,
        })
    }
}

/// The system's certificate authorities; where there are none (a bare container), Mozilla's, compiled in.
fn client(settings: &OutboundSettings, guard: &Guard) -> Result<reqwest::Client, Error> {
    let unusable = |error: &dyn std::fmt::Display| Error::Invalid(format!("no HTTP client could be built: {error}"));
    match builder(settings, guard).build() {
        Ok(client) => Ok(client),
        Err(error) => {
            tracing::warn!(error = %error, "no usable system certificates; using the compiled-in authorities");
            let tls = compiled_in_tls().map_err(|error| unusable(&error))?;
            builder(settings, guard)
                .tls_backend_preconfigured(tls)
                .build()
                .map_err(|error| unusable(&error))
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the guarded client that everything else is sent to"
)]
fn builder(settings: &OutboundSettings, guard: &Guard) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .dns_resolver(guard.clone())
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
        .user_agent(concat!("Polity/", env!("CARGO_PKG_VERSION")))
}

fn compiled_in_tls() -> Result<rustls::ClientConfig, rustls::Error> {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(tls.with_root_certificates(roots).with_no_client_auth())
}
