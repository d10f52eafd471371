//! The master key is changed while grants are refreshed and used, and the old one thrown away.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use polity_grants::client::{App as OauthApp, Credentials};
use polity_integrations::grants::SEALED;
use polity_kernel::Secret;
use polity_testing::App;
use serde_json::json;

use super::{connect_ended, double::Double, open_unwatched, provider, settings};

const GRANTS: usize = 120;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_under_grants_in_use() {
    App::each_with(settings(), async |app| {
        let double = Double::start(false);
        let grants = open_unwatched(&app, &double);
        let ids: Vec<String> = (0..GRANTS).map(|n| format!("g{n:03}")).collect();
        connect_ended(&app, &grants, &ids).await;
        let client = OauthApp {
            provider: provider(&double, false).into(),
            credentials: Credentials {
                client_id: "client".to_owned(),
                client_secret: None,
                signing_key: None,
            },
        };
        let browser = Secret::from("of one browser");
        let context = json!({ "to": "come back" });
        let redirect = "https://polity.example/callback";
        let url = grants
            .connector()
            .begin(&client, redirect, &[], &browser, &context)
            .await
            .unwrap();
        let is_done = AtomicBool::new(false);
        let use_all = async {
            let mut rounds = 0;
            while !is_done.load(Ordering::SeqCst) || rounds < 2 {
                let tokens: Vec<_> = stream::iter(&ids)
                    .map(|id| grants.manager().token(id))
                    .buffer_unordered(16)
                    .collect()
                    .await;
                for token in tokens {
                    token.unwrap();
                }
                // Ended again, and forgotten.
                app.advance(Duration::from_hours(2));
                rounds += 1;
            }
            rounds
        };
        let rotate = async {
            for _ in 0..3 {
                let secrets = &app.ctx.secrets;
                let old = secrets.keyring().current_id();
                secrets.keyring().rotate(1);
                tokio::time::sleep(Duration::from_millis(20)).await;
                while secrets.uses(&app.ctx.db, &SEALED, &old).await.unwrap() > 0 {
                    secrets.reseal(&app.ctx.db, &SEALED).await.unwrap();
                }
                secrets
                    .reseal(&app.ctx.db, &[polity_kernel::secret::HASH_KEYS])
                    .await
                    .unwrap();
                secrets.keyring().retire(&old).unwrap();
            }
            is_done.store(true, Ordering::SeqCst);
        };
        let (rounds, ()) = tokio::join!(use_all, rotate);
        grants.manager().forget_all();
        for id in &ids {
            grants.manager().token(id).await.unwrap();
        }
        assert_eq!(double.reuses(), 0);
        println!("{GRANTS} grants refreshed in {rounds} rounds under three changes of the key");

        let state = url.expose().split_once("state=").unwrap().1.split('&').next().unwrap();
        app.clock.set(polity_testing::start_of_time());
        let back = grants.connector().take(&Secret::from(state), &browser).await.unwrap();
        assert_eq!(back.context, context, "what was pending came along");
    })
    .await;
}
