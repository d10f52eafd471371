//! SQL and nothing else. An account is its own tenant: the first argument is whose it is.

use polity_kernel::db::{Conn, Result};

use super::model::{Account, AccountId};

/// The account of an active person.
pub(super) async fn find_active(conn: &mut Conn, user_id: &AccountId) -> Result<Option<Account>> {
    conn.sql(
        "select user_id, email, name, is_active, preferences, created_at, updated_at
         from account
         where user_id = $1 and is_active",
    )
    .bind(user_id)
    .optional()
    .await
}
