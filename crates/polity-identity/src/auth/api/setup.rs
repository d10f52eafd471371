//! The set-up page: a link that works once and makes the first administrator.

use garde::Validate;
use polity_kernel::{
    Secret,
    caller::Public,
    http::{self as api, Form, Page, Query, Result, Routes, State, escape},
    operation,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::auth::{Auth, error::code, service};

/// The token of the link.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct SetupQuery {
    /// The token.
    #[garde(length(chars, max = 128))]
    #[serde(default)]
    token: String,
}

/// The page that asks for the first administrator.
#[operation("auth.setup_page")]
async fn page(_: Public, Query(query): Query<SetupQuery>) -> Page {
    form(&query.token, None)
}

/// The first administrator.
#[derive(Deserialize, Validate, JsonSchema)]
struct SetupIn {
    /// The token of the link; it is also what tells the form from a forged one.
    #[garde(length(chars, max = 128))]
    token: String,
    /// Their address.
    #[garde(custom(api::email))]
    #[schemars(example = &"ada@example.com", extend("format" = "email", "maxLength" = 254))]
    email: String,
    /// A password of 8 to 1024 characters.
    #[garde(length(chars, min = 8, max = 1024))]
    #[schemars(example = &"correct horse battery")]
    password: String,
    /// Their name.
    #[garde(length(chars, min = 1, max = 100))]
    #[schemars(example = &"Ada Lovelace")]
    name: String,
}

/// Creates the first administrator with the set-up link.
///
/// From the page, or as JSON. The link works once, for a day, and only while there is no administrator.
#[operation("auth.setup", errors(code::BOOTSTRAP_CLOSED))]
async fn setup(_: Public, State(auth): State<Auth>, Form(body): Form<SetupIn>) -> Result<Page> {
    let password = Secret::from(body.password);
    service::setup(&auth, &body.token, &body.email, &password, &body.name).await?;
    Ok(form(
        "",
        Some("The administrator is created. Sign in through the API: POST /api/v1/auth/admin/login."),
    ))
}

fn form(token: &str, done: Option<&str>) -> Page {
    let inner = match done {
        Some(text) => format!("<h1>Polity</h1><p role=\"status\">{}</p>", escape(text)),
        None => format!(include_str!("setup.html"), token = escape(token)),
    };
    Page::new("Polity set-up", inner)
}

pub(super) fn add(routes: Routes<Auth>) -> Routes<Auth> {
    routes.get("/setup", page()).post("/setup", setup())
}
