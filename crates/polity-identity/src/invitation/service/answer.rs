//! Looking at an invitation, accepting it, declining it (BR-TKN, BR-ACC).

use chrono::{DateTime, Utc};
use polity_kernel::db::{Conn, Tx};
use polity_ports::{
    Said,
    invitation::{InvitationAccepted, InvitationDeclined, InvitationExpired},
};

use super::{Error, by_token, open, parsed};
use crate::{
    account::{self, AccountId},
    invitation::{
        Invitations,
        model::{Invitation, Status},
        store,
    },
    organization::{self, MemberStatus},
};

/// Marks an invitation that has ended as such, once, and says so.
async fn expire(tx: &mut Tx, invitations: &Invitations, found: &Invitation) -> Result<(), Error> {
    let now = invitations.ctx.clock.now();
    if store::close(tx, &found.invitation_id, Status::Expired, (None, None), now).await? {
        let event = InvitationExpired {
            invitation_id: found.invitation_id.clone(),
            organization_id: found.organization_id.clone(),
            email: found.email.clone(),
            expired_at: now,
            timestamp: now,
        };
        invitations.ctx.events.publish(tx, event.event()).await?;
    }
    Ok(())
}

/// The invitation with that token, if it may be answered; what has ended is marked, and the refusal comes after.
async fn opened(tx: &mut Tx, invitations: &Invitations, token: &str) -> Result<Result<Invitation, Error>, Error> {
    let ctx = &invitations.ctx;
    let found = by_token(tx, ctx, parsed(token)?).await?;
    match open(&found, ctx.clock.now()) {
        Ok(()) => Ok(Ok(found)),
        Err(refused) => {
            if matches!(refused, Error::Expired) {
                expire(tx, invitations, &found).await?;
            }
            Ok(Err(refused))
        }
    }
}

/// The invitation with that token, while it is pending, with the organization's present name. Nothing is written, unless it
/// has just ended: anybody may ask.
pub(in crate::invitation) async fn look(invitations: &Invitations, token: &str) -> Result<Invitation, Error> {
    let ctx = &invitations.ctx;
    let token = parsed(token)?;
    let mut read = ctx.db.read().await?;
    let mut found = by_token(&mut read, ctx, token).await?;
    if let Err(refused) = open(&found, ctx.clock.now()) {
        drop(read);
        if matches!(refused, Error::Expired) {
            let mut tx = ctx.db.begin().await?;
            expire(&mut tx, invitations, &found).await?;
            tx.commit().await?;
        }
        return Err(refused);
    }
    if let Some(organization) = organization::active(&mut read, &found.organization_id).await? {
        found.organization_name = organization.name;
        found.organization_domain = organization.domain;
    }
    Ok(found)
}

/// A membership that came of an invitation.
pub(in crate::invitation) struct Accepted {
    pub invitation: Invitation,
    pub user_id: String,
    pub at: DateTime<Utc>,
}

/// Accepts an invitation for a person: it is closed, and they are a member, in one transaction. Of two at once, one
/// (EC-CON-001). Who is a member already stays what they are, and who is suspended too: it stays pending.
pub(in crate::invitation) async fn accept(
    tx: &mut Tx,
    invitations: &Invitations,
    user_id: &str,
    token: &str,
) -> Result<Result<Accepted, Error>, Error> {
    let mut found = match opened(tx, invitations, token).await? {
        Ok(found) => found,
        Err(refused) => return Ok(Err(refused)),
    };
    check_address(tx, user_id, &found.email).await?;
    let Some(organization) = organization::active(tx, &found.organization_id).await? else {
        return Err(Error::Refused("The organization is suspended"));
    };
    found.organization_name = organization.name;
    let now = invitations.ctx.clock.now();
    let closing = (None, Some(user_id));
    if !store::close(tx, &found.invitation_id, Status::Accepted, closing, now).await? {
        // Somebody was faster; what they made of it is what is answered.
        let now_is = store::find(tx, &found.invitation_id).await?.ok_or(Error::NotFound)?;
        return Err(Error::Closed(now_is.status));
    }
    let organizations = &invitations.organizations;
    let (id, role, by) = (&found.organization_id, found.role, found.invited_by.as_str());
    let member = organization::add_member(tx, organizations, id, user_id, role, by)
        .await
        .map_err(|error| match error {
            organization::Error::Limit(text) => Error::NotAdded(text),
            organization::Error::Refused(text) => Error::NotAdded(text.to_owned()),
            other => other.into(),
        })?;
    if member.status != MemberStatus::Active {
        return Err(Error::NotAdded("the membership is suspended".to_owned()));
    }
    let event = InvitationAccepted {
        invitation_id: found.invitation_id.clone(),
        organization_id: found.organization_id.clone(),
        user_id: user_id.to_owned(),
        email: found.email.clone(),
        role: found.role.as_str().to_owned(),
        accepted_at: now,
        timestamp: now,
    };
    invitations.ctx.events.publish(tx, event.event()).await?;
    Ok(Ok(Accepted {
        invitation: found,
        user_id: user_id.to_owned(),
        at: now,
    }))
}

/// The account's address must be the invitation's, in any case (BR-ACC-003). The token, which was mailed there, proves the
/// rest.
async fn check_address(tx: &mut Tx, user_id: &str, email: &str) -> Result<(), Error> {
    let account = account::claims(tx, &AccountId(user_id.to_owned())).await?;
    let fits = account.is_some_and(|account| account.is_active && account.email == email);
    if fits { Ok(()) } else { Err(Error::EmailMismatch) }
}

/// Declines an invitation; it is cancelled with that reason.
pub(in crate::invitation) async fn decline(
    tx: &mut Tx,
    invitations: &Invitations,
    user_id: &str,
    token: &str,
) -> Result<Result<(), Error>, Error> {
    let found = match opened(tx, invitations, token).await? {
        Ok(found) => found,
        Err(refused) => return Ok(Err(refused)),
    };
    check_address(tx, user_id, &found.email).await?;
    let now = invitations.ctx.clock.now();
    let closing = (Some("declined"), None);
    if !store::close(tx, &found.invitation_id, Status::Cancelled, closing, now).await? {
        let now_is = store::find(tx, &found.invitation_id).await?.ok_or(Error::NotFound)?;
        return Err(Error::Closed(now_is.status));
    }
    let event = InvitationDeclined {
        invitation_id: found.invitation_id,
        organization_id: found.organization_id,
        email: found.email,
        declined_by: Some(user_id.to_owned()),
        timestamp: now,
    };
    invitations.ctx.events.publish(tx, event.event()).await?;
    Ok(Ok(()))
}

/// The pending invitations for a person's address, newest first.
pub(in crate::invitation) async fn mine(
    read: &mut Conn,
    user_id: &str,
    now: DateTime<Utc>,
) -> Result<Vec<Invitation>, Error> {
    let account = account::claims(read, &AccountId(user_id.to_owned())).await?;
    match account.filter(|account| account.is_active) {
        Some(account) => Ok(store::list_of_address(read, &account.email, now).await?),
        None => Ok(Vec::new()),
    }
}
