//! What other domains ask of organizations.

use polity_kernel::{
    caller::Pending,
    db::{self, Conn},
};
use polity_ports::organization::Membership;

use super::{Error, Organizations, Role, service, store};

impl Membership for Organizations {
    fn role<'a>(
        &'a self,
        conn: &'a mut Conn,
        organization_id: &'a str,
        user_id: &'a str,
    ) -> Pending<'a, db::Result<Option<&'static str>>> {
        Box::pin(async move {
            if organization_id == user_id {
                return Ok(Some(Role::Owner.as_str()));
            }
            let found = service::role(conn, organization_id, user_id)
                .await
                .map_err(|error| match error {
                    Error::Db(error) => error,
                    other => db::Error::Unavailable(other.to_string()),
                })?;
            Ok(found.map(Role::as_str))
        })
    }

    fn name<'a>(&'a self, conn: &'a mut Conn, organization_id: &'a str) -> Pending<'a, db::Result<Option<String>>> {
        Box::pin(async move { Ok(store::find(conn, organization_id).await?.map(|found| found.name)) })
    }
}
