//! Organizations as archives: exported, and imported where they are not.

use polity_kernel::{
    caller::{AdminOrService, Caller},
    http::{Json, Lines, LinesOut, Path, Result, Routes, State, codes},
    operation,
};

use super::actor;
use crate::{
    archive::Imported,
    organization::{Organizations, error::code, service},
};

/// Exports an organization as an archive: JSON Lines, the last of which has the hash of those before. For an owner,
/// administrators of the platform and services.
///
/// Rows are read in pages, one after the other: what is changed meanwhile may be in the archive or not. Without its last line
/// an archive is not whole.
#[operation("organization.export", errors(code::ORGANIZATION_NOT_FOUND, codes::FORBIDDEN))]
async fn export(
    caller: Caller,
    State(organizations): State<Organizations>,
    Path(organization_id): Path<String>,
) -> Result<LinesOut> {
    let export = service::export(&organizations, &actor(&caller)?, &organization_id).await?;
    Ok(export.into_lines())
}

/// Imports the archive of an organization that is not here, with its people, who get accounts without a password if they have
/// none. For super_admins and services.
///
/// It is looked at as a whole before anything is written, and shown as a whole: 422 names the lines that are wrong, 409 says
/// what is here already. If it takes longer than a request may, it goes on, and is 409 as long as it does.
#[operation("organization.import", errors(codes::FORBIDDEN, codes::CONFLICT))]
async fn import(
    caller: AdminOrService,
    State(organizations): State<Organizations>,
    body: Lines,
) -> Result<Json<Imported>> {
    Ok(Json(service::import(&organizations, &caller, body.0).await?))
}

pub(super) fn add(routes: Routes<Organizations>) -> Routes<Organizations> {
    routes
        .get("/api/v1/organization/organizations/{organization_id}/export", export())
        .post("/api/v1/organization/organizations/import", import())
}
