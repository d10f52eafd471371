//! Rows: what a query yields, in whichever driver's hands it is.

use super::{Error, Result, Value, value::Cell, value::Raw};

/// A row of a result. [`Record`] reads it.
pub struct Row<'r> {
    raw: RawRow<'r>,
    columns: &'r Columns,
}

enum RawRow<'r> {
    Lite(&'r rusqlite::Row<'r>),
    Pg(&'r tokio_postgres::Row),
}

impl<'r> Row<'r> {
    pub(super) fn lite(row: &'r rusqlite::Row<'r>, columns: &'r Columns) -> Self {
        Self {
            raw: RawRow::Lite(row),
            columns,
        }
    }

    pub(super) fn pg(row: &'r tokio_postgres::Row, columns: &'r Columns) -> Self {
        Self {
            raw: RawRow::Pg(row),
            columns,
        }
    }

    /// The value of the record's field number `field` (from 0).
    ///
    /// # Errors
    /// [`Error::Decode`] if the column is missing or holds something else.
    pub fn at<T: Value>(&self, field: usize) -> Result<T> {
        let column = self
            .columns
            .0
            .as_ref()
            .map_or(field, |found| found.get(field).copied().unwrap_or(usize::MAX));
        let raw = match self.raw {
            RawRow::Lite(row) => row.get_ref(column).ok().map(|value| Raw::Lite(value, column)),
            RawRow::Pg(row) => (column < row.len()).then_some(Raw::Pg(row, column)),
        };
        match raw {
            Some(raw) => T::read(Cell(raw)),
            None => Err(Error::Decode {
                column: format!("#{}", column.saturating_add(1)),
                message: "no such column".into(),
            }),
        }
    }
}

/// Where each field of a record stands in a result; worked out once per statement. `None`: in the result's own order.
pub(super) struct Columns(Option<Vec<usize>>);

impl Columns {
    /// Finds `fields` among the names of a result's columns.
    pub(super) fn find(fields: &[&str], names: &[&str]) -> Result<Self> {
        if fields.is_empty() || (names.len() >= fields.len() && fields.iter().zip(names).all(|(f, n)| f == n)) {
            return Ok(Self(None));
        }
        let find = |field: &&str| {
            names
                .iter()
                .position(|name| name == field)
                .ok_or_else(|| Error::Decode {
                    column: (*field).to_owned(),
                    message: format!("the query does not return it; it returns {}", names.join(", ")),
                })
        };
        fields
            .iter()
            .map(find)
            .collect::<Result<_>>()
            .map(|found| Self(Some(found)))
    }
}

/// A row both databases can return. Derived: fields by column name. Tuples and single values read by position.
pub trait Record: Sized {
    /// The columns the fields are read from, in the order of the fields; empty for "by position".
    const COLUMNS: &'static [&'static str];

    /// The record of a row.
    ///
    /// # Errors
    /// [`Error::Decode`] if a column is missing or holds something else.
    fn from_row(row: &Row<'_>) -> Result<Self>;
}

macro_rules! tuple {
    ($($name:ident $at:tt),+) => {
        impl<$($name: Value),+> Record for ($($name,)+) {
            const COLUMNS: &'static [&'static str] = &[];
            fn from_row(row: &Row<'_>) -> Result<Self> {
                Ok(($(row.at::<$name>($at)?,)+))
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
