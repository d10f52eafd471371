//! The text of a keyring:
//!
//! ```text
//! polity-keyring v1
//! # comment
//! k0a1b2c3d 1767225600 <32 bytes in base64url> <CRC-32 of what stands before, in hex>
//! end 1
//! ```
//!
//! The checksum of each line and the count in the last one find what copying and editing break; they are no protection
//! against somebody who can write the file.

use std::{fmt::Write as _, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::{ParseError, ring::Ring};
use crate::{Secret, constant_time_eq, key::MasterKey};

const MAGIC: &str = "polity-keyring ";
const HEADER: &str = "polity-keyring v1";
const NOTICE: &str = "\
# The master keys of a Polity installation, the current one last. Who has this file can read every sealed secret; who
# loses it loses them. Keep a backup, apart from the database's.
";
/// More than the longest line of a key takes.
const LINE: usize = 96;

pub(super) fn render(ring: &Ring) -> Secret {
    let count = ring.iter().count();
    // All the room at once: growing would leave copies of the keys behind.
    let mut text = String::with_capacity(HEADER.len() + NOTICE.len() + LINE * (count + 1));
    text.push_str(HEADER);
    text.push('\n');
    text.push_str(NOTICE);
    for key in ring.iter() {
        let start = text.len();
        // Writing into a string cannot fail.
        let _ = write!(text, "{} {} ", key.id, key.created);
        URL_SAFE_NO_PAD.encode_string(*key.bytes, &mut text);
        let check = checksum(text.get(start..).unwrap_or_default());
        let _ = writeln!(text, " {check}");
    }
    let _ = writeln!(text, "end {count}");
    text.into()
}

pub(super) fn parse(text: &str) -> Result<Ring, ParseError> {
    let mut lines = text.lines().zip(1..);
    match lines.next() {
        Some((HEADER, _)) => {}
        Some((other, _)) if other.starts_with(MAGIC) => return Err(ParseError::Version),
        _ => return Err(ParseError::Header),
    }
    let mut keys: Vec<Arc<MasterKey>> = Vec::new();
    let mut ended = false;
    let mut last = 1;
    for (content, line) in lines {
        last = line;
        if content.trim().is_empty() || content.starts_with('#') {
            continue;
        }
        if ended {
            return Err(ParseError::AfterEnd { line });
        }
        if let Some(count) = content.strip_prefix("end ") {
            let announced = count.trim().parse().map_err(|_| ParseError::Malformed { line })?;
            let found = keys.len();
            if announced != found {
                return Err(ParseError::Count { line, announced, found });
            }
            ended = true;
        } else {
            let key = parse_line(content, line)?;
            check_place(&key, &keys, line)?;
            keys.push(Arc::new(key));
        }
    }
    if !ended {
        return Err(ParseError::Truncated { line: last });
    }
    Ring::from_keys(keys).ok_or(ParseError::Empty)
}

fn parse_line(content: &str, line: usize) -> Result<MasterKey, ParseError> {
    let malformed = ParseError::Malformed { line };
    let (signed, check) = content.trim_end().rsplit_once(' ').ok_or(malformed)?;
    let mut fields = signed.split(' ');
    let (Some(id), Some(created), Some(encoded), None) = (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(malformed);
    };
    if check != checksum(signed) {
        return Err(ParseError::Checksum { line });
    }
    // The decoder estimates by whole groups of four characters, and wants one byte more than there is.
    let mut bytes = Zeroizing::new([0; 33]);
    let length = URL_SAFE_NO_PAD
        .decode_slice(encoded, &mut *bytes)
        .map_err(|_| malformed)?;
    let Some((key, [_])) = bytes.split_first_chunk::<32>().filter(|_| length == 32) else {
        return Err(malformed);
    };
    Ok(MasterKey {
        id: id.parse().map_err(|_| malformed)?,
        created: created.parse().map_err(|_| malformed)?,
        bytes: Zeroizing::new(*key),
    })
}

fn check_place(key: &MasterKey, earlier: &[Arc<MasterKey>], line: usize) -> Result<(), ParseError> {
    if earlier
        .iter()
        .any(|other| other.id == key.id || constant_time_eq(&*other.bytes, &*key.bytes))
    {
        return Err(ParseError::Duplicate { line });
    }
    if earlier.last().is_some_and(|other| other.created > key.created) {
        return Err(ParseError::Order { line });
    }
    Ok(())
}

fn checksum(text: &str) -> String {
    format!("{:08x}", crc32fast::hash(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Keyring;

    /// A ring of two keys as lines: header, two of notice, two keys, end.
    fn lines() -> Vec<String> {
        let ring = Keyring::generate(100);
        ring.rotate(200);
        ring.to_text().expose().lines().map(str::to_owned).collect()
    }

    fn error(lines: &[String]) -> ParseError {
        Keyring::parse(&lines.join("\n")).unwrap_err()
    }

    /// The line of a key with its checksum right.
    fn line(content: &str) -> String {
        format!("{content} {}", checksum(content))
    }

    #[test]
    fn a_ring_reads_back() {
        let ring = Keyring::generate(100);
        ring.rotate(200);
        let back = Keyring::parse(ring.to_text().expose()).unwrap();
        assert_eq!(back.list(), ring.list());
        assert_eq!(back.to_text(), ring.to_text());
    }

    /// Files outlive releases. The checksum is Python's `zlib.crc32`.
    #[test]
    fn the_text_is_a_promise() {
        let text = "polity-keyring v1\r\n\r\n\
            k0000002a 1767225600 BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc 3b371f0c\r\nend 1\r\n";
        let ring = parse(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(ring.current().id.to_string(), "k0000002a");
        assert_eq!(ring.current().created, 1_767_225_600);
        assert_eq!(*ring.current().bytes, [7; 32]);
    }

    #[test]
    fn damage_is_named_with_its_line() {
        let good = lines();
        let changed = |at: usize, to: String| {
            let mut lines = good.clone();
            lines[at] = to;
            error(&lines)
        };
        assert_eq!(changed(0, "polity-keyring v2".into()), ParseError::Version);
        assert_eq!(changed(0, "[server]".into()), ParseError::Header);
        assert_eq!(
            changed(4, good[4].replacen(" 200 ", " 201 ", 1)),
            ParseError::Checksum { line: 5 }
        );
        assert_eq!(changed(4, "k00000001".into()), ParseError::Malformed { line: 5 });
        assert_eq!(
            changed(4, line("k00000001 200 AAAA")),
            ParseError::Malformed { line: 5 }
        );
        assert_eq!(
            changed(4, line(&format!("k00000001 soon {}", "A".repeat(43)))),
            ParseError::Malformed { line: 5 }
        );
        assert_eq!(
            changed(4, line(&format!("k1 200 {}", "A".repeat(43)))),
            ParseError::Malformed { line: 5 }
        );
        assert_eq!(
            changed(4, line(&format!("k00000001 200 {}", "A".repeat(44)))),
            ParseError::Malformed { line: 5 }
        );
        assert_eq!(changed(4, good[3].clone()), ParseError::Duplicate { line: 5 });
        assert_eq!(
            changed(4, line(&format!("k00000001 99 {}", "A".repeat(43)))),
            ParseError::Order { line: 5 }
        );
        assert_eq!(
            changed(4, String::new()),
            ParseError::Count {
                line: 6,
                announced: 2,
                found: 1
            }
        );
        assert_eq!(changed(5, "end two".into()), ParseError::Malformed { line: 6 });
        assert!(changed(4, "x y".into()).to_string().contains("line 5"));
    }

    #[test]
    fn the_same_bytes_under_another_name_are_a_duplicate() {
        let mut lines = lines();
        let bytes = lines[3].split(' ').nth(2).unwrap().to_owned();
        lines[4] = line(&format!("k00000001 200 {bytes}"));
        assert_eq!(error(&lines), ParseError::Duplicate { line: 5 });
    }

    #[test]
    fn what_breaks_off_or_goes_on_is_refused() {
        let good = lines();
        assert_eq!(error(&[]), ParseError::Header);
        assert_eq!(error(&good[..5]), ParseError::Truncated { line: 5 });
        assert_eq!(error(&good[..1]), ParseError::Truncated { line: 1 });
        assert_eq!(error(&[good[0].clone(), "end 0".into()]), ParseError::Empty);
        let mut longer = good.clone();
        longer.push(good[3].clone());
        assert_eq!(error(&longer), ParseError::AfterEnd { line: 7 });
    }

    proptest! {
        #[test]
        fn no_part_of_a_ring_is_a_ring(cut: prop::sample::Index) {
            let text = lines().join("\n");
            let part = text.get(..cut.index(text.len())).unwrap();
            prop_assert!(Keyring::parse(part).is_err());
        }

        #[test]
        fn no_text_panics(
            text: String,
            rest in "([ -~é]{0,90}\n){0,4}",
            fields in "k[0-9a-f]{8} [0-9]{0,25} [A-Za-z0-9_-]{0,50}",
        ) {
            let _ = Keyring::parse(&text);
            let _ = Keyring::parse(&format!("{HEADER}\n{rest}"));
            let _ = Keyring::parse(&format!("{HEADER}\n{}\nend 1", line(&fields)));
        }
    }
}
