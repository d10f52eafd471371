//! Precedence, typing, unknown keys, secrets, and the generated files.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use polity_seal::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::*;

/// Who may sign in, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Auth {
    /// Life of a refresh token, in seconds.
    refresh_ttl: u32,
    /// Issuer to show.
    label: String,
    /// Whether sign-up | invitation is open.
    open: bool,
    /// Factor between two retries.
    factor: f64,
    /// Accepted audiences.
    audiences: Vec<String>,
    /// Ports to try.
    ports: Vec<u16>,
    /// The key of the earlier platform.
    #[schemars(with = "Option<String>", extend("x-secret" = true))]
    legacy_key: Option<Secret>,
    /// How passwords are hashed.
    hash: Hash,
    /// Providers by name.
    providers: BTreeMap<String, Provider>,
    /// The database to read.
    url: Option<String>,
}

/// Cost of a hash.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Hash {
    /// Passes over memory.
    passes: u32,
}

/// A provider of identities.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Provider {
    /// Our name there.
    client_id: String,
    /// Our secret there.
    #[schemars(extend("x-secret" = true))]
    client_secret: Option<String>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            refresh_ttl: 60,
            label: "Polity".to_owned(),
            open: true,
            factor: 1.5,
            audiences: vec!["app".to_owned()],
            ports: vec![],
            legacy_key: None,
            hash: Hash { passes: 3 },
            providers: BTreeMap::new(),
            url: None,
        }
    }
}

const SECTIONS: &[Section] = &[Section::of::<Auth>("auth")];

