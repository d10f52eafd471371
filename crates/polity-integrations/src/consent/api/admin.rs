//! What administrators look at: the consents of a person, their history, and whether it is whole.

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::AdminOrService,
    clock,
    db::cut,
    http::{Json, Path, Query, Result, Routes, State, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ConsentList, ListQuery,
    history::{HistoryOut, HistoryQuery},
};
use crate::consent::{Consents, error::code, service, store::audit::Chain};

/// Lists the consents of a person, newest first, in one workspace or in all. For administrators and services.
#[operation("consent.list_of_user", errors(codes::BAD_REQUEST, codes::FORBIDDEN))]
async fn list(
    _: AdminOrService,
    State(consents): State<Consents>,
    Path(user_id): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<ConsentList>> {
    let part = query.part()?;
    let mut read = consents.ctx.db.read().await?;
    let (asked, limit) = (query.workspace_id.as_deref(), query.page_size + 1);
    let (found, total) = service::list(&mut read, &user_id, asked, &part, limit).await?;
    Ok(Json(ConsentList::new(&consents, &query, found, total)))
}

/// The history of a person's consents, oldest first. For administrators and services.
#[operation("consent.history_of_user", errors(codes::FORBIDDEN))]
async fn history(
    _: AdminOrService,
    State(consents): State<Consents>,
    Path(user_id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<HistoryOut>> {
    let mut read = consents.ctx.db.read().await?;
    let entries = service::history(&mut read, &user_id, None, query.after, query.limit).await?;
    Ok(Json(HistoryOut::new(entries)))
}

/// The chain of a history.
#[derive(Debug, Serialize, JsonSchema)]
struct ChainOut {
    /// Its id, which says nothing about the person.
    chain_id: String,
    /// Whether every entry is there, and as it was written.
    is_whole: bool,
    /// Its first entry that is kept; older ones were deleted after their time.
    first_sequence: i64,
    /// Its last one.
    last_sequence: i64,
    /// Whether nobody can say any more whose it is.
    is_pseudonymous: bool,
    /// Where it was found broken, now or before.
    broken_sequence: Option<i64>,
    /// What was found there.
    problem: Option<String>,
    /// When it was looked over last.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    checked_at: DateTime<Utc>,
}

impl From<Chain> for ChainOut {
    fn from(chain: Chain) -> Self {
        Self {
            is_whole: chain.broken_sequence.is_none(),
            chain_id: chain.id,
            first_sequence: chain.base_sequence + 1,
            last_sequence: chain.head_sequence,
            is_pseudonymous: chain.is_pseudonymous,
            broken_sequence: chain.broken_sequence,
            problem: chain.problem,
            checked_at: chain.checked_at,
        }
    }
}

/// Which chains.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ChainQuery {
    /// Only those that are whole, or only those that were found broken.
    #[garde(skip)]
    is_whole: Option<bool>,
    /// How many at most.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "hundred")]
    limit: i64,
    /// Where to go on: `next_after` of the part before.
    #[garde(length(chars, max = 255))]
    #[serde(default)]
    after: String,
}

fn hundred() -> i64 {
    100
}

/// Some of the chains.
#[derive(Debug, Serialize, JsonSchema)]
struct ChainList {
    /// They, by id.
    items: Vec<ChainOut>,
    /// Where the next part begins; null at the end.
    next_after: Option<String>,
}

/// Lists the chains, as they were found when they were looked over last, which is every day. For administrators and services.
#[operation("consent.chains", errors(codes::FORBIDDEN))]
async fn chains(
    _: AdminOrService,
    State(consents): State<Consents>,
    Query(query): Query<ChainQuery>,
) -> Result<Json<ChainList>> {
    let mut found = service::chains(&consents, query.is_whole, &query.after, query.limit + 1).await?;
    let next_after = cut(&mut found, query.limit).map(|last| last.id.clone());
    Ok(Json(ChainList {
        items: found.into_iter().map(ChainOut::from).collect(),
        next_after,
    }))
}

/// Looks over a chain now, and says whether it is whole: every entry there, and as it was written. For administrators and
/// services.
///
/// By the id of the person, or, once nobody knows whose it is, by its own. What was found broken once is said for ever.
#[operation("consent.chain", errors(code::CHAIN_NOT_FOUND, codes::FORBIDDEN))]
async fn chain(_: AdminOrService, State(consents): State<Consents>, Path(id): Path<String>) -> Result<Json<ChainOut>> {
    Ok(Json(service::verdict(&consents, &id).await?.into()))
}

pub(super) fn add(routes: Routes<Consents>) -> Routes<Consents> {
    routes
        .get("/api/v1/integration/consents/admin/users/{user_id}", list())
        .get("/api/v1/integration/consents/admin/users/{user_id}/history", history())
        .get("/api/v1/integration/consents/admin/chains", chains())
        .get("/api/v1/integration/consents/admin/chains/{id}", chain())
}
