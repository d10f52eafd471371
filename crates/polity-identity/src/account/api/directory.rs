//! Finding accounts: lists, search, by address, figures.

use chrono::{DateTime, Utc};
use garde::Validate;
use polity_kernel::{
    caller::{AdminOrService, Caller},
    clock,
    db::Part,
    http::{Json, Path, Query, Result, Routes, State, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AccountProfile;
use crate::account::{
    Accounts,
    error::code,
    model::{Account, AccountId},
    service,
};

/// How a list is cut, and what it shows.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
pub(super) struct ListQuery {
    /// Which page, from 1.
    #[garde(range(min = 1, max = 1_000_000))]
    #[serde(default = "first_page")]
    page: i64,
    /// How many on a page.
    #[garde(range(min = 1, max = 100))]
    #[serde(default = "fifty")]
    page_size: i64,
    /// Only active ones, or only inactive ones.
    #[garde(skip)]
    is_active: Option<bool>,
    /// A part of name or address.
    #[garde(length(chars, max = 100))]
    #[schemars(example = &"ada")]
    search: Option<String>,
    /// Where to go on: `next_cursor` of the part before, or nothing at the beginning. Then `page` does not count, the
    /// answer has no `total_count`, and takes no longer however long the list is.
    #[garde(length(chars, max = 512))]
    cursor: Option<String>,
}

fn first_page() -> i64 {
    1
}

fn fifty() -> i64 {
    50
}

impl ListQuery {
    /// The wanted part of the list.
    pub(super) async fn run(&self, state: &Accounts) -> Result<service::Listed> {
        let part = Part::asked(self.cursor.as_deref(), (self.page - 1) * self.page_size)?;
        let mut read = state.ctx.db.read().await?;
        Ok(service::list(&mut read, self.is_active, self.search.as_deref(), part, self.page_size).await?)
    }
}

/// An account in a list.
#[derive(Debug, Serialize, JsonSchema)]
struct AccountSummary {
    /// The id of the person.
    user_id: AccountId,
    /// Their address.
    email: String,
    /// Their name.
    name: String,
    /// Whether the account may be used.
    is_active: bool,
    /// When it was created.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
}

impl From<Account> for AccountSummary {
    fn from(account: Account) -> Self {
        let Account {
            user_id,
            email,
            name,
            is_active,
            created_at,
            ..
        } = account;
        Self {
            user_id,
            email,
            name,
            is_active,
            created_at,
        }
    }
}

/// A part of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Listing<T> {
    /// The accounts, newest first.
    accounts: Vec<T>,
    /// How many there are in all; not with a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_count: Option<i64>,
    /// The page.
    page: i64,
    /// Its size.
    page_size: i64,
    /// Whether there is another page.
    has_next: bool,
    /// Where the next part begins; null at the end.
    next_cursor: Option<String>,
}

impl<T: From<Account>> Listing<T> {
    pub(super) fn new(query: &ListQuery, listed: service::Listed) -> Self {
        let service::Listed {
            accounts,
            total_count,
            next,
        } = listed;
        Self {
            has_next: next.is_some(),
            accounts: accounts.into_iter().map(T::from).collect(),
            total_count,
            page: query.page,
            page_size: query.page_size,
            next_cursor: next.map(|cursor| cursor.encode()),
        }
    }
}

/// Lists accounts, newest first.
#[operation("account.list", errors(codes::FORBIDDEN, codes::BAD_REQUEST))]
async fn list(
    _: AdminOrService,
    State(state): State<Accounts>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listing<AccountSummary>>> {
    let listed = query.run(&state).await?;
    Ok(Json(Listing::new(&query, listed)))
}

/// What is searched for.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct SearchQuery {
    /// A part of name or address, in any case; `%`, `_` and `\` stand for themselves.
    #[garde(length(chars, min = 1, max = 100))]
    #[schemars(example = &"ada")]
    query: String,
    /// How many at most.
    #[garde(range(min = 1, max = 100))]
    #[serde(default = "fifty")]
    limit: i64,
    /// Whether inactive accounts are found too.
    #[garde(skip)]
    #[serde(default)]
    include_inactive: bool,
}

/// Finds accounts by a part of name or address.
#[operation("account.search", errors(codes::FORBIDDEN))]
async fn search(
    _: AdminOrService,
    State(state): State<Accounts>,
    Query(query): Query<SearchQuery>,
) -> Result<Json<Vec<AccountSummary>>> {
    let mut read = state.ctx.db.read().await?;
    let found = service::search(&mut read, &query.query, query.limit, query.include_inactive).await?;
    Ok(Json(found.into_iter().map(AccountSummary::from).collect()))
}

/// The profile of the account with an address.
///
/// For administrators and services; a person may look up their own address. Inactive accounts are not found.
#[operation("account.by_email", errors(code::ACCOUNT_NOT_FOUND, codes::FORBIDDEN))]
async fn by_email(
    caller: Caller,
    State(state): State<Accounts>,
    Path(email): Path<String>,
) -> Result<Json<AccountProfile>> {
    let mut read = state.ctx.db.read().await?;
    Ok(Json(service::by_email(&mut read, &caller, &email).await?.into()))
}

/// How many accounts there are.
#[derive(Debug, Serialize, JsonSchema)]
struct Stats {
    /// All.
    total_accounts: i64,
    /// Those that may be used.
    active_accounts: i64,
    /// Those that may not.
    inactive_accounts: i64,
    /// Created in the last seven days.
    recent_registrations_7d: i64,
    /// Created in the last thirty days.
    recent_registrations_30d: i64,
}

/// How many accounts there are.
#[operation("account.stats", errors(codes::FORBIDDEN))]
async fn stats(_: AdminOrService, State(state): State<Accounts>) -> Result<Json<Stats>> {
    let mut read = state.ctx.db.read().await?;
    let (total, active, week, month) = service::stats(&mut read, &state.ctx).await?;
    Ok(Json(Stats {
        total_accounts: total,
        active_accounts: active,
        inactive_accounts: total - active,
        recent_registrations_7d: week,
        recent_registrations_30d: month,
    }))
}

pub(super) fn add(routes: Routes<Accounts>) -> Routes<Accounts> {
    routes
        .get("/api/v1/accounts", list())
        .get("/api/v1/accounts/search", search())
        .get("/api/v1/accounts/by-email/{email}", by_email())
        .get("/api/v1/accounts/stats", stats())
}
