//! The set-up page: a link that works once and makes the first administrator.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};
use garde::Validate;
use http::header;
use polity_kernel::{
    Secret,
    caller::Public,
    http::{self as api, IntoResponse, Json, Problem, Query, Response, Result, Routes, State, codes},
    operation,
    secret::random_url_safe,
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

/// A page without assets from elsewhere; its one style is admitted by a nonce.
struct Page {
    body: String,
    nonce: String,
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let policy = format!(
            "default-src 'none'; style-src 'nonce-{}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            self.nonce
        );
        (
            [
                (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
                (header::CONTENT_SECURITY_POLICY, policy),
            ],
            self.body,
        )
            .into_response()
    }
}

impl aide::OperationOutput for Page {
    type Inner = String;

    fn operation_response(
        _: &mut aide::generate::GenContext,
        _: &mut aide::openapi::Operation,
    ) -> Option<aide::openapi::Response> {
        let content = [("text/html".to_owned(), aide::openapi::MediaType::default())]
            .into_iter()
            .collect();
        Some(aide::openapi::Response {
            description: "The page".to_owned(),
            content,
            ..Default::default()
        })
    }
}

fn form(token: &str, done: Option<&str>) -> Page {
    let nonce = random_url_safe(16);
    let inner = match done {
        Some(text) => format!("<p role=\"status\">{}</p>", escape(text)),
        None => format!(include_str!("setup.html"), token = escape(token)),
    };
    let body = format!(include_str!("page.html"), nonce = nonce, inner = inner);
    Page { body, nonce }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A body as a form or as JSON.
struct Form<T>(T);

impl<S, T> FromRequest<S> for Form<T>
where
    S: Send + Sync,
    T: serde::de::DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        if !kind.starts_with("application/x-www-form-urlencoded") {
            let Json(body) = Json::from_request(request, state).await?;
            return Ok(Self(body));
        }
        let (parts, body) = request.into_parts();
        let bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), state).await;
        let bytes = bytes.map_err(|rejection| Problem::new(codes::PAYLOAD_TOO_LARGE, rejection.to_string()))?;
        if bytes.contains(&0) || bytes.windows(3).any(|some| some == b"%00") {
            let problem = "The character U+0000 is not allowed in text";
            return Err(Problem::field(&[], problem, "nul_not_allowed"));
        }
        let form = axum::extract::Form::<T>::from_request(Request::from_parts(parts, bytes.into()), state).await;
        let axum::extract::Form(body) =
            form.map_err(|rejection| Problem::new(codes::VALIDATION_FAILED, rejection.to_string()))?;
        api::check("body", &body)?;
        Ok(Self(body))
    }
}

impl<T: JsonSchema> aide::OperationInput for Form<T> {
    fn operation_input(ctx: &mut aide::generate::GenContext, operation: &mut aide::openapi::Operation) {
        <Json<T> as aide::OperationInput>::operation_input(ctx, operation);
    }
}

pub(super) fn add(routes: Routes<Auth>) -> Routes<Auth> {
    routes.get("/setup", page()).post("/setup", setup())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_link_says_stays_text() {
        let page = form("\"><script>alert(1)</script>", None);
        assert!(!page.body.contains("<script>"));
        assert!(page.body.contains("&quot;&gt;&lt;script&gt;"));
        assert!(page.body.contains(&page.nonce));
    }
}
