//! Requests as they are sent, and answers as providers send them.

mod account;
mod flows;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;

use super::*;
use crate::{
    http::{Body, HttpError, Request},
    provider::testing::provider,
    testing::{CountingRandom, TestClock},
};

const NOW: Millis = 1_700_000_000_000;

/// Answers in order, and remembers the requests.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Result<Response, HttpError>>>,
    seen: Mutex<Vec<Request>>,
}

#[async_trait]
impl Http for Script {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        self.seen.lock().unwrap().push(request);
        self.answers.lock().unwrap().pop_front().unwrap()
    }
}

impl Script {
    fn form(&self) -> HashMap<String, String> {
        match &self.seen.lock().unwrap().last().unwrap().body {
            Body::Form(text) => form_urlencoded::parse(text.expose().as_bytes()).into_owned().collect(),
            Body::Json(text) => serde_json::from_str(text.expose()).unwrap(),
            Body::Empty => HashMap::new(),
        }
    }

    fn header(&self, name: &str) -> Option<String> {
        self.seen
            .lock()
            .unwrap()
            .last()
            .unwrap()
            .header(name)
            .map(str::to_owned)
    }
}

fn set_up(more: &str, answers: &[(u16, &str)]) -> (Client, App, Arc<Script>) {
    let answer = |(status, body): &(u16, &str)| {
        Ok(Response {
            status: *status,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        })
    };
    let script = Arc::new(Script::default());
    script.answers.lock().unwrap().extend(answers.iter().map(answer));
    let random = Arc::new(CountingRandom::default());
    let client = Client::new(
        script.clone(),
        Arc::new(TestClock::new(NOW)),
        random,
        Duration::from_secs(10),
    );
    let credentials = Credentials {
        client_id: "id:1".to_owned(),
        client_secret: Some("s ü".into()),
        signing_key: Some(SigningKey {
            algorithm: Algorithm::Hs256,
            key_id: Some("k".to_owned()),
            key: "shared".into(),
        }),
    };
    (
        client,
        App {
            provider: Arc::new(provider(more)),
            credentials,
        },
        script,
    )
}

fn old() -> TokenSet {
    TokenSet {
        access: "a0".into(),
        refresh: Some("r0".into()),
        token_type: "bearer".to_owned(),
        expires_at: None,
        scopes: vec!["read".to_owned()],
        obtained_at: 0,
    }
}

#[test]
fn the_address_has_state_and_challenge() {
    let more =
        "scopes_default = [\"a\", \"b\"]\nscope_separator = \",\"\nextra_authorize_params = { prompt = \"consent\" }";
    let (client, app, _) = set_up(more, &[]);
    let (url, begun) = client.authorize(&app, "https://me.example.com/back?x=1", &[]).unwrap();
    let url = url::Url::parse(url.expose()).unwrap();
    let query: HashMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(query["state"], begun.state.expose());
    assert_eq!((query["scope"].as_str(), query["prompt"].as_str()), ("a,b", "consent"));
    assert_eq!(query["redirect_uri"], "https://me.example.com/back?x=1");
    assert_eq!(
        query["code_challenge"],
        authorize::challenge(begun.verifier.as_ref().unwrap())
    );
    assert_eq!(begun.verifier.as_ref().unwrap().expose().len(), 43);
    let (client, app, _) = set_up("pkce = \"none\"", &[]);
    let (url, begun) = client.authorize(&app, "https://me.example.com/", &[]).unwrap();
    assert!(begun.verifier.is_none() && !url.expose().contains("challenge") && !url.expose().contains("scope"));
}

