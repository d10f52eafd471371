//! What RFC 6749, 7636, 7009 and 8628 say, and rotation.

use super::*;

const CODE: &str = "authorization_code";

#[tokio::test]
async fn a_code_works_once_with_its_verifier() {
    let world = world(Rotation::Rotating).await;
    let query = [
        ("state", "s&="),
        ("scope", "read write"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("login_hint", "ada"),
    ];
    let back = world.authorize(&query).await;
    assert_eq!(back["state"], "s&=");
    let code = back["code"].as_str();
    let trade = async |verifier: &str, to: &str| {
        let form = [
            ("grant_type", CODE),
            ("code", code),
            ("redirect_uri", to),
            ("code_verifier", verifier),
        ];
        world.token(&form).await
    };
    assert_eq!(trade("wrong", BACK).await, refused("invalid_grant"));
    assert_eq!(
        trade(VERIFIER, "https://me.example.com/").await,
        refused("invalid_grant")
    );
    let (status, body) = trade(VERIFIER, BACK).await;
    assert_eq!(
        (status, &body["token_type"], &body["scope"]),
        (200, &json!("Bearer"), &json!("read write"))
    );
    assert_eq!(body["expires_in"], 3600);
    let access = body["access_token"].as_str().unwrap();
    let me: Value = world.get("/userinfo", access).await.json().await.unwrap();
    assert_eq!(me, json!({ "sub": "ada", "email": "ada@example.com", "name": "ADA" }));
    // RFC 6749 4.1.2: a replay ends what the code was traded for.
    assert!(world.provider.is_live(access));
    assert_eq!(trade(VERIFIER, BACK).await, refused("invalid_grant"));
    assert!(!world.provider.is_live(access));
    assert_eq!((world.provider.grants(), world.provider.grants_ended()), (1, 1));
}

#[tokio::test]
async fn codes_end_and_belong_to_their_client() {
    let settings = Settings {
        clients: vec![("other".to_owned(), None)],
        requires_pkce: true,
        redirect_uris: vec![BACK.to_owned()],
        ..Settings::default()
    };
    let world = World {
        provider: Provider::start(settings).await,
        ..world(Rotation::Rotating).await
    };
    let proof = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
    assert_eq!(world.authorize(&[]).await["error"], "invalid_request");
    let plain = [("code_challenge", VERIFIER), ("code_challenge_method", "plain")];
    assert_eq!(world.authorize(&plain).await["error"], "invalid_request");
    let code = world.authorize(&proof).await["code"].clone();
    let form = [
        ("grant_type", CODE),
        ("code", &code),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
    ];
    let url = format!("{}/token", world.provider.url());
    let mut of_other = form.to_vec();
    of_other.push(("client_id", "other"));
    let answer = world.http.post(&url).form(&of_other).send().await.unwrap();
    assert_eq!(
        answer.json::<Value>().await.unwrap(),
        json!({ "error": "invalid_grant" })
    );
    world.provider.advance(Duration::from_mins(1));
    assert_eq!(world.token(&form).await, refused("invalid_grant"));
    let elsewhere = [("client_id", CLIENT_ID), ("redirect_uri", "https://evil.example.com/")];
    let url = format!("{}/authorize", world.provider.url());
    let answer = world.http.get(url).query(&elsewhere).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers().get("location")),
        (400, None)
    );
}

#[tokio::test]
async fn clients_are_known_in_either_way() {
    let world = world(Rotation::Rotating).await;
    let url = format!("{}/token", world.provider.url());
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let form = [("grant_type", "client_credentials"), ("scope", "a")];
    let ask = async |id: &str, secret: &str| {
        world
            .http
            .post(&url)
            .basic_auth(id, Some(secret))
            .form(&form)
            .send()
            .await
            .unwrap()
    };
    let answer = ask(CLIENT_ID, &encode(CLIENT_SECRET)).await;
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    assert!(body.get("refresh_token").is_none() && body["scope"] == "a");
    let access = body["access_token"].as_str().unwrap();
    assert_eq!(world.get("/api/x", access).await.status(), 200);
    assert_eq!(world.get("/userinfo", access).await.status(), 401, "it is nobody's");
    let wrong = ask(CLIENT_ID, "wrong").await;
    assert_eq!(wrong.status(), 401);
    assert!(wrong.headers().contains_key("www-authenticate"));
    assert_eq!(
        world.token(&[("grant_type", "magic")]).await,
        refused("unsupported_grant_type")
    );
}

#[tokio::test]
async fn a_stable_token_goes_on() {
    let world = world(Rotation::Stable).await;
    let first = world.provider.grant("ada", &["read"]);
    let (status, body) = world.refresh(&first.refresh).await;
    assert_eq!((status, body.get("refresh_token")), (200, None));
    world.pair(&first.refresh).await;
    assert_eq!((world.provider.refreshed(), world.provider.reuses()), (2, 0));
    assert_eq!(world.provider.refresh_calls(&first.refresh), 2);
    assert_eq!((world.provider.live(), world.provider.repeated().len()), (3, 1));
}

#[tokio::test]
async fn an_old_token_ends_the_grant() {
    let world = world(Rotation::Rotating).await;
    let first = world.provider.grant("ada", &["read"]);
    let other = world.provider.grant("bob", &["read"]);
    let second = world.pair(&first.refresh).await;
    assert!(world.provider.is_current(&second.refresh) && !world.provider.is_current(&first.refresh));
    assert_eq!(world.refresh(&first.refresh).await, refused("invalid_grant"));
    assert_eq!(world.refresh(&second.refresh).await, refused("invalid_grant"));
    assert_eq!(world.get("/api/x", &second.access).await.status(), 401);
    assert_eq!((world.provider.reuses(), world.provider.grants_ended()), (1, 1));
    world.pair(&other.refresh).await;
}

