//! Who may have the archive of an organization, and who may bring one.

use polity_kernel::{
    caller::{Caller, Kind},
    http::{Problem, codes},
};
use serde_json::json;

use super::{Actor, Error, note, seen};
use crate::{
    archive::{self, Export, Imported},
    organization::{Organizations, model::Role},
};

/// The archive of an organization, for an owner. Noted before its first line is sent: it may be cut, and is out all the same.
pub(in crate::organization) async fn export(
    organizations: &Organizations,
    actor: &Actor,
    organization_id: &str,
) -> Result<Export, Error> {
    let ctx = &organizations.ctx;
    let mut tx = ctx.db.begin().await?;
    let (_, role) = seen(&mut tx, actor, organization_id).await?;
    if role.is_some_and(|role| role != Role::Owner) {
        return Err(Error::forbidden("Only an owner can export the organization"));
    }
    let place = (organization_id, actor.id());
    note(&mut tx, ctx, place, "organization.exported", None, json!({})).await?;
    tx.commit().await?;
    Ok(Export::of(ctx, organization_id))
}

/// The role of the platform that may import.
const SUPER_ADMIN: &str = "super_admin";

/// Takes in an archive: it may make anybody the owner of anything, so only those may who can do that anyhow.
pub(in crate::organization) async fn import(
    organizations: &Organizations,
    caller: &Caller,
    text: axum::body::Bytes,
) -> Result<Imported, Problem> {
    if caller.kind == Kind::Admin && !caller.admin_roles.iter().any(|role| role == SUPER_ADMIN) {
        return Err(Problem::new(codes::FORBIDDEN, "The role super_admin is required"));
    }
    archive::import(organizations, &caller.id, text).await
}
