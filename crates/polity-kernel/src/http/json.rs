//! JSON bodies: in with every error located, out as they are.

use aide::{OperationInput, OperationOutput, generate::GenContext, openapi};
use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use garde::Validate;
use http::{HeaderMap, header};
use serde::{Serialize, de::DeserializeOwned};

use super::{FieldError, Problem, codes, validate};

/// A JSON body. As an argument it is parsed and validated; as an answer it is written.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<S, T> FromRequest<S> for Json<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                codes::UNSUPPORTED_MEDIA_TYPE,
                "Send the body as `Content-Type: application/json`.",
            ));
        }
        let body = Bytes::from_request(request, state).await.map_err(unread)?;
        parse(&body).map(Self)
    }
}

fn unread(rejection: BytesRejection) -> Problem {
    if rejection.status() == http::StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(
            codes::PAYLOAD_TOO_LARGE,
            "The body is larger than this operation takes.",
        );
    }
    Problem::new(codes::BAD_REQUEST, "The body could not be read to its end.")
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else {
        return false;
    };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// Parses and validates a body.
pub(super) fn parse<T: DeserializeOwned + Validate<Context = ()>>(body: &[u8]) -> Result<T, Problem> {
    if has_nul(body) {
        let error = FieldError::new(
            "body",
            &[],
            "The character U+0000 is not allowed in text",
            "nul_not_allowed",
        );
        return Err(Problem::validation(vec![error]));
    }
    // A derived reader takes a list of the fields in order for a struct; no contract does.
    if body.trim_ascii_start().first() == Some(&b'[') && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() {
        let error = FieldError::new("body", &[], "Input should be an object", "type_error");
        return Err(Problem::validation(vec![error]));
    }
    let mut from = serde_json::Deserializer::from_slice(body);
    let value: T = serde_path_to_error::deserialize(&mut from).map_err(|error| {
        let path: Vec<String> = error.path().iter().map(ToString::to_string).collect();
        wrong(&path, error.inner())
    })?;
    from.end().map_err(|error| wrong(&[], &error))?;
    validate::check("body", &value)?;
    Ok(value)
}

fn wrong(path: &[String], error: &serde_json::Error) -> Problem {
    let path: Vec<&str> = path.iter().map(String::as_str).filter(|part| *part != "?").collect();
    let text = error.to_string();
    if !error.is_data() {
        let message = format!("JSON decode error: {text}");
        let error = FieldError::new("body", &[], message.clone(), "json_invalid");
        let problem = Problem::validation(vec![error]);
        return problem.recode(codes::MALFORMED_JSON, message);
    }
    Problem::validation(vec![validate::located("body", &path, &text)])
}

/// Whether a string of the document holds U+0000, raw or escaped. PostgreSQL cannot store it.
#[must_use]
pub fn has_nul(body: &[u8]) -> bool {
    let mut at = 0;
    while at < body.len() {
        match body[at] {
            0 => return true,
            b'\\' if body[at..].starts_with(b"\\u0000") => return true,
            // An escape and what it escapes: `\\u0000` written with two backslashes is harmless text.
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    false
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => Problem::internal(&error).into_response(),
        }
    }
}

#[expect(clippy::disallowed_types, reason = "axum's type is named for its documentation only")]
impl<T: schemars::JsonSchema> OperationInput for Json<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut openapi::Operation) {
        axum::Json::<T>::operation_input(ctx, operation);
    }
}

#[expect(clippy::disallowed_types, reason = "axum's type is named for its documentation only")]
impl<T: schemars::JsonSchema> OperationOutput for Json<T> {
    type Inner = T;

