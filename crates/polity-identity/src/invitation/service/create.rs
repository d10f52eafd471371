//! Inviting somebody (BR-CRE).

use chrono::Duration;
use polity_kernel::{
    Secret, TokenKind, TokenText,
    db::{Conn, Tx},
    limit::{Usage, Window},
    mail::{Mail, Priority},
};
use polity_ports::{Said, invitation::InvitationSent};

use super::{Actor, Error, PURPOSE, TOKENS, role};
use crate::{
    account::{self, AccountId, fold_email},
    invitation::{
        Invitations,
        model::{Invitation, Status},
        store,
    },
    organization::{self, Organization, Role},
    post::post,
};

/// Whom to invite.
pub(in crate::invitation) struct NewInvitation {
    pub email: String,
    pub role: Role,
    pub message: Option<String>,
    pub days: Option<u32>,
}

/// An invitation that was sent, with its token, which is in this answer and in the mail.
pub(in crate::invitation) struct Sent {
    pub invitation: Invitation,
    pub token: Secret,
}

/// To where somebody may invite, and as what they do: an organization that may be used, and that they run.
pub(in crate::invitation) async fn inviting(
    conn: &mut Conn,
    actor: Actor<'_>,
    organization_id: &str,
) -> Result<(Organization, Role), Error> {
    let role = role(conn, actor, organization_id).await?;
    let Some(organization) = organization::active(conn, organization_id).await? else {
        return Err(Error::Refused("The organization is suspended"));
    };
    if !role.is_admin() {
        return Err(Error::Forbidden(
            "You don't have permission to invite users to this organization",
        ));
    }
    Ok((organization, role))
}

/// Invites somebody: the checks in the contract's order, the mail and the event in the same transaction.
pub(in crate::invitation) async fn create(
    tx: &mut Tx,
    invitations: &Invitations,
    actor: Actor<'_>,
    organization_id: &str,
    new: NewInvitation,
) -> Result<Sent, Error> {
    let ctx = &invitations.ctx;
    let (organization, assigner) = inviting(tx, actor, organization_id).await?;
    limit_inviter(invitations, actor, organization_id).await?;
    if assigner.may_assign(new.role).is_err() {
        return Err(Error::Forbidden("Your role may not invite somebody as this role"));
    }
    let (email, now) = (fold_email(&new.email), ctx.clock.now());
    if !organization.security.0.admits(&email) {
        return Err(Error::Refused(
            "The organization takes members with addresses of its domains only",
        ));
    }
    tx.lock("invitation", &format!("{organization_id}/{email}")).await?;
    if let Some(live) = store::find_live(tx, organization_id, &email).await? {
        if live.status_at(now) == Status::Pending {
            return Err(Error::Pending);
        }
        store::close(tx, &live.invitation_id, Status::Expired, (None, None), now).await?;
    }
    if let Some(account) = account::of_address(tx, &email).await?
        && organization::membership(tx, organization_id, &account.user_id.0)
            .await?
            .is_some()
    {
        return Err(Error::Member);
    }
    limit_recipient(invitations, actor, &email).await?;
    let inviter = match actor {
        Actor::Person(id) => account::claims(tx, &AccountId(id.to_owned())).await?,
        Actor::Service => None,
    };
    let token = new_token()?;
    let id = ctx.ids.new_id("inv_");
    let days = new.days.unwrap_or(invitations.settings.expiry_days);
    let invitation = Invitation {
        token: Some(ctx.secrets.seal(TOKENS, &id, token.expose().as_bytes())),
        invitation_id: id,
        organization_id: organization_id.to_owned(),
        email,
        role: new.role,
        status: Status::Pending,
        reason: None,
        invited_by: actor.id().to_owned(),
        message: new.message.filter(|message| !message.is_empty()),
        organization_name: organization.name,
        organization_domain: organization.domain,
        inviter_name: inviter.as_ref().map(|inviter| inviter.name.clone()),
        inviter_email: inviter.map(|inviter| inviter.email),
        sent_count: 1,
        last_sent_at: now,
        expires_at: now + Duration::days(i64::from(days)),
        accepted_at: None,
        accepted_by: None,
        created_at: now,
    };
    let hash = ctx.secrets.hash(PURPOSE, token.expose());
    store::insert(tx, &invitation, hash.as_str()).await?;
    post(tx, ctx, &mail(invitations, &invitation, &token)).await?;
    let event = InvitationSent {
        invitation_id: invitation.invitation_id.clone(),
        organization_id: organization_id.to_owned(),
        email: invitation.email.clone(),
        role: invitation.role.as_str().to_owned(),
        invited_by: invitation.invited_by.clone(),
        email_sent: true,
        timestamp: now,
    };
    ctx.events.publish(tx, event.event()).await?;
    Ok(Sent { invitation, token })
}

