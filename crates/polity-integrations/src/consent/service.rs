//! The rules, named by the contract. No HTTP here.
//!
//! Whoever changes a person's consents holds the lock of the person; it comes before every other lock but that of the workspace.

mod audit;
mod chain;
mod ending;
mod grant;
mod keeping;
mod lifecycle;
mod reading;

use polity_kernel::{
    caller::{Caller, Kind},
    db::Tx,
};

use super::Error;

pub(super) use audit::{Found, export, history};
pub(super) use chain::{ActorKind, AuditEvent, Facts};
pub use ending::withdraw;
pub(super) use ending::{end_of_workspace, end_within, revoke};
pub(super) use grant::count_given;
pub use grant::{NewConsent, active, grant, hold};
pub(super) use keeping::{chains, clean_up, verdict, verify_all};
pub(super) use lifecycle::{follow_clock, forget};
pub(super) use reading::{find, list, status};

/// Who causes a change, and from where.
#[derive(Debug, Clone, Default)]
pub struct By {
    /// A service that acts for the person; `None`: the person, or nobody.
    service: Option<String>,
    is_person: bool,
    ip_address: Option<String>,
    user_agent: Option<String>,
    locale: Option<String>,
}

impl By {
    /// Nobody: the clock, or something that happened elsewhere.
    #[must_use]
    pub fn nobody() -> Self {
        Self::default()
    }

    /// A person, on a page of ours.
    #[must_use]
    pub fn person(ip_address: Option<String>, user_agent: Option<String>) -> Self {
        Self {
            is_person: true,
            ip_address,
            user_agent: user_agent.filter(|agent| !agent.is_empty()),
            ..Self::default()
        }
    }

    /// A caller who is a person, or acts for one. Address and program are the person's: those of the request, or what a
    /// service says they are.
    #[must_use]
    pub fn caller(caller: &Caller, ip_address: Option<String>, user_agent: Option<String>) -> Self {
        Self {
            service: (caller.kind == Kind::Service).then(|| caller.id.clone()),
            is_person: true,
            ip_address,
            user_agent: user_agent.filter(|agent| !agent.is_empty()),
            locale: None,
        }
    }

    /// The same, in a language.
    #[must_use]
    pub fn in_language(mut self, locale: Option<String>) -> Self {
        self.locale = locale;
        self
    }
}

/// Makes the changes to one person's consents pass one after the other.
async fn lock_person(tx: &mut Tx, user_id: &str) -> Result<(), Error> {
    Ok(tx.lock("consent.person", user_id).await?)
}
