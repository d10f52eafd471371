//! Rate limits per client address and path. Services are not limited, and neither is a gateway where it verifies keys: its
//! own key has limits. Anywhere else a key, which everybody can make, changes nothing.

use std::{net::IpAddr, time::Duration};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    middleware::Next,
};
use http::request::Parts;
use polity_kernel::{
    caller::{self, Kind},
    http::{ClientIp, IntoResponse, Problem, Response, codes},
    limit::Rule,
};

use super::{Auth, settings::RateLimitSettings};

/// How often a path may be asked in a minute; `None`: as often as one likes.
fn per_minute(settings: &RateLimitSettings, path: &str) -> Option<u32> {
    let last = path.rsplit('/').next().unwrap_or_default();
    match last {
        "health" | "detailed" | "info" | "stats" | "jwks.json" => None,
        "login" => Some(settings.login_per_minute),
        "register" | "resend" | "reset" => Some(settings.register_per_minute),
        last if last.starts_with("token") => Some(settings.token_per_minute),
        _ => Some(settings.per_minute),
    }
}

/// Lets a request through, or answers 429 with when to come back.
pub(super) async fn limit(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    let settings = &auth.settings.rate_limits;
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("", MatchedPath::as_str)
        .to_owned();
    let quota = per_minute(settings, &path).filter(|_| settings.enabled);
    let Some(quota) = quota else {
        return next.run(request).await;
    };
    let (mut parts, body) = request.into_parts();
    match is_exempt(&auth, &parts, &path).await {
        Ok(true) => return next.run(Request::from_parts(parts, body)).await,
        Ok(false) => {}
        Err(problem) => return problem.into_response(),
    }
    let ip = match ClientIp::from_request_parts(&mut parts, &auth).await {
        Ok(ClientIp(ip)) => ip,
        Err(problem) => return problem.into_response(),
    };
    let rule = Rule::new("auth", quota, Duration::from_mins(1), quota);
    let decision = auth.ctx.limiter.check(&rule, &format!("{} {path}", network(ip))).await;
    if decision.allowed {
        let mut response = next.run(Request::from_parts(parts, body)).await;
        response.headers_mut().extend(decision.headers());
        return response;
    }
    let wait = decision.retry_after_seconds().unwrap_or(1);
    Problem::new(
        codes::RATE_LIMITED,
        format!("Too many requests; try again in {wait} seconds."),
    )
    .with("error", "Rate limit exceeded")
    .with("retry_after", wait)
    .with_headers(decision.headers())
    .into_response()
}

/// A valid service secret is not limited, and neither is the key of a gateway; a wrong one is, and is refused by the guard.
/// A key that has reached its own limit is refused here: asked again, the guard would count it twice.
async fn is_exempt(auth: &Auth, parts: &Parts, path: &str) -> Result<bool, Problem> {
    let is_gateway = path == "/api/v1/auth/verify-api-key";
    let has = |name: &str| parts.headers.contains_key(name);
    if !has("x-internal-service-secret") && !(is_gateway && (has("x-api-key") || has("authorization"))) {
        return Ok(false);
    }
    match caller::identify(&auth.ctx, parts).await {
        Ok(Some(caller)) => Ok(caller.is_service() || (is_gateway && caller.kind == Kind::ApiCredential)),
        Err(problem) if problem.code() == codes::RATE_LIMITED => Err(problem),
        Ok(None) | Err(_) => Ok(false),
    }
}

/// Whom an address counts as: in IPv6 one subscriber has a whole network of them.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & (u128::MAX << 64)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let same = |one: &str, other: &str| network(one.parse().unwrap()) == network(other.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1") && !same("192.0.2.1", "192.0.2.2"));
    }

    #[test]
    fn each_path_has_its_limit() {
        let settings = RateLimitSettings::default();
        for (path, limit) in [
            ("/api/v1/auth/login", Some(20)),
            ("/api/v1/auth/admin/login", Some(20)),
            ("/api/v1/auth/register", Some(10)),
            ("/api/v1/auth/token-pair", Some(20)),
            ("/api/v1/auth/verify-token", Some(60)),
            ("/api/v1/auth/info", None),
        ] {
            assert_eq!(per_minute(&settings, path), limit, "{path}");
        }
    }
}
