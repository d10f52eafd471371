//! Problem details (RFC 9457): the one shape of every error.

use std::borrow::Cow;

use aide::{OperationOutput, generate::GenContext, openapi};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A kind of problem: a stable code, its status, and a title. The list of a service's codes is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode {
    /// `UPPER_SNAKE`; never changes once released.
    pub code: &'static str,
    /// The HTTP status it answers with.
    pub status: u16,
    /// A few words for a person.
    pub title: &'static str,
}

impl ErrorCode {
    /// A code for a service's own list.
    #[must_use]
    pub const fn new(code: &'static str, status: u16, title: &'static str) -> Self {
        Self { code, status, title }
    }
}

/// The codes any operation may answer.
pub mod codes {
    use super::ErrorCode;

    /// The request's shape or values are wrong; `errors` says where.
    pub const VALIDATION_FAILED: ErrorCode = ErrorCode::new("VALIDATION_FAILED", 422, "The request is not valid");
    /// The body is not JSON.
    pub const MALFORMED_JSON: ErrorCode = ErrorCode::new("MALFORMED_JSON", 422, "The body is not valid JSON");
    /// A state of the thing forbids the request, or the request makes no sense.
    pub const BAD_REQUEST: ErrorCode = ErrorCode::new("BAD_REQUEST", 400, "The request cannot be served");
    /// No credential, or one that is not valid.
    pub const UNAUTHENTICATED: ErrorCode = ErrorCode::new("UNAUTHENTICATED", 401, "Authentication is required");
    /// The credential does not reach this far.
    pub const FORBIDDEN: ErrorCode = ErrorCode::new("FORBIDDEN", 403, "Not permitted");
    /// There is nothing here, or nothing the caller may know of.
    pub const NOT_FOUND: ErrorCode = ErrorCode::new("NOT_FOUND", 404, "Not found");
    /// The path exists, the method does not.
    pub const METHOD_NOT_ALLOWED: ErrorCode = ErrorCode::new("METHOD_NOT_ALLOWED", 405, "Method not allowed");
    /// The thing is in a state that forbids the request.
    pub const CONFLICT: ErrorCode = ErrorCode::new("CONFLICT", 409, "Conflict");
    /// `If-Match` names another version than the stored one.
    pub const PRECONDITION_FAILED: ErrorCode = ErrorCode::new("PRECONDITION_FAILED", 412, "Changed by somebody else");
    /// The body is larger than the limit.
    pub const PAYLOAD_TOO_LARGE: ErrorCode = ErrorCode::new("PAYLOAD_TOO_LARGE", 413, "The body is too large");
    /// The body is in another form than the operation takes.
    pub const UNSUPPORTED_MEDIA_TYPE: ErrorCode =
        ErrorCode::new("UNSUPPORTED_MEDIA_TYPE", 415, "Unsupported media type");
    /// The idempotency key was used with another request.
    pub const IDEMPOTENCY_MISMATCH: ErrorCode = ErrorCode::new(
        "IDEMPOTENCY_MISMATCH",
        422,
        "The idempotency key was used for another request",
    );
    /// Too many requests; `Retry-After` says when to come back.
    pub const RATE_LIMITED: ErrorCode = ErrorCode::new("RATE_LIMITED", 429, "Rate limit exceeded");
    /// Something unexpected; the log has the rest, under the request id.
    pub const INTERNAL: ErrorCode = ErrorCode::new("INTERNAL", 500, "Internal error");
    /// Something this depends on is away or overloaded; `Retry-After` says when to come back.
    pub const UNAVAILABLE: ErrorCode = ErrorCode::new("UNAVAILABLE", 503, "Temporarily unavailable");
    /// The request took longer than the limit.
    pub const TIMEOUT: ErrorCode = ErrorCode::new("TIMEOUT", 504, "The request took too long");

