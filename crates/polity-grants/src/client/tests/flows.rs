//! Devices, statements, and taking back.

use super::*;

#[tokio::test]
async fn devices_poll_until_their_owner_agrees() {
    let start = r#"{"device_code":"d","user_code":"U","verification_uri":"https://a.example.com/d","expires_in":600}"#;
    let answers = [
        (200, start),
        (400, r#"{"error":"authorization_pending"}"#),
        (400, r#"{"error":"slow_down"}"#),
        (200, r#"{"access_token":"a"}"#),
        (400, r#"{"error":"access_denied"}"#),
    ];
    let (client, app, sent) = set_up("device_url = \"https://id.example.com/device\"", &answers);
    let mut code = client.device_start(&app, &["read".to_owned()]).await.unwrap();
    assert_eq!((code.interval, code.expires_at), (5_000, NOW + 600_000));
    assert!(matches!(
        client.device_poll(&app, &mut code).await,
        Ok(DevicePoll::Pending)
    ));
    assert_eq!((sent.form()["device_code"].as_str(), code.interval), ("d", 5_000));
    assert!(matches!(
        client.device_poll(&app, &mut code).await,
        Ok(DevicePoll::Pending)
    ));
    assert_eq!(code.interval, 10_000);
    assert!(matches!(
        client.device_poll(&app, &mut code).await,
        Ok(DevicePoll::Done(_))
    ));
    assert!(matches!(
        client.device_poll(&app, &mut code).await,
        Err(Failure::Reauthorize { .. })
    ));
    code.expires_at = NOW;
    assert!(matches!(
        client.device_poll(&app, &mut code).await,
        Err(Failure::Reauthorize { .. })
    ));
}

#[tokio::test]
async fn the_client_acts_for_itself_and_by_statement() {
    let (client, app, sent) = set_up(
        "",
        &[(200, r#"{"access_token":"a"}"#), (200, r#"{"access_token":"a"}"#)],
    );
    client.client_credentials(&app, &["x".to_owned()]).await.unwrap();
    assert_eq!(
        (sent.form()["grant_type"].as_str(), sent.form()["scope"].as_str()),
        ("client_credentials", "x")
    );
    let text = |text: &str| text.to_owned();
    let claims = Assertion {
        issuer: text("i"),
        subject: text("s"),
        audience: text("u"),
        lifetime: 60,
        more: serde_json::Map::new(),
    };
    let key = app.credentials.signing_key.clone().unwrap();
    client.jwt_bearer(&app, &key, &claims, &[]).await.unwrap();
    assert_eq!(sent.form()["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let broken = SigningKey {
        algorithm: Algorithm::Rs256,
        ..key
    };
    assert!(matches!(
        client.jwt_bearer(&app, &broken, &claims, &[]).await,
        Err(Failure::Misconfigured { .. })
    ));
}

#[tokio::test]
async fn tokens_are_taken_back() {
    let more = "revoke_url = \"https://id.example.com/revoke\"\nrevocation = \"rfc7009\"";
    let (client, app, sent) = set_up(more, &[(200, ""), (400, r#"{"error":"invalid_grant"}"#), (503, "")]);
    assert_eq!(client.revoke(&app, &old()).await, Ok(true));
    assert_eq!(
        (sent.form()["token"].as_str(), sent.form()["token_type_hint"].as_str()),
        ("r0", "refresh_token")
    );
    assert_eq!(client.revoke(&app, &old()).await, Ok(true), "it had ended already");
    assert!(matches!(
        client.revoke(&app, &old()).await,
        Err(Failure::Transient { .. })
    ));
    let (client, app, _) = set_up("", &[]);
    assert_eq!(client.revoke(&app, &old()).await, Ok(false));
    let more = "revoke_url = \"https://id.example.com/revoke\"\nrevocation = \"named_field\"";
    let (client, app, sent) = set_up(more, &[(200, ""), (200, "")]);
    assert_eq!(client.revoke(&app, &old()).await, Ok(true));
    assert_eq!(sent.form()["refresh_token"], "r0");
    let none = TokenSet { refresh: None, ..old() };
    assert_eq!(client.revoke(&app, &none).await, Ok(true));
    assert_eq!(sent.form()["access_token"], "a0");
    let more = "revoke_url = \"https://api.example.com/apps/{client_id}/grant\"\nrevocation = \"github_grant\"";
    let (client, app, sent) = set_up(more, &[(204, "")]);
    assert_eq!(client.revoke(&app, &old()).await, Ok(true));
    let url = sent.seen.lock().unwrap()[0].url.clone();
    assert_eq!(url, "https://api.example.com/apps/id:1/grant");
    assert_eq!(sent.form()["access_token"], "a0");
}
