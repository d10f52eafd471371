//! The API reference: one page that draws the OpenAPI document and needs nothing from outside.

use axum::response::{IntoResponse, Response};
use http::header;

/// The page. Its script and style are parts of it, and the only ones its content security policy admits.
pub(crate) fn page() -> Response {
    let policy = "default-src 'none'; connect-src 'self'; img-src data:; script-src 'self'; style-src 'self'; \
                  base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    (headers, include_str!("docs/index.html")).into_response()
}

/// The script of the page.
pub(crate) fn script() -> Response {
    (
        [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")],
        include_str!("docs/docs.js"),
    )
        .into_response()
}

/// The style of the page.
pub(crate) fn style() -> Response {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("docs/docs.css"),
    )
        .into_response()
}
