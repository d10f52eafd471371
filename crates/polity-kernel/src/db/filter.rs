//! Lists with optional filters: clauses that are there or not, never text made of values.

use std::borrow::Cow;

use super::{Conn, Param, Query, Value};

/// A statement that grows by clauses. In a clause, `?` stands for its value.
///
/// ```
/// # use polity_kernel::db::Filter;
/// # let (active, name) = (Some(true), "ada");
/// let mut filter = Filter::new("select user_id from account where deleted_at is null");
/// filter.and_some("is_active = ?", active.as_ref());
/// filter.and("name = ?", name);
/// filter.push("order by user_id");
/// ```
#[derive(Clone)]
pub struct Filter<'p> {
    sql: String,
    params: Vec<Param<'p>>,
}

impl<'p> Filter<'p> {
    /// Starts with a text without parameters; it has a `where` clause if `and` is to follow.
    #[must_use]
    pub fn new(sql: &'static str) -> Self {
        Self {
            sql: sql.to_owned(),
            params: Vec::new(),
        }
    }

    /// Adds `and <clause>`; each `?` in it stands for the one value.
    pub fn and<V: Value + ?Sized>(&mut self, clause: &'static str, value: &'p V) -> &mut Self {
        self.sql.push_str("\n and ");
        self.with(clause, value)
    }

    /// Adds the clause if there is a value.
    pub fn and_some<V: Value + ?Sized>(&mut self, clause: &'static str, value: Option<&'p V>) -> &mut Self {
        if let Some(value) = value {
            self.and(clause, value);
        }
        self
    }

    /// Adds a text in which each `?` stands for the one value, such as `limit ?`.
    pub fn with<V: Value + ?Sized>(&mut self, text: &'static str, value: &'p V) -> &mut Self {
        self.params.push(value.bind());
        self.sql.push('\n');
        self.sql
            .push_str(&text.replace('?', &format!("${}", self.params.len())));
        self
    }

    /// Adds a text without a value.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.sql.push('\n');
        self.sql.push_str(text);
        self
    }
}

impl Conn {
    /// The statement a filter has grown into.
    pub fn filter<'p>(&mut self, filter: Filter<'p>) -> Query<'_, 'p> {
        self.query(Cow::Owned(filter.sql), filter.params)
    }
}
