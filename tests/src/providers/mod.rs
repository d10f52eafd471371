//! OAuth 2 over real sockets: the library of grants against a provider of the tests' own, which fails in every way, and
//! against oidc-provider, which is nobody's double.
//!
//! The clock that the library sees stands still until a test moves it; the providers' time goes by.

mod ended;
mod flows;
mod http;
mod kept;
mod odd;
mod oidc;
mod unknown;
mod world;
