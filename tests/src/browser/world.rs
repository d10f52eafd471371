//! A Polity that a browser can find, an app with a page, and a provider.

use polity_testing::{
    Answer, App, Backend, Person,
    provider::{CLIENT_ID, CLIENT_SECRET, Provider, Settings},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::driver::Browser;

pub const BASE: &str = "/api/v1/integration/oauth";

/// Who the browser goes to sign in.
pub enum At {
    /// A provider of ours, which sends browsers back at once.
    Double(Provider),
    /// oidc-provider, at that address, with a page to sign in.
    Oidc(String),
}

impl At {
    pub async fn double() -> Self {
        let provider = Provider::start(Settings::default()).await;
        provider.sign_in_as("ada");
        Self::Double(provider)
    }

    #[expect(clippy::disallowed_methods, reason = "this is how the test command tells its tests")]
    pub fn oidc() -> Self {
        Self::Oidc(std::env::var("POLITY_TEST_OIDC").expect("where there is a browser there is a provider"))
    }

    pub fn url(&self) -> String {
        match self {
            Self::Double(provider) => provider.url(),
            Self::Oidc(url) => url.clone(),
        }
    }

    /// Its entry in the catalogue.
    fn entry(&self) -> String {
        match self {
            Self::Double(provider) => provider.catalogue_entry("outside", "display_name = \"Outside\""),
            Self::Oidc(url) => format!(
                "[[provider]]\nname = \"outside\"\ndisplay_name = \"Outside\"\nauthorize_url = \"{url}/auth\"\n\
                 token_url = \"{url}/token\"\nrevoke_url = \"{url}/token/revocation\"\nrevocation = \"rfc7009\"\n\
                 userinfo_url = \"{url}/me\"\ndocumentation = \"{url}/\"\napi_hosts = [\"127.0.0.1\"]\n\
                 refresh = {{ rotating = {{ replay_window = 0 }} }}\nrecovery = \"reauthorize\"\nverified = false\n\
                 identity = {{ source = \"userinfo\", id = \"/sub\", email = \"/email\" }}\n"
            ),
        }
    }

    /// The client that is registered there.
    fn app(&self) -> Value {
        match self {
            Self::Double(_) => json!({
                "name": "outside", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "required_scopes": ["read"],
            }),
            // Its secret: see `tests/oidc/server.mjs`.
            Self::Oidc(_) => json!({
                "name": "outside", "client_id": "loopback", "client_secret": "test-only:oidc secret+%/0123456789",
                "required_scopes": ["openid", "email", "read"],
            }),
        }
    }
}

/// All of it.
pub struct World {
    pub app: App,
    pub at: At,
    /// Where browsers find Polity.
    pub url: String,
    /// The app's page.
    pub page: String,
    pub ada: Person,
    _serving: JoinSet<()>,
}

impl World {
    /// `None` where there is no such database.
    pub async fn new(backend: Backend, at: At) -> Option<Self> {
        let mut serving = JoinSet::new();
        // The address has to be known before the program starts, and its port is known after.
        let front = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let pages = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", front.local_addr().unwrap());
        // Another site than Polity's, and not only another origin.
        let page = format!("http://localhost:{}", pages.local_addr().unwrap().port());
        let folder = tempfile::tempdir().unwrap();
        let catalogue = folder.path().join("catalogue.toml");
        std::fs::write(&catalogue, at.entry()).unwrap();
        let settings = json!({
            "public_url": url,
            "connection": { "catalogue": catalogue },
            "outbound": { "allow": ["127.0.0.1"] },
            "http": { "cors_origins": [page] },
        });
        let app = App::start_on(backend, settings).await?;
        let to = app.address;
        serving.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut from, _)) = front.accept().await {
                open.spawn(async move {
                    let mut to = TcpStream::connect(to).await.unwrap();
                    drop(copy_bidirectional(&mut from, &mut to).await);
                });
            }
        });
        serving.spawn(async move {
            while let Ok((mut from, _)) = pages.accept().await {
                drop(from.read(&mut [0; 4096]).await);
                let page = include_str!("app.html");
                let head =
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\nContent-Length";
                drop(
                    from.write_all(format!("{head}: {}\r\n\r\n{page}", page.len()).as_bytes())
                        .await,
                );
            }
        });
        app.post("/api/v1/integration/admin/oauth-apps")
            .service()
            .json(&at.app())
            .send()
            .await
            .expect(201);
        let ada = app.register("ada@example.com").await;
        Some(Self {
            app,
            at,
            url,
            page,
            ada,
            _serving: serving,
        })
    }

    /// Opens the app's page; ada is signed in there.
    pub async fn visit(&self, browser: &Browser, field: &str) {
        browser.open(&self.page).await;
        let here = json!({ "polity": self.url, "token": self.ada.access_token, "app": "outside", "field": field });
        browser.run_with("window.here = arguments[0]", json!([here])).await;
    }

    /// Presses the app's button, and goes on in the pop-up: the windows of the page and the pop-up.
    pub async fn pop_up(&self, browser: &Browser) -> [String; 2] {
        let page = browser.windows().await.remove(0);
        browser.click("#connect").await;
        let windows = browser.until_windows(2).await;
        let popup = windows.into_iter().find(|window| *window != page).unwrap();
        browser.switch(&popup).await;
        [page, popup]
    }

    /// The pop-up has closed: what its opener heard, and from whom.
    pub async fn heard(&self, browser: &Browser, page: &str) -> Value {
        browser.until_windows(1).await;
        browser.switch(page).await;
        let heard = browser.until("return heard", |heard| heard[0].is_object()).await;
        assert_eq!(heard.as_array().unwrap().len(), 1);
        assert_eq!(heard[0]["origin"], self.url);
        assert_eq!(heard[0]["data"]["type"], "polity.connection");
        heard[0]["data"].clone()
    }

    /// Signs in at the provider, where that asks.
    pub async fn sign_in(&self, browser: &Browser) {
        if matches!(self.at, At::Oidc(_)) {
            browser.heading("Sign in").await;
            let typed = "document.querySelector('input').value = 'ada'; document.querySelector('button').click()";
            browser.run(typed).await;
        }
    }

    /// A connection that ada begins without a page that is told: its id and link.
    pub async fn link(&self) -> (String, String) {
        let ask = self
            .app
            .post(&format!("{BASE}/connections"))
            .bearer(&self.ada.access_token);
        let begun = ask.json(&json!({ "oauth_app_id": "outside" })).send().await.expect(201);
        (
            begun.text_at("/id").to_owned(),
            begun.text_at("/connect_url").to_owned(),
        )
    }

    pub async fn connection(&self, id: &str) -> Answer {
        let ask = self.app.get(&format!("{BASE}/connections/{id}"));
        ask.bearer(&self.ada.access_token).send().await.expect(200)
    }

    /// What a service gets for its token.
    pub async fn issue(&self, id: &str) -> Answer {
        let ask = self.app.post("/api/v1/tokens:issue").service();
        ask.json(&json!({ "connection_id": id })).send().await
    }
}
