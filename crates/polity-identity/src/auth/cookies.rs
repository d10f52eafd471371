//! The refresh cookie (RFC 6265): what scripts cannot read and other sites cannot send.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderValue, header, request::Parts, uri::Authority};
use polity_kernel::http::{Cookies, Problem, codes};

use super::{Auth, Error};

const NAME: &str = "refresh_token";

/// What cookies depend on: the headers of a request, and the host it was sent to.
pub(super) struct Browser {
    headers: HeaderMap,
    cookies: Cookies,
    /// With its port, as the client wrote it. HTTP/2 has it in the address instead of a header (RFC 9113, 8.3.1).
    host: Option<Authority>,
}

impl Browser {
    fn of(parts: &Parts) -> Self {
        let host = parts.headers.get(header::HOST);
        let host = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
        Self {
            headers: parts.headers.clone(),
            cookies: Cookies::of(&parts.headers),
            host: host.or_else(|| parts.uri.authority().cloned()),
        }
    }

    /// The refresh token among the cookies.
    pub(super) fn refresh_token(&self) -> Option<String> {
        self.cookies.named(NAME).map(str::to_owned)
    }

    /// The bearer token, if there is one.
    pub(super) fn bearer(&self) -> Option<&str> {
        let value = self.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    /// Whether the request went to a domain or to a host under it.
    fn is_under(&self, domain: &str) -> bool {
        let Some(host) = &self.host else { return false };
        let (host, domain) = (host.host().to_ascii_lowercase(), domain.to_ascii_lowercase());
        host.strip_suffix(&domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// Whether a page of the origin was served by the host the request went to.
    fn is_from(&self, origin: &str) -> bool {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        let host = self.host.as_ref().map(Authority::as_str);
        authority.is_some_and(|authority| host.is_some_and(|host| host.eq_ignore_ascii_case(authority)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Browser {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

impl aide::OperationInput for Browser {}

impl Auth {
    /// The header that sets the cookie; an empty token clears it. It is for the host alone, unless that is under the
    /// configured domain: browsers refuse cookies for a domain that is not the sender's.
    pub(super) fn cookie(&self, browser: &Browser, token: &str, max_age: i64) -> Result<HeaderValue, Error> {
        let settings = &self.settings;
        let mut cookie = format!(
            "{NAME}={token}; Path=/; HttpOnly; SameSite={}; Max-Age={}",
            settings.cookie_samesite,
            max_age.max(0)
        );
        if settings
            .secure_cookies
            .unwrap_or(!self.ctx.core.environment.is_development())
        {
            cookie += "; Secure";
        }
        if let Some(domain) = settings.cookie_domain().filter(|domain| browser.is_under(domain)) {
            cookie.push_str("; Domain=");
            cookie.push_str(domain);
        }
        HeaderValue::from_str(&cookie).map_err(|_| Error::Internal("the refresh cookie cannot be written".to_owned()))
    }

    /// A request that a cookie speaks for must come from our own pages, or from an origin that may call the API.
    pub(super) fn check_origin(&self, browser: &Browser) -> Result<(), Problem> {
        let Some(origin) = browser.headers.get(header::ORIGIN) else {
            return Ok(());
        };
        let public_url = self.ctx.core.public_url.as_ref();
        let admits = |origin: &str| {
            browser.is_from(origin)
                || public_url.is_some_and(|url| url.origin().ascii_serialization() == origin)
                || self.ctx.http().cors_origins.iter().any(|allowed| allowed == origin)
        };
        if origin.to_str().is_ok_and(admits) {
            return Ok(());
        }
        Err(Problem::new(
            codes::FORBIDDEN,
            "This origin may not use the refresh cookie",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn browser(uri: &str, headers: &[(&str, &str)]) -> Browser {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Browser::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let found = |cookies: &str| browser("/", &[("cookie", cookies)]).refresh_token();
        assert_eq!(browser("/", &[]).refresh_token(), None);
        assert_eq!(found("a=b; refresh_token=pol_x; c=d").as_deref(), Some("pol_x"));
        assert_eq!(found("refresh_token=; xrefresh_token=y"), None);
    }

    #[test]
    fn a_host_is_under_a_domain_by_whole_labels() {
        for (host, under) in [
            ("example.com", true),
            ("App.Example.com:8080", true),
            ("notexample.com", false),
            ("example.com.evil.org", false),
            ("127.0.0.1:8080", false),
            ("[::1]:8080", false),
        ] {
            assert_eq!(browser("/", &[("host", host)]).is_under("example.com"), under, "{host}");
        }
        assert!(!browser("/", &[]).is_under("example.com"));
    }

    #[test]
    fn the_host_of_http_2_is_in_the_address() {
        let browser = browser("https://app.example.com/api", &[]);
        assert!(browser.is_from("https://app.example.com") && browser.is_under("example.com"));
        assert!(!browser.is_from("https://evil.example") && !browser.is_from("null"));
    }

    #[test]
    fn without_a_host_no_origin_is_ours() {
        assert!(!browser("/", &[]).is_from("https://") && !browser("/", &[]).is_from("null"));
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    fn browser(headers: &[(header::HeaderName, Vec<u8>)]) -> Browser {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                parts.headers.append(name, value);
            }
        }
        Browser::of(&parts)
    }

    proptest! {
        #[test]
        fn no_header_panics(cookie: Vec<u8>, host: Vec<u8>, authorization: Vec<u8>, near in "[bB]earer[ -~]{0,20}", origin: String) {
            let browser = browser(&[
                (header::COOKIE, cookie),
                (header::HOST, host),
                (header::AUTHORIZATION, authorization),
                (header::AUTHORIZATION, near.into_bytes()),
            ]);
            drop(browser.refresh_token());
            browser.bearer();
            browser.is_under(&origin);
            browser.is_from(&origin);
        }

        #[test]
        fn the_token_is_found_among_any_others(
            before in prop::collection::vec("[a-qs-z]{1,5}=[!#-+.-:<-~]{0,10}", 0..4),
            token in "[A-Za-z0-9_]{1,60}",
            after in prop::collection::vec("[a-z_]{1,15}=[!#-+.-:<-~]{0,10}", 0..4),
        ) {
            let mut pairs = before;
            pairs.push(format!("refresh_token={token}"));
            pairs.extend(after);
            let browser = browser(&[(header::COOKIE, pairs.join("; ").into_bytes())]);
            prop_assert_eq!(browser.refresh_token(), Some(token));
        }

        #[test]
        fn only_pages_of_the_same_host_are_ours(host in "[a-z]{1,5}\\.(com|test)(:[1-9][0-9]{0,3})?", other in "[a-z.:/@]{0,12}") {
            let browser = browser(&[(header::HOST, host.clone().into_bytes())]);
            let ours = format!("https://{host}");
            let (before, after) = (format!("https://{other}{host}"), format!("https://{host}{other}"));
            prop_assert!(browser.is_from(&ours));
            prop_assert_eq!(browser.is_from(&before), other.is_empty());
            prop_assert_eq!(browser.is_from(&after), other.is_empty());
        }
    }
}