    fn operation_response(ctx: &mut GenContext, operation: &mut openapi::Operation) -> Option<openapi::Response> {
        let mut response = axum::Json::<T>::operation_response(ctx, operation)?;
        if response.description.is_empty() {
            "Success".clone_into(&mut response.description);
        }
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, garde::Validate)]
    struct Body {
        #[garde(length(chars, min = 1, max = 3))]
        name: String,
        #[garde(range(min = 1, max = 100))]
        count: i64,
        #[garde(skip)]
        #[serde(default)]
        #[expect(dead_code, reason = "only its parsing is tested")]
        more: serde_json::Value,
    }

    fn errors(text: &str) -> (String, Vec<FieldError>) {
        let problem = parse::<Body>(text.as_bytes()).unwrap_err();
        (problem.code().code.to_owned(), problem.errors().to_vec())
    }

    #[test]
    fn errors_say_what_and_where() {
        let (code, found) = errors(r#"{"count": 1}"#);
        assert_eq!(code, "VALIDATION_FAILED");
        assert_eq!(found, [FieldError::new("body", &["name"], "Field required", "missing")]);
        let (_, found) = errors(r#"{"name": "abcd", "count": 101}"#);
        assert_eq!(found[0].msg, "Input should be less than or equal to 100");
        assert_eq!(found[1].msg, "String should have at most 3 characters");
        let (_, found) = errors(r#"{"name": 5, "count": 1}"#);
        assert_eq!(
            (found[0].pointer.as_str(), found[0].kind.as_str()),
            ("/name", "type_error")
        );
        assert_eq!(errors("{").0, "MALFORMED_JSON");
        assert_eq!(errors(r#"{"name": "a", "count": 1} x"#).0, "MALFORMED_JSON");
    }

    #[test]
    fn nul_and_lone_surrogates_are_refused() {
        assert_eq!(
            errors(r#"{"name": "a\u0000", "count": 1}"#).1[0].kind,
            "nul_not_allowed"
        );
        assert_eq!(errors(r#"{"name": "\ud800", "count": 1}"#).0, "MALFORMED_JSON");
        assert!(
            parse::<Body>(br#"{"name": "\\u0000", "count": 1}"#)
                .is_err_and(|p| p.errors()[0].kind == "string_too_long")
        );
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = format!(
            r#"{{"name": "a", "count": 1, "more": {}{}}}"#,
            "[".repeat(5000),
            "]".repeat(5000)
        );
        assert_eq!(errors(&deep).0, "MALFORMED_JSON");
    }

    /// Documents of every shape, from small alphabets, so that they meet the body's fields and its rules.
    fn document() -> impl proptest::strategy::Strategy<Value = serde_json::Value> {
        use proptest::prelude::*;
        use serde_json::Value;

        let text = "[a-c\\\\u0\"\u{0}é]{0,8}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-5_i64..200).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 30, 5, move |inner| {
            let name = prop_oneof!["name", "count", "more", text];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(name, inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn holds_nul(value: &serde_json::Value) -> bool {
        use serde_json::Value;
        match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(items) => items.iter().any(holds_nul),
            Value::Object(members) => members
                .iter()
                .any(|(name, value)| name.contains('\0') || holds_nul(value)),
            _ => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            drop(parse::<Body>(&body));
        }

        #[test]
        fn nul_is_found_where_it_is_and_nowhere_else(value in document()) {
            proptest::prop_assert_eq!(has_nul(value.to_string().as_bytes()), holds_nul(&value));
        }

        #[test]
        fn only_an_object_that_keeps_the_rules_is_a_body(value in document()) {
            if let Ok(body) = parse::<Body>(value.to_string().as_bytes()) {
                proptest::prop_assert!(value.is_object(), "{value}");
                proptest::prop_assert!((1..=3).contains(&body.name.chars().count()) && (1..=100).contains(&body.count));
            }
        }

        #[test]
        fn a_list_of_the_fields_is_no_object(name in "[a-z]{1,3}", count in 1..100_i64) {
            proptest::prop_assert!(parse::<Body>(serde_json::json!([name, count, null]).to_string().as_bytes()).is_err());
        }
    }
}
