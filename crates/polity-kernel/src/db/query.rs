//! A statement on its way: bind its parameters, then say how many rows it should yield.

use std::borrow::Cow;

use super::{Conn, Dialect, Error, Lease, Param, Record, Result, Value, sql};

/// A statement and its parameters. Nothing happens before one of the verbs at its end is awaited.
#[must_use = "a query does nothing until it is awaited"]
pub struct Query<'c, 'p> {
    conn: &'c mut Conn,
    sql: Cow<'static, str>,
    params: Vec<Param<'p>>,
    long: bool,
}

impl Conn {
    /// A statement. Parameters are `$1`, `$2`, … and are bound in that order.
    pub fn sql<'p>(&mut self, sql: &'static str) -> Query<'_, 'p> {
        self.query(Cow::Borrowed(sql), Vec::new())
    }

    pub(crate) fn query<'p>(&mut self, sql: Cow<'static, str>, params: Vec<Param<'p>>) -> Query<'_, 'p> {
        Query {
            conn: self,
            sql,
            params,
            long: false,
        }
    }
}

impl<'p> Query<'_, 'p> {
    /// Binds the next parameter.
    pub fn bind<V: Value + ?Sized>(mut self, value: &'p V) -> Self {
        self.params.push(value.bind());
        self
    }

    /// Says that this query will take long, so that it starts on a blocking thread. Others move there when it shows.
    pub fn long(mut self) -> Self {
        self.long = true;
        self
    }

    /// Every row. The statement bounds how many there can be.
    ///
    /// # Errors
    /// What the database, or the reading of a column, says.
    pub async fn all<T: Record + Send + 'static>(self) -> Result<Vec<T>> {
        self.conn.seen.note(&self.sql);
        match &mut self.conn.lease {
            Lease::LiteRead(read) => {
                read.fetch(&sql::translate(&self.sql, Dialect::Lite), self.params, self.long)
                    .await
            }
            Lease::LiteTx(tx) => tx.fetch(&sql::translate(&self.sql, Dialect::Lite), &self.params),
            Lease::Pg(conn) => conn.fetch(&sql::translate(&self.sql, Dialect::Pg), &self.params).await,
        }
    }

    /// The one row there may be.
    ///
    /// # Errors
    /// [`Error::RowCount`] if there is more than one.
    pub async fn optional<T: Record + Send + 'static>(self) -> Result<Option<T>> {
        let mut rows = self.all::<T>().await?;
        if rows.len() > 1 {
            return Err(Error::RowCount(rows.len()));
        }
        Ok(rows.pop())
    }

    /// The one row there must be.
    ///
    /// # Errors
    /// [`Error::RowCount`] if there is none, or more than one.
    pub async fn one<T: Record + Send + 'static>(self) -> Result<T> {
        self.optional().await?.ok_or(Error::RowCount(0))
    }

    /// Runs a statement that yields no rows, and says how many it changed.
    ///
    /// # Errors
    /// What the database says; [`Error::ReadOnly`] through a [`super::Read`].
    pub async fn execute(self) -> Result<u64> {
        self.conn.seen.note(&self.sql);
        match &mut self.conn.lease {
            Lease::LiteRead(_) => Err(Error::ReadOnly(self.sql.into_owned())),
            Lease::LiteTx(tx) => tx.execute(&sql::translate(&self.sql, Dialect::Lite), &self.params),
            Lease::Pg(conn) => {
                conn.execute(&sql::translate(&self.sql, Dialect::Pg), &self.params)
                    .await
            }
        }
    }
}