/// RFC 7636, appendix B.
#[test]
fn the_challenge_is_that_of_the_rfc() {
    let challenge = authorize::challenge(&"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into());
    assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

#[tokio::test]
async fn a_client_says_who_it_is_in_each_way() {
    let answer = [(200, r#"{"access_token":"a1"}"#)];
    let (client, app, sent) = set_up("", &answer);
    client.refresh(&app, &old()).await.unwrap();
    // "id%3A1:s+%C3%BC"
    assert_eq!(sent.header("authorization").unwrap(), "Basic aWQlM0ExOnMrJUMzJUJD");
    assert!(!sent.form().contains_key("client_id"));
    let (client, app, sent) = set_up("client_auth = \"post\"\nquirks = [\"json_requests\"]", &answer);
    client.refresh(&app, &old()).await.unwrap();
    assert_eq!(sent.form()["client_secret"], "s ü");
    assert!(sent.header("authorization").is_none());
    let (client, app, sent) = set_up("client_auth = \"none\"", &answer);
    client.refresh(&app, &old()).await.unwrap();
    assert!(!sent.form().contains_key("client_secret") && sent.form()["client_id"] == "id:1");
    let (client, app, sent) = set_up("client_auth = \"private_key_jwt\"", &answer);
    client.refresh(&app, &old()).await.unwrap();
    assert_eq!(sent.form()["client_assertion"].split('.').count(), 3);
    let bare = Credentials {
        client_id: "x".to_owned(),
        client_secret: None,
        signing_key: None,
    };
    for more in ["", "client_auth = \"post\"", "client_auth = \"private_key_jwt\""] {
        let (client, app, _) = set_up(more, &[]);
        let app = App {
            credentials: bare.clone(),
            ..app
        };
        assert!(matches!(
            client.refresh(&app, &old()).await,
            Err(Failure::Misconfigured { .. })
        ));
    }
}

#[tokio::test]
async fn a_code_is_traded_with_its_verifier() {
    let body =
        r#"{"access_token":"a1","refresh_token":"r1","expires_in":60,"scope":"read, write","token_type":"Bearer"}"#;
    let (client, app, sent) = set_up("", &[(200, body)]);
    let (_, begun) = client.authorize(&app, "https://me.example.com/", &[]).unwrap();
    let tokens = client.exchange(&app, &"c".into(), &begun).await.unwrap().tokens;
    assert_eq!(sent.form()["code_verifier"], begun.verifier.unwrap().expose());
    assert_eq!(
        (tokens.expires_at, tokens.token_type.as_str()),
        (Some(NOW + 60_000), "bearer")
    );
    assert_eq!(tokens.scopes, ["read", "write"]);
    assert!(!format!("{:?}", sent.seen.lock().unwrap()).contains("s ü"));
}

#[tokio::test]
async fn answers_are_read_as_they_come() {
    let huge = format!(r#"{{"access_token":"a","x":"{}"}}"#, "y".repeat(10_000_000));
    let expiry = async |more: &str, body: &str| {
        let (client, app, _) = set_up(more, &[(200, body)]);
        client
            .refresh(&app, &old())
            .await
            .map(|tokens| tokens.expires_at.map(|at| (at - NOW) / 1000))
    };
    assert_eq!(expiry("", r#"{"access_token":"a"}"#).await, Ok(None));
    assert_eq!(
        expiry("default_expiry = 9", r#"{"access_token":"a"}"#).await,
        Ok(Some(9))
    );
    assert_eq!(
        expiry("", r#"{"access_token":"a","expires_in":"3600"}"#).await,
        Ok(Some(3600))
    );
    assert_eq!(
        expiry("", r#"{"access_token":"a","expires_in":1e300}"#).await,
        Ok(Some(315_360_000))
    );
    for odd in ["-5", "\"soon\"", "null", "[1]", "\"NaN\""] {
        let body = format!(r#"{{"access_token":"a","expires_in":{odd}}}"#);
        assert_eq!(expiry("default_expiry = 9", &body).await, Ok(Some(9)), "{odd}");
    }
    assert_eq!(
        expiry("token_answer = \"form\"", "access_token=a&expires_in=5&scope=b").await,
        Ok(Some(5))
    );
    for lost in [
        "<html>Sign in</html>",
        "",
        "{",
        r#"{"access_token":""}"#,
        r#"{"access_token":7}"#,
        "[]",
        &huge,
    ] {
        assert!(
            matches!(expiry("", lost).await, Err(Failure::Unknown { .. })),
            "{lost:.40}"
        );
    }
    assert!(matches!(
        expiry("", r#"{"error":"bad_refresh_token"}"#).await,
        Err(Failure::Reauthorize { .. })
    ));
    assert!(matches!(
        expiry("", r#"{"ok":false,"error":"ratelimited"}"#).await,
        Err(Failure::Transient { .. })
    ));
}

#[tokio::test]
async fn what_an_answer_leaves_out_stays() {
    let (client, app, _) = set_up(
        "",
        &[
            (200, r#"{"access_token":"a1"}"#),
            (200, r#"{"access_token":"a","token_type":"mac"}"#),
        ],
    );
    let tokens = client.refresh(&app, &old()).await.unwrap();
    assert_eq!(
        (tokens.refresh, tokens.scopes),
        (Some("r0".into()), vec!["read".to_owned()])
    );
    // Kept, so that its refresh token is not lost; but it is not handed out.
    assert!(!client.refresh(&app, &old()).await.unwrap().is_bearer());
    let none = TokenSet { refresh: None, ..old() };
    assert!(matches!(
        client.refresh(&app, &none).await,
        Err(Failure::Reauthorize { .. })
    ));
}

#[tokio::test]
async fn a_token_that_is_no_header_is_none() {
    for token in ["a\\nx-admin: 1", "a\\r\\n", "\\u00fc", "\\t", "a\\u007f"] {
        let body = format!(r#"{{"access_token":"{token}","refresh_token":"r1"}}"#);
        let (client, app, _) = set_up("", &[(200, &body)]);
        let refused = client.refresh(&app, &old()).await;
        assert!(matches!(refused, Err(Failure::Unknown { .. })), "{token}: {refused:?}");
    }
}

#[tokio::test]
async fn scopes_are_as_long_as_scopes_are() {
    let body = format!(r#"{{"access_token":"a1","scope":"read {} write"}}"#, "x".repeat(256));
    let (client, app, _) = set_up("", &[(200, &body)]);
    let tokens = client.refresh(&app, &old()).await.unwrap();
    assert_eq!(tokens.scopes, ["read", "write"]);
}
