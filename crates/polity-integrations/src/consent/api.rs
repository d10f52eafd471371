//! What the service answers, from top to bottom: bodies, conversions, handlers, routes.

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::User,
    clock,
    db::{Cursor, cut},
    http::{self, Idempotency, Json, Path, Query, Reply, Result, Routes, State, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Consent,
    error::code,
    model::{ConsentId, ConsentRow},
    service,
};

/// What is needed to create one.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct ConsentIn {
    /// What it is called.
    #[garde(length(chars, min = 1, max = 100))]
    #[schemars(length(min = 1, max = 100))]
    name: String,
}

/// One of them.
#[derive(Debug, Serialize, JsonSchema)]
struct ConsentOut {
    /// The id.
    id: ConsentId,
    /// What it is called.
    name: String,
    /// When it was created.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
}

impl From<ConsentRow> for ConsentOut {
    fn from(row: ConsentRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            created_at: row.created_at,
        }
    }
}

/// Creates one.
#[operation("consent.create", errors(code::LIMIT_REACHED))]
async fn create(user: User, State(state): State<Consent>, body: Idempotency<ConsentIn>) -> Result<Reply<ConsentOut>> {
    let (body, key) = body.into_parts();
    let ctx = &state.ctx;
    let mut tx = ctx.db.begin().await?;
    if let Some(answer) = http::replay(ctx, &mut tx, key.as_ref()).await? {
        return Ok(answer.into());
    }
    let out = ConsentOut::from(service::create(&mut tx, &state, user.id(), &body.name).await?);
    http::keep(ctx, &mut tx, key.as_ref(), 200, &out).await?;
    tx.commit().await?;
    Ok(Json(out).into())
}

/// One of them, to whom it belongs.
#[operation("consent.get", errors(code::NOT_FOUND))]
async fn get(user: User, State(state): State<Consent>, Path(id): Path<ConsentId>) -> Result<Json<ConsentOut>> {
    let mut read = state.ctx.db.read().await?;
    Ok(Json(service::get(&mut read, user.id(), &id).await?.into()))
}

/// Which part of the list.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct PageQuery {
    /// How many at most.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "hundred")]
    limit: i64,
    /// Where to go on: `next_cursor` of the part before.
    #[garde(length(chars, max = 512))]
    cursor: Option<String>,
}

fn hundred() -> i64 {
    100
}

/// Some of them.
#[derive(Debug, Serialize, JsonSchema)]
struct ConsentList {
    /// They, newest first.
    items: Vec<ConsentOut>,
    /// Where the next part begins; null at the end.
    next_cursor: Option<String>,
}

/// Lists one's own, newest first.
#[operation("consent.list", errors(codes::BAD_REQUEST))]
async fn list(user: User, State(state): State<Consent>, Query(query): Query<PageQuery>) -> Result<Json<ConsentList>> {
    let after = query.cursor.as_deref().filter(|text| !text.is_empty());
    let after = after.map(Cursor::decode).transpose()?;
    let mut read = state.ctx.db.read().await?;
    let mut found = service::list(&mut read, user.id(), after.as_ref(), query.limit + 1).await?;
    let next_cursor = cut(&mut found, query.limit).map(|last| {
        let (at, id) = (last.created_at, last.id.0.clone());
        Cursor { at, id }.encode()
    });
    Ok(Json(ConsentList {
        items: found.into_iter().map(ConsentOut::from).collect(),
        next_cursor,
    }))
}

/// The operations.
pub(super) fn routes() -> Routes<Consent> {
    Routes::new("consent")
        .post("/api/v1/integration/consents", create())
        .get("/api/v1/integration/consents", list())
        .get("/api/v1/integration/consents/{id}", get())
}
