//! Who made the request that is being answered: found out once, and told to whoever stands around the handler.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{HeaderMap, Method};

use super::Caller;

/// Where a request comes from, and what it is for.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The address of the client.
    pub ip: IpAddr,
    /// What the client says it is.
    pub user_agent: &'a str,
    /// The method.
    pub method: &'a str,
    /// The route, as a template; empty if there is none.
    pub route: &'a str,
}

/// An API credential as it was presented.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// The text.
    pub text: &'a str,
    /// By whom.
    pub from: Origin<'a>,
}

/// What an API credential proves.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// Who it is.
    pub caller: Caller,
    /// What the answer says of its limits.
    pub headers: HeaderMap,
}

/// A request that an API credential made, and how it was answered.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// Who made it.
    pub caller: &'a Caller,
    /// From where.
    pub from: Origin<'a>,
    /// The status of the answer.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
}

/// Carried by every request. Cheap to clone; clones see the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Witness(Arc<OnceLock<Noted>>);

/// What is known of the caller of a request.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) caller: Caller,
    pub(crate) headers: HeaderMap,
    /// Of those with an API credential, whose uses are recorded.
    pub(crate) client: Option<Client>,
}

/// The client of a request.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) ip: IpAddr,
    pub(crate) user_agent: String,
}

impl Client {
    pub(crate) fn origin<'a>(&'a self, method: &'a Method, route: Option<&'a str>) -> Origin<'a> {
        Origin {
            ip: self.ip,
            user_agent: &self.user_agent,
            method: method.as_str(),
            route: route.unwrap_or_default(),
        }
    }
}

impl Witness {
    pub(crate) fn seen(&self) -> Option<&Noted> {
        self.0.get()
    }

    /// The first to say who it is decides.
    pub(crate) fn note(&self, noted: Noted) {
        drop(self.0.set(noted));
    }
}
