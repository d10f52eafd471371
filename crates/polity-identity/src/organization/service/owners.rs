//! What becomes of organizations when a person is gone.

use polity_kernel::db::Tx;

use super::{Actor, Error, members, records};
use crate::organization::{
    Organizations,
    model::{MemberStatus, Membership, Role, Status},
    store,
};

/// How many memberships of a person are ended in one transaction; an event that was not finished is heard again.
const AT_ONCE: i64 = 200;
/// Who does what nobody does.
const NOBODY: &str = "polity";

/// Ends the memberships of a person whose account is deleted. Where they were the only owner, the admin who has been there
/// longest becomes it; where there is none, the organization is suspended and flagged.
pub(in crate::organization) async fn forget_person(
    tx: &mut Tx,
    organizations: &Organizations,
    user_id: &str,
) -> Result<(), Error> {
    store::reset_context(tx, user_id, None).await?;
    loop {
        let some = store::memberships(tx, user_id, AT_ONCE).await?;
        if some.is_empty() {
            return Ok(());
        }
        for member in &some {
            tx.lock("organization", &member.organization_id).await?;
            // Read again under the lock: they may have become the owner, or have left.
            let now_is = store::find_member(tx, &member.organization_id, user_id).await?;
            if let Some(member) = now_is.filter(|now_is| now_is.status != MemberStatus::Inactive) {
                leave(tx, organizations, &member).await?;
            }
        }
    }
}

async fn leave(tx: &mut Tx, organizations: &Organizations, member: &Membership) -> Result<(), Error> {
    let id = member.organization_id.as_str();
    if member.is_acting_owner() && store::count_owners(tx, id).await? <= 1 {
        match store::eldest_admin(tx, id).await? {
            Some(admin) => {
                let owner = Membership {
                    role: Role::Owner,
                    ..admin.clone()
                };
                let nobody = Actor::Above(NOBODY.to_owned());
                members::write(tx, organizations, &nobody, &admin, &owner).await?;
            }
            None => suspend(tx, organizations, id).await?,
        }
    }
    members::end_for_good(tx, organizations, NOBODY, member, Some("user_deleted")).await
}

async fn suspend(tx: &mut Tx, organizations: &Organizations, organization_id: &str) -> Result<(), Error> {
    let Some(mut found) = store::find(tx, organization_id).await? else {
        return Ok(());
    };
    found.status = Status::Suspended;
    found.flag = Some("no owner is left".to_owned());
    store::update(tx, &found, organizations.ctx.clock.now()).await?;
    let actor = Actor::Above(NOBODY.to_owned());
    records::say_updated(tx, organizations, &actor, &found, vec!["status".to_owned()]).await
}
