//! The refresh cookie (RFC 6265): what scripts cannot read and other sites cannot send.

use http::{HeaderMap, HeaderValue, header};
use polity_kernel::http::{Problem, codes};

use super::{Auth, Error};

const NAME: &str = "refresh_token";

/// The refresh token of a request's cookies.
pub(super) fn read(headers: &HeaderMap) -> Option<String> {
    let cookies = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == NAME && !value.is_empty())
        .map(|(_, value)| value.to_owned())
}

impl Auth {
    /// The header that sets the cookie; an empty token clears it.
    pub(super) fn cookie(&self, token: &str, max_age: i64) -> Result<HeaderValue, Error> {
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
        if let Some(domain) = settings
            .cookie_domain
            .as_deref()
            .filter(|domain| !domain.trim().is_empty())
        {
            cookie.push_str("; Domain=");
            cookie.push_str(domain);
        }
        HeaderValue::from_str(&cookie).map_err(|_| Error::Internal("the refresh cookie cannot be written".to_owned()))
    }

    /// A request that a cookie speaks for must come from our own pages, or from an origin that may call the API.
    pub(super) fn check_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(origin) = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()) else {
            return Ok(());
        };
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default();
        let same = origin.split_once("://").is_some_and(|(_, authority)| authority == host);
        let ours = self
            .ctx
            .core
            .public_url
            .as_ref()
            .is_some_and(|url| url.origin().ascii_serialization() == origin);
        let allowed = self.ctx.http().cors_origins.iter().any(|allowed| allowed == origin);
        if same || ours || allowed {
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

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        assert_eq!(read(&headers), None);
        headers.insert(
            header::COOKIE,
            HeaderValue::from_static("a=b; refresh_token=pol_x; c=d"),
        );
        assert_eq!(read(&headers).as_deref(), Some("pol_x"));
        headers.insert(
            header::COOKIE,
            HeaderValue::from_static("refresh_token=; xrefresh_token=y"),
        );
        assert_eq!(read(&headers), None);
    }
}
