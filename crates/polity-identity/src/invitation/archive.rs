//! Pending invitations, as they stand in archives: without their tokens, which nobody but their recipients has. An imported
//! one gets a token when it is resent.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use polity_kernel::{
    Ctx, Record,
    db::{Conn, Result, Tx},
};
use serde::{Deserialize, Serialize};

use super::{service, store};
use crate::{
    account::fold_email,
    archive::{Known, Part, Wrong, check_length, check_text, moment},
    organization::Role,
};

/// An invitation that nobody has answered.
#[derive(Debug, Clone, Record, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvitationRow {
    pub invitation_id: String,
    pub email: String,
    pub role: Role,
    pub invited_by: String,
    pub message: Option<String>,
    pub organization_name: String,
    pub organization_domain: Option<String>,
    pub inviter_name: Option<String>,
    pub inviter_email: Option<String>,
    pub sent_count: i64,
    #[serde(with = "moment")]
    pub last_sent_at: DateTime<Utc>,
    #[serde(with = "moment")]
    pub expires_at: DateTime<Utc>,
    #[serde(with = "moment")]
    pub created_at: DateTime<Utc>,
    #[serde(with = "moment")]
    pub updated_at: DateTime<Utc>,
}

/// Invitations that are pending.
pub(crate) struct Pending;

#[async_trait]
impl Part for Pending {
    const NAME: &'static str = "invitation";
    type Row = InvitationRow;

    /// By address: of those that are pending there is one for each.
    fn key(row: &InvitationRow) -> Vec<String> {
        vec![row.email.clone()]
    }

    fn check(row: &InvitationRow, _: &mut Known) -> Result<(), Wrong> {
        check_text("invitation_id", &row.invitation_id, 255)?;
        check_text("email", &row.email, 254)?;
        if polity_kernel::http::email(&row.email, &()).is_err() || fold_email(&row.email) != row.email {
            return Err(Wrong("email", "is no address as it is stored here".to_owned()));
        }
        check_text("invited_by", &row.invited_by, 255)?;
        check_length("message", row.message.as_deref(), 2_000)?;
        check_length("organization_name", Some(&row.organization_name), 100)?;
        check_length("organization_domain", row.organization_domain.as_deref(), 255)?;
        check_length("inviter_name", row.inviter_name.as_deref(), 255)?;
        check_length("inviter_email", row.inviter_email.as_deref(), 254)?;
        if row.sent_count < 0 {
            return Err(Wrong("sent_count", "must not be negative".to_owned()));
        }
        Ok(())
    }

    async fn page(conn: &mut Conn, organization_id: &str, after: Option<&InvitationRow>) -> Result<Vec<InvitationRow>> {
        let after = after.map(|row| (row.created_at, row.invitation_id.as_str()));
        store::pending(conn, organization_id, after).await
    }

    async fn insert(tx: &mut Tx, ctx: &Ctx, organization_id: &str, rows: Vec<InvitationRow>) -> Result<()> {
        // What nobody has opens nothing: these are the hashes of texts that were never shown.
        let hashed = |row: &InvitationRow| {
            let hash = ctx.secrets.hash(service::PURPOSE, &ctx.ids.new_id(&row.invitation_id));
            hash.as_str().to_owned()
        };
        let hashes: Vec<String> = rows.iter().map(hashed).collect();
        store::insert_pending(tx, organization_id, &rows, &hashes).await
    }

    async fn remove(tx: &mut Tx, organization_id: &str) -> Result<u64> {
        store::remove_some(tx, organization_id).await
    }
}
