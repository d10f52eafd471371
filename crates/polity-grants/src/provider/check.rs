//! What a provider's entry has to be.

use url::{Host, Url};

use super::{ClientAuth, Provider, Recovery, Refresh, Revocation};

/// A field, and what is wrong with it.
type Wrong = (&'static str, String);

/// Parameters that the client sets itself.
const OWN_PARAMETERS: [&str; 11] = [
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_verifier",
    "grant_type",
    "redirect_uri",
    "refresh_token",
    "response_type",
    "scope",
    "state",
];

/// Everything that is wrong with an entry.
pub(super) fn provider(entry: &Provider, loopback: bool) -> Vec<Wrong> {
    let mut wrong = names(entry);
    wrong.extend(addresses(entry, loopback));
    wrong.extend(rules(entry));
    wrong.extend(parameters(entry));
    let identity = entry.identity.as_ref();
    wrong.extend(identity.map_or_else(Vec::new, |one| one.wrong(entry.userinfo_url.as_deref())));
    wrong
}

fn names(entry: &Provider) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if entry.name.is_empty() || entry.name.len() > 64 || !entry.name.chars().all(is_plain) {
        wrong.push(("name", "1 to 64 of a-z, 0-9, _ and -".to_owned()));
    }
    if entry.display_name.trim().is_empty() || entry.display_name.len() > 255 {
        wrong.push(("display_name", "1 to 255 characters".to_owned()));
    }
    if ![" ", ","].contains(&entry.scope_separator.as_str()) {
        wrong.push(("scope_separator", "a space or a comma".to_owned()));
    }
    let scopes = [
        ("scopes_default", &entry.scopes_default),
        ("scopes_required", &entry.scopes_required),
    ];
    for (field, scopes) in scopes {
        // RFC 6749 3.3, and the comma that some providers separate with.
        let is_scope = |c: char| matches!(c, '!' | '#'..='[' | ']'..='~') && c != ',';
        for scope in scopes {
            if scope.is_empty() || !scope.chars().all(is_scope) {
                wrong.push((field, format!("{scope:?} is no scope")));
            }
        }
    }
    wrong
}

fn addresses(entry: &Provider, loopback: bool) -> Vec<Wrong> {
    let optional = [
        ("authorize_url", &entry.authorize_url),
        ("revoke_url", &entry.revoke_url),
        ("device_url", &entry.device_url),
        ("userinfo_url", &entry.userinfo_url),
    ];
    let required = [("token_url", &entry.token_url), ("documentation", &entry.documentation)];
    let given = optional
        .into_iter()
        .filter_map(|(field, url)| Some((field, url.as_ref()?)));
    let mut wrong: Vec<Wrong> = given
        .chain(required)
        .filter_map(|(field, url)| Some((field, address(url, loopback).err()?)))
        .collect();
    for host in &entry.api_hosts {
        let read = Host::parse(host);
        let is_host = matches!(&read, Ok(Host::Domain(name)) if name == host && name.contains('.'));
        let is_loopback = loopback && host == "127.0.0.1";
        if !is_host && !is_loopback {
            wrong.push(("api_hosts", format!("{host:?} is no host name in lower case")));
        }
    }
    wrong
}

fn address(text: &str, loopback: bool) -> Result<(), String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is no address: {error}"))?;
    let is_loopback = loopback && url.scheme() == "http" && url.host_str() == Some("127.0.0.1");
    if url.scheme() != "https" && !is_loopback {
        return Err(format!("{text:?} is not https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it has a user or a password".to_owned());
    }
    if url.fragment().is_some() {
        return Err(format!("{text:?} has a fragment"));
    }
    if !is_loopback && !matches!(url.host(), Some(Host::Domain(name)) if name.contains('.')) {
        return Err(format!("{text:?} has no host name"));
    }
    Ok(())
}

fn rules(entry: &Provider) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    match (entry.refresh, entry.recovery) {
        (Refresh::Rotating { .. }, Recovery::Retry) => {
            wrong.push((
                "recovery",
                "a rotating refresh token must not be used again without a window".to_owned(),
            ));
        }
        (Refresh::Rotating { replay_window }, Recovery::RetryWithin(seconds)) if seconds > replay_window => {
            wrong.push(("recovery", "it is longer than the replay window".to_owned()));
        }
        (Refresh::None, Recovery::RetryWithin(_)) => {
            wrong.push(("recovery", "there is no refresh token to use again".to_owned()));
        }
        _ => {}
    }
    if (entry.revocation == Revocation::None) != entry.revoke_url.is_none() {
        wrong.push(("revocation", "a style and `revoke_url` come together".to_owned()));
    }
    if entry.revocation == Revocation::GithubGrant && entry.client_auth == ClientAuth::None {
        wrong.push(("revocation", "it needs a client with a secret".to_owned()));
    }
    if entry.default_expiry == Some(0) {
        wrong.push(("default_expiry", "at least a second".to_owned()));
    }
    wrong
}

fn parameters(entry: &Provider) -> Vec<Wrong> {
    let all = [
        ("extra_authorize_params", &entry.extra_authorize_params),
        ("extra_token_params", &entry.extra_token_params),
    ];
    let mut wrong = Vec::new();
    for (field, parameters) in all {
        for name in parameters.keys() {
            if OWN_PARAMETERS.contains(&name.as_str()) {
                wrong.push((field, format!("`{name}` is set by the client")));
            }
        }
    }
    wrong
}
