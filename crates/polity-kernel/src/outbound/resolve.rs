//! Resolving names, and the guard that passes on only addresses that may be reached.

use std::{
    collections::HashSet,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use async_trait::async_trait;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{Error, is_public};

/// Where addresses of names come from; a seam for tests.
#[async_trait]
pub trait Lookup: Send + Sync + 'static {
    /// All addresses of a host name.
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0))
            .await?
            .map(|socket| socket.ip())
            .collect())
    }
}

/// What may be reached although it is not public.
#[derive(Debug, Default)]
pub(super) struct Allowed {
    names: HashSet<String>,
    networks: Vec<IpNet>,
}

impl Allowed {
    pub(super) fn parse(entries: &[String]) -> Result<Self, Error> {
        let mut allowed = Self::default();
        for entry in entries {
            if let Ok(network) = entry.parse::<IpNet>() {
                allowed.networks.push(network);
            } else if let Ok(address) = entry.parse::<IpAddr>() {
                allowed.networks.push(address.into());
            } else {
                allowed.names.insert(host_name(entry)?);
            }
        }
        Ok(allowed)
    }

    pub(super) fn name(&self, name: &str) -> bool {
        self.names.contains(&folded(name))
    }

    pub(super) fn address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }
}

fn host_name(entry: &str) -> Result<String, Error> {
    match url::Host::parse(entry) {
        Ok(url::Host::Domain(name)) if !name.contains('*') => Ok(folded(&name)),
        _ => Err(Error::Invalid(format!(
            "outbound.allow: {entry:?} is neither a host name nor an address nor a network (no scheme, port or `*`)"
        ))),
    }
}

/// Names compare without case and without the root's dot.
fn folded(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The client's resolver: it is the only source of addresses to connect to, so what it holds back is out of reach.
#[derive(Clone)]
pub(super) struct Guard {
    lookup: Arc<dyn Lookup>,
    allowed: Arc<Allowed>,
}

impl Guard {
    pub(super) fn new(lookup: Arc<dyn Lookup>, allowed: Arc<Allowed>) -> Self {
        Self { lookup, allowed }
    }

    async fn addresses(&self, host: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let unknown = |why: String| ResolveError::Unknown {
            host: host.to_owned(),
            why,
        };
        let found = self
            .lookup
            .lookup(host)
            .await
            .map_err(|error| unknown(error.to_string()))?;
        let listed = self.allowed.name(host);
        let (reachable, held_back): (Vec<IpAddr>, Vec<IpAddr>) = found
            .into_iter()
            .partition(|ip| listed || is_public(*ip) || self.allowed.address(*ip));
        match (reachable.is_empty(), held_back.first()) {
            (false, _) => Ok(reachable.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect()),
            (true, Some(address)) => Err(ResolveError::Blocked {
                host: host.to_owned(),
                address: *address,
            }),
            (true, None) => Err(unknown("it has no address".to_owned())),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let addresses = guard.addresses(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("allowed", &self.allowed)
            .finish_non_exhaustive()
    }
}

/// How the guard tells the client's caller, through the client, why it gave no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResolveError {
    #[error("{host} is at {address}, which may not be reached")]
    Blocked { host: String, address: IpAddr },
    #[error("{host} could not be resolved: {why}")]
    Unknown { host: String, why: String },
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_entry_panics(entry: String, near in "[a-zA-Z0-9.:/*\\[\\]_-]{0,30}") {
            drop(Allowed::parse(&[entry]));
            drop(Allowed::parse(&[near]));
        }

        #[test]
        fn a_listed_name_is_known_however_it_is_written(name in "[a-z]{1,8}(\\.[a-z]{1,8}){0,3}") {
            let allowed = Allowed::parse(&[name.to_uppercase()]).unwrap();
            let (rooted, inside, beside) = (format!("{name}."), format!("a.{name}"), format!("{name}a"));
            prop_assert!(allowed.name(&name) && allowed.name(&rooted));
            prop_assert!(!allowed.name(&inside) && !allowed.name(&beside));
        }

        #[test]
        fn a_network_allows_its_addresses_and_no_others(network: u32, bits in 1_u8..=32, address: u32) {
            let network = ipnet::Ipv4Net::new(network.into(), bits).unwrap();
            let allowed = Allowed::parse(&[network.to_string()]).unwrap();
            let address = std::net::Ipv4Addr::from(address);
            prop_assert_eq!(allowed.address(address.into()), network.contains(&address));
            prop_assert!(allowed.address(network.addr().to_ipv6_mapped().into()));
        }
    }
}
