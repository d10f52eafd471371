//! Taking an archive in.
//!
//! Rows are written in batches, as no transaction may take long, under an organization that is not there for anybody until
//! the last transaction shows it. Whoever imports holds a claim that every batch renews: of two only one goes on, and what
//! somebody left behind who never came to an end is removed by whoever comes next, or by the daily job.

use std::collections::BTreeMap;

use axum::body::Bytes;
use polity_kernel::http::Problem;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Error, PAGE, PARTS, read};
use crate::{
    account::{self, archive::Person},
    organization::{
        Organizations,
        archive::{self as organization, Claim, OrganizationRow},
    },
};

/// How many bytes of rows are written at once, or one row: what people are searched by is a row for nearly each of them.
const BATCH_BYTES: usize = 128 << 10;

/// What was imported.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ImportedOrganization")]
pub(crate) struct Imported {
    /// The organization.
    organization_id: String,
    /// How many rows of each part.
    rows: BTreeMap<&'static str, u64>,
}

/// Takes in an archive. It goes on if nobody waits for it any more.
///
/// # Errors
/// As [`Error`] is answered; and 500 if the program stops meanwhile.
pub(crate) async fn import(organizations: &Organizations, actor_id: &str, text: Bytes) -> Result<Imported, Problem> {
    let (done, wait) = tokio::sync::oneshot::channel();
    let (organizations, actor_id) = (organizations.clone(), actor_id.to_owned());
    let ctx = organizations.ctx().clone();
    ctx.spawn(async move {
        let outcome = run(&organizations, &actor_id, &text).await;
        if let Err(Error::Db(error)) = &outcome {
            tracing::warn!(error = %error, "an archive was not imported");
        }
        // Nobody may wait any more; then the log has it.
        drop(done.send(outcome));
    });
    let outcome = wait.await;
    Ok(outcome.map_err(|_| Problem::internal(&"an import ended without a word"))??)
}

async fn run(organizations: &Organizations, actor_id: &str, text: &Bytes) -> Result<Imported, Error> {
    // A large one keeps a thread busy for a second.
    let looked_at = text.clone();
    let checked = tokio::task::spawn_blocking(move || read::check(&looked_at)).await;
    let organization_id = checked.map_err(|error| Error::Internal(error.to_string()))??;
    let rows = read::rows(text);
    let record = rows
        .iter()
        .find_map(|(_, row)| serde_json::from_str::<OrganizationRow>(row).ok());
    let record = record.ok_or_else(|| Error::Internal("an archive lost its organization".to_owned()))?;
    check_people(organizations, &rows).await?;
    let claim = organization::begin(organizations, &organization_id, &record).await?;
    let done = async {
        write(organizations, &claim, &rows).await?;
        organization::show(organizations, &claim, &record, actor_id).await
    };
    if let Err(error) = done.await {
        if let Err(error) = organization::abandon(organizations, &claim).await {
            tracing::warn!(error = %error, "what is left of an import is removed later");
        }
        return Err(error);
    }
    let mut counts = BTreeMap::new();
    for (part, _) in &rows {
        *counts.entry(PARTS[*part].name()).or_default() += 1;
    }
    Ok(Imported {
        organization_id,
        rows: counts,
    })
}

/// Refuses people who are somebody else here.
async fn check_people(organizations: &Organizations, rows: &[(usize, &str)]) -> Result<(), Error> {
    let people: Vec<Person> = rows
        .iter()
        .filter(|(part, _)| PARTS[*part].name() == account::archive::NAME)
        .filter_map(|(_, row)| serde_json::from_str(row).ok())
        .collect();
    let mut read = organizations.ctx().db.read().await?;
    for some in people.chunks(usize::try_from(PAGE).unwrap_or(1)) {
        if let Some(who) = account::archive::taken(&mut read, some).await? {
            return Err(Error::Taken(who));
        }
    }
    Ok(())
}

async fn write(organizations: &Organizations, claim: &Claim, rows: &[(usize, &str)]) -> Result<(), Error> {
    let ctx = organizations.ctx();
    let mut left = rows;
    while let Some((part, _)) = left.first() {
        let mut bytes = 0;
        let many = left
            .iter()
            .take(usize::try_from(PAGE).unwrap_or(1))
            .take_while(|(of, row)| {
                bytes += row.len();
                of == part && (bytes <= BATCH_BYTES || bytes == row.len())
            });
        let batch: Vec<&str> = many.map(|(_, row)| *row).collect();
        let mut tx = ctx.db.begin().await?;
        organization::renew(&mut tx, organizations, claim).await?;
        PARTS[*part]
            .insert(&mut tx, ctx, &claim.organization_id, &batch)
            .await?;
        tx.commit().await?;
        left = &left[batch.len()..];
        if ctx.stop.is_cancelled() {
            return Err(Error::Internal(
                "the program stops; import the archive again".to_owned(),
            ));
        }
    }
    Ok(())
}

/// Removes what an import wrote, but for the claim.
pub(crate) async fn clear(organizations: &Organizations, organization_id: &str) -> Result<(), Error> {
    for part in PARTS.iter().rev() {
        let db = &organizations.ctx().db;
        db.in_batches(move |tx| {
            let organization_id = organization_id.to_owned();
            Box::pin(async move { part.remove(tx, &organization_id).await })
        })
        .await?;
    }
    Ok(())
}
