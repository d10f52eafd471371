//! Devices without a browser (RFC 8628).

use serde_json::json;

use super::{
    Core,
    message::{Answer, Call},
    state::State,
    token::scopes,
};

/// How long a code lasts, in milliseconds.
const LIFE: u64 = 600_000;
/// The pause between polls at first, and what is added when a device does not keep it (3.5), in milliseconds.
const PAUSE: u64 = 5_000;

/// A device that waits for its owner.
pub(super) struct Device {
    user_code: String,
    client: String,
    scopes: Vec<String>,
    expires_at: u64,
    pause: u64,
    asked_at: Option<u64>,
    decided: Decided,
}

/// What its owner did.
enum Decided {
    Waits,
    Agreed(String),
    Refused,
}

impl Core {
    pub(super) fn device(&self, call: &Call) -> Answer {
        let (form, now) = (call.form(), self.now());
        let mut state = self.state();
        let client = call.client(&form);
        let Some((client, _)) = client.filter(|(id, secret)| state.knows(id, secret.as_deref())) else {
            return Answer::error("invalid_client");
        };
        let (code, user_code) = (state.draw("dc"), state.draw("U")[2..10].to_uppercase());
        let device = Device {
            user_code: user_code.clone(),
            client,
            scopes: scopes(form.get("scope").map(String::as_str).unwrap_or_default()),
            expires_at: now + LIFE,
            pause: PAUSE,
            asked_at: None,
            decided: Decided::Waits,
        };
        state.devices.insert(code.clone(), device);
        let page = format!("{}/device", self.url());
        let body = json!({
            "device_code": code, "user_code": user_code, "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={user_code}"),
            "expires_in": LIFE / 1_000, "interval": PAUSE / 1_000,
        });
        Answer::json(200, &body)
    }
}

impl State {
    pub(super) fn decide_device(&mut self, user_code: &str, account: Option<&str>) {
        let found = self.devices.values_mut().find(|device| device.user_code == user_code);
        let decided = account.map_or(Decided::Refused, |account| Decided::Agreed(account.to_owned()));
        found.expect("a device waits with that code").decided = decided;
    }

    /// RFC 8628 3.5: the grant, once its owner agreed. A code is used up by that, and by a refusal.
    pub(super) fn poll(&mut self, code: &str, client: &str, now: u64) -> Result<usize, &'static str> {
        let device = self.devices.get_mut(code).filter(|device| device.client == client);
        let device = device.ok_or("invalid_grant")?;
        if device.expires_at <= now {
            return Err("expired_token");
        }
        let is_early = device.asked_at.is_some_and(|at| now < at + device.pause);
        device.asked_at = Some(now);
        match (&device.decided, is_early) {
            (Decided::Waits, true) => {
                device.pause += PAUSE;
                return Err("slow_down");
            }
            (Decided::Waits, false) => return Err("authorization_pending"),
            _ => {}
        }
        let device = self.devices.remove(code).ok_or("invalid_grant")?;
        match device.decided {
            Decided::Agreed(account) => Ok(self.family(&account, client, device.scopes)),
            Decided::Refused | Decided::Waits => Err("access_denied"),
        }
    }
}
