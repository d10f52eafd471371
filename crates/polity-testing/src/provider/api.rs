//! `/userinfo`, and `/api/…`, which answers what it was asked: for whoever forwards calls.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{
    Core, Endpoint, Fault,
    message::{Answer, Call},
};

impl Core {
    /// A call came: counts it, and says which fault it meets.
    pub(super) fn arrived(&self, endpoint: Endpoint, call: &Call) -> Option<Fault> {
        let form = match endpoint {
            Endpoint::Authorize => call.query(),
            Endpoint::Api | Endpoint::Userinfo => HashMap::new(),
            Endpoint::Token | Endpoint::Revoke | Endpoint::Device => call.form(),
        };
        let mut state = self.state();
        *state.seen.calls.entry(endpoint).or_default() += 1;
        let refresh = form.get("refresh_token").filter(|_| endpoint == Endpoint::Token);
        if let Some(known) = refresh.and_then(|token| state.refresh.get_mut(token)) {
            known.calls += 1;
        }
        state.seen.last.insert(endpoint, form);
        state.faults.get_mut(&endpoint)?.pop_front()
    }

    pub(super) fn process(&self, endpoint: Endpoint, call: &Call, fault: Option<&Fault>) -> Answer {
        let reads = matches!(endpoint, Endpoint::Authorize | Endpoint::Userinfo);
        if endpoint != Endpoint::Api && call.method != "POST" && !(reads && call.method == "GET") {
            return Answer::empty(405);
        }
        match endpoint {
            Endpoint::Authorize => self.authorize(call, fault),
            Endpoint::Token => self.token(call, fault),
            Endpoint::Revoke => self.revoke(call),
            Endpoint::Device => self.device(call),
            Endpoint::Userinfo => self.userinfo(call),
            Endpoint::Api => self.echo(call),
        }
    }

    /// Whose token it is: the account (`None` is the client itself) and what the token may do.
    fn account(&self, call: &Call) -> Option<(Option<String>, String)> {
        let state = self.state();
        let access = state.access.get(call.bearer()?)?;
        let account = access.family.map(|family| state.families[family].account.clone());
        state
            .works(access, self.now())
            .then(|| (account, access.scopes.join(" ")))
    }

    fn userinfo(&self, call: &Call) -> Answer {
        let Some((Some(account), _)) = self.account(call) else {
            return Answer::unauthorized();
        };
        let email = format!("{account}@example.com");
        Answer::json(
            200,
            &json!({ "sub": account, "email": email, "name": account.to_uppercase() }),
        )
    }

    fn echo(&self, call: &Call) -> Answer {
        let Some((account, scope)) = self.account(call) else {
            return Answer::unauthorized();
        };
        let body = json!({
            "method": call.method.as_str(), "path": call.path, "query": call.query, "headers": headers(call),
            "body": String::from_utf8_lossy(&call.body), "account": account, "scope": scope,
        });
        Answer::json(200, &body)
    }
}

/// All headers but the credential.
fn headers(call: &Call) -> Map<String, Value> {
    let shown = call.headers.iter().filter(|(name, _)| *name != "authorization");
    shown
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect()
}
