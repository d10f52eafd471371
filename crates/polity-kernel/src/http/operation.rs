//! Operations and routes: a handler with its documentation, and a service's table of them.

use aide::{
    OperationInput, OperationOutput,
    generate::in_context,
    openapi::{self, ReferenceOr},
    operation::OperationHandler,
};
use axum::{
    Router,
    handler::Handler,
    routing::{MethodFilter, MethodRouter, on},
};

use super::{ErrorCode, codes, openapi::Described, problem};

/// The member of an operation in the OpenAPI document that says that its answers are pages, for people.
pub const PAGE: &str = "x-page";

/// What the `operation` attribute read from a handler.
#[derive(Debug, Clone, Copy)]
pub struct Doc {
    /// `service.verb`.
    pub id: &'static str,
    /// The first line of the doc comment.
    pub summary: &'static str,
    /// The rest of it.
    pub description: &'static str,
    /// The status of success.
    pub status: u16,
    /// The codes it may answer beside the common ones.
    pub errors: &'static [ErrorCode],
}

/// A handler and its documentation, not yet at a path.
pub struct Operation<S> {
    doc: openapi::Operation,
    route: Box<dyn Fn(MethodFilter) -> MethodRouter<S>>,
}

impl<S: Clone + Send + Sync + 'static> Operation<S> {
    /// What `#[operation]` expands to.
    pub fn new<H, I, O, T>(doc: Doc, handler: H) -> Self
    where
        H: Handler<T, S> + OperationHandler<I, O> + Clone,
        I: OperationInput,
        O: OperationOutput,
        T: 'static,
    {
        let mut described = openapi::Operation {
            operation_id: Some(doc.id.to_owned()),
            summary: Some(doc.summary.to_owned()),
            description: (!doc.description.is_empty()).then(|| doc.description.to_owned()),
            ..Default::default()
        };
        in_context(|ctx| {
            I::operation_input(ctx, &mut described);
            let mut responses = openapi::Responses::default();
            if let Some(response) = O::operation_response(ctx, &mut described) {
                responses
                    .responses
                    .insert(openapi::StatusCode::Code(doc.status), ReferenceOr::Item(response));
            }
            for (status, text) in by_status(&doc, &described) {
                let mut response = problem::response(ctx, &text);
                if status < 500 && described.extensions.contains_key(PAGE) {
                    response
                        .content
                        .insert("text/html".to_owned(), openapi::MediaType::default());
                }
                responses
                    .responses
                    .insert(openapi::StatusCode::Code(status), ReferenceOr::Item(response));
            }
            described.responses = Some(responses);
        });
        Self {
            doc: described,
            route: Box::new(move |method| on(method, handler.clone())),
        }
    }

    /// The same operation under another id: for an alias, or for one that every service has.
    #[must_use]
    pub fn named(mut self, id: impl Into<String>) -> Self {
        self.doc.operation_id = Some(id.into());
        self
    }
}

/// The problems an operation may answer: its own, and those its shape brings with it.
fn by_status(doc: &Doc, described: &openapi::Operation) -> Vec<(u16, String)> {
    let mut all: Vec<ErrorCode> = doc.errors.to_vec();
    all.extend([codes::INTERNAL, codes::UNAVAILABLE, codes::TIMEOUT]);
    if !described.security.is_empty() {
        // A malformed `X-User-Id`, `Idempotency-Key` or `If-Match` is 400.
        all.extend([codes::UNAUTHENTICATED, codes::BAD_REQUEST]);
    }
    if described.request_body.is_some() {
        all.extend([
            codes::VALIDATION_FAILED,
            codes::MALFORMED_JSON,
            codes::PAYLOAD_TOO_LARGE,
            codes::UNSUPPORTED_MEDIA_TYPE,
        ]);
    } else if !described.parameters.is_empty() {
        all.push(codes::VALIDATION_FAILED);
    }
    let mut out: Vec<(u16, String)> = Vec::new();
    for code in all {
        match out.iter_mut().find(|(status, _)| *status == code.status) {
            Some((_, text)) if text.contains(code.code) => {}
            Some((_, text)) => *text = format!("{text}; `{}`: {}", code.code, code.title),
            None => out.push((code.status, format!("`{}`: {}", code.code, code.title))),
        }
    }
    out
}