fn load(file: Option<&str>, env: &[(&str, &str)], flags: Json) -> Result<Config, ConfigError> {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let path = file.map(|text| {
        let name = format!(
            "polity-config-{}-{}.toml",
            std::process::id(),
            FILES.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        path
    });
    let env: Vec<_> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let config = Config::load(SECTIONS, path.as_deref(), env, flags);
    if let Some(path) = path {
        std::fs::remove_file(path).unwrap();
    }
    config
}

fn auth(env: &[(&str, &str)]) -> Auth {
    load(None, env, json!({})).unwrap().section("auth").unwrap()
}

fn error(file: Option<&str>, env: &[(&str, &str)]) -> String {
    load(file, env, json!({})).unwrap_err().to_string()
}

#[test]
fn nothing_has_to_be_set() {
    let config = load(None, &[], json!({})).unwrap();
    assert_eq!(config.core().unwrap(), Core::default());
    assert_eq!(config.section::<Auth>("auth").unwrap(), Auth::default());
    config
        .check_production(&[|_| vec![Problem::new("x", "y", "z")]])
        .unwrap();
}

#[test]
fn a_later_layer_wins() {
    let file = "data_dir = 'file'\n[auth]\nrefresh_ttl = 1\nlabel = 'file'\nopen = false\nhash.passes = 9\n";
    let env = [("POLITY_AUTH__REFRESH_TTL", "2"), ("POLITY_AUTH__LABEL", "env")];
    let flags = json!({"auth": {"refresh_ttl": 3, "open": null}, "public_url": null});
    let config = load(Some(file), &env, flags).unwrap();
    let auth: Auth = config.section("auth").unwrap();
    assert_eq!(
        (auth.refresh_ttl, auth.label.as_str(), auth.open, auth.hash.passes),
        (3, "env", false, 9)
    );
    assert_eq!(auth.audiences, ["app"]);
    assert_eq!(config.core().unwrap().data_dir.to_str(), Some("file"));
    assert_eq!(config.source("auth.refresh_ttl"), Some("command line"));
    assert_eq!(config.source("auth.label"), Some("POLITY_AUTH__LABEL"));
    assert!(config.source("auth.open").unwrap().contains("polity-config-"));
    assert_eq!(config.source("auth.factor"), Some("default"));
}

#[test]
fn a_variable_takes_the_type_of_its_setting() {
    let auth = auth(&[
        ("POLITY_AUTH__LABEL", "0123"),
        ("POLITY_AUTH__OPEN", "off"),
        ("POLITY_AUTH__FACTOR", "2"),
        ("POLITY_AUTH__AUDIENCES", "1, true,web"),
        ("POLITY_AUTH__PORTS", "[80, 443]"),
        ("POLITY_AUTH__LEGACY_KEY", "42"),
        ("POLITY_AUTH__HASH__PASSES", "7"),
        ("POLITY_AUTH__PROVIDERS__GITHUB__CLIENT_ID", "007"),
        ("POLITY_AUTH__URL", ""),
    ]);
    assert_eq!((auth.label.as_str(), auth.open, auth.hash.passes), ("0123", false, 7));
    assert!((auth.factor - 2.0).abs() < f64::EPSILON);
    assert_eq!(
        (auth.audiences, auth.ports),
        (vec!["1".into(), "true".into(), "web".into()], vec![80, 443])
    );
    assert_eq!(
        (auth.legacy_key.as_ref().map(Secret::expose), auth.url),
        (Some("42"), None)
    );
    assert_eq!(auth.providers["github"].client_id, "007");
}

#[test]
fn lists_and_tables_come_as_json_or_toml() {
    let a = auth(&[
        ("POLITY_AUTH__AUDIENCES", r#"["a,b"]"#),
        ("POLITY_AUTH__HASH", r#"{"passes": 4}"#),
    ]);
    assert_eq!((a.audiences, a.hash.passes), (vec!["a,b".to_owned()], 4));
    let a = auth(&[
        ("POLITY_AUTH__AUDIENCES", "['a', 'b']"),
        ("POLITY_AUTH__HASH", "{ passes = 5 }"),
    ]);
    assert_eq!((a.audiences.len(), a.hash.passes), (2, 5));
    assert!(auth(&[("POLITY_AUTH__AUDIENCES", "")]).audiences.is_empty());
    // The variable for a table comes before the one for its member, in any order.
    let a = auth(&[
        ("POLITY_AUTH__HASH__PASSES", "6"),
        ("POLITY_AUTH__HASH", r#"{"passes": 4}"#),
    ]);
    assert_eq!(a.hash.passes, 6);
}

#[test]
fn unknown_keys_name_themselves_their_source_and_the_closest() {
    let text = error(
        Some("[auth]\nrefresh_tl = 1\n[auth.providers.x]\nclientid = 'a'\n"),
        &[],
    );
    assert!(
        text.contains("auth.refresh_tl (") && text.contains(".toml) is not a setting; did you mean auth.refresh_ttl?")
    );
    assert!(text.contains("auth.providers.x.clientid"), "{text}");
    assert!(error(Some("refresh_ttl = 1"), &[]).contains("did you mean auth.refresh_ttl?"));
    let text = error(None, &[("POLITY_ATUH__OPEN", "1"), ("POLITY_ENVIROMENT", "test")]);
    assert!(
        text.contains("POLITY_ATUH__OPEN (environment) is not a setting; did you mean POLITY_AUTH__OPEN?"),
        "{text}"
    );
    assert!(text.contains("did you mean POLITY_ENVIRONMENT?"), "{text}");
    let flags = load(None, &[], json!({"auth": {"zzzzzzzzzzzz": 1}}))
        .unwrap_err()
        .to_string();
    assert!(
        flags.contains("auth.zzzzzzzzzzzz (command line) is not a setting; remove it"),
        "{flags}"
    );
}

#[test]
fn variables_of_others_are_left_alone() {
    load(
        None,
        &[
            ("POLITY_TEST_POSTGRES", "x"),
            ("POLITY_CONFIG", "x"),
            ("POLITY_PORT", "tcp://10.0.0.1:80"),
            ("POLITY_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("POLITY_REDIS_SERVICE_HOST", "10.0.0.1"),
            ("POLITY_SERVICE_PORT_HTTP", "80"),
            ("HOME", "/"),
        ],
        json!({}),
    )
    .unwrap();
    assert!(error(None, &[("POLITY_PORT", "80")]).contains("POLITY_PORT"));
}

#[test]
fn wrong_values_are_all_reported_with_their_source() {
    let text = error(Some("environment = 'prod'\n[auth]\nrefresh_ttl = -1\n"), &[]);
    assert!(
        text.contains("auth.refresh_ttl (") && text.contains("whole number"),
        "{text}"
    );
    assert!(
        text.contains("environment (") && text.contains("`production`"),
        "{text}"
    );
    assert!(error(None, &[("POLITY_AUTH__REFRESH_TTL", "soon")]).contains("POLITY_AUTH__REFRESH_TTL"));
    assert!(error(None, &[("POLITY_PUBLIC_URL", "nowhere")]).contains("public_url (POLITY_PUBLIC_URL)"));
    let missing = Config::load(SECTIONS, Some(Path::new("/nonexistent.toml")), [], json!({})).unwrap_err();
    assert!(missing.to_string().contains("/nonexistent.toml cannot be read"));
}

#[test]
fn secrets_are_never_shown() {
    let file = "[auth]\nlegacy_key = 'hunter2'\nurl = 'postgres://me:hunter2@db/x'\n\
                [auth.providers.github]\nclient_id = 'us'\nclient_secret = 'hunter2'\n";
    let config = load(Some(file), &[], json!({})).unwrap();
    let text = config.render();
    assert!(
        !text.contains("hunter2") && !format!("{config:?}").contains("hunter2"),
        "{text}"
    );
    assert!(
        text.contains("legacy_key = \"[hidden]\"") && text.contains("client_secret = \"[hidden]\""),
        "{text}"
    );
    assert!(text.contains("postgres://me:hidden@db/x"), "{text}");
    // Neither a wrong type nor broken TOML quotes the value.
    assert!(!error(Some("[auth]\nlegacy_key = 1234567"), &[]).contains("1234567"));
    let broken = error(Some("[auth]\nlegacy_key = 'hunter2\n"), &[]);
    assert!(broken.contains("at line 2") && !broken.contains("hunter2"), "{broken}");
}

#[test]
fn a_rendering_says_where_values_come_from_and_loads_again() {
    let env = [
        ("POLITY_AUTH__REFRESH_TTL", "2"),
        ("POLITY_AUTH__PROVIDERS__A__CLIENT_ID", "x"),
    ];
    let config = load(None, &env, json!({})).unwrap();
    let text = config.render();
    assert!(text.contains("refresh_ttl = 2  # POLITY_AUTH__REFRESH_TTL\n"), "{text}");
    assert!(
        text.contains("label = \"Polity\"\n") && text.contains("#public_url =\n"),
        "{text}"
    );
    let again = load(Some(&text), &[], json!({})).unwrap();
    assert_eq!(again.section::<Auth>("auth").unwrap(), config.section("auth").unwrap());
}

#[test]
fn the_default_file_documents_every_key_and_changes_nothing() {
    let text = default_toml(SECTIONS);
    assert!(
        text.contains("\n# Life of a refresh token, in seconds.\n#refresh_ttl = 60\n"),
        "{text}"
    );
    assert!(
        text.contains("# Cost of a hash.\n") || text.contains("# How passwords are hashed.\n[auth.hash]\n"),
        "{text}"
    );
    assert!(
        text.contains("#[auth.providers.NAME]\n") && text.contains("#legacy_key =\n"),
        "{text}"
    );
    let active: String = text
        .lines()
        .map(|l| {
            l.strip_prefix('#')
                .filter(|l| l.contains(" = ") && !l.starts_with(' '))
                .unwrap_or(l)
        })
        .filter(|l| !l.contains("client_"))
        .fold(String::new(), |all, line| all + line + "\n");
    for file in [text.as_str(), active.as_str()] {
        let config = load(Some(file), &[], json!({})).unwrap();
        assert_eq!(config.section::<Auth>("auth").unwrap(), Auth::default());
        assert_eq!(config.core().unwrap(), Core::default());
    }
}

#[test]
fn the_table_of_variables_names_type_default_and_meaning() {
    let text = environment_table(SECTIONS);
    let has = |row: &str| assert!(text.contains(&format!("\n{row}\n")), "{row}\n{text}");
    has("| `POLITY_AUTH__REFRESH_TTL` | whole number | `60` | Life of a refresh token, in seconds. |");
    has("| `POLITY_AUTH__OPEN` | `true` or `false` | `true` | Whether sign-up \\| invitation is open. |");
    has("| `POLITY_AUTH__LEGACY_KEY` | text, secret |  | The key of the earlier platform. |");
    has("| `POLITY_AUTH__PROVIDERS__<NAME>__CLIENT_ID` | text | `\"\"` | Our name there. |");
    assert!(text.contains("`development` or `production` or `test`"), "{text}");
}

#[test]
fn production_needs_an_https_address_and_every_check() {
    let check: Check = |_| vec![Problem::new("keys", "are generated", "create them")];
    let start = |url: &str| {
        let env = [("POLITY_ENVIRONMENT", "production"), ("POLITY_PUBLIC_URL", url)];
        load(None, &env, json!({}))
            .unwrap()
            .check_production(&[check])
            .unwrap_err()
            .0
    };
    assert_eq!(start("").len(), 2);
    assert_eq!(start("http://a.example")[0].setting, "public_url");
    assert_eq!(
        start("https://a.example"),
        [Problem::new("keys", "are generated", "create them")]
    );
}

#[test]
fn two_sections_of_one_name_are_refused() {
    let twice = [Section::of::<Auth>("auth"), Section::of::<Hash>("auth")];
    assert!(
        Config::load(&twice, None, [], json!({}))
            .unwrap_err()
            .to_string()
            .contains("auth is the name of two")
    );
}
