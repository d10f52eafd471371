//! Connections as people meet them: in Chromium, with an app's page, a pop-up and a provider.

mod driver;
mod pages;
mod world;

use polity_testing::Backend;
use serde_json::json;

use self::{
    driver::{Browser, ENTER, TAB},
    world::{At, World},
};

/// The whole way, by the keyboard alone.
async fn connects(backend: Backend, at: At) {
    let Some(browser) = Browser::start().await else { return };
    let Some(world) = World::new(backend, at).await else {
        return;
    };
    world.visit(&browser, "authorize_url").await;
    let [page, _] = world.pop_up(&browser).await;
    browser.heading("Connect Outside").await;
    pages::is_clean(&browser).await;
    // Allow is the first that Tab reaches, and one sees where one is.
    browser.press(TAB).await;
    assert_eq!(
        pages::focus(&browser).await,
        json!(["Allow and go on to Outside", true])
    );
    browser.press(ENTER).await;
    world.sign_in(&browser).await;
    let told = world.heard(&browser, &page).await;
    assert_eq!(told["status"], "active");
    let id = told["connection_id"].as_str().unwrap();
    assert_eq!(world.connection(id).await.body["status"], "active");
    world.issue(id).await.expect(200);
    let known = [
        world.url.clone(),
        world.page.clone(),
        world.at.url(),
        "data:,".to_owned(),
    ];
    let requests = browser.requests().await;
    assert!(
        requests.iter().any(|url| url.contains("/oauth/connections")),
        "{requests:?}"
    );
    let is_known = |url: &&String| known.iter().any(|known| url.starts_with(known.as_str()));
    let strange: Vec<&String> = requests.iter().filter(|url| !is_known(url)).collect();
    assert!(strange.is_empty(), "{strange:?}");
    let console = browser.console().await;
    assert!(console.is_empty(), "{console:?}");
}

#[tokio::test]
async fn a_pop_up_connects_and_tells_its_opener() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        connects(backend, At::double().await).await;
    }
}

#[tokio::test]
async fn a_person_signs_in_at_a_real_provider() {
    if Browser::start().await.is_none() {
        return;
    }
    connects(Backend::Sqlite, At::oidc()).await;
}

#[tokio::test]
async fn who_cancels_is_heard_too() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new(Backend::Sqlite, At::double().await).await.unwrap();
    world.visit(&browser, "authorize_url").await;
    let [page, _] = world.pop_up(&browser).await;
    browser.heading("Connect Outside").await;
    browser.press(&[TAB, TAB].concat()).await;
    assert_eq!(pages::focus(&browser).await, json!(["Cancel", true]));
    browser.press(ENTER).await;
    let told = world.heard(&browser, &page).await;
    assert_eq!(told["status"], "error");
    let id = told["connection_id"].as_str().unwrap();
    assert_eq!(world.connection(id).await.body["status"], "error");
}

#[tokio::test]
async fn a_page_of_another_site_connects_again_by_the_link() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new(Backend::Sqlite, At::double().await).await.unwrap();
    for _ in 0..2 {
        // Also where consent was given: who is led on has said here that they want to.
        world.visit(&browser, "connect_url").await;
        let [page, _] = world.pop_up(&browser).await;
        browser.heading("Connect Outside").await;
        browser.press(&[TAB, ENTER].concat()).await;
        let told = world.heard(&browser, &page).await;
        assert_eq!(told["status"], "active");
    }
}