/// Names the parameters of the path, as far as the handler's types do not: one that is a text has no type to tell its name.
fn describe_path(doc: &mut openapi::Operation, path: &str) {
    for name in path.split('{').skip(1).filter_map(|rest| rest.split_once('}')) {
        let name = name.0;
        let known = doc.parameters.iter().any(|parameter| {
            matches!(parameter, ReferenceOr::Item(openapi::Parameter::Path { parameter_data, .. }) if parameter_data.name == name)
        });
        if known {
            continue;
        }
        let schema = schemars::json_schema!({ "type": "string", "minLength": 1 });
        doc.parameters.push(ReferenceOr::Item(openapi::Parameter::Path {
            parameter_data: openapi::ParameterData {
                name: name.to_owned(),
                description: None,
                required: true,
                deprecated: None,
                format: openapi::ParameterSchemaOrContent::Schema(openapi::SchemaObject {
                    json_schema: schema,
                    external_docs: None,
                    example: None,
                }),
                example: None,
                examples: indexmap::IndexMap::default(),
                explode: None,
                extensions: indexmap::IndexMap::default(),
            },
            style: openapi::PathStyle::Simple,
        }));
        add_response(doc, codes::VALIDATION_FAILED);
    }
}

/// Adds a problem to what an operation may answer, unless something with its status is there.
fn add_response(doc: &mut openapi::Operation, code: ErrorCode) {
    let text = format!("`{}`: {}", code.code, code.title);
    let responses = &mut doc.responses.get_or_insert_default().responses;
    let status = openapi::StatusCode::Code(code.status);
    if !responses.contains_key(&status) {
        let response = in_context(|ctx| problem::response(ctx, &text));
        responses.insert(status, ReferenceOr::Item(response));
    }
}

/// A service's operations and where they are.
pub struct Routes<S> {
    tag: &'static str,
    router: Router<S>,
    described: Vec<Described>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// An empty table; `tag` groups the operations in the documentation.
    #[must_use]
    pub fn new(tag: &'static str) -> Self {
        Self {
            tag,
            router: Router::new(),
            described: Vec::new(),
        }
    }

    /// `GET`.
    #[must_use]
    pub fn get(self, path: impl Into<String>, operation: Operation<S>) -> Self {
        self.add("get", MethodFilter::GET, path, operation)
    }

    /// `POST`.
    #[must_use]
    pub fn post(self, path: impl Into<String>, operation: Operation<S>) -> Self {
        self.add("post", MethodFilter::POST, path, operation)
    }

    /// `PUT`.
    #[must_use]
    pub fn put(self, path: impl Into<String>, operation: Operation<S>) -> Self {
        self.add("put", MethodFilter::PUT, path, operation)
    }

    /// `PATCH`.
    #[must_use]
    pub fn patch(self, path: impl Into<String>, operation: Operation<S>) -> Self {
        self.add("patch", MethodFilter::PATCH, path, operation)
    }

    /// `DELETE`.
    #[must_use]
    pub fn delete(self, path: impl Into<String>, operation: Operation<S>) -> Self {
        self.add("delete", MethodFilter::DELETE, path, operation)
    }

    fn add(
        mut self,
        method: &'static str,
        filter: MethodFilter,
        path: impl Into<String>,
        operation: Operation<S>,
    ) -> Self {
        let path = path.into();
        let mut doc = operation.doc;
        describe_path(&mut doc, &path);
        doc.tags.push(self.tag.to_owned());
        self.router = self.router.route(&path, (operation.route)(filter));
        self.described.push(Described {
            method,
            path,
            operation: doc,
        });
        self
    }

    /// Notes that any of these operations may also answer this, whoever makes them do so.
    #[must_use]
    pub fn may_answer(mut self, code: ErrorCode) -> Self {
        for described in &mut self.described {
            add_response(&mut described.operation, code);
        }
        self
    }

    /// The router, ready to be merged with others, and what it answers.
    pub fn mount(self, state: S) -> (Router, Vec<Described>) {
        (self.router.with_state(state), self.described)
    }

    /// What it answers, without a state.
    #[must_use]
    pub fn describe(self) -> Vec<Described> {
        self.described
    }
}
