//! A Chromium with a profile of its own, driven over WebDriver (W3C): JSON over HTTP, for which no crate is needed.

use std::{
    io::{Read as _, Write as _},
    path::Path,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use url::Url;

/// What the protocol calls the key of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Keys, as the protocol writes them.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";

/// A browser. It ends, with its profile, when this is dropped.
pub struct Browser {
    client: reqwest::Client,
    session: Url,
}

impl Browser {
    /// Starts one; `None` where there is no driver.
    #[expect(clippy::disallowed_methods, reason = "this is how the test command tells its tests")]
    pub async fn start() -> Option<Self> {
        let Ok(driver) = std::env::var("POLITY_TEST_BROWSER") else {
            assert!(
                std::env::var("POLITY_TEST_REQUIRE_SERVICES").is_err(),
                "POLITY_TEST_BROWSER names no driver, but POLITY_TEST_REQUIRE_SERVICES is set"
            );
            eprintln!("skipped: POLITY_TEST_BROWSER is not set (./test with-services sets it)");
            return None;
        };
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        // Chromium's own sandbox needs rights that a container may not give; it meets no pages but those of the test.
        let args = [
            "headless=new",
            "no-sandbox",
            "disable-gpu",
            "disable-dev-shm-usage",
            "no-first-run",
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": args },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let url = format!("{driver}/session");
        let answer = send(client.post(&url).json(&wanted)).await.expect("a browser starts");
        let id = answer["sessionId"].as_str().unwrap();
        let session = Url::parse(&format!("{url}/{id}/")).unwrap();
        Some(Self { client, session })
    }

    async fn try_post(&self, path: &str, body: Value) -> Result<Value, Value> {
        send(self.client.post(self.session.join(path).unwrap()).json(&body)).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let done = self.try_post(path, body).await;
        done.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    async fn get(&self, path: &str) -> Value {
        let done = send(self.client.get(self.session.join(path).unwrap())).await;
        done.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Opens an address in the window.
    pub async fn open(&self, url: &str) {
        self.post("url", json!({ "url": url })).await;
    }

    /// What a script says, which runs in the page as the driver's and not as the page's own.
    pub async fn run(&self, script: &str) -> Value {
        self.run_with(script, json!([])).await
    }

    /// The same, with arguments.
    pub async fn run_with(&self, script: &str, args: Value) -> Value {
        self.post("execute/sync", json!({ "script": script, "args": args }))
            .await
    }

    /// What a script says once that is true of it. A page may be on its way to another meanwhile.
    pub async fn until(&self, script: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..400 {
            let body = json!({ "script": script, "args": [] });
            match self.try_post("execute/sync", body).await {
                Ok(said) if is(&said) => return said,
                Ok(said) | Err(said) => last = said,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{script} still said {last}");
    }

    /// Waits for a page with that heading.
    pub async fn heading(&self, text: &str) {
        let script = "return document.readyState === 'complete' ? document.querySelector('h1')?.textContent : null";
        self.until(script, |said| said == text).await;
    }

    async fn element(&self, css: &str) -> String {
        let found = self
            .post("element", json!({ "using": "css selector", "value": css }))
            .await;
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Clicks on what a selector finds, as a hand does.
    pub async fn click(&self, css: &str) {
        let element = self.element(css).await;
        self.post(&format!("element/{element}/click"), json!({})).await;
    }

    /// Role and name of what a selector finds, as a screen reader has them.
    pub async fn spoken(&self, css: &str) -> (String, String) {
        let element = self.element(css).await;
        let role = self.get(&format!("element/{element}/computedrole")).await;
        let name = self.get(&format!("element/{element}/computedlabel")).await;
        (role.as_str().unwrap().to_owned(), name.as_str().unwrap().to_owned())
    }

    /// Presses keys, one after the other, wherever the focus is. The last may close the window.
    pub async fn press(&self, keys: &str) {
        let steps: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|step| json!({ "type": step, "value": key.to_string() })))
            .collect();
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": steps }] });
        drop(self.try_post("actions", actions).await);
    }

    /// The windows that are open.
    pub async fn windows(&self) -> Vec<String> {
        let all = self.get("window/handles").await;
        serde_json::from_value(all).unwrap()
    }

    /// Waits until there are so many windows.
    pub async fn until_windows(&self, count: usize) -> Vec<String> {
        for _ in 0..400 {
            let windows = self.windows().await;
            if windows.len() == count {
                return windows;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let shown = self.run("return location.href + '\\n' + document.body.innerText").await;
        panic!(
            "there are still {} windows, this one shows {shown}",
            self.windows().await.len()
        );
    }

    /// Goes on in another window.
    pub async fn switch(&self, window: &str) {
        self.post("window", json!({ "handle": window })).await;
    }

    /// What the page's console said, and what the browser said of it, since the last time.
    pub async fn console(&self) -> Vec<String> {
        let lines = self.post("se/log", json!({ "type": "browser" })).await;
        let lines = lines.as_array().unwrap().iter();
        lines.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }

    /// The addresses that were asked for since the last time, in all windows; not what a page's policy kept in.
    pub async fn requests(&self) -> Vec<String> {
        let lines = self.post("se/log", json!({ "type": "performance" })).await;
        let events = lines.as_array().unwrap().iter().map(|line| {
            let event: Value = serde_json::from_str(line["message"].as_str().unwrap()).unwrap();
            event["message"].clone()
        });
        let events: Vec<Value> = events.collect();
        let of = |method: &str| {
            let method = method.to_owned();
            events.iter().filter(move |event| event["method"] == method)
        };
        let kept_in: Vec<&Value> = of("Network.loadingFailed")
            .filter(|event| event["params"]["blockedReason"] == "csp")
            .map(|event| &event["params"]["requestId"])
            .collect();
        of("Network.requestWillBeSent")
            .filter(|event| !kept_in.contains(&&event["params"]["requestId"]))
            .map(|event| event["params"]["request"]["url"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn devtools(&self, command: &str, params: Value) -> Value {
        self.post("goog/cdp/execute", json!({ "cmd": command, "params": params }))
            .await
    }

    /// Shows pages as on a screen of that width, light or dark.
    pub async fn look(&self, width: u32, scheme: &str) {
        let screen = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", screen).await;
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Keeps a picture of the window.
    pub async fn shoot(&self, path: &Path) {
        let picture = self.get("screenshot").await;
        std::fs::write(path, BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap()).unwrap();
    }
}

async fn send(request: reqwest::RequestBuilder) -> Result<Value, Value> {
    let answer = request.timeout(Duration::from_mins(1)).send().await.unwrap();
    let is_done = answer.status().is_success();
    let value = answer.json::<Value>().await.unwrap()["value"].take();
    if is_done { Ok(value) } else { Err(value) }
}

impl Drop for Browser {
    /// Also after a test that failed, when nothing can be awaited any more: what is not told to end would live on.
    fn drop(&mut self) {
        let (host, port) = (self.session.host_str().unwrap(), self.session.port().unwrap());
        let path = self.session.path().trim_end_matches('/');
        if let Ok(mut to) = std::net::TcpStream::connect((host, port)) {
            let text = format!(
                "DELETE {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            drop(to.write_all(text.as_bytes()));
            drop(to.read(&mut [0; 512]));
        }
    }
}
