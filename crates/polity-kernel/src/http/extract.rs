//! What a handler takes beside its guard, state and body.

use std::net::{IpAddr, SocketAddr};

use aide::{OperationInput, generate::GenContext, openapi};
use axum::extract::{ConnectInfo, FromRef, FromRequestParts, RawPathParams};
use garde::Validate;
use http::{HeaderMap, header, request::Parts};
use serde::de::DeserializeOwned;

use super::{FieldError, Problem, codes, validate};
use crate::Ctx;

/// The parameters of the path.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

#[expect(clippy::disallowed_types, reason = "this is the wrapper that replaces axum's type")]
impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let raw = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| not_text())?;
        if raw.iter().any(|(_, value)| value.contains('\0')) {
            return Err(not_text());
        }
        let axum::extract::Path(value) = axum::extract::Path::<T>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Problem::new(codes::NOT_FOUND, format!("The path is not valid: {rejection}")))?;
        Ok(Self(value))
    }
}

fn not_text() -> Problem {
    Problem::validation(vec![FieldError::new(
        "path",
        &[],
        "The path must be percent-encoded UTF-8 without U+0000",
        "path_invalid",
    )])
}

#[expect(clippy::disallowed_types, reason = "axum's type is named for its documentation only")]
impl<T: schemars::JsonSchema> OperationInput for Path<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut openapi::Operation) {
        <axum::extract::Path<T> as OperationInput>::operation_input(ctx, operation);
    }
}

/// The parameters of the query, parsed and validated.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Validate<Context = ()>> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes());
        if let Some((name, _)) = pairs
            .clone()
            .find(|(name, value)| name.contains('\0') || value.contains('\0'))
        {
            let name = name.replace('\0', "");
            let error = FieldError::new(
                "query",
                &[&name],
                "The character U+0000 is not allowed in text",
                "nul_not_allowed",
            );
            return Err(Problem::validation(vec![error]));
        }
        let value: T =
            serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs)).map_err(|error| {
                let path: Vec<String> = error
                    .path()
                    .iter()
                    .map(ToString::to_string)
                    .filter(|part| part != "?")
                    .collect();
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                Problem::validation(vec![validate::located("query", &path, &error.inner().to_string())])
            })?;
        validate::check("query", &value)?;
        Ok(Self(value))
    }
}

#[expect(clippy::disallowed_types, reason = "axum's type is named for its documentation only")]
impl<T: schemars::JsonSchema> OperationInput for Query<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut openapi::Operation) {
        <axum::extract::Query<T> as OperationInput>::operation_input(ctx, operation);
    }
}

/// The address of the client: the peer's, or, behind trusted proxies, the last one that none of them vouches for.
///
/// An IPv4 address mapped into IPv6 is the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientIp(pub IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for ClientIp
where
    Ctx: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self::of(parts, &Ctx::from_ref(state).http().trusted_proxies))
    }
}

impl OperationInput for ClientIp {}

impl ClientIp {
    pub(crate) fn of(parts: &Parts, trusted: &[ipnet::IpNet]) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let mut client = peer
            .map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(peer)| peer.ip())
            .to_canonical();
        let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
        let forwarded = parts.headers.get_all("x-forwarded-for");
        let chain: Vec<&[u8]> = forwarded
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .collect();
        for hop in chain.iter().rev().take(16) {
            if !is_trusted(client) {
                break;
            }
            // Whatever is no address ends the chain: what stands before it may be anybody's word.
            let ip = std::str::from_utf8(hop)
                .ok()
                .and_then(|hop| hop.trim().parse::<IpAddr>().ok());
            let Some(ip) = ip else { break };
            client = ip.to_canonical();
        }
        Self(client)
    }
}

/// What the client says it is; at most 256 characters, empty if it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserAgent(pub String);

impl<S: Send + Sync> FromRequestParts<S> for UserAgent {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let text = parts
            .headers
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        Ok(Self(text.chars().take(256).collect()))
    }
}

impl OperationInput for UserAgent {}

/// The cookies of a request (RFC 6265, 4.2). What a browser sends beside them decides whether they may be believed.
#[derive(Debug, Clone, Default)]
pub struct Cookies(HeaderMap);