#[tokio::test]
async fn within_the_window_the_successor_comes_again() {
    let world = world(Rotation::Window(Duration::from_secs(30))).await;
    let first = world.provider.grant("ada", &["read"]);
    let second = world.pair(&first.refresh).await;
    world.provider.advance(Duration::from_secs(29));
    assert_eq!(world.pair(&first.refresh).await, second);
    assert_eq!((world.provider.replays(), world.provider.reuses()), (1, 0));
    let third = world.pair(&second.refresh).await;
    world.provider.advance(Duration::from_secs(30));
    assert_eq!(world.refresh(&second.refresh).await, refused("invalid_grant"));
    assert!(world.provider.is_ended(&third.refresh));
    // A successor that was used already does not come again, however early it is.
    let first = world.provider.grant("bob", &["read"]);
    let second = world.pair(&first.refresh).await;
    world.pair(&second.refresh).await;
    assert_eq!(world.refresh(&first.refresh).await, refused("invalid_grant"));
    assert_eq!(world.provider.reuses(), 2);
}

#[tokio::test]
async fn two_at_once_are_a_reuse() {
    let world = world(Rotation::Rotating).await;
    let first = world.provider.grant("ada", &["read"]);
    let (one, two) = tokio::join!(world.refresh(&first.refresh), world.refresh(&first.refresh));
    let mut answers = [one.0, two.0];
    answers.sort_unstable();
    assert_eq!((answers, world.provider.grants_ended()), ([200, 400], 1));
}

#[tokio::test]
async fn tokens_are_taken_back() {
    let world = world(Rotation::Rotating).await;
    let pair = world.provider.grant("ada", &["read"]);
    for (token, status) in [
        (pair.access.as_str(), 200),
        ("unknown", 200),
        (pair.refresh.as_str(), 200),
    ] {
        assert_eq!(
            world.post("/revoke", &[("token", token)]).await.unwrap().status(),
            status
        );
    }
    assert_eq!(world.post("/revoke", &[]).await.unwrap().status(), 400);
    assert!(!world.provider.is_live(&pair.access) && world.provider.is_ended(&pair.refresh));
    assert_eq!(world.refresh(&pair.refresh).await, refused("invalid_grant"));
    assert_eq!(world.provider.taken_back(), [&pair.access, "unknown", &pair.refresh]);
    let url = format!("{}/revoke", world.provider.url());
    let answer = world
        .http
        .post(url)
        .form(&[("token", "x"), ("client_id", "x")])
        .send()
        .await;
    assert_eq!(answer.unwrap().status(), 401);
}

#[tokio::test]
async fn devices_wait_for_their_owner() {
    let world = world(Rotation::Rotating).await;
    let start = async || -> Value {
        world
            .post("/device", &[("scope", "read")])
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    };
    let begun = start().await;
    let code = begun["device_code"].as_str().unwrap();
    let poll = async |code: &str| {
        let kind = "urn:ietf:params:oauth:grant-type:device_code";
        world.token(&[("grant_type", kind), ("device_code", code)]).await
    };
    assert_eq!(poll(code).await, refused("authorization_pending"));
    assert_eq!(poll(code).await, refused("slow_down"));
    world.provider.advance(Duration::from_secs(10));
    assert_eq!(poll(code).await, refused("authorization_pending"));
    world
        .provider
        .decide_device(begun["user_code"].as_str().unwrap(), Some("ada"));
    let (status, body) = poll(code).await;
    assert_eq!((status, &body["scope"]), (200, &json!("read")));
    assert_eq!(poll(code).await, refused("invalid_grant"));
    let begun = start().await;
    world.provider.decide_device(begun["user_code"].as_str().unwrap(), None);
    assert_eq!(
        poll(begun["device_code"].as_str().unwrap()).await,
        refused("access_denied")
    );
    let begun = start().await;
    world.provider.advance(Duration::from_mins(10));
    assert_eq!(
        poll(begun["device_code"].as_str().unwrap()).await,
        refused("expired_token")
    );
}

#[tokio::test]
async fn the_api_answers_what_it_was_asked() {
    let world = world(Rotation::Rotating).await;
    let pair = world.provider.grant("ada", &["read", "write"]);
    let url = format!("{}/api/a%20b?x=1&y=ü", world.provider.url());
    let call = world
        .http
        .put(url)
        .bearer_auth(&pair.access)
        .header("x-mine", "1")
        .body("hello");
    let body: Value = call.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (&body["method"], &body["path"], &body["query"], &body["body"]),
        (
            &json!("PUT"),
            &json!("/api/a%20b"),
            &json!("x=1&y=%C3%BC"),
            &json!("hello")
        )
    );
    assert_eq!(
        (&body["account"], &body["scope"]),
        (&json!("ada"), &json!("read write"))
    );
    assert_eq!(body["headers"]["x-mine"], "1");
    assert!(!body.to_string().contains(&pair.access));
    assert_eq!(world.get("/api/x", "made-up").await.status(), 401);
    world.provider.advance(Duration::from_hours(1));
    let late = world.get("/api/x", &pair.access).await;
    assert_eq!(late.status(), 401);
    assert!(
        late.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .contains("invalid_token")
    );
    let pair = world.pair(&pair.refresh).await;
    world.provider.end_access(&pair.access);
    assert_eq!(world.get("/api/x", &pair.access).await.status(), 401);
    let pair = world.pair(&pair.refresh).await;
    world.provider.end_grant(&pair.access);
    assert_eq!(world.get("/api/x", &pair.access).await.status(), 401);
    assert_eq!(world.get("/elsewhere", &pair.access).await.status(), 404);
    assert_eq!(world.get("/token", &pair.access).await.status(), 405);
}
