//! The provider itself, spoken to as anybody would.

mod courses;
mod faults;
mod flows;

use std::collections::HashMap;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::*;

/// The verifier and the challenge of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BACK: &str = "https://me.example.com/back";

struct World {
    provider: Provider,
    http: reqwest::Client,
}

async fn world(rotation: Rotation) -> World {
    let settings = Settings {
        rotation,
        ..Settings::default()
    };
    World {
        provider: Provider::start(settings).await,
        http: crate::client::build(),
    }
}

impl World {
    async fn post(&self, path: &str, form: &[(&str, &str)]) -> reqwest::Result<Response> {
        let mut all = vec![("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
        all.extend(form);
        let url = format!("{}{path}", self.provider.url());
        self.http.post(url).form(&all).send().await
    }

    /// Status and body of a call for tokens.
    async fn token(&self, form: &[(&str, &str)]) -> (u16, Value) {
        let answer = self.post("/token", form).await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn refresh(&self, token: &str) -> (u16, Value) {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)])
            .await
    }

    /// Refreshes; the next pair.
    async fn pair(&self, token: &str) -> Pair {
        let (status, body) = self.refresh(token).await;
        assert_eq!(status, 200, "{body}");
        Pair {
            access: body["access_token"].as_str().unwrap().to_owned(),
            refresh: body["refresh_token"].as_str().unwrap_or(token).to_owned(),
        }
    }

    async fn get(&self, path: &str, bearer: &str) -> Response {
        let url = format!("{}{path}", self.provider.url());
        self.http.get(url).bearer_auth(bearer).send().await.unwrap()
    }

    /// Where the browser is sent, as its parameters.
    async fn authorize(&self, query: &[(&str, &str)]) -> HashMap<String, String> {
        let url = format!("{}/authorize", self.provider.url());
        let mut all = vec![
            ("client_id", CLIENT_ID),
            ("redirect_uri", BACK),
            ("response_type", "code"),
        ];
        all.extend(query);
        let answer = self.http.get(url).query(&all).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FOUND);
        let to = url::Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
        assert!(to.as_str().starts_with(BACK));
        to.query_pairs().into_owned().collect()
    }
}

fn refused(code: &str) -> (u16, Value) {
    (400, json!({ "error": code }))
}
