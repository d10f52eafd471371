//! Values: what both databases can store, how it goes in and how it comes out.

use std::{borrow::Cow, error::Error as StdError, fmt::Display};

use chrono::{DateTime, Utc};
use postgres_types::{FromSql, IsNull, ToSql, Type, private::BytesMut};
use rusqlite::types::{ToSqlOutput, ValueRef};
use serde::{Serialize, de::DeserializeOwned};

use super::{Error, Result};

/// A value both databases can store. Newtypes and enums derive it.
pub trait Value {
    /// The value as a parameter of a statement.
    fn bind(&self) -> Param<'_>;

    /// The value of a cell.
    ///
    /// # Errors
    /// [`Error::Decode`] if the cell holds something else.
    fn read(cell: Cell<'_>) -> Result<Self>
    where
        Self: Sized;
}

/// A parameter, in one of the few forms both databases have.
#[derive(Debug, Clone, PartialEq)]
pub enum Param<'a> {
    /// `null`, of any type.
    Null,
    /// `text`.
    Text(Cow<'a, str>),
    /// `bigint`.
    Int(i64),
    /// `double precision`.
    Float(f64),
    /// `boolean`; 0 or 1 in SQLite.
    Bool(bool),
    /// `bytea`; a blob in SQLite.
    Bytes(Cow<'a, [u8]>),
    /// `timestamptz`; whole microseconds since the epoch in SQLite.
    Time(DateTime<Utc>),
    /// `jsonb`; text in SQLite.
    Json(Cow<'a, str>),
}

impl Param<'_> {
    /// The same parameter, owning what it holds, so that it can go to another thread.
    #[must_use]
    pub fn into_owned(self) -> Param<'static> {
        match self {
            Self::Null => Param::Null,
            Self::Text(text) => Param::Text(Cow::Owned(text.into_owned())),
            Self::Int(int) => Param::Int(int),
            Self::Float(float) => Param::Float(float),
            Self::Bool(bool) => Param::Bool(bool),
            Self::Bytes(bytes) => Param::Bytes(Cow::Owned(bytes.into_owned())),
            Self::Time(time) => Param::Time(time),
            Self::Json(json) => Param::Json(Cow::Owned(json.into_owned())),
        }
    }
}

impl rusqlite::ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Text(text) | Self::Json(text) => ValueRef::Text(text.as_bytes()),
            Self::Int(int) => ValueRef::Integer(*int),
            Self::Float(float) => ValueRef::Real(*float),
            Self::Bool(bool) => ValueRef::Integer(i64::from(*bool)),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Time(time) => ValueRef::Integer(time.timestamp_micros()),
        }))
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Text(text) if <&str as ToSql>::accepts(ty) => text.as_ref().to_sql(ty, out),
            Self::Int(int) if *ty == Type::INT8 => int.to_sql(ty, out),
            Self::Int(int) if *ty == Type::INT4 => i32::try_from(*int)?.to_sql(ty, out),
            Self::Float(float) if *ty == Type::FLOAT8 => float.to_sql(ty, out),
            Self::Bool(bool) if *ty == Type::BOOL => bool.to_sql(ty, out),
            Self::Bytes(bytes) if *ty == Type::BYTEA => bytes.as_ref().to_sql(ty, out),
            Self::Time(time) if *ty == Type::TIMESTAMPTZ => time.to_sql(ty, out),
            Self::Json(json) if *ty == Type::JSONB => {
                // The binary form of jsonb is a version byte and the text.
                out.extend_from_slice(&[1]);
                out.extend_from_slice(json.as_bytes());
                Ok(IsNull::No)
            }
            Self::Json(json) if *ty == Type::JSON => {
                out.extend_from_slice(json.as_bytes());
                Ok(IsNull::No)
            }
            other => Err(format!("{other:?} cannot be sent as {ty}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    postgres_types::to_sql_checked!();
}

/// One column of one row, in whichever driver's hands it is.
#[derive(Clone, Copy)]
pub struct Cell<'r>(pub(super) Raw<'r>);

