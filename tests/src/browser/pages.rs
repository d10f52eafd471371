//! The pages themselves: what a screen reader and an eye have of them, and what they keep out.

use std::path::PathBuf;

use polity_testing::Backend;
use serde_json::{Value, json};

use super::{
    driver::{Browser, ENTER, TAB},
    world::{At, World},
};

/// What has the focus, and whether one sees it.
pub async fn focus(browser: &Browser) -> Value {
    let script = "const at = document.activeElement, style = getComputedStyle(at);
        return [at.textContent, at.matches(':focus-visible') && style.outlineStyle !== 'none' && parseInt(style.outlineWidth) > 1]";
    browser.run(script).await
}

/// What every page keeps to: it has a title and a language, one heading that says what it is, a main part, controls with
/// names, ids that are used once, and loads nothing.
pub async fn is_clean(browser: &Browser) {
    let script = "const all = (css) => [...document.querySelectorAll(css)], ids = all('[id]').map((one) => one.id);
        return {
            title: document.title === document.querySelector('h1').textContent,
            language: document.documentElement.lang,
            headings: all('h1').length,
            main: all('main').length,
            nameless: all('button, a[href], input:not([type=hidden])').filter((one) => !(one.textContent || one.labels?.length)).length,
            twice: ids.length - new Set(ids).size,
            references: all('[aria-labelledby]').filter((one) => !document.getElementById(one.getAttribute('aria-labelledby'))).length,
            loaded: performance.getEntriesByType('resource').map((one) => one.name),
        }";
    let expected = json!({
        "title": true, "language": "en", "headings": 1, "main": 1, "nameless": 0, "twice": 0, "references": 0, "loaded": [],
    });
    assert_eq!(browser.run(script).await, expected);
}

/// Colours that cannot be told apart: the contrast of each text with what is behind it (WCAG 2.2, 1.4.3).
const CONTRAST: &str = "
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const over = (colors) => {
        canvas.clearRect(0, 0, 1, 1);
        for (const color of colors) { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); }
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = (rgb) => {
        const [r, g, b] = rgb.map((c) => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b;
    };
    const behind = (one) => one ? [...behind(one.parentElement), getComputedStyle(one).backgroundColor] : ['Canvas'];
    const poor = [];
    for (const one of document.querySelectorAll('main *')) {
        if (![...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) continue;
        const back = behind(one), opacity = [];
        for (let at = one; at; at = at.parentElement) opacity.push(parseFloat(getComputedStyle(at).opacity));
        const faded = opacity.reduce((a, b) => a * b);
        const ground = over(back);
        const text = over([...back, getComputedStyle(one).color]).map((c, n) => c * faded + ground[n] * (1 - faded));
        const [high, low] = [light(text), light(ground)].sort((a, b) => b - a);
        const ratio = (high + .05) / (low + .05);
        if (ratio < 4.5) poor.push([one.tagName, one.textContent, ratio]);
    }
    return poor";

/// Pictures are kept in the folder that `POLITY_TEST_SHOTS` names, for whoever wants to look.
#[expect(clippy::disallowed_methods, reason = "this is how a person tells the test")]
fn shots() -> Option<PathBuf> {
    std::env::var("POLITY_TEST_SHOTS").ok().map(PathBuf::from)
}

/// A page fits every screen and can be read in both schemes.
async fn can_be_read(browser: &Browser, name: &str) {
    is_clean(browser).await;
    for (width, scheme) in [
        (320, "light"),
        (480, "light"),
        (480, "dark"),
        (1280, "light"),
        (1280, "dark"),
    ] {
        browser.look(width, scheme).await;
        let over = browser
            .run("return document.documentElement.scrollWidth - innerWidth")
            .await;
        assert!(over.as_i64().unwrap() <= 0, "{name} is wider than {width}");
        assert_eq!(browser.run(CONTRAST).await, json!([]), "{name}, {scheme}");
        if let Some(folder) = shots() {
            browser
                .shoot(&folder.join(format!("{name}-{scheme}-{width}.png")))
                .await;
        }
    }
}

#[tokio::test]
async fn the_pages_can_be_read_by_eye_and_ear() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new(Backend::Sqlite, At::double().await).await.unwrap();
    let (id, link) = world.link().await;
    browser.open(&link).await;
    browser.heading("Connect Outside").await;
    can_be_read(&browser, "consent").await;
    let button = |name: &str| ("button".to_owned(), name.to_owned());
    assert_eq!(
        browser.spoken("button.main").await,
        button("Allow and go on to Outside")
    );
    assert_eq!(browser.spoken("button[value=deny]").await, button("Cancel"));
    assert_eq!(
        browser.spoken("ul").await,
        ("list".to_owned(), "What it may do".to_owned())
    );
    browser.press(TAB).await;
    if let Some(folder) = shots() {
        browser.shoot(&folder.join("consent-focus.png")).await;
    }
    browser.press(ENTER).await;
    browser.heading("Connected").await;
    can_be_read(&browser, "connected").await;
    assert_eq!(browser.spoken("#end").await.0, "status");
    assert_eq!(world.connection(&id).await.body["status"], "active");
    let console = browser.console().await;
    assert!(console.is_empty(), "{console:?}");
    // It was for once.
    browser.open(&link).await;
    browser.heading("This did not work").await;
    can_be_read(&browser, "unknown").await;
    assert_eq!(browser.spoken("[role=alert]").await.0, "alert");
}

#[tokio::test]
async fn a_link_is_for_the_browser_that_opened_it() {
    let (Some(first), Some(other)) = (Browser::start().await, Browser::start().await) else {
        return;
    };
    let world = World::new(Backend::Sqlite, At::double().await).await.unwrap();
    let (id, link) = world.link().await;
    first.open(&link).await;
    first.heading("Connect Outside").await;
    other.open(&link).await;
    other.heading("This did not work").await;
    first.press(&[TAB, ENTER].concat()).await;
    first.heading("Connected").await;
    assert_eq!(world.connection(&id).await.body["status"], "active");
}

#[tokio::test]
async fn a_page_runs_and_loads_nothing_that_was_put_into_it() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new(Backend::Sqlite, At::double().await).await.unwrap();
    browser.open(&world.link().await.1).await;
    browser.heading("Connect Outside").await;
    browser.requests().await;
    let script = "const from = arguments[0];
        const put = (html) => document.body.append(document.createRange().createContextualFragment(html));
        put('<script>window.harm = 1</script>');
        put(`<img src='${from}/a.png' onerror='window.harm = 2'><iframe src='${from}/'></iframe>`);
        put(`<script src='${from}/a.js'></script><link rel=stylesheet href='${from}/a.css'>`);
        put('<style>h1 { display: none }</style>');";
    browser.run_with(script, json!([world.page])).await;
    // The browser says what it kept out.
    let mut kept_out = Vec::new();
    while kept_out.len() < 5 {
        let said = browser.console().await.into_iter();
        kept_out.extend(said.filter(|line| line.contains("Content Security Policy")));
    }
    assert_eq!(browser.run("return window.harm ?? null").await, Value::Null);
    assert_ne!(
        browser
            .run("return getComputedStyle(document.querySelector('h1')).display")
            .await,
        "none"
    );
    let requests = browser.requests().await;
    assert!(!requests.iter().any(|url| url.starts_with(&world.page)), "{requests:?}");
}
