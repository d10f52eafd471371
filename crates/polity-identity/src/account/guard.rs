//! The guard of platform administration.

use polity_kernel::{
    caller::{Caller, Guard, Kind, Require},
    http::{Problem, codes},
};

/// A platform administrator with at least one role.
pub(crate) struct IsPlatformAdmin;

impl Require for IsPlatformAdmin {
    const NAME: &'static str = "platform admin";
    const MISSING: &'static str = "Missing admin bearer token";

    fn admit(caller: &Caller) -> Result<(), Problem> {
        if caller.kind != Kind::Admin {
            return Err(Problem::new(codes::FORBIDDEN, "Admin token required"));
        }
        if caller.admin_roles.is_empty() {
            return Err(Problem::new(codes::FORBIDDEN, "No admin roles in token"));
        }
        Ok(())
    }
}

/// The guard of [`IsPlatformAdmin`].
pub(crate) type PlatformAdmin = Guard<IsPlatformAdmin>;
