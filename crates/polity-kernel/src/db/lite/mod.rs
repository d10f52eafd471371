//! SQLite: one writer connection with group commit, a pool of read-only connections, checkpoints on a thread of their own.

mod connect;
mod open;
mod reader;
mod writer;

pub(super) use connect::LiteSettings;
pub(super) use open::Lite;
pub(super) use reader::LiteRead;
pub(super) use writer::LiteTx;

use rusqlite::{Connection, ToSql};

use super::{
    Param, Record, Result,
    row::{Columns, Row},
};

/// Runs a query inline and collects its records.
fn fetch<T: Record>(conn: &Connection, sql: &str, params: &[Param<'_>]) -> Result<Vec<T>> {
    let mut statement = conn.prepare_cached(sql)?;
    let columns = Columns::find(T::COLUMNS, &statement.column_names())?;
    let mut rows = statement.query(borrow(params).as_slice())?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(T::from_row(&Row::lite(row, &columns))?);
    }
    Ok(out)
}

/// Runs a statement inline and counts the rows it changed.
fn execute(conn: &Connection, sql: &str, params: &[Param<'_>]) -> Result<u64> {
    let mut statement = conn.prepare_cached(sql)?;
    Ok(statement.execute(borrow(params).as_slice())? as u64)
}

fn borrow<'p>(params: &'p [Param<'_>]) -> Vec<&'p dyn ToSql> {
    params.iter().map(|param| param as &dyn ToSql).collect()
}
