//! The rules, named by the contract. No HTTP here.

mod answer;
mod create;
mod manage;

use polity_kernel::{Ctx, TokenText, caller::Caller, db::Conn, limit::Window, secret::SealedColumn};

pub(super) use answer::{accept, decline, look, mine};
pub(super) use create::{NewInvitation, Sent, create, inviting};
pub(super) use manage::{cancel, expire, forget_inviter, forget_organization, forget_person, joined, list, resend};

use super::{
    Error, Invitations,
    model::{Invitation, Status},
    store,
};
use crate::organization::{self, Role};

/// What keeps hashes of tokens apart from others.
pub(super) const PURPOSE: &str = "invitation";
/// The longest text that is looked up as a token; what is longer is none (EC-TKN-002).
const LONGEST: usize = 128;

/// Where tokens wait to be mailed again.
pub(super) const TOKENS: SealedColumn = SealedColumn::new("invitation", "invitation_id", "token");

/// Who acts: a person, or a service in its own name, which needs no role.
#[derive(Debug, Clone, Copy)]
pub(super) enum Actor<'a> {
    Service,
    Person(&'a str),
}

impl<'a> Actor<'a> {
    pub(super) fn of(caller: &'a Caller) -> Option<Self> {
        match caller.user_id() {
            Some(id) => Some(Self::Person(id)),
            None => caller.is_service().then_some(Self::Service),
        }
    }

    fn id(self) -> &'a str {
        match self {
            Self::Service => "internal-service",
            Self::Person(id) => id,
        }
    }
}

/// What the actor is in an organization that is there; a stranger finds none.
async fn role(conn: &mut Conn, actor: Actor<'_>, organization_id: &str) -> Result<Role, Error> {
    let Actor::Person(user_id) = actor else {
        let found = organization::terms(conn, organization_id).await?;
        return found.map(|_| Role::Owner).ok_or(Error::OrganizationNotFound);
    };
    let role = organization::role(conn, organization_id, user_id).await?;
    role.ok_or(Error::OrganizationNotFound)
}

/// A token; what has no form of one is not looked up.
fn parsed(token: &str) -> Result<&str, Error> {
    if token.len() > LONGEST || TokenText::parse(token).is_err() {
        return Err(Error::NotFound);
    }
    Ok(token)
}

/// The invitation with that token.
async fn by_token(conn: &mut Conn, ctx: &Ctx, token: &str) -> Result<Invitation, Error> {
    let hash = ctx.secrets.hash(PURPOSE, token);
    store::find_by_hash(conn, hash.as_str()).await?.ok_or(Error::NotFound)
}

/// Counts a look at, or an answer to, a token; guessing is slow (last section).
pub(super) async fn limit_looks(invitations: &Invitations, ip: &str) -> Result<(), Error> {
    let most = u64::from(invitations.settings.looks_per_minute);
    let window = Window::new("invitation_looks", most, std::time::Duration::from_mins(1));
    let usage = invitations.ctx.limiter.take(&[window], ip, 1).await;
    if usage.allowed {
        Ok(())
    } else {
        Err(Error::Limited(usage))
    }
}

/// Why an invitation that is not pending cannot be answered (BR-TKN-002, 003).
fn open(found: &Invitation, now: chrono::DateTime<chrono::Utc>) -> Result<(), Error> {
    match found.status_at(now) {
        Status::Pending => Ok(()),
        Status::Expired if found.status == Status::Pending => Err(Error::Expired),
        status => Err(Error::Closed(status)),
    }
}
