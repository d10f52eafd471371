//! Looking at an archive before anything of it is written.

use std::collections::HashSet;

use aws_lc_rs::digest::{SHA256, digest};
use polity_kernel::http::{FieldError, has_nul};
use serde_json::Value;

use super::{
    Error, PARTS,
    format::{End, FORMAT, Header, Line, VERSION},
    part::{Known, Wrong},
};

/// How many mistakes are told at once.
const MOST_ERRORS: usize = 20;
/// How many people an archive may have: they are all shown in one transaction.
const MOST_PEOPLE: usize = 10_000;

/// The rows of an archive in which nothing is wrong, each with the place of its part.
pub(super) fn rows(text: &[u8]) -> Vec<(usize, &str)> {
    // The first line and the last are no rows.
    let lines = text.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let line: Line<'_> = serde_json::from_slice(line).ok()?;
            let at = PARTS.iter().position(|part| part.name() == line.part)?;
            Some((at, line.data.get()))
        })
        .collect()
}

/// What is wrong, by line.
#[derive(Default)]
struct Errors(Vec<FieldError>);

impl Errors {
    fn add(&mut self, line: usize, Wrong(member, text): Wrong) {
        let line = line.to_string();
        let path = [line.as_str(), member];
        let path = if member.is_empty() { &path[..1] } else { &path };
        self.0.push(FieldError::new("body", path, text, "archive_invalid"));
    }

    fn one(line: usize, member: &'static str, text: impl Into<String>) -> Error {
        let mut errors = Self::default();
        errors.add(line, Wrong(member, text.into()));
        Error::Invalid(errors.0)
    }
}

/// Looks at an archive: first line, last line, then every row; says whose it is. Lines are counted from 1.
///
/// # Errors
/// What is wrong with it, at most twenty things.
pub(super) fn check(text: &[u8]) -> Result<String, Error> {
    let header = header(text)?;
    let lines = frame(text)?;
    let mut known = Known {
        organization_id: header.organization_id,
        ..Known::default()
    };
    let mut errors = Errors::default();
    let mut keys = HashSet::new();
    let mut at = 0;
    for (place, line) in lines.iter().enumerate() {
        // After the first line, and counted from 1.
        let number = place + 2;
        if let Err(wrong) = row(line, &mut at, &mut known, &mut keys) {
            errors.add(number, wrong);
        }
        if errors.0.len() >= MOST_ERRORS {
            return Err(Error::Invalid(errors.0));
        }
    }
    let end = lines.len() + 2;
    if known.people.len() > MOST_PEOPLE {
        errors.add(
            end,
            Wrong("", format!("an archive may have at most {MOST_PEOPLE} people")),
        );
    }
    match known.organization {
        None => errors.add(end, Wrong("", "the organization is missing".to_owned())),
        Some(true) if !known.has_owner => errors.add(end, Wrong("", "nobody owns the organization".to_owned())),
        Some(_) => {}
    }
    if !errors.0.is_empty() {
        return Err(Error::Invalid(errors.0));
    }
    Ok(known.organization_id)
}

/// The first line, by what it says it is, before anything else is asked of it.
fn header(text: &[u8]) -> Result<Header, Error> {
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let value: Value = serde_json::from_slice(first)
        .map_err(|error| Errors::one(1, "", format!("is no header of an archive: {error}")))?;
    if value["format"] != FORMAT {
        return Err(Errors::one(1, "format", format!("must be {FORMAT}")));
    }
    if value["version"] != VERSION {
        return Err(Errors::one(1, "version", format!("must be {VERSION}")));
    }
    let header: Header =
        serde_json::from_value(value).map_err(|error| Errors::one(1, "", format!("is not a whole header: {error}")))?;
    // Ids of organizations are ours: nobody's own id, which would be their personal organization.
    let id = &header.organization_id;
    let is_id = id.len() <= 64
        && id
            .strip_prefix("org_")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if !is_id {
        return Err(Errors::one(1, "organization_id", "is no id of an organization"));
    }
    if let Some(name) = header
        .parts
        .iter()
        .find(|name| PARTS.iter().all(|part| part.name() != *name))
    {
        return Err(Errors::one(1, "parts", format!("there is no part {name:?}")));
    }
    Ok(header)
}

/// The lines between the first and the last, if the last one is there and right.
fn frame(text: &[u8]) -> Result<Vec<&[u8]>, Error> {
    let mut lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let number = lines.len();
    let cut = || Errors::one(number, "", "the archive is cut: it has no end");
    let last = lines.pop().ok_or_else(cut)?;
    let end: End = serde_json::from_slice(last).map_err(|_| cut())?;
    if !end.end || lines.is_empty() {
        return Err(cut());
    }
    if u64::try_from(lines.len()).ok() != Some(end.lines) {
        return Err(Errors::one(number, "lines", "the archive has other lines than it says"));
    }
    let hash = hex::encode(digest(&SHA256, &text[..text.len() - last.len()]));
    if hash != end.sha256 {
        return Err(Errors::one(
            number,
            "sha256",
            "the archive was changed: its hash is another",
        ));
    }
    lines.remove(0);
    Ok(lines)
}

type Keys = HashSet<(usize, Vec<String>)>;

fn row(line: &[u8], at: &mut usize, known: &mut Known, keys: &mut Keys) -> Result<(), Wrong> {
    if has_nul(line) {
        return Err(Wrong("", "the character U+0000 is not allowed in text".to_owned()));
    }
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| Wrong("", error.to_string()))?;
    let Some(place) = PARTS.iter().position(|part| part.name() == line.part) else {
        return Err(Wrong("part", format!("there is no part {:?}", line.part)));
    };
    if place < *at {
        return Err(Wrong("part", "comes before parts that stand before it".to_owned()));
    }
    *at = place;
    let key = PARTS[place].check(line.data.get(), known)?;
    if !keys.insert((place, key)) {
        return Err(Wrong("", "is there twice".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A small archive, and where its last line begins.
    fn good() -> (Vec<u8>, usize) {
        let at = "2027-01-15T08:00:00.000000Z";
        let lines = [
            json!({ "format": FORMAT, "version": VERSION, "organization_id": "org_1", "exported_at": at, "parts": [] }),
            json!({ "part": "organization", "data": {
                "organization_id": "org_1", "name": "One", "domain": null, "billing_email": "b@example.com",
                "plan": "free", "status": "suspended", "kind": null, "details": {}, "settings": {}, "security": {},
                "rate_limits": null, "flag": null, "created_by": "usr_1", "created_at": at, "updated_at": at,
            } }),
        ];
        let mut text: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
        let end = text.len();
        let hash = hex::encode(digest(&SHA256, &text));
        text.extend(format!("{}\n", json!({ "end": true, "lines": 2, "sha256": hash })).into_bytes());
        (text, end)
    }

    #[test]
    fn a_good_one_is_taken_and_every_cut_one_refused() {
        let (text, _) = good();
        assert_eq!(check(&text).ok().as_deref(), Some("org_1"));
        assert_eq!(rows(&text).len(), 1);
        // The end of the last line says nothing.
        for end in 0..text.len() - 1 {
            assert!(check(&text[..end]).is_err(), "cut after {end} bytes");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_taken_for_an_archive(text: Vec<u8>) {
            prop_assert!(check(&text).is_err());
        }

        #[test]
        fn a_changed_byte_is_noticed(at: prop::sample::Index, byte: u8) {
            let (mut text, end) = good();
            let at = at.index(end);
            prop_assume!(text[at] != byte);
            text[at] = byte;
            prop_assert!(check(&text).is_err());
        }
    }
}
