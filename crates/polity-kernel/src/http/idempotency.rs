//! `Idempotency-Key`: an operation that creates or charges happens once, however often it is asked for.
//!
//! The record is written in the transaction of the effect: (key, caller, route, hash of path, query and body) with the
//! sealed answer. A repeated request gets the same answer; the same key for anything else is refused. A record lives a day.

use aide::{OperationInput, OperationOutput, generate::GenContext, openapi};
use axum::{
    body::{Body, Bytes},
    extract::{FromRef, FromRequest, MatchedPath, Request},
    response::{IntoResponse, Response},
};
use http::header;
use serde::{Serialize, de::DeserializeOwned};

use super::{Json, Problem, codes};
use crate::{
    Ctx, caller,
    db::{Result as DbResult, Tx},
    secret::{Sealed, SealedColumn},
};

/// The column of the sealed answers.
pub const ANSWERS: SealedColumn = SealedColumn::new("idempotency", "key_hash", "answer");

/// The longest key, in characters.
const LONGEST: usize = 255;

/// A JSON body and the idempotency key it came with. Stands in the place of [`Json`], last among a handler's arguments.
#[derive(Debug)]
pub struct Idempotency<T> {
    /// The body.
    pub body: T,
    key: Option<Key>,
}

/// What a request is recognised by: everything about the caller, the route and the key, and apart from it what is asked: the
/// path with its parameters, the query and the body.
#[derive(Debug, Clone)]
pub struct Key {
    key_hash: String,
    body_hash: String,
}

impl<S, T> FromRequest<S> for Idempotency<T>
where
    S: Send + Sync,
    T: DeserializeOwned + garde::Validate<Context = ()>,
    Ctx: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let ctx = Ctx::from_ref(state);
        let Some(name) = given(&request)? else {
            let Json(body) = Json::from_request(request, state).await?;
            return Ok(Self { body, key: None });
        };
        let (parts, body) = request.into_parts();
        let caller = caller::identify(&ctx, &parts)
            .await?
            .map_or_else(String::new, |caller| {
                let organization = caller.organization_id.as_deref().unwrap_or_default();
                format!("{}\0{organization}", caller.label())
            });
        let route = parts
            .extensions
            .get::<MatchedPath>()
            .map_or("", MatchedPath::as_str)
            .to_owned();
        let scope = format!("{caller}\0{}\0{route}\0{name}", parts.method);
        let bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), state)
            .await
            .map_err(|_| {
                Problem::new(
                    codes::PAYLOAD_TOO_LARGE,
                    "The body is larger than this operation takes.",
                )
            })?;
        let key_hash = ctx.secrets.hash("idempotency.key", &scope).as_str().to_owned();
        let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
        let asked = format!("{path}\0{}", String::from_utf8_lossy(&bytes));
        let body_hash = ctx.secrets.hash("idempotency.body", &asked).as_str().to_owned();
        let Json(body) = Json::from_request(Request::from_parts(parts, Body::from(bytes)), state).await?;
        Ok(Self {
            body,
            key: Some(Key { key_hash, body_hash }),
        })
    }
}

fn given(request: &Request) -> Result<Option<String>, Problem> {
    let Some(value) = request.headers().get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(name) if !name.is_empty() && name.len() <= LONGEST => Ok(Some(name.to_owned())),
        _ => Err(Problem::new(
            codes::BAD_REQUEST,
            "Idempotency-Key must be 1 to 255 printable ASCII characters.",
        )),
    }
}

impl<T> Idempotency<T> {
    /// The body, and the key for [`Key::replay`] and [`Key::keep`].
    pub fn into_parts(self) -> (T, Option<Key>) {
        (self.body, self.key)
    }
}

/// What [`replay`] found: the answer to give again.
pub struct Replayed(Vec<u8>, u16);

impl Replayed {
    /// A member of the answer, if it is a text: for what stands beside the body, such as a cookie, and is not kept.
    #[must_use]
    pub fn text(&self, member: &str) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.0).ok()?;
        Some(body.get(member)?.as_str()?.to_owned())
    }
}

