//! Archives: everything of an organization in one text, to be kept, or taken in by another instance.
//!
//! An archive is JSON Lines: a header, one line for each row, and an end that says how many lines there were and what they
//! hash to, so that one that was cut or changed is noticed. Each service says what of its tables belongs in it, as a
//! [`Part`]; [`PARTS`] is their order, in which what is referred to comes first.
//!
//! Invariants: what is exported can be imported; nothing is written before everything was looked at; of an organization that
//! is not all there, nothing is shown.
//!
//! Deliberately absent: credentials and devices, whose hashes are bound to the keys of this instance; passwords and
//! preferences, which are people's own; the personal organization, of which nothing is stored.

mod export;
mod format;
mod import;
mod part;
mod read;

use polity_kernel::{
    clock,
    db::{self, Rows},
    http::{FieldError, Problem, codes},
};
use serde::Serialize;
use serde_json::Value;

pub(crate) use export::Export;
pub(crate) use import::{Imported, clear, import};
pub(crate) use part::{Known, Part, Wrong, check_length, check_text};

use crate::{account, authorization, invitation, organization};
use part::{AnyPart, Of};

/// The parts, in the order in which they stand in an archive.
static PARTS: [&dyn AnyPart; 10] = [
    &Of::<organization::archive::Itself>::new(),
    &Of::<account::archive::People>::new(),
    &Of::<organization::archive::Members>::new(),
    &Of::<organization::archive::Audit>::new(),
    &Of::<organization::archive::Sharings>::new(),
    &Of::<organization::archive::Accesses>::new(),
    &Of::<organization::archive::Uses>::new(),
    &Of::<invitation::archive::Pending>::new(),
    &Of::<authorization::archive::OfOrganization>::new(),
    &Of::<authorization::archive::OfPeople>::new(),
];

/// What is not in an archive, in words for whoever reads one.
const LEFT_OUT: [&str; 3] = [
    "API keys, tokens and devices: they are bound to the keys of their instance; make new ones",
    "passwords and preferences of people: they set a password by \"forgotten password\"",
    "tokens of invitations: resend them",
];

/// How many rows are read or written at once.
pub(crate) const PAGE: i64 = 500;

/// Why an archive was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What is wrong with it, and in which lines.
    #[error("the archive is not valid")]
    Invalid(Vec<FieldError>),
    /// Something of it is here already.
    #[error("{0}")]
    Taken(String),
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// Something unexpected.
    #[error("{0}")]
    Internal(String),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(errors) => Self::validation(errors),
            Error::Taken(text) => Self::new(codes::CONFLICT, text),
            Error::Db(db::Error::Unique(_)) => Self::new(
                codes::CONFLICT,
                "An id of the archive is another organization's here, or somebody took an address of it just now",
            ),
            Error::Db(error) => error.into(),
            Error::Internal(text) => Self::internal(&text),
        }
    }
}

/// Rows as a statement takes them: the members in `times` become microseconds.
pub(crate) fn rows<T: Serialize>(all: &[T], times: &[&str]) -> Rows {
    let all: Vec<Value> = all
        .iter()
        .map(|one| {
            let mut row = serde_json::to_value(one).unwrap_or_default();
            for name in times {
                let at = row.get(name).and_then(Value::as_str);
                let at = at.and_then(|at| at.parse().ok()).map(clock::micros);
                if let (Some(at), Some(members)) = (at, row.as_object_mut()) {
                    members.insert((*name).to_owned(), at.into());
                }
            }
            row
        })
        .collect();
    Rows::of(&all)
}

/// Times in archives: as everywhere on the wire, but only those that both databases keep.
pub(crate) mod moment {
    use chrono::{DateTime, Datelike, Utc};
    use polity_kernel::clock::rfc3339;
    pub(crate) use polity_kernel::clock::rfc3339::serialize;
    use serde::{Deserializer, de::Error};

    fn kept<E: Error>(at: DateTime<Utc>) -> Result<DateTime<Utc>, E> {
        if (1..=9999).contains(&at.year()) {
            Ok(at)
        } else {
            Err(E::custom("times are of the years 1 to 9999"))
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<DateTime<Utc>, D::Error> {
        rfc3339::deserialize(from).and_then(kept)
    }

    pub(crate) mod option {
        pub(crate) use polity_kernel::clock::rfc3339::option::serialize;

        use super::{DateTime, Deserializer, Utc, kept, rfc3339};

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
            rfc3339::option::deserialize(from)?.map(kept).transpose()
        }
    }
}
