//! The guard of auth's own administration.

use polity_kernel::{
    caller::{Caller, Guard, Kind, Require},
    http::{Problem, codes},
};

/// An administrator by scope or by permission, or a service in its own name.
pub(super) struct IsAuthAdmin;

impl Require for IsAuthAdmin {
    const NAME: &'static str = "auth admin or service";

    fn admit(caller: &Caller) -> Result<(), Problem> {
        let admin = caller.kind == Kind::Admin || caller.has_permission("auth.admin");
        if admin || (caller.is_service() && caller.on_behalf_of.is_none()) {
            return Ok(());
        }
        Err(Problem::new(codes::FORBIDDEN, "Admin permission required"))
    }
}

/// The guard of [`IsAuthAdmin`].
pub(super) type AuthAdmin = Guard<IsAuthAdmin>;