pub(super) fn new_token() -> Result<Secret, Error> {
    let kind = TokenKind::new("invite").map_err(|error| Error::Internal(error.to_string()))?;
    Ok(TokenText::generate(kind))
}

/// Counts an attempt against the limits of its organization and of its inviter: one per pair would be as many as somebody
/// makes organizations. A service has none.
async fn limit_inviter(invitations: &Invitations, actor: Actor<'_>, organization_id: &str) -> Result<(), Error> {
    let Actor::Person(user_id) = actor else { return Ok(()) };
    let most = u64::from(invitations.settings.per_hour);
    for (name, subject) in [
        ("invitations_per_inviter", user_id),
        ("invitations_per_organization", organization_id),
    ] {
        let hour = Window::new(name, most, std::time::Duration::from_hours(1));
        taken(invitations.ctx.limiter.take(&[hour], subject, 1).await)?;
    }
    Ok(())
}

/// Counts a mail to somebody. Only what is sent counts: else a stranger could see to it that nobody may invite them.
async fn limit_recipient(invitations: &Invitations, actor: Actor<'_>, email: &str) -> Result<(), Error> {
    if matches!(actor, Actor::Service) {
        return Ok(());
    }
    let most = u64::from(invitations.settings.per_recipient_per_day);
    let day = Window::new("invitations_per_recipient", most, std::time::Duration::from_hours(24));
    taken(invitations.ctx.limiter.take(&[day], email, 1).await)
}

fn taken(usage: Usage) -> Result<(), Error> {
    if usage.allowed {
        Ok(())
    } else {
        Err(Error::Limited(usage))
    }
}

/// What ends a line, for one program or another that shows mail.
const LINE_ENDS: [char; 7] = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];

/// A name on one line: it is somebody's own word, and stands outside the quotation.
fn one_line(name: &str) -> String {
    name.replace(|c: char| c.is_control() || LINE_ENDS.contains(&c), " ")
}

/// The mail. What the inviter wrote stands in it as text, every line of it quoted, and nothing in it is markup.
pub(super) fn mail(invitations: &Invitations, invitation: &Invitation, token: &Secret) -> Mail {
    let who = one_line(invitation.inviter_name.as_deref().unwrap_or("Somebody"));
    let name = one_line(&invitation.organization_name);
    let word = invitation.message.as_deref().map_or_else(String::new, |message| {
        let message = message.replace("\r\n", "\n");
        let quoted: Vec<String> = message.split(LINE_ENDS).map(|line| format!("> {line}")).collect();
        format!("{who} writes:\n\n{}\n\n", quoted.join("\n"))
    });
    let link = format!("{}?token={}", invitations.accept_url(), token.expose());
    let until = invitation.expires_at.format("%Y-%m-%d %H:%M");
    Mail {
        to: invitation.email.clone(),
        subject: format!("{who} invites you to {name}"),
        text: format!(
            "{who} invites you to {name} as {}.\n\n{word}To accept, open this link before {until} UTC:\n\n{link}\n\n\
             If you do not know what this is about, you need do nothing.\n",
            invitation.role.as_str()
        ),
        html: None,
        category: "invitation".to_owned(),
        tags: vec!["invitation".to_owned()],
        priority: Priority::High,
    }
}
