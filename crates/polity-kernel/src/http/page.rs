//! Pages that the program itself shows to people: without assets from elsewhere, and forms that come back from them.

use aide::generate::GenContext;
use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use garde::Validate;
use http::{HeaderName, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{Json, Problem, check, codes, operation::PAGE};
use crate::secret::random_url_safe;

/// A page. Its style, and its script if it has one, are admitted by a nonce; nothing is loaded and no other page may frame it.
pub struct Page {
    status: StatusCode,
    title: String,
    head: String,
    inner: String,
    script: Option<&'static str>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Page {
    /// A page with that title. `inner` is HTML: what somebody else said in it is [escaped](escape).
    #[must_use]
    pub fn new(title: &str, inner: String) -> Self {
        Self {
            status: StatusCode::OK,
            title: escape(title),
            head: String::new(),
            inner,
            script: None,
            headers: Vec::new(),
        }
    }

    /// Answers with another status than 200.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Runs a script; what it has to know stands in `data-` attributes of the page.
    #[must_use]
    pub fn with_script(mut self, script: &'static str) -> Self {
        self.script = Some(script);
        self
    }

    /// Leads on to an address at once, without a script. A form's answer that redirected would have to name every host the
    /// other side may redirect to in turn.
    #[must_use]
    pub fn leading_to(mut self, url: &str) -> Self {
        self.head = format!("<meta http-equiv=\"refresh\" content=\"0; url={}\">", escape(url));
        self
    }

    /// Sends a header along.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let nonce = random_url_safe(16);
        let script = self
            .script
            .map(|script| format!("<script nonce=\"{nonce}\">{script}</script>"));
        let admits_script = script.as_ref().map(|_| format!("script-src 'nonce-{nonce}'; "));
        let policy = format!(
            "default-src 'none'; {}style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            admits_script.unwrap_or_default()
        );
        let body = format!(
            include_str!("page.html"),
            nonce = nonce,
            title = self.title,
            head = self.head,
            inner = self.inner,
            script = script.unwrap_or_default()
        );
        let content = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
            (header::CONTENT_SECURITY_POLICY, policy),
        ];
        let mut response = (self.status, content, body).into_response();
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

impl aide::OperationOutput for Page {
    type Inner = String;

    fn operation_response(
        _: &mut GenContext,
        operation: &mut aide::openapi::Operation,
    ) -> Option<aide::openapi::Response> {
        operation.extensions.insert(PAGE.to_owned(), true.into());
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

/// Text as it stands in HTML, also between double quotes.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A body as a form or as JSON.
pub struct Form<T>(pub T);

impl<S, T> FromRequest<S> for Form<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate<Context = ()>,
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
        check("body", &body)?;
        Ok(Self(body))
    }
}

impl<T: JsonSchema> aide::OperationInput for Form<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut aide::openapi::Operation) {
        <Json<T> as aide::OperationInput>::operation_input(ctx, operation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_loads_nothing_and_runs_only_its_own_script() {
        let policy = |page: Page| {
            let response = page.into_response();
            let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str();
            policy.unwrap().to_owned()
        };
        let plain = policy(Page::new("A page", String::new()));
        assert!(plain.starts_with("default-src 'none'; style-src 'nonce-") && !plain.contains("script-src"));
        assert!(policy(Page::new("A page", String::new()).with_script("1")).contains("script-src 'nonce-"));
    }

    #[test]
    fn what_others_say_stays_text() {
        assert_eq!(
            escape("\"><script>alert('&')</script>"),
            "&quot;&gt;&lt;script&gt;alert('&amp;')&lt;/script&gt;"
        );
    }
}
