//! The same against oidc-provider, a server that somebody else wrote.

use std::time::Duration;

use futures::future::join_all;
use polity_grants::{connect::ConnectError, failure::Failure, manager::Error};
use polity_seal::Secret;

use super::world::{BACK, Stand, is_reauthorize};

/// The secret of its clients; see `tests/oidc/server.mjs`.
const SECRET: &str = "test-only:oidc secret+%/0123456789";

/// A client of it, in that way; `None` where there is no such server.
#[expect(clippy::disallowed_methods, reason = "this is how the test command tells its tests")]
fn stand(way: &str) -> Option<Stand> {
    let Ok(url) = std::env::var("POLITY_TEST_OIDC") else {
        assert!(
            std::env::var("POLITY_TEST_REQUIRE_SERVICES").is_err(),
            "POLITY_TEST_OIDC names no server, but POLITY_TEST_REQUIRE_SERVICES is set"
        );
        eprintln!("skipped: POLITY_TEST_OIDC is not set (./test with-services sets it)");
        return None;
    };
    let auth = if way == "public" { "none" } else { way };
    let entry = format!(
        "[[provider]]\nname = \"oidc\"\ndisplay_name = \"oidc-provider\"\nauthorize_url = \"{url}/auth\"\n\
         token_url = \"{url}/token\"\nrevoke_url = \"{url}/token/revocation\"\nrevocation = \"rfc7009\"\n\
         userinfo_url = \"{url}/me\"\ndocumentation = \"{url}/\"\nclient_auth = \"{auth}\"\n\
         refresh = {{ rotating = {{ replay_window = 0 }} }}\nrecovery = \"reauthorize\"\nverified = false\n\
         scopes_default = [\"openid\", \"email\", \"read\"]\nextra_authorize_params = {{ login_hint = \"ada\" }}\n\
         identity = {{ source = \"userinfo\", id = \"/sub\", email = \"/email\" }}\n"
    );
    let secret = (way != "public").then_some(SECRET);
    Some(Stand::new(&entry, way, secret, Duration::from_secs(10)))
}

/// Whether its API takes an access token.
async fn is_live(stand: &Stand, access: &Secret) -> bool {
    let url = stand.app.provider.userinfo_url.as_ref().unwrap();
    let (status, _) = stand.browser.call(url, access.expose()).await;
    assert!(status == 200 || status == 401, "{status}");
    status == 200
}

#[tokio::test]
async fn every_way_of_being_a_client_signs_in_and_refreshes() {
    for way in ["basic", "post", "public"] {
        let Some(stand) = stand(way) else { return };
        let exchanged = stand.sign_in(&[]).await.unwrap();
        let account = stand.client.account(&stand.app, &exchanged).await.unwrap();
        assert_eq!(
            (account.id.as_str(), account.email.as_deref()),
            ("ada", Some("ada@example.com"))
        );
        assert!(exchanged.answer.get("id_token").is_none() && exchanged.answer.get("scope").is_some());
        assert_eq!(exchanged.tokens.missing(&["read".to_owned()]), Vec::<&str>::new());
        stand.connect(&exchanged.tokens).await;
        let mut seen = vec![exchanged.tokens.access.clone()];
        for n in 0..20 {
            // Thirty seconds is their life.
            stand.pass(30);
            let callers = join_all((0..10).map(|_| stand.token())).await;
            let token = callers[0].clone().unwrap();
            assert!(callers.iter().all(|caller| caller.as_ref() == Ok(&token)));
            assert!(
                !seen.contains(&token.access) && is_live(&stand, &token.access).await,
                "{way} {n}"
            );
            seen.push(token.access);
        }
        assert_eq!(stand.events().len(), 20, "one refresh each");
    }
}

#[tokio::test]
async fn an_old_refresh_token_ends_the_grant() {
    let Some(stand) = stand("basic") else { return };
    let first = stand.sign_in(&[]).await.unwrap().tokens;
    stand.connect(&first).await;
    stand.pass(30);
    let token = stand.token().await.unwrap();
    assert!(is_live(&stand, &token.access).await);
    assert!(is_reauthorize(&stand.client.refresh(&stand.app, &first).await));
    assert!(!is_live(&stand, &token.access).await, "it ends everything of the grant");
    stand.pass(30);
    assert_eq!(
        stand.token().await,
        Err(Error::NeedsReauthorization("invalid_grant".to_owned()))
    );
    let again = stand.sign_in(&[]).await.unwrap().tokens;
    stand.manager.reconnect("g", &again).await.unwrap();
    stand.pass(30);
    let token = stand.token().await.unwrap();
    assert!(is_live(&stand, &token.access).await);
}

#[tokio::test]
async fn what_is_taken_back_works_no_more() {
    for way in ["basic", "public"] {
        let Some(stand) = stand(way) else { return };
        let tokens = stand.sign_in(&[]).await.unwrap().tokens;
        stand.connect(&tokens).await;
        assert!(is_live(&stand, &tokens.access).await);
        assert_eq!(stand.manager.disconnect("g").await.unwrap().provider, Ok(true));
        assert!(is_reauthorize(&stand.client.refresh(&stand.app, &tokens).await));
        assert!(!is_live(&stand, &tokens.access).await);
        assert_eq!(
            stand.client.revoke(&stand.app, &tokens).await,
            Ok(true),
            "once more harms nothing"
        );
    }
}

#[tokio::test]
async fn codes_are_used_once_and_with_their_verifier() {
    let Some(stand) = stand("post") else { return };
    let (client, app) = (&stand.client, &stand.app);
    let (url, mut begun) = client.authorize(app, BACK, &[]).unwrap();
    let back = stand.browser.follow(url.expose(), BACK).await;
    let code = back["code"].as_str().into();
    let tokens = client.exchange(app, &code, &begun).await.unwrap().tokens;
    assert!(is_reauthorize(&client.exchange(app, &code, &begun).await));
    assert!(
        !is_live(&stand, &tokens.access).await,
        "a replay ends what it was traded for"
    );
    let (url, other) = client.authorize(app, BACK, &[]).unwrap();
    let back = stand.browser.follow(url.expose(), BACK).await;
    begun.redirect_uri = other.redirect_uri;
    let stolen = client.exchange(app, &back["code"].as_str().into(), &begun).await;
    assert!(is_reauthorize(&stolen), "another sign-in's verifier: {stolen:?}");
}

#[tokio::test]
async fn a_wrong_secret_is_the_operators_affair() {
    let Some(mut stand) = stand("basic") else { return };
    let own = stand
        .client
        .client_credentials(&stand.app, &["read".to_owned()])
        .await
        .unwrap();
    assert_eq!(own.refresh, None);
    stand.app.credentials.client_secret = Some("wrong".into());
    let refused = stand.sign_in(&[]).await;
    let expected = ConnectError::Failure(Failure::Misconfigured {
        reason: "invalid_client".to_owned(),
    });
    assert_eq!(refused.unwrap_err(), expected);
}
