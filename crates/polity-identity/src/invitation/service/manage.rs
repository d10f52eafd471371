//! What inviters do with invitations, and what happens to them by themselves (BR-CAN, BR-RES, BR-LST, BR-SUB).

use chrono::Duration;
use polity_kernel::{
    Secret,
    db::{Conn, Tx},
};
use polity_ports::{
    Said,
    invitation::{InvitationAccepted, InvitationCancelled, InvitationResent},
};

use super::{
    Actor, Error, PURPOSE, TOKENS,
    create::{mail, new_token},
};
use crate::{
    account::{self, AccountId},
    invitation::{
        Invitations,
        model::{Invitation, Status},
        store::{self, Wanted},
    },
    organization,
    post::post,
};

/// How long lies between two mails of one invitation, in seconds.
const PAUSE: i64 = 60;
/// Who does what nobody does.
const NOBODY: &str = "polity";

/// The invitation, for administrators of its organization: its inviter too only while they are one (EC-PRM). To other members
/// it is not theirs, to strangers it is not there.
async fn managed(conn: &mut Conn, actor: Actor<'_>, id: &str, refused: &'static str) -> Result<Invitation, Error> {
    let found = store::find(conn, id).await?.ok_or(Error::NotFound)?;
    let Actor::Person(user_id) = actor else {
        return Ok(found);
    };
    match organization::role(conn, &found.organization_id, user_id).await? {
        Some(role) if role.is_admin() => Ok(found),
        Some(_) => Err(Error::Forbidden(refused)),
        None => Err(Error::NotFound),
    }
}

/// Takes an invitation back; one that has ended, or was taken back, stays so.
pub(in crate::invitation) async fn cancel(
    tx: &mut Tx,
    invitations: &Invitations,
    actor: Actor<'_>,
    id: &str,
) -> Result<(), Error> {
    let found = managed(tx, actor, id, "You don't have permission to cancel this invitation").await?;
    let now = invitations.ctx.clock.now();
    if store::close(tx, id, Status::Cancelled, (Some("cancelled"), None), now).await? {
        let place = (found.invitation_id, found.organization_id, found.email);
        return say_cancelled(tx, invitations, place, actor.id()).await;
    }
    match store::find(tx, id).await?.map(|found| found.status) {
        Some(Status::Accepted) => Err(Error::Accepted),
        _ => Ok(store::cancel_expired(tx, id, now).await?),
    }
}

async fn say_cancelled(
    tx: &mut Tx,
    invitations: &Invitations,
    (invitation_id, organization_id, email): (String, String, String),
    by: &str,
) -> Result<(), Error> {
    let event = InvitationCancelled {
        invitation_id,
        organization_id,
        email,
        cancelled_by: by.to_owned(),
        timestamp: invitations.ctx.clock.now(),
    };
    invitations.ctx.events.publish(tx, event.event()).await?;
    Ok(())
}

/// Mails an invitation again: the same token, and a week from now (BR-RES). At most once a minute, and five times.
pub(in crate::invitation) async fn resend(
    tx: &mut Tx,
    invitations: &Invitations,
    actor: Actor<'_>,
    id: &str,
) -> Result<(), Error> {
    let ctx = &invitations.ctx;
    tx.lock("invitation.resend", id).await?;
    let mut found = managed(tx, actor, id, "You don't have permission to resend this invitation").await?;
    let now = ctx.clock.now();
    let status = found.status_at(now);
    if status != Status::Pending {
        return Err(Error::NotResendable(status));
    }
    if organization::active(tx, &found.organization_id).await?.is_none() {
        return Err(Error::Refused("The organization is suspended"));
    }
    if matches!(actor, Actor::Person(_)) {
        let since = (now - found.last_sent_at).num_seconds();
        if since < PAUSE {
            return Err(Error::Mailed(u64::try_from(PAUSE - since).ok()));
        }
        if found.sent_count >= i64::from(invitations.settings.most_sends) {
            return Err(Error::Mailed(None));
        }
    }
    let token = match &found.token {
        Some(sealed) => {
            let opened = ctx.secrets.open_sealed(TOKENS, id, sealed);
            let opened = opened.map_err(|error| Error::Internal(error.to_string()))?;
            Secret::from(String::from_utf8_lossy(&opened).into_owned())
        }
        None => give_token(tx, invitations, id).await?,
    };
    found.expires_at = now + Duration::days(i64::from(invitations.settings.expiry_days));
    if !store::mark_sent(tx, id, found.expires_at, now).await? {
        let now_is = store::find(tx, id).await?.ok_or(Error::NotFound)?;
        return Err(Error::NotResendable(now_is.status));
    }
    post(tx, ctx, &mail(invitations, &found, &token)).await?;
    let event = InvitationResent {
        invitation_id: found.invitation_id,
        organization_id: found.organization_id,
        email: found.email,
        resent_by: actor.id().to_owned(),
        email_sent: true,
        expires_at: found.expires_at,
        timestamp: now,
    };
    ctx.events.publish(tx, event.event()).await?;
    Ok(())
}

