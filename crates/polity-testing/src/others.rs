//! Doubles of what domains answer that are not built yet: a test says what they are to answer.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use polity_identity::authorization::Others;
use polity_integrations::consent::{Consent, Ending, Enforced};
use polity_kernel::{
    caller::Pending,
    db::{Conn, Error, Result, Tx},
};
use polity_ports::{
    authorization::Tier,
    project::{ProjectRole, Projects},
    subscription::Subscriptions,
};

/// What the doubles answer.
#[derive(Default)]
pub struct Doubles {
    tiers: Mutex<HashMap<String, Tier>>,
    roles: Mutex<HashMap<(String, String), ProjectRole>>,
    are_subscriptions_broken: AtomicBool,
    stopped: Mutex<Vec<String>>,
    is_stopping_broken: AtomicBool,
}

/// The project whose service is out of order.
pub const BROKEN_PROJECT: &str = "prj_broken";

impl Doubles {
    /// Says what somebody pays for. What was asked before is remembered, as in the program.
    pub fn pays(&self, user_id: &str, tier: Tier) {
        self.tiers.lock().unwrap().insert(user_id.to_owned(), tier);
    }

    /// Says whether nobody can find out now what anybody pays for.
    pub fn break_subscriptions(&self, are_broken: bool) {
        self.are_subscriptions_broken.store(are_broken, Ordering::SeqCst);
    }

    /// What was stopped with consents: `ended <id> <why>` or `narrowed <id> <id>`, in order. It is noted when it is asked for,
    /// whether or not that is kept.
    pub fn stopped(&self) -> Vec<String> {
        self.stopped.lock().unwrap().clone()
    }

    /// Says whether what rests on consents cannot be stopped now.
    pub fn break_stopping(&self, is_broken: bool) {
        self.is_stopping_broken.store(is_broken, Ordering::SeqCst);
    }

    fn stop(&self, what: String) -> Result<u64> {
        if self.is_stopping_broken.load(Ordering::SeqCst) {
            return Err(Error::Unavailable(
                "the double that is stopped is out of order".to_owned(),
            ));
        }
        self.stopped.lock().unwrap().push(what);
        Ok(1)
    }

    pub(crate) fn enforced(self: &Arc<Self>) -> Vec<Arc<dyn Enforced>> {
        vec![Arc::clone(self) as Arc<dyn Enforced>]
    }

    /// Says what somebody is to a project.
    pub fn shares(&self, project_id: &str, user_id: &str, role: ProjectRole) {
        let key = (project_id.to_owned(), user_id.to_owned());
        self.roles.lock().unwrap().insert(key, role);
    }

    pub(crate) fn others(self: &Arc<Self>) -> Others {
        Others {
            subscriptions: Some(Arc::clone(self) as Arc<dyn Subscriptions>),
            projects: Some(Arc::clone(self) as Arc<dyn Projects>),
        }
    }
}

#[async_trait]
impl Enforced for Doubles {
    fn what(&self) -> &'static str {
        "double"
    }

    async fn ended(&self, _: &mut Tx, consent: &Consent, why: Ending) -> Result<u64> {
        self.stop(format!("ended {} {}", consent.id, why.as_str()))
    }

    async fn narrowed(&self, _: &mut Tx, before: &Consent, after: &Consent) -> Result<u64> {
        self.stop(format!("narrowed {} {}", before.id, after.id))
    }
}

impl Subscriptions for Doubles {
    fn tier<'a>(&'a self, _: &'a mut Conn, user_id: &'a str) -> Pending<'a, Result<Tier>> {
        let tier = self.tiers.lock().unwrap().get(user_id).copied();
        let is_broken = self.are_subscriptions_broken.load(Ordering::SeqCst);
        Box::pin(async move {
            if is_broken {
                return Err(Error::Unavailable(
                    "the double of subscriptions is out of order".to_owned(),
                ));
            }
            Ok(tier.unwrap_or(Tier::Free))
        })
    }
}

impl Projects for Doubles {
    fn role<'a>(
        &'a self,
        _: &'a mut Conn,
        project_id: &'a str,
        user_id: &'a str,
    ) -> Pending<'a, Result<Option<ProjectRole>>> {
        let key = (project_id.to_owned(), user_id.to_owned());
        let role = self.roles.lock().unwrap().get(&key).copied();
        Box::pin(async move {
            if project_id == BROKEN_PROJECT {
                return Err(Error::Unavailable("the double of projects is out of order".to_owned()));
            }
            Ok(role)
        })
    }
}
