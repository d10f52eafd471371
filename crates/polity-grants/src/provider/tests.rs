//! What a catalogue refuses, and that it says where.

use super::*;

const ENTRY: &str = "[[provider]]\nname = \"a\"\ndisplay_name = \"A\"\nauthorize_url = \"https://a.example.com/auth\"\n\
    token_url = \"https://a.example.com/token\"\ndocumentation = \"https://a.example.com/docs\"\nrefresh = \"stable\"\n\
    recovery = \"retry\"\nverified = false\n";

fn refused(text: &str) -> String {
    Catalogue::parse(text).unwrap_err().to_string()
}

#[test]
fn an_entry_reads() {
    let catalogue = Catalogue::parse(ENTRY).unwrap();
    let provider = catalogue.get("a").unwrap();
    assert_eq!((provider.pkce, provider.client_auth), (Pkce::S256, ClientAuth::Basic));
    assert_eq!(catalogue.iter().count(), 1);
    assert!(catalogue.get("b").is_none());
    assert_eq!(Catalogue::parse("").unwrap().iter().count(), 0);
}

#[test]
fn every_error_has_entry_and_field() {
    for (from, to, expected) in [
        ("https://a.example.com/token", "http://a.example.com/token", "token_url"),
        ("https://a.example.com/token", "http://127.0.0.1/token", "token_url"),
        (
            "https://a.example.com/token",
            "https://u:p@a.example.com/token",
            "token_url",
        ),
        ("https://a.example.com/token", "https://10.0.0.1/token", "token_url"),
        ("https://a.example.com/token", "https://localhost/token", "token_url"),
        (
            "https://a.example.com/token",
            "https://a.example.com/token#x",
            "token_url",
        ),
        ("https://a.example.com/token", "token", "token_url"),
        ("https://a.example.com/docs", "ftp://a.example.com", "documentation"),
        ("name = \"a\"", "name = \"A b\"", "name"),
        ("display_name = \"A\"", "display_name = \" \"", "display_name"),
        ("\"stable\"", "{ rotating = { replay_window = 0 } }", "recovery"),
        (
            "recovery = \"retry\"",
            "recovery = { retry_within = 9 }\napi_hosts = [\"A/b\"]",
            "api_hosts",
        ),
        (
            "verified = false",
            "verified = false\nscope_separator = \";\"",
            "scope_separator",
        ),
        (
            "verified = false",
            "verified = false\nscopes_default = [\"a b\"]",
            "scopes_default",
        ),
        (
            "verified = false",
            "verified = false\nrevocation = \"rfc7009\"",
            "revocation",
        ),
        (
            "verified = false",
            "verified = false\ndefault_expiry = 0",
            "default_expiry",
        ),
        (
            "verified = false",
            "verified = false\nextra_token_params = { client_secret = \"x\" }",
            "extra_token_params",
        ),
        ("verified = false", "verified = false\nsurprise = 1", "surprise"),
        (
            "verified = false",
            "verified = false\nidentity = { source = \"userinfo\", id = \"/id\" }",
            "identity.source",
        ),
        (
            "verified = false",
            "verified = false\nidentity = { source = \"token\", id = \"id\" }",
            "identity.id",
        ),
        (
            "verified = false",
            "verified = false\nidentity = { source = \"token\", id = \"\" }",
            "identity.id",
        ),
        (
            "verified = false",
            "verified = false\nidentity = { source = \"token\", id = \"/id\", email = \"/a~2\" }",
            "identity.email",
        ),
        (
            "verified = false",
            "verified = false\nidentity = { source = \"token\", id = \"/id\", name = \"name\" }",
            "identity.name",
        ),
        (
            "verified = false",
            "verified = false\nidentity = { source = \"token\", id = \"/id\", body = \"{}\" }",
            "identity.body",
        ),
        (
            "verified = false",
            "verified = false\nidentity = { source = \"magic\", id = \"/id\" }",
            "magic",
        ),
        ("verified = false", "", "verified"),
        ("verified = false", "verified = false\nclient_auth = \"magic\"", "magic"),
    ] {
        let error = refused(&ENTRY.replace(from, to));
        assert!(error.contains("entry 1 (") && error.contains(expected), "{to}: {error}");
    }
}

#[test]
fn windows_of_replay_are_kept() {
    let rotating = |recovery: &str| {
        let text = ENTRY.replace("\"stable\"", "{ rotating = { replay_window = 30 } }");
        Catalogue::parse(&text.replace("\"retry\"", recovery))
    };
    assert!(rotating("{ retry_within = 30 }").is_ok());
    assert!(rotating("\"reauthorize\"").is_ok());
    assert!(rotating("{ retry_within = 31 }").is_err());
    assert!(rotating("\"retry\"").is_err());
}

#[test]
fn names_are_unique_and_the_whole_text_is_read() {
    assert!(refused(&format!("{ENTRY}{ENTRY}")).contains("entry 2 (a), name"));
    assert!(refused("provider = 1").contains("list"));
    assert!(refused("[[provider]").contains("does not read"));
    assert!(refused("other = 1").contains("other"));
    assert!(refused("[[provider]]\nname = 1").contains("entry 1 (without name)"));
}

#[test]
fn loopback_is_for_tests_only() {
    let text = ENTRY.replace("https://a.example.com/token", "http://127.0.0.1:9/token");
    assert!(Catalogue::parse(&text).is_err());
    assert!(Catalogue::parse_with_loopback(&text).is_ok());
    assert!(Catalogue::parse_with_loopback(&text.replace("127.0.0.1", "10.0.0.1")).is_err());
}

#[test]
fn scopes_are_asked_for_once() {
    let text = format!("{ENTRY}scopes_default = [\"a\", \"off\"]\nscopes_required = [\"off\"]\n");
    let catalogue = Catalogue::parse(&text).unwrap();
    let provider = catalogue.get("a").unwrap();
    assert_eq!(provider.scopes(&[]), ["a", "off"]);
    assert_eq!(provider.scopes(&["b".to_owned()]), ["b", "off"]);
}

#[test]
fn the_catalogue_of_the_library_is_right() {
    let catalogue = Catalogue::builtin().unwrap();
    for name in [
        "adobe",
        "atlassian",
        "dropbox",
        "github",
        "gitlab",
        "google",
        "linear",
        "microsoft",
        "notion",
        "sentry",
        "slack",
        "x",
    ] {
        let provider = catalogue.get(name).unwrap();
        assert!(provider.identity.is_some() && !provider.api_hosts.is_empty(), "{name}");
    }
    // Where a used refresh token may be used again, its documentation said so: a new entry has to be looked at here.
    let recovers = |provider: &&std::sync::Arc<Provider>| provider.recovery != Recovery::Reauthorize;
    let names: Vec<_> = catalogue
        .iter()
        .filter(recovers)
        .map(|provider| &provider.name)
        .collect();
    assert_eq!(names, ["atlassian", "dropbox", "google", "microsoft"]);
    assert!(catalogue.iter().filter(recovers).all(|provider| provider.verified));
}
