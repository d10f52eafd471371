//! Devices without a browser (RFC 8628).

use polity_seal::Secret;
use serde_json::Value;

use super::{App, Client, answer, request::Form};
use crate::{
    clock::{Millis, SECOND},
    failure::{Failure, of_answer},
    token::TokenSet,
};

/// What RFC 8628 3.5 adds to the pause at `slow_down`, and the pause unless the provider says (3.2), in seconds.
const STEP: i64 = 5;
/// The life of a code unless the provider says, and the longest that is believed, in seconds.
const LIFE: i64 = 15 * 60;

/// What a device shows, and polls with.
#[derive(Debug, Clone)]
pub struct DeviceCode {
    /// What it polls with.
    pub device_code: Secret,
    /// What its owner types.
    pub user_code: Secret,
    /// Where they type it.
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: Option<Secret>,
    /// When it ends, in unix milliseconds.
    pub expires_at: Millis,
    /// The pause between polls, in milliseconds; `slow_down` lengthens it.
    pub interval: Millis,
    /// The scopes asked for.
    pub scopes: Vec<String>,
}

/// What a poll brought.
#[derive(Debug, Clone)]
pub enum DevicePoll {
    /// Not yet: poll again after [`DeviceCode::interval`].
    Pending,
    /// The owner agreed.
    Done(Box<TokenSet>),
}

impl Client {
    /// Asks for a code (RFC 8628 3.1).
    pub async fn device_start(&self, app: &App, scopes: &[String]) -> Result<DeviceCode, Failure> {
        let missing = || Failure::misconfigured("the provider has no `device_url`");
        let url = app.provider.device_url.clone().ok_or_else(missing)?;
        let scopes = app.provider.scopes(scopes);
        let mut form = Form::empty();
        if app.provider.client_auth == crate::provider::ClientAuth::Basic {
            form.add("client_id", &app.credentials.client_id);
        }
        form.add_scopes(&app.provider, &scopes);
        let now = self.clock.now();
        let response = self.post(app, &url, form, now).await?;
        let Some(fields) = answer::fields(&app.provider, &response) else {
            return Err(of_answer(&app.provider, &response, None, now));
        };
        if let Some(code) = answer::error_code(&fields) {
            return Err(of_answer(&app.provider, &response, Some(&code), now));
        }
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let number = |name: &str, most: i64| {
            fields
                .get(name)
                .and_then(Value::as_i64)
                .filter(|n| (1..=most).contains(n))
        };
        let address = text("verification_uri").or_else(|| text("verification_url"));
        let (Some(device), Some(user), Some(address)) = (text("device_code"), text("user_code"), address) else {
            return Err(of_answer(&app.provider, &response, None, now));
        };
        Ok(DeviceCode {
            device_code: device.into(),
            user_code: user.into(),
            verification_uri: address.to_owned(),
            verification_uri_complete: text("verification_uri_complete").map(Secret::from),
            expires_at: now.saturating_add(number("expires_in", LIFE * 4).unwrap_or(LIFE) * SECOND),
            interval: number("interval", LIFE).unwrap_or(STEP) * SECOND,
            scopes,
        })
    }

    /// Polls once (RFC 8628 3.4). Its end is [`Failure::Reauthorize`]: `expired_token`, `access_denied`.
    pub async fn device_poll(&self, app: &App, code: &mut DeviceCode) -> Result<DevicePoll, Failure> {
        if self.clock.now() >= code.expires_at {
            let reason = "expired_token".to_owned();
            return Err(Failure::Reauthorize { reason });
        }
        let mut form = Form::new("urn:ietf:params:oauth:grant-type:device_code");
        form.add("device_code", code.device_code.expose());
        match self.tokens(app, form, &code.scopes).await {
            Ok(tokens) => Ok(DevicePoll::Done(Box::new(tokens))),
            Err(Failure::Transient { text, .. }) if text == "authorization_pending" => Ok(DevicePoll::Pending),
            // RFC 8628 3.5: a time-out is answered with a longer pause, too. A code that was traded unseen is refused next.
            Err(Failure::Transient { .. } | Failure::Unknown { .. }) => {
                code.interval = code.interval.saturating_add(STEP * SECOND);
                Ok(DevicePoll::Pending)
            }
            Err(failure) => Err(failure),
        }
    }
}
