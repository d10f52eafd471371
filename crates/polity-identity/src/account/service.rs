//! The rules, named by the contract. No HTTP here.

use polity_kernel::{caller::Caller, db::Conn};

use super::{
    Error,
    model::{Account, AccountId},
    store,
};

/// The profile of an account, for those who may see it.
///
/// BR-STS-006: an inactive account is not found. What the caller may not see answers like what does not exist.
pub(super) async fn profile(conn: &mut Conn, caller: &Caller, user_id: &AccountId) -> Result<Account, Error> {
    if !caller.may_act_for(&user_id.0) {
        return Err(Error::Forbidden("You can only access your own account"));
    }
    store::find_active(conn, user_id).await?.ok_or_else(|| Error::NotFound(user_id.0.clone()))
}
