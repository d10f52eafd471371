//! The OpenAPI 3.1 document, made of the handlers' types.

use std::collections::BTreeSet;

use aide::{
    axum::{ApiRouter, routing::ApiMethodDocs},
    openapi::{Info, OpenApi, Operation, ReferenceOr, SecurityScheme, Tag},
};
use indexmap::IndexMap;

/// One operation at its path.
#[derive(Debug, Clone)]
pub struct Described {
    /// In lower case.
    pub method: &'static str,
    /// With `{parameter}`s.
    pub path: String,
    /// Its description.
    pub operation: Operation,
}

impl Described {
    /// What the operation requires of its caller, as its guard says; `None` if no guard stated anything.
    #[must_use]
    pub fn guard(&self) -> Option<&str> {
        self.operation
            .extensions
            .get(crate::caller::GUARD)
            .and_then(|guard| guard.as_str())
    }
}

/// The document of all operations. `build` makes them; schemas are collected while it runs.
///
/// # Errors
/// A sentence that names the operations without a guard, and those whose id or path is taken.
pub fn document(version: &str, build: impl FnOnce() -> Vec<Described>) -> Result<(OpenApi, Vec<Described>), String> {
    aide::generate::reset_context();
    aide::generate::extract_schemas(true);
    let described = build();
    verify(&described)?;
    let mut router = ApiRouter::<()>::new();
    let mut tags = BTreeSet::new();
    for one in &described {
        tags.extend(one.operation.tags.iter().cloned());
        let mut operation = one.operation.clone();
        if operation.security.is_empty() {
            // An empty list says "public" outright; leaving the member out would say "as the document's default".
            operation
                .extensions
                .insert("security".into(), serde_json::Value::Array(Vec::new()));
        }
        router = router.api_route_docs(&one.path, ApiMethodDocs::new(one.method, operation));
    }
    let mut api = OpenApi {
        info: info(version),
        ..OpenApi::default()
    };
    api.tags = tags.into_iter().map(|name| Tag { name, ..Tag::default() }).collect();
    drop(router.finish_api(&mut api));
    let components = api.components.get_or_insert_default();
    for (name, scheme) in schemes() {
        components
            .security_schemes
            .insert(name.to_owned(), ReferenceOr::Item(scheme));
    }
    Ok((api, described))
}

fn info(version: &str) -> Info {
    Info {
        title: "Polity".to_owned(),
        summary: Some("Everything an application needs around its users".to_owned()),
        description: Some(
            "Errors are problem details (RFC 9457). Times are RFC 3339 in UTC. Operations that create or charge honour \
             `Idempotency-Key`."
                .to_owned(),
        ),
        version: version.to_owned(),
        ..Info::default()
    }
}

fn verify(described: &[Described]) -> Result<(), String> {
    let mut ids = BTreeSet::new();
    let mut places = BTreeSet::new();
    for one in described {
        let id = one.operation.operation_id.as_deref().unwrap_or("?");
        if one.guard().is_none() {
            return Err(format!(
                "{} {} ({id}) states no requirement: give its handler a guard",
                one.method, one.path
            ));
        }
        if !places.insert((one.method, one.path.as_str())) {
            return Err(format!("{} {} ({id}) is there twice", one.method, one.path));
        }
        // An alias is the same operation at a second path; its id says so.
        if !ids.insert(id.to_owned()) {
            return Err(format!(
                "the operation id {id} is there twice ({} {})",
                one.method, one.path
            ));
        }
    }
    Ok(())
}

fn schemes() -> [(&'static str, SecurityScheme); 3] {
    let header = |name: &str, description: &str| SecurityScheme::ApiKey {
        location: aide::openapi::ApiKeyLocation::Header,
        name: name.to_owned(),
        description: Some(description.to_owned()),
        extensions: IndexMap::default(),
    };
    let bearer = SecurityScheme::Http {
        scheme: "bearer".to_owned(),
        bearer_format: Some("JWT".to_owned()),
        description: Some("An access token from login, verify or refresh.".to_owned()),
        extensions: IndexMap::default(),
    };
    [
        ("bearer", bearer),
        (
            "service",
            header(
                "X-Internal-Service-Secret",
                "With `X-Internal-Service: true`; `X-User-Id` names the user on whose behalf.",
            ),
        ),
        ("api_key", header("X-API-Key", "An API credential.")),
    ]
}
