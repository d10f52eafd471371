//! The settings of auth.

use std::time::Duration;

use polity_kernel::{
    Secret,
    config::{Config, Problem},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Error;

/// Registration, sign-in, tokens and sessions.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSettings {
    /// How long an access token lives, in seconds.
    pub access_ttl: u32,
    /// How long a refresh token lives, in seconds.
    pub refresh_ttl: u32,
    /// How long an administrator's access token lives, in seconds.
    pub admin_access_ttl: u32,
    /// How long an administrator's refresh token lives, in seconds.
    pub admin_refresh_ttl: u32,
    /// How long the same refresh token may be used again by somebody else who was as fast, in seconds.
    pub refresh_grace: u32,
    /// How many verified access tokens each process remembers, so that it need not verify them again; each takes about a
    /// kilobyte. 0: every token is verified every time.
    pub remembered_tokens: u32,
    /// Whether login gives the refresh token in the body too, not only in the cookie.
    pub return_refresh_token_in_body: bool,
    /// Whether the refresh cookie is only sent over https; by default in every environment but development.
    pub secure_cookies: Option<bool>,
    /// The domain of the refresh cookie, for hosts under it; unset, and for other hosts: the host alone.
    pub cookie_domain: Option<String>,
    /// When browsers send the refresh cookie to other sites' requests: Lax, Strict or None.
    pub cookie_samesite: String,
    /// The secret of `admin/bootstrap`; unset: that is closed.
    #[schemars(with = "Option<String>", extend("x-secret" = true))]
    pub admin_bootstrap_secret: Option<Secret>,
    /// The HS256 secret of an earlier platform, whose tokens are then accepted; unset: they are not.
    #[schemars(with = "Option<String>", extend("x-secret" = true))]
    pub legacy_jwt_secret: Option<Secret>,
    /// Limits per client address and path.
    pub rate_limits: RateLimitSettings,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            access_ttl: 3_600,
            refresh_ttl: 604_800,
            admin_access_ttl: 14_400,
            admin_refresh_ttl: 86_400,
            refresh_grace: 10,
            remembered_tokens: 50_000,
            return_refresh_token_in_body: false,
            secure_cookies: None,
            cookie_domain: None,
            cookie_samesite: "Lax".to_owned(),
            admin_bootstrap_secret: None,
            legacy_jwt_secret: None,
            rate_limits: RateLimitSettings::default(),
        }
    }
}

impl AuthSettings {
    /// What no type can say of these settings.
    pub(super) fn check(&self) -> Result<(), Error> {
        if !["Lax", "Strict", "None"].contains(&self.cookie_samesite.as_str()) {
            return Err(Error::Internal(format!(
                "auth.cookie_samesite is {:?}; it can be Lax, Strict or None",
                self.cookie_samesite
            )));
        }
        let is_host = |domain: &str| domain.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        match self.cookie_domain() {
            Some(domain) if !is_host(domain) => Err(Error::Internal(format!(
                "auth.cookie_domain is {domain:?}; it can be a domain such as example.com"
            ))),
            _ => Ok(()),
        }
    }

    /// The domain of the refresh cookie, without the dot that older browsers wanted.
    pub(super) fn cookie_domain(&self) -> Option<&str> {
        let domain = self.cookie_domain.as_deref()?.trim().trim_start_matches('.');
        (!domain.is_empty()).then_some(domain)
    }

    /// No access token lives longer than this, whoever it is for.
    pub(super) fn longest_access(&self) -> Duration {
        let longest = self.access_ttl.max(self.admin_access_ttl).max(LONGEST_DEV_TOKEN);
        Duration::from_secs(u64::from(longest))
    }
}

/// The longest life a development token may ask for, in seconds.
pub(super) const LONGEST_DEV_TOKEN: u32 = 86_400;

/// Limits per client address and path, in requests per minute.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitSettings {
    /// Whether there are any.
    pub enabled: bool,
    /// Where nothing else is said.
    pub per_minute: u32,
    /// Signing in.
    pub login_per_minute: u32,
    /// Token endpoints.
    pub token_per_minute: u32,
    /// Registration and password reset.
    pub register_per_minute: u32,
}

impl Default for RateLimitSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            per_minute: 60,
            login_per_minute: 20,
            token_per_minute: 20,
            register_per_minute: 10,
        }
    }
}

/// Secrets shorter than this are refused in production, in bytes.
const SHORTEST: usize = 32;

/// What production demands of these settings.
#[must_use]
pub fn production_checks(config: &Config) -> Vec<Problem> {
    let settings: AuthSettings = match config.section("auth") {
        Ok(settings) => settings,
        Err(error) => return error.0,
    };
    let mut problems = Vec::new();
    let secrets = [
        ("auth.admin_bootstrap_secret", &settings.admin_bootstrap_secret),
        ("auth.legacy_jwt_secret", &settings.legacy_jwt_secret),
    ];
    for (name, secret) in secrets {
        if secret.as_ref().is_some_and(|secret| secret.expose().len() < SHORTEST) {
            problems.push(Problem::new(
                name,
                "is shorter than 32 bytes",
                "use a random one, or leave it unset",
            ));
        }
    }
    if settings.secure_cookies == Some(false) {
        problems.push(Problem::new(
            "auth.secure_cookies",
            "is off",
            "leave it unset: cookies then need https",
        ));
    }
    if !settings.rate_limits.enabled {
        problems.push(Problem::new("auth.rate_limits.enabled", "is off", "leave it on"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_site_is_one_of_three() {
        for (text, fine) in [
            ("Lax", true),
            ("Strict", true),
            ("None", true),
            ("lax", false),
            ("Lax; Domain=x", false),
        ] {
            let settings = AuthSettings {
                cookie_samesite: text.to_owned(),
                ..AuthSettings::default()
            };
            assert_eq!(settings.check().is_ok(), fine, "{text}");
        }
    }

    #[test]
    fn a_cookie_domain_is_a_domain() {
        for (text, domain, fine) in [
            ("example.com", Some("example.com"), true),
            (".example.com", Some("example.com"), true),
            (" ", None, true),
            ("example.com; Secure", Some("example.com; Secure"), false),
        ] {
            let settings = AuthSettings {
                cookie_domain: Some(text.to_owned()),
                ..AuthSettings::default()
            };
            assert_eq!(
                (settings.cookie_domain(), settings.check().is_ok()),
                (domain, fine),
                "{text}"
            );
        }
    }
}
