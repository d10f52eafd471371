//! JSON Lines: one JSON document per line, for what is too large to be one. Written as a stream, read whole and with a limit
//! of their own, which is larger than that of other bodies.

use aide::{OperationInput, OperationOutput, generate::GenContext, openapi};
use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{Problem, codes};

/// The media type.
const MEDIA: &str = "application/x-ndjson";
/// The largest body of lines, in bytes.
pub const MOST: usize = 64 << 20;

/// Lines, to be parsed by the operation that takes them. Read after the guard has let the caller in.
#[derive(Debug, Clone)]
pub struct Lines(pub Bytes);

/// Whether a body says that it is lines.
pub(super) fn are_lines(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(MEDIA))
}

impl<S: Send + Sync> FromRequest<S> for Lines {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !are_lines(request.headers()) {
            return Err(Problem::new(
                codes::UNSUPPORTED_MEDIA_TYPE,
                "Send the body as `Content-Type: application/x-ndjson`.",
            ));
        }
        match Limited::new(request.into_body(), MOST).collect().await {
            Ok(body) => Ok(Self(body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(Problem::new(
                codes::PAYLOAD_TOO_LARGE,
                format!("The body is larger than the limit of {MOST} bytes."),
            )),
            Err(_) => Err(Problem::new(
                codes::BAD_REQUEST,
                "The body could not be read to its end.",
            )),
        }
    }
}

fn content() -> indexmap::IndexMap<String, openapi::MediaType> {
    let media = openapi::MediaType {
        schema: Some(openapi::SchemaObject {
            json_schema: schemars::json_schema!({ "type": "string" }),
            external_docs: None,
            example: None,
        }),
        ..Default::default()
    };
    std::iter::once((MEDIA.to_owned(), media)).collect()
}

impl OperationInput for Lines {
    fn operation_input(_: &mut GenContext, operation: &mut openapi::Operation) {
        operation.request_body = Some(openapi::ReferenceOr::Item(openapi::RequestBody {
            description: Some("JSON Lines, at most 64 MiB".to_owned()),
            content: content(),
            required: true,
            extensions: indexmap::IndexMap::default(),
        }));
    }
}

/// An answer in lines, made while it is sent. One that fails is cut off: whoever reads it finds no end.
pub struct LinesOut {
    file: String,
    body: Body,
}

impl LinesOut {
    /// An answer that a browser keeps as `file`, made of what `next` yields until it yields nothing.
    pub fn new<T, E, F, N>(file: String, state: T, next: N) -> Self
    where
        T: Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
        F: Future<Output = Option<(Result<Bytes, E>, T)>> + Send + 'static,
        N: FnMut(T) -> F + Send + 'static,
    {
        // The layers around may ask once more after the end.
        let body = Body::from_stream(futures::stream::unfold(state, next).fuse());
        Self { file, body }
    }
}

impl IntoResponse for LinesOut {
    fn into_response(self) -> Response {
        let mut response = self.body.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA));
        if let Ok(kept) = HeaderValue::from_str(&format!("attachment; filename=\"{}\"", self.file)) {
            headers.insert(header::CONTENT_DISPOSITION, kept);
        }
        response
    }
}

impl OperationOutput for LinesOut {
    type Inner = String;

    fn operation_response(_: &mut GenContext, _: &mut openapi::Operation) -> Option<openapi::Response> {
        Some(openapi::Response {
            description: "JSON Lines".to_owned(),
            content: content(),
            ..Default::default()
        })
    }
}
