//! Statuses and headers that some answers carry: a version, a creation.

use aide::{OperationInput, OperationOutput, generate::GenContext, openapi};
use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde::Serialize;

use super::{Json, Problem, codes};

/// A body with its version in `ETag` (RFC 9110, 8.8.3).
#[derive(Debug, Clone)]
pub struct Tagged<T> {
    /// The version, with its quotes.
    pub tag: String,
    /// The body.
    pub body: T,
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

impl<T: schemars::JsonSchema> OperationOutput for Tagged<T> {
    type Inner = T;

    fn operation_response(ctx: &mut GenContext, operation: &mut openapi::Operation) -> Option<openapi::Response> {
        Json::<T>::operation_response(ctx, operation)
    }
}

/// The version the caller looked at, if it gave one in `If-Match` (RFC 9110, 13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfMatch(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.headers.get(header::IF_MATCH).map(HeaderValue::to_str) {
            None => Ok(Self(None)),
            Some(Ok(tag)) => Ok(Self(Some(tag.trim().to_owned()))),
            Some(Err(_)) => Err(Problem::new(
                codes::BAD_REQUEST,
                "If-Match must be an entity tag from an ETag header",
            )),
        }
    }
}

impl OperationInput for IfMatch {}

/// 201 around an answer.
#[derive(Debug, Clone, Copy)]
pub struct Created<R>(pub R);

impl<R: IntoResponse> IntoResponse for Created<R> {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        if response.status() == StatusCode::OK {
            *response.status_mut() = StatusCode::CREATED;
        }
        response
    }
}

impl<R: OperationOutput> OperationOutput for Created<R> {
    type Inner = R::Inner;

    fn operation_response(ctx: &mut GenContext, operation: &mut openapi::Operation) -> Option<openapi::Response> {
        R::operation_response(ctx, operation)
    }
}

/// An answer that may set a cookie (RFC 6265, 4.1).
#[derive(Debug, Clone)]
pub struct SetsCookie<R> {
    /// The cookie with its attributes.
    pub cookie: Option<HeaderValue>,
    /// The answer.
    pub answer: R,
}

impl<R: IntoResponse> IntoResponse for SetsCookie<R> {
    fn into_response(self) -> Response {
        let mut response = self.answer.into_response();
        if let Some(cookie) = self.cookie {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}

impl<R: OperationOutput> OperationOutput for SetsCookie<R> {
    type Inner = R::Inner;

    fn operation_response(ctx: &mut GenContext, operation: &mut openapi::Operation) -> Option<openapi::Response> {
        R::operation_response(ctx, operation)
    }
}