    /// Every code of the kernel, for the documentation.
    pub const ALL: &[ErrorCode] = &[
        VALIDATION_FAILED,
        MALFORMED_JSON,
        BAD_REQUEST,
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_FOUND,
        METHOD_NOT_ALLOWED,
        CONFLICT,
        PRECONDITION_FAILED,
        PAYLOAD_TOO_LARGE,
        UNSUPPORTED_MEDIA_TYPE,
        IDEMPOTENCY_MISMATCH,
        RATE_LIMITED,
        INTERNAL,
        UNAVAILABLE,
        TIMEOUT,
    ];
}

/// One thing that is wrong with the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldError {
    /// Where: `body`, `query`, `path` or `header`, then names and positions.
    pub loc: Vec<Value>,
    /// The same place inside the body as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What is wrong, for a person.
    pub msg: String,
    /// What is wrong, for a program.
    #[serde(rename = "type")]
    pub kind: String,
}

impl FieldError {
    /// An error at `path` inside `place`; a part made of digits is a position.
    #[must_use]
    pub fn new(place: &str, path: &[&str], msg: impl Into<String>, kind: &str) -> Self {
        let mut loc = vec![Value::from(place)];
        let mut pointer = String::new();
        for part in path {
            loc.push(part.parse::<u64>().map_or_else(|_| Value::from(*part), Value::from));
            pointer.push('/');
            pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
        }
        Self {
            loc,
            pointer,
            msg: msg.into(),
            kind: kind.to_owned(),
        }
    }
}

/// An error as it is answered. The request id and the time are filled in on the way out.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

/// Boxed, so that a `Result` of a handler stays small.
#[derive(Debug, Clone)]
struct Parts {
    code: ErrorCode,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    members: Map<String, Value>,
    headers: HeaderMap,
}

impl Problem {
    /// A problem; `detail` is a sentence the caller can act on.
    #[must_use]
    pub fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let (errors, members, headers) = (Vec::new(), Map::new(), HeaderMap::new());
        Self(Box::new(Parts {
            code,
            detail: detail.into(),
            errors,
            members,
            headers,
        }))
    }

    /// 422 with what is wrong and where.
    #[must_use]
    pub fn validation(errors: Vec<FieldError>) -> Self {
        let detail = errors.first().map_or_else(
            || "The request is not valid.".to_owned(),
            |first| {
                let at: Vec<String> = first
                    .loc
                    .iter()
                    .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
                    .collect();
                format!("{}: {}", at.join("."), first.msg)
            },
        );
        let mut problem = Self::new(codes::VALIDATION_FAILED, detail);
        problem.0.errors = errors;
        problem
    }

    /// 422 for one place in the body that only a rule could judge.
    #[must_use]
    pub fn field(path: &[&str], msg: impl Into<String>, kind: &str) -> Self {
        Self::validation(vec![FieldError::new("body", path, msg, kind)])
    }

    /// 500; `error` goes to the log and nowhere else.
    #[must_use]
    pub fn internal(error: &(dyn std::fmt::Display + '_)) -> Self {
        tracing::error!(error = %error, "an unexpected error");
        Self::new(
            codes::INTERNAL,
            "Something went wrong on our side; the log has it under this request id.",
        )
    }

    /// 401 with the challenge RFC 6750 asks for.
    #[must_use]
    pub fn unauthenticated(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(codes::UNAUTHENTICATED, detail).with_header(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"polity\""),
        )
    }

    /// 503 with the seconds to wait.
    #[must_use]
    pub fn unavailable(detail: impl Into<Cow<'static, str>>, retry_after: u64) -> Self {
        Self::new(codes::UNAVAILABLE, detail).with_header(header::RETRY_AFTER, HeaderValue::from(retry_after))
    }

    /// Adds a member that a contract names.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(member.to_owned(), value.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Adds headers.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.0.headers.extend(headers);
        self
    }

    /// The same problem under another code.
    #[must_use]
    pub(super) fn recode(self, code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let mut problem = self;
        problem.0.code = code;
        problem.0.detail = detail.into();
        problem
    }

    /// What is wrong with the request, and where.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The answer, with what only the outermost layer knows.
    pub(super) fn finish(self, request_id: &str, now: DateTime<Utc>) -> Response {
        let Parts {
            code,
            detail,
            errors,
            members,
            headers,
        } = *self.0;
        let mut body = members;
        body.insert(
            "type".into(),
            format!("/docs#{}", code.code.to_ascii_lowercase()).into(),
        );
        body.insert("title".into(), code.title.into());
        body.insert("status".into(), code.status.into());
        body.insert("detail".into(), detail.into_owned().into());
        body.insert("code".into(), code.code.into());
        body.insert("request_id".into(), request_id.into());
        body.insert("timestamp".into(), crate::clock::rfc3339(now).into());
        if !errors.is_empty() {
            body.insert("errors".into(), serde_json::to_value(&errors).unwrap_or_default());
        }
        let status = StatusCode::from_u16(code.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        let mut response = (status, [kind], Value::Object(body).to_string()).into_response();
        response.headers_mut().extend(headers);
        response
    }
}