#[derive(Clone, Copy)]
pub(super) enum Raw<'r> {
    Lite(ValueRef<'r>, usize),
    Pg(&'r tokio_postgres::Row, usize),
}

impl<'r> Cell<'r> {
    /// Whether the cell is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        match self.0 {
            Raw::Lite(value, _) => value == ValueRef::Null,
            Raw::Pg(row, at) => matches!(row.try_get::<_, Option<Any>>(at), Ok(None)),
        }
    }

    /// The text of the cell.
    pub fn text(self) -> Result<&'r str> {
        match self.0 {
            Raw::Lite(value, _) => value.as_str().map_err(|error| self.wrong(error)),
            Raw::Pg(row, at) => row.try_get(at).map_err(|error| self.wrong(error)),
        }
    }

    /// The integer of the cell.
    pub fn int(self) -> Result<i64> {
        match self.0 {
            Raw::Lite(value, _) => value.as_i64().map_err(|error| self.wrong(error)),
            Raw::Pg(row, at) if *row.columns()[at].type_() == Type::INT4 => row
                .try_get::<_, i32>(at)
                .map(i64::from)
                .map_err(|error| self.wrong(error)),
            Raw::Pg(row, at) => row.try_get(at).map_err(|error| self.wrong(error)),
        }
    }

    /// The floating-point number of the cell.
    pub fn float(self) -> Result<f64> {
        match self.0 {
            // A whole number in a column without an affinity for reals comes back as an integer.
            #[expect(clippy::cast_precision_loss, reason = "it was a double before SQLite shortened it")]
            Raw::Lite(ValueRef::Integer(int), _) => Ok(int as f64),
            Raw::Lite(value, _) => value.as_f64().map_err(|error| self.wrong(error)),
            Raw::Pg(row, at) => row.try_get(at).map_err(|error| self.wrong(error)),
        }
    }

    /// The truth value of the cell.
    pub fn bool(self) -> Result<bool> {
        match self.0 {
            Raw::Lite(..) => Ok(self.int()? != 0),
            Raw::Pg(row, at) => row.try_get(at).map_err(|error| self.wrong(error)),
        }
    }

    /// The bytes of the cell.
    pub fn bytes(self) -> Result<&'r [u8]> {
        match self.0 {
            Raw::Lite(value, _) => value.as_blob().map_err(|error| self.wrong(error)),
            Raw::Pg(row, at) => row.try_get(at).map_err(|error| self.wrong(error)),
        }
    }

    /// The moment of the cell, in whole microseconds.
    pub fn time(self) -> Result<DateTime<Utc>> {
        match self.0 {
            Raw::Lite(..) => {
                let micros = self.int()?;
                DateTime::from_timestamp_micros(micros).ok_or_else(|| self.wrong("not a moment in range"))
            }
            Raw::Pg(row, at) => row.try_get(at).map_err(|error| self.wrong(error)),
        }
    }

    /// The text of the JSON document of the cell.
    pub fn json(self) -> Result<Cow<'r, str>> {
        match self.0 {
            // A bare number in a JSON column is stored as a number: the column's affinity is numeric.
            Raw::Lite(ValueRef::Integer(int), _) => Ok(Cow::Owned(int.to_string())),
            Raw::Lite(ValueRef::Real(real), _) => Ok(Cow::Owned(real.to_string())),
            Raw::Lite(..) => self.text().map(Cow::Borrowed),
            Raw::Pg(row, at) => row
                .try_get::<_, JsonText<'r>>(at)
                .map(|json| Cow::Borrowed(json.0))
                .map_err(|error| self.wrong(error)),
        }
    }

    /// The error that says that this cell does not hold what was expected.
    pub fn wrong(self, message: impl Display) -> Error {
        let column = match self.0 {
            Raw::Lite(_, at) => format!("#{}", at + 1),
            Raw::Pg(row, at) => row
                .columns()
                .get(at)
                .map_or_else(|| at.to_string(), |column| column.name().to_owned()),
        };
        Error::Decode {
            column,
            message: message.to_string(),
        }
    }
}

/// Reads any type, to ask whether a cell is null.
struct Any;

impl<'a> FromSql<'a> for Any {
    fn from_sql(_: &Type, _: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self)
    }
    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The text of a `json` or `jsonb` column, without parsing it.
struct JsonText<'a>(&'a str);

impl<'a> FromSql<'a> for JsonText<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let text = if *ty == Type::JSONB {
            raw.get(1..).unwrap_or_default()
        } else {
            raw
        };
        Ok(Self(std::str::from_utf8(text)?))
    }
    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::JSON | Type::JSONB)
    }
}

/// Any serialisable type as a JSON document in a `jsonb` column.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Json<T>(pub T);

