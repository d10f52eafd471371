//! What subscriptions are asked.

use polity_kernel::{
    caller::Pending,
    db::{Conn, Result},
};

use crate::authorization::Tier;

/// Knows what people pay for. Nothing implements it yet: everybody is then of the tier free.
pub trait Subscriptions: Send + Sync {
    /// The tier of a person's subscription that is in force.
    fn tier<'a>(&'a self, conn: &'a mut Conn, user_id: &'a str) -> Pending<'a, Result<Tier>>;
}