impl Cookies {
    /// Those among these headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut own = HeaderMap::new();
        for value in headers.get_all(header::COOKIE) {
            own.append(header::COOKIE, value.clone());
        }
        Self(own)
    }

    /// The value of the first cookie of that name that has one.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&str> {
        let values = self.0.get_all(header::COOKIE).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(known, value)| *known == name && !value.is_empty())
            .map(|(_, value)| value)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Cookies {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(&parts.headers))
    }
}

impl OperationInput for Cookies {}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(forwarded: &[&[u8]]) -> String {
        let mut request = http::Request::builder();
        for value in forwarded {
            request = request.header("x-forwarded-for", http::HeaderValue::from_bytes(value).unwrap());
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts
            .extensions
            .insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 1))));
        ClientIp::of(&parts, &["10.0.0.0/8".parse().unwrap()]).0.to_string()
    }

    #[test]
    fn the_client_is_the_last_that_no_proxy_vouches_for() {
        assert_eq!(client(&[]), "10.0.0.1");
        assert_eq!(client(&[b"203.0.113.9, 198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(client(&[b"203.0.113.9", b"::ffff:198.51.100.7"]), "198.51.100.7");
        assert_eq!(client(&[b"203.0.113.9, unknown"]), "10.0.0.1");
    }

    #[test]
    fn what_is_no_text_hides_no_hop() {
        // The proxy added what it saw to a line of the client's.
        assert_eq!(client(&[b"203.0.113.9", b"\xff, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(client(&[b"203.0.113.9", b"\xff"]), "10.0.0.1");
    }
}

#[cfg(test)]
mod properties {
    use http::{HeaderValue, Request};
    use proptest::prelude::*;

    use super::*;

    fn client(peer: IpAddr, forwarded: &[Vec<u8>], trusted: &[ipnet::IpNet]) -> IpAddr {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.extensions.insert(ConnectInfo(SocketAddr::new(peer, 1)));
        for value in forwarded {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                parts.headers.append("x-forwarded-for", value);
            }
        }
        ClientIp::of(&parts, trusted).0
    }

    fn proxies() -> Vec<ipnet::IpNet> {
        vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]
    }

    proptest! {
        #[test]
        fn who_is_no_proxy_speaks_for_nobody(peer: IpAddr, forwarded in prop::collection::vec(any::<Vec<u8>>(), 0..4)) {
            let peer = peer.to_canonical();
            prop_assume!(!proxies().iter().any(|net| net.contains(&peer)));
            prop_assert_eq!(client(peer, &forwarded, &proxies()), peer);
        }

        #[test]
        fn the_last_one_no_proxy_vouches_for_is_the_client(
            forged in "[ -~]{0,40}",
            real: IpAddr,
            hops in prop::collection::vec("10\\.[1-9][0-9]\\.[0-9]\\.[0-9]", 0..5),
        ) {
            let real = real.to_canonical();
            prop_assume!(!proxies().iter().any(|net| net.contains(&real)));
            let mut chain = vec![forged, real.to_string()];
            chain.extend(hops);
            let found = client("10.0.0.1".parse().unwrap(), &[chain.join(", ").into_bytes()], &proxies());
            prop_assert_eq!(found, real);
        }
    }

    #[derive(Debug, serde::Deserialize, garde::Validate)]
    struct Asked {
        #[garde(length(chars, max = 10))]
        text: Option<String>,
        #[garde(range(min = 1, max = 5))]
        #[serde(default)]
        number: Option<i64>,
    }

    fn ask(query: &str) -> Option<Result<Asked, Problem>> {
        let uri = http::Uri::builder().path_and_query(format!("/?{query}")).build().ok()?;
        let (mut parts, ()) = Request::builder().uri(uri).body(()).ok()?.into_parts();
        let asked = futures::FutureExt::now_or_never(Query::<Asked>::from_request_parts(&mut parts, &()))?;
        Some(asked.map(|Query(asked)| asked))
    }

    proptest! {
        #[test]
        fn no_query_panics(query in "[ -~]{0,80}") {
            if let Some(Ok(asked)) = ask(&query) {
                prop_assert!(asked.text.is_none_or(|text| text.chars().count() <= 10 && !text.contains('\0')));
                prop_assert!(asked.number.is_none_or(|number| (1..=5).contains(&number)));
            }
        }

        #[test]
        fn what_is_asked_is_read(text in "\\PC{0,10}") {
            let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("text", &text).finish();
            prop_assert_eq!(ask(&query).unwrap().unwrap().text, Some(text));
        }
    }
}