impl<T: Serialize + DeserializeOwned> Value for Json<T> {
    fn bind(&self) -> Param<'_> {
        // What cannot be written as JSON (a map with keys that are not text) becomes null and meets the column's `not null`.
        serde_json::to_string(&self.0).map_or(Param::Null, |text| Param::Json(Cow::Owned(text)))
    }
    fn read(cell: Cell<'_>) -> Result<Self> {
        let text = cell.json()?;
        serde_json::from_str(&text).map(Self).map_err(|error| cell.wrong(error))
    }
}

impl Value for serde_json::Value {
    fn bind(&self) -> Param<'_> {
        Param::Json(Cow::Owned(self.to_string()))
    }
    fn read(cell: Cell<'_>) -> Result<Self> {
        Json::read(cell).map(|json| json.0)
    }
}

impl Value for str {
    fn bind(&self) -> Param<'_> {
        Param::Text(Cow::Borrowed(self))
    }
}

impl Value for [u8] {
    fn bind(&self) -> Param<'_> {
        Param::Bytes(Cow::Borrowed(self))
    }
}

impl<T: Value> Value for Option<T> {
    fn bind(&self) -> Param<'_> {
        self.as_ref().map_or(Param::Null, Value::bind)
    }
    fn read(cell: Cell<'_>) -> Result<Self> {
        if cell.is_null() {
            Ok(None)
        } else {
            T::read(cell).map(Some)
        }
    }
}

/// `&T` binds as `T`, so that what a function got by reference needs no second thought. It cannot be read.
impl<T: Value + ?Sized> Value for &T {
    fn bind(&self) -> Param<'_> {
        (**self).bind()
    }
    fn read(cell: Cell<'_>) -> Result<Self> {
        Err(cell.wrong("a reference cannot be read from a row"))
    }
}

macro_rules! value {
    ($($ty:ty: |$this:ident| $bind:expr, |$cell:ident| $read:expr;)*) => {$(
        impl Value for $ty {
            fn bind(&self) -> Param<'_> { let $this = self; $bind }
            fn read($cell: Cell<'_>) -> Result<Self> { $read }
        }
    )*};
}

value! {
    String: |this| Param::Text(Cow::Borrowed(this)), |cell| cell.text().map(str::to_owned);
    bool: |this| Param::Bool(*this), |cell| cell.bool();
    i64: |this| Param::Int(*this), |cell| cell.int();
    f64: |this| Param::Float(*this), |cell| cell.float();
    Vec<u8>: |this| Param::Bytes(Cow::Borrowed(this)), |cell| cell.bytes().map(<[u8]>::to_vec);
    DateTime<Utc>: |this| Param::Time(*this), |cell| cell.time();
    i32: |this| Param::Int(i64::from(*this)), |cell| cell.int()?.try_into().map_err(|error| cell.wrong(error));
    u32: |this| Param::Int(i64::from(*this)), |cell| cell.int()?.try_into().map_err(|error| cell.wrong(error));
}

/// Rows that one statement inserts or updates: `from rows($n) as r`, where each is `r.item`, a JSON object whose members
/// are `r.item ->> 'name'` (numbers: `cast(r.item ->> 'name' as bigint)`, truth values the same as `boolean`, times as
/// microseconds: `moment(r.item ->> 'name')`). Sent as one JSON array.
#[derive(Debug, Clone)]
pub struct Rows(String);

impl Rows {
    /// These rows.
    pub fn of<T: Serialize>(rows: &[T]) -> Self {
        Self(serde_json::to_string(rows).unwrap_or_else(|_| "[]".to_owned()))
    }
}

impl Value for Rows {
    fn bind(&self) -> Param<'_> {
        Param::Json(Cow::Borrowed(&self.0))
    }
    fn read(cell: Cell<'_>) -> Result<Self> {
        cell.json().map(|text| Self(text.into_owned()))
    }
}

/// A list, for `in list($n)`. Sent as one JSON array; see [`super::sql`].
#[derive(Debug, Clone)]
pub struct List(String);

impl List {
    /// The list of the texts of `items`.
    pub fn of<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Self {
        let items: Vec<serde_json::Value> = items
            .into_iter()
            .map(|item| serde_json::Value::from(item.as_ref()))
            .collect();
        Self(serde_json::Value::Array(items).to_string())
    }
}

impl Value for List {
    fn bind(&self) -> Param<'_> {
        Param::Json(Cow::Borrowed(&self.0))
    }
    fn read(cell: Cell<'_>) -> Result<Self> {
        cell.json().map(|text| Self(text.into_owned()))
    }
}
