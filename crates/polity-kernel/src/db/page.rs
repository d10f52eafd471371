//! Cursors: where a page ended, as a text that means nothing to anybody else.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Datelike, Utc};

/// Where a page ended, in a list ordered by a moment and then by an id: both are needed, since moments repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The moment of the last row.
    pub at: DateTime<Utc>,
    /// The id of the last row.
    pub id: String,
}

/// Where a page ended, in a list ordered by texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(pub Vec<String>);

impl Place {
    /// The place as a text for the client.
    #[must_use]
    pub fn encode(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&self.0).unwrap_or_default())
    }

    /// The place a client sent back, of so many texts.
    ///
    /// # Errors
    /// If it is not one. A place is no secret and proves nothing: it only says where to go on.
    pub fn decode(text: &str, texts: usize) -> Result<Self, CursorError> {
        if text.len() > LONGEST_PLACE {
            return Err(CursorError);
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let found: Vec<String> = serde_json::from_slice(&bytes).map_err(|_| CursorError)?;
        if found.len() != texts || found.iter().any(|text| text.contains('\0')) {
            return Err(CursorError);
        }
        Ok(Self(found))
    }
}

/// Cuts a page that was asked for with one row more than it may have: `limit`. Returns the last one left if there are more,
/// which is where the next page begins.
pub fn cut<T>(rows: &mut Vec<T>, limit: i64) -> Option<&T> {
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > size;
    rows.truncate(size);
    rows.last().filter(|_| has_more)
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// What follows so many rows; then somebody counts all of them.
    From(i64),
    /// What follows a place, or the beginning; then nobody counts, and it takes no longer however long the list is.
    After(Option<Cursor>),
}

impl Part {
    /// The part a request asks for: by cursor, which may be empty at the beginning, or else from `offset` on.
    ///
    /// # Errors
    /// If the cursor is none of ours.
    pub fn asked(cursor: Option<&str>, offset: i64) -> Result<Self, CursorError> {
        Ok(match cursor {
            None => Self::From(offset),
            Some("") => Self::After(None),
            Some(text) => Self::After(Some(Cursor::decode(text)?)),
        })
    }
}

/// The text is not a cursor that this program gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this list; leave it out to start from the beginning")]
pub struct CursorError;

/// Longer texts are refused before anything is decoded.
const LONGEST: usize = 512;
/// The same of a place, whose texts are names.
const LONGEST_PLACE: usize = 4_096;

impl Cursor {
    /// The cursor as a text for the client.
    #[must_use]
    pub fn encode(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(format!("{}.{}", self.at.timestamp_micros(), self.id))
    }

    /// The cursor a client sent back.
    ///
    /// # Errors
    /// If it is not one. A cursor is no secret and proves nothing: it only says where to go on.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        if text.len() > LONGEST {
            return Err(CursorError);
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let text = String::from_utf8(bytes).map_err(|_| CursorError)?;
        let (at, id) = text.split_once('.').ok_or(CursorError)?;
        let at = DateTime::from_timestamp_micros(at.parse().map_err(|_| CursorError)?).ok_or(CursorError)?;
        // PostgreSQL keeps fewer years than chrono names.
        if id.contains('\0') || !(1..=9999).contains(&at.year()) {
            return Err(CursorError);
        }
        Ok(Self { at, id: id.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_goes_on_after_its_last_row_if_there_is_one_more() {
        for (rows, limit, last, left) in [(3, 2, Some(1), 2), (2, 2, None, 2), (0, 2, None, 0), (1, 0, None, 0)] {
            let mut page: Vec<i32> = (0..rows).collect();
            assert_eq!(cut(&mut page, limit).copied(), last);
            assert_eq!(page.len(), left);
        }
    }

    proptest::proptest! {
        /// Both databases keep the years 1 to 9999; a time beyond that is an error of PostgreSQL's, not an end of the list.
        #[test]
        fn what_is_decoded_can_be_asked_of_both_databases(micros: i64, id in "\\PC{0,20}") {
            let text = BASE64_URL_SAFE_NO_PAD.encode(format!("{micros}.{id}"));
            if let Ok(cursor) = Cursor::decode(&text) {
                proptest::prop_assert!((1..=9999).contains(&cursor.at.year()), "{}", cursor.at);
            }
        }

        #[test]
        fn what_is_encoded_is_decoded(micros in -1_000_000_000_000_000i64..4_000_000_000_000_000, id in "[a-z0-9_.]{1,60}") {
            let cursor = Cursor { at: DateTime::from_timestamp_micros(micros).unwrap(), id };
            proptest::prop_assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
        }

        #[test]
        fn a_place_is_found_again(texts in proptest::collection::vec("[^\0]{0,40}", 2)) {
            let place = Place(texts);
            proptest::prop_assert_eq!(Place::decode(&place.encode(), 2), Ok(place.clone()));
            proptest::prop_assert_eq!(Place::decode(&place.encode(), 1), Err(CursorError));
        }

        #[test]
        fn no_text_panics(text in ".{0,600}") {
            drop(Cursor::decode(&text));
            drop(Place::decode(&text, 1));
        }
    }
}