/// A token for an invitation that came with an archive, and so without one.
async fn give_token(tx: &mut Tx, invitations: &Invitations, id: &str) -> Result<Secret, Error> {
    let ctx = &invitations.ctx;
    let token = new_token()?;
    let sealed = ctx.secrets.seal(TOKENS, id, token.expose().as_bytes());
    store::put_token(tx, id, ctx.secrets.hash(PURPOSE, token.expose()).as_str(), &sealed).await?;
    Ok(token)
}

/// The invitations of an organization, newest first; for its administrators.
pub(in crate::invitation) async fn list(
    read: &mut Conn,
    invitations: &Invitations,
    actor: Actor<'_>,
    (organization_id, status): (&str, Option<Status>),
    page: (i64, i64),
) -> Result<(Vec<Invitation>, i64), Error> {
    if let Actor::Person(user_id) = actor {
        match organization::role(read, organization_id, user_id).await? {
            Some(role) if role.is_admin() => {}
            Some(_) => {
                return Err(Error::Forbidden(
                    "You don't have permission to see the invitations of this organization",
                ));
            }
            None => return Err(Error::OrganizationNotFound),
        }
    }
    let wanted = Wanted {
        organization_id,
        status,
    };
    Ok(store::list(read, &wanted, page, invitations.ctx.clock.now()).await?)
}

/// Expires what has ended; says how many.
pub(in crate::invitation) async fn expire(tx: &mut Tx, invitations: &Invitations) -> Result<u64, Error> {
    Ok(store::expire(tx, invitations.ctx.clock.now()).await?)
}

/// Cancels the pending invitations of an organization that is gone.
pub(in crate::invitation) async fn forget_organization(
    tx: &mut Tx,
    invitations: &Invitations,
    organization_id: &str,
) -> Result<(), Error> {
    cancel_all(tx, invitations, Some(organization_id), None, "organization_deleted").await
}

/// Cancels the pending invitations that somebody sent whose account is deleted; those for them stay.
pub(in crate::invitation) async fn forget_inviter(
    tx: &mut Tx,
    invitations: &Invitations,
    user_id: &str,
) -> Result<(), Error> {
    cancel_all(tx, invitations, None, Some(user_id), "inviter_deleted").await
}

/// Leaves nothing of a person who is erased: not what they accepted, nor their name, address and words in what they sent.
pub(in crate::invitation) async fn forget_person(tx: &mut Tx, user_id: &str) -> Result<(), Error> {
    Ok(store::forget_person(tx, user_id).await?)
}

async fn cancel_all(
    tx: &mut Tx,
    invitations: &Invitations,
    organization_id: Option<&str>,
    invited_by: Option<&str>,
    reason: &str,
) -> Result<(), Error> {
    let now = invitations.ctx.clock.now();
    loop {
        let some = store::cancel_all(tx, organization_id, invited_by, reason, now).await?;
        if some.is_empty() {
            return Ok(());
        }
        for place in some {
            say_cancelled(tx, invitations, place, NOBODY).await?;
        }
    }
}

/// Somebody became a member: a pending invitation for their address is closed as accepted. Who has left since was invited
/// anew, and news that come late say nothing about that.
pub(in crate::invitation) async fn joined(
    tx: &mut Tx,
    invitations: &Invitations,
    organization_id: &str,
    user_id: &str,
) -> Result<(), Error> {
    let Some(account) = account::claims(tx, &AccountId(user_id.to_owned())).await? else {
        return Ok(());
    };
    if organization::membership(tx, organization_id, user_id).await?.is_none() {
        return Ok(());
    }
    let Some(live) = store::find_live(tx, organization_id, &account.email).await? else {
        return Ok(());
    };
    let now = invitations.ctx.clock.now();
    if store::close(tx, &live.invitation_id, Status::Accepted, (None, Some(user_id)), now).await? {
        let event = InvitationAccepted {
            invitation_id: live.invitation_id,
            organization_id: live.organization_id,
            user_id: user_id.to_owned(),
            email: live.email,
            role: live.role.as_str().to_owned(),
            accepted_at: now,
            timestamp: now,
        };
        invitations.ctx.events.publish(tx, event.event()).await?;
    }
    Ok(())
}