/// The body is written by the outermost layer, which knows the request id; until then the problem travels in an extension.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<crate::db::Error> for Problem {
    fn from(error: crate::db::Error) -> Self {
        use crate::db::Error;
        match error {
            Error::Overloaded => Self::unavailable("Too many requests are waiting to write; try again in a moment.", 1),
            Error::Full(_) => {
                tracing::error!(error = %error, "the database cannot be written");
                Self::unavailable(
                    "The server cannot store anything at the moment; nothing was changed.",
                    30,
                )
            }
            error if error.is_transient() => {
                tracing::warn!(error = %error, "the database did not serve a request");
                Self::unavailable("The database is not available at the moment; try again.", 2)
            }
            error => Self::internal(&error),
        }
    }
}

impl From<crate::db::CursorError> for Problem {
    fn from(error: crate::db::CursorError) -> Self {
        Self::new(codes::BAD_REQUEST, error.to_string())
    }
}

impl From<polity_seal::SealError> for Problem {
    fn from(error: polity_seal::SealError) -> Self {
        Self::internal(&error)
    }
}

/// The members of a problem, for the OpenAPI document.
#[derive(JsonSchema)]
#[schemars(rename = "Problem")]
#[expect(dead_code, reason = "only its schema is used; `Problem::finish` writes the members")]
struct ProblemBody {
    /// A reference to the description of the code.
    #[serde(rename = "type")]
    kind: String,
    /// A few words for a person.
    title: String,
    /// The HTTP status.
    status: u16,
    /// A sentence the caller can act on.
    detail: String,
    /// A stable code, `UPPER_SNAKE`.
    code: String,
    /// Names this request in the log.
    request_id: String,
    /// When it happened.
    timestamp: DateTime<Utc>,
    /// What is wrong with the request, and where (422).
    errors: Option<Vec<FieldError>>,
}

/// The description of a problem response, for the OpenAPI document.
pub(super) fn response(ctx: &mut GenContext, description: &str) -> openapi::Response {
    let schema = ctx.schema.subschema_for::<ProblemBody>();
    let schema = openapi::SchemaObject {
        json_schema: schema,
        example: None,
        external_docs: None,
    };
    let media = openapi::MediaType {
        schema: Some(schema),
        ..Default::default()
    };
    openapi::Response {
        description: description.to_owned(),
        content: [("application/problem+json".to_owned(), media)].into_iter().collect(),
        ..Default::default()
    }
}

impl OperationOutput for Problem {
    type Inner = ProblemDoc;

    fn operation_response(ctx: &mut GenContext, _: &mut openapi::Operation) -> Option<openapi::Response> {
        Some(response(ctx, "A problem"))
    }
}

/// Stands for the body of a problem where the documentation asks for its type.
pub struct ProblemDoc(());
