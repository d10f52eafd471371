//! Taking tokens back (RFC 7009, and what providers have instead).

use polity_seal::Secret;
use serde_json::json;

use super::{
    App, Client, answer,
    request::{Form, basic},
};
use crate::{
    failure::{Failure, of_answer},
    http::{Body, Method, Request},
    provider::Revocation,
    token::TokenSet,
};

impl Client {
    /// Takes the grant back at the provider. `Ok(false)`: the provider offers no way.
    ///
    /// A token that the provider does not know any more is a success (RFC 7009 2.2).
    pub async fn revoke(&self, app: &App, tokens: &TokenSet) -> Result<bool, Failure> {
        let Some(url) = &app.provider.revoke_url else {
            return Ok(false);
        };
        let response = match app.provider.revocation {
            Revocation::None => return Ok(false),
            style @ (Revocation::Rfc7009 | Revocation::NamedField) => {
                let mut form = Form::empty();
                let (token, kind) = match &tokens.refresh {
                    Some(refresh) => (refresh, "refresh_token"),
                    None => (&tokens.access, "access_token"),
                };
                if style == Revocation::NamedField {
                    form.add(kind, token.expose());
                } else {
                    form.add("token", token.expose());
                    form.add("token_type_hint", kind);
                }
                self.post(app, url, form, self.clock.now()).await?
            }
            Revocation::Bearer => {
                let mut request = Request::new(Method::Post, url, self.timeout);
                let bearer: Secret = format!("Bearer {}", tokens.access.expose()).into();
                request.headers.push(("authorization", bearer));
                self.http.send(request).await?
            }
            Revocation::GithubGrant => self.http.send(self.github(app, url, tokens)?).await?,
        };
        let code = answer::is_refused(&app.provider, &response);
        if response.is_success() && code.is_none() {
            return Ok(true);
        }
        match of_answer(&app.provider, &response, code.as_deref(), self.clock.now()) {
            // It had ended already.
            Failure::Reauthorize { .. } => Ok(true),
            failure => Err(failure),
        }
    }

    fn github(&self, app: &App, url: &str, tokens: &TokenSet) -> Result<Request, Failure> {
        let url = url.replace("%7Bclient_id%7D", "{client_id}");
        let url = url.replace("{client_id}", &app.credentials.client_id);
        let mut request = Request::new(Method::Delete, &url, self.timeout);
        request.headers.push(("authorization", basic(app)?));
        request.headers.push(("accept", "application/vnd.github+json".into()));
        request.body = Body::Json(json!({ "access_token": tokens.access.expose() }).to_string().into());
        Ok(request)
    }
}