impl IntoResponse for Replayed {
    fn into_response(self) -> Response {
        let status = http::StatusCode::from_u16(self.1).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

/// What an operation that honours the key answers: a new answer, or the first one again.
pub enum Reply<T> {
    /// The effect happened now.
    Fresh(Json<T>),
    /// The effect happened before.
    Again(Replayed),
}

impl<T> From<Json<T>> for Reply<T> {
    fn from(answer: Json<T>) -> Self {
        Self::Fresh(answer)
    }
}

impl<T> From<Replayed> for Reply<T> {
    fn from(answer: Replayed) -> Self {
        Self::Again(answer)
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        match self {
            Self::Fresh(answer) => answer.into_response(),
            Self::Again(answer) => answer.into_response(),
        }
    }
}

impl<T: schemars::JsonSchema> OperationOutput for Reply<T> {
    type Inner = T;

    fn operation_response(ctx: &mut GenContext, operation: &mut openapi::Operation) -> Option<openapi::Response> {
        Json::<T>::operation_response(ctx, operation)
    }
}

/// The answer of an earlier request with this key, if there was one. Call it first in the transaction of the effect: two
/// requests with one key pass it one after the other.
///
/// # Errors
/// 422 if the earlier request asked for something else.
pub async fn replay(ctx: &Ctx, tx: &mut Tx, key: Option<&Key>) -> Result<Option<Replayed>, Problem> {
    let Some(key) = key else { return Ok(None) };
    tx.lock("idempotency", &key.key_hash).await?;
    let row = tx
        .sql("select body_hash, status, answer from idempotency where key_hash = $1")
        .bind(&key.key_hash)
        .optional::<(String, i32, Sealed)>()
        .await?;
    let Some((body_hash, status, answer)) = row else {
        return Ok(None);
    };
    if body_hash != key.body_hash {
        return Err(Problem::new(
            codes::IDEMPOTENCY_MISMATCH,
            "This Idempotency-Key was used for another request; use a new key.",
        ));
    }
    let answer = ctx.secrets.open_sealed(ANSWERS, &key.key_hash, &answer)?;
    Ok(Some(Replayed(answer.to_vec(), u16::try_from(status).unwrap_or(200))))
}

/// Keeps the answer, in the transaction of the effect.
///
/// # Errors
/// What the database says.
pub async fn keep<T: Serialize + Sync>(
    ctx: &Ctx,
    tx: &mut Tx,
    key: Option<&Key>,
    status: u16,
    answer: &T,
) -> DbResult<()> {
    let Some(key) = key else { return Ok(()) };
    let answer = serde_json::to_vec(answer).unwrap_or_default();
    let sealed = ctx.secrets.seal(ANSWERS, &key.key_hash, &answer);
    let now = ctx.clock.now();
    tx.sql("insert into idempotency (key_hash, body_hash, status, answer, created_at) values ($1, $2, $3, $4, $5)")
        .bind(&key.key_hash)
        .bind(&key.body_hash)
        .bind(&i32::from(status))
        .bind(&sealed)
        .bind(&now)
        .execute()
        .await?;
    Ok(())
}

/// How long an answer is kept.
const KEPT: std::time::Duration = std::time::Duration::from_hours(24);
/// How many answers are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: i64 = 500;

/// Forgets the answers that are older than a day; says how many.
///
/// # Errors
/// What the database says.
pub async fn forget_answers(ctx: &Ctx) -> DbResult<u64> {
    let before = ctx.clock.now() - KEPT;
    ctx.db.in_batches(move |tx| Box::pin(forget_some(tx, before))).await
}

async fn forget_some(tx: &mut Tx, before: crate::clock::Timestamp) -> DbResult<u64> {
    tx.sql(
        "delete from idempotency
             where key_hash in (select key_hash from idempotency where created_at < $1 limit $2)",
    )
    .bind(&before)
    .bind(&FORGOTTEN_AT_ONCE)
    .execute()
    .await
}

impl<T: schemars::JsonSchema> OperationInput for Idempotency<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut openapi::Operation) {
        Json::<T>::operation_input(ctx, operation);
        let description = "Makes a repeated request safe: the same key and body give the first answer again for a day.";
        let schema = schemars::json_schema!({
            "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\t -~]+$"
        });
        let data = openapi::ParameterData {
            name: "Idempotency-Key".to_owned(),
            description: Some(description.to_owned()),
            required: false,
            deprecated: None,
            format: openapi::ParameterSchemaOrContent::Schema(openapi::SchemaObject {
                json_schema: schema,
                example: None,
                external_docs: None,
            }),
            example: None,
            examples: indexmap::IndexMap::default(),
            explode: None,
            extensions: indexmap::IndexMap::default(),
        };
        let header = openapi::Parameter::Header {
            parameter_data: data,
            style: openapi::HeaderStyle::Simple,
        };
        operation.parameters.push(openapi::ReferenceOr::Item(header));
    }
}
