//! A connection follows its grant, in the transaction of the grant's change.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::DateTime;
use polity_grants::grant::{Grant, Status as GrantStatus};
use polity_kernel::{
    Ctx,
    db::{Json, Result, Tx},
};
use polity_ports::{
    Said,
    account::{Letter, Letters},
    integration::{ConnectionExpired, ConnectionRefreshed},
};

use super::{
    service::KIND,
    store::{self, Follows},
};
use crate::grants::Watch;

/// Writes down what became of a grant.
pub(super) struct Follow {
    pub ctx: Ctx,
    pub letters: Arc<dyn Letters>,
}

#[async_trait]
impl Watch for Follow {
    async fn changed(&self, tx: &mut Tx, before: &Grant, after: &Grant) -> Result<()> {
        // A claim, and new tokens that the owner brought, change nothing here: whoever brings them writes the connection.
        let is_refreshed =
            after.version > before.version && before.intent.is_some() && after.status == GrantStatus::Active;
        let has_ended = before.status == GrantStatus::Active && after.status == GrantStatus::Expired;
        let has_failed = after.refresh_failures > before.refresh_failures;
        if !(is_refreshed || has_ended || has_failed) {
            return Ok(());
        }
        let now = self.ctx.clock.now();
        let follows = Follows {
            id: &after.id,
            granted_scopes: Json(after.scopes.clone()),
            token_expires_at: after.expires_at.and_then(DateTime::from_timestamp_millis),
            refresh_failures: i64::from(after.refresh_failures),
            error: after.last_error.as_deref(),
            verified_at: is_refreshed.then_some(now),
            has_ended,
            now,
        };
        // Grants of others than connections have no row here.
        let Some((user_id, workspace_id)) = store::follow(tx, &follows).await? else {
            return Ok(());
        };
        if is_refreshed {
            let said = ConnectionRefreshed {
                connection_id: after.id.clone(),
                user_id,
                workspace_id,
                version: after.version,
                expires_at: follows.token_expires_at,
                timestamp: now,
            };
            self.ctx.events.publish(tx, said.event()).await?;
        } else if has_ended {
            let said = ConnectionExpired {
                connection_id: after.id.clone(),
                user_id,
                workspace_id,
                reason: after.last_error.clone().unwrap_or_default(),
                timestamp: now,
            };
            self.ctx.events.publish(tx, said.event()).await?;
            self.letters.write(tx, &said.user_id, letter(after)).await?;
            self.ctx.invalidations.tell(tx, &self.ctx, KIND, &after.id).await?;
        }
        Ok(())
    }
}

/// What the owner is told.
fn letter(grant: &Grant) -> Letter {
    Letter {
        category: "connection",
        subject: format!("Your connection with {} needs you", grant.provider),
        text: format!(
            "Your connection with {} has ended there, and nothing can be done with it any more.\n\n\
             To go on, open your connections and sign in at {} again. If you ended it yourself, there is nothing to do.\n",
            grant.provider, grant.provider
        ),
    }
}
