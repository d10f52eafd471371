//! What auth hears.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::{
    db::Tx,
    event::{Consumer, Event, HandleError, Handler},
};
use polity_ports::{
    Said,
    account::{RoleRevoked, UserDeleted, UserErased, UserProfileUpdated, UserStatusChanged},
};

use super::{Auth, Error, service};
use crate::read;

/// Keeps identities in step with accounts.
struct FollowAccounts(Auth);

#[async_trait]
impl Handler for FollowAccounts {
    async fn handle(&self, tx: &mut Tx, event: &Event) -> Result<(), HandleError> {
        let auth = &self.0;
        let done = match event.r#type.as_str() {
            UserStatusChanged::TYPE => {
                let said: UserStatusChanged = read(event)?;
                service::follow_status(tx, auth, &said.user_id, said.is_active).await
            }
            UserDeleted::TYPE => {
                let said: UserDeleted = read(event)?;
                service::follow_status(tx, auth, &said.user_id, false).await
            }
            UserProfileUpdated::TYPE => {
                let said: UserProfileUpdated = read(event)?;
                service::follow_profile(tx, auth, &said.user_id, &said.name, &said.email).await
            }
            UserErased::TYPE => service::forget(tx, auth, &read::<UserErased>(event)?.user_id).await,
            RoleRevoked::TYPE => {
                service::revoke_admin_sessions(tx, auth, &read::<RoleRevoked>(event)?.target_user_id).await
            }
            _ => Ok(()),
        };
        done.map_err(|error: Error| HandleError::Retry(error.to_string()))
    }
}

/// The consumers of this service.
pub(super) fn consumers(auth: &Auth) -> Vec<Consumer> {
    vec![Consumer {
        name: "auth.follow_accounts",
        types: &[
            UserStatusChanged::TYPE,
            UserDeleted::TYPE,
            UserProfileUpdated::TYPE,
            UserErased::TYPE,
            RoleRevoked::TYPE,
        ],
        handler: Arc::new(FollowAccounts(auth.clone())),
    }]
}
