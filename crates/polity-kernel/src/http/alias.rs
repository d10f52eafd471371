//! Older paths: rewritten before a request is routed.

use axum::{Router, extract::Request};
use http::{Uri, uri::PathAndQuery};
use tower::util::MapRequestLayer;

/// Serves `router` under other paths too: each alias is a prefix of whole segments and what it stands for.
pub fn with_aliases(router: Router, aliases: Vec<(&'static str, &'static str)>) -> Router {
    if aliases.is_empty() {
        return router;
    }
    let rewrite = MapRequestLayer::new(move |mut request: Request| {
        if let Some(uri) = rewritten(&aliases, request.uri()) {
            *request.uri_mut() = uri;
        }
        request
    });
    // A layer of the router itself would see the request after it was routed.
    Router::new().fallback_service(tower::Layer::layer(&rewrite, router))
}

/// What a URI stands for, if it is an alias.
fn rewritten(aliases: &[(&str, &str)], uri: &Uri) -> Option<Uri> {
    let (alias, path) = aliases.iter().find(|(alias, _)| {
        let rest = uri.path().strip_prefix(alias);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })?;
    let rest = uri.path_and_query()?.as_str().strip_prefix(alias)?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{path}{rest}")).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_segments_are_rewritten_and_the_query_stays() {
        let aliases = [("/v1/a", "/api/v1/a"), ("/v1/a-b", "/x")];
        let ask = |uri: &str| rewritten(&aliases, &uri.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(ask("/v1/a").as_deref(), Some("/api/v1/a"));
        assert_eq!(ask("/v1/a?x=/v1/a").as_deref(), Some("/api/v1/a?x=/v1/a"));
        assert_eq!(ask("/v1/a/b/%2F?q").as_deref(), Some("/api/v1/a/b/%2F?q"));
        assert_eq!(ask("/v1/a-b").as_deref(), Some("/x"));
        assert_eq!(ask("http://host:1/v1/a/b").as_deref(), Some("http://host:1/api/v1/a/b"));
        for other in ["/v1/ab", "/v1", "/api/v1/a", "/v1/A", "//v1/a", "*"] {
            assert_eq!(ask(other), None, "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_rewritten_is_below_what_the_alias_stands_for(path in "/v1/a[!-~]{0,40}") {
            if let Some(new) = path.parse().ok().and_then(|uri| rewritten(&[("/v1/a", "/b")], &uri)) {
                proptest::prop_assert!(new.path() == "/b" || new.path().starts_with("/b/"));
            }
        }
    }
}
