//! Grants in the kernel's database, with a provider that rotates refresh tokens and notices reuse.

mod deaths;
mod double;
mod fresh;
mod one_call;
mod rotation;
mod suite;
mod watch;

use std::sync::Arc;

use async_trait::async_trait;
use polity_grants::{
    client::{App as OauthApp, Credentials},
    grant::Grant,
    manager::{Apps, Error, NewGrant},
    provider::{Catalogue, Provider},
    store::Store as _,
    token::TokenSet,
};
use polity_integrations::grants::{GrantSettings, Grants, NoWatch, Watch};
use polity_testing::App;
use serde_json::{Value, json};

use self::double::Double;

/// Settings under which the provider on this machine may be called, and the program's own connections leave the grants of
/// these tests alone.
fn settings() -> Value {
    json!({ "outbound": { "allow": ["127.0.0.1"] }, "grants": { "refresh_batch": 0 } })
}

/// The provider of a double: without a replay window, or with one of half a minute.
fn provider(double: &Double, replays: bool) -> Provider {
    let rule = if replays {
        "refresh = { rotating = { replay_window = 30 } }\nrecovery = { retry_within = 30 }"
    } else {
        "refresh = { rotating = { replay_window = 0 } }\nrecovery = \"reauthorize\""
    };
    let text = format!(
        "[[provider]]\nname = \"test\"\ndisplay_name = \"Test\"\nauthorize_url = \"https://id.example.com/authorize\"\n\
         token_url = \"https://id.example.com/token\"\ndocumentation = \"https://docs.example.com/oauth\"\n\
         verified = true\n{rule}\n"
    );
    let catalogue = Catalogue::parse(&text).unwrap();
    let mut provider = catalogue.get("test").unwrap().as_ref().clone();
    // Catalogues take https alone.
    provider.token_url = double.url();
    provider
}

struct OneApp(OauthApp);

#[async_trait]
impl Apps for OneApp {
    async fn app(&self, _: &Grant) -> Result<OauthApp, Error> {
        Ok(self.0.clone())
    }
}

fn one_app(provider: Provider) -> Arc<dyn Apps> {
    Arc::new(OneApp(OauthApp {
        provider: Arc::new(provider),
        credentials: Credentials {
            client_id: "client".to_owned(),
            client_secret: Some("a secret of the tests".into()),
            signing_key: None,
        },
    }))
}

/// The library at work in an app's process.
fn open(app: &App, double: &Double, watch: Arc<dyn Watch>) -> Grants {
    let apps = one_app(provider(double, double.replays()));
    Grants::open(&app.ctx, &GrantSettings::default(), apps, watch)
}

fn open_unwatched(app: &App, double: &Double) -> Grants {
    open(app, double, Arc::new(NoWatch))
}

/// The first tokens of a grant, which last so many seconds.
fn tokens(app: &App, id: &str, seconds: i64) -> TokenSet {
    let now = app.clock.now().timestamp_millis();
    TokenSet {
        access: format!("a-{id}-0").into(),
        refresh: Some(format!("r-{id}-0").into()),
        token_type: "bearer".to_owned(),
        expires_at: Some(now + seconds * 1_000),
        scopes: vec!["read".to_owned()],
        obtained_at: now - 3_600_000,
    }
}

fn new_grant(id: &str) -> NewGrant {
    NewGrant {
        id: id.to_owned(),
        provider: "test".to_owned(),
        owner: "usr_ada".to_owned(),
        account: None,
    }
}

/// Grants with tokens that have ended, in one transaction.
async fn connect_ended(app: &App, grants: &Grants, ids: &[String]) {
    let mut tx = app.ctx.db.begin().await.unwrap();
    for id in ids {
        let grant = grants
            .manager()
            .prepare(new_grant(id), &tokens(app, id, 0), app.clock.now().timestamp_millis());
        grants.store().insert_in(&mut tx, &grant).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn found(grants: &Grants, id: &str) -> Grant {
    grants.store().get(id).await.unwrap().unwrap()
}
