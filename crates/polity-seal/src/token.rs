//! The text of a token: `pol_<kind>_`, 43 base62 characters that carry 256 random bits, and 6 that are the checksum of
//! everything before them.
//!
//! The fixed prefix lets scanners find leaked tokens; the checksum refuses a mistyped or invented one before anything
//! is looked up. It proves nothing: whether a token exists is known by its hash only.

use zeroize::Zeroizing;

use crate::{Secret, random::random_bytes};

const PREFIX: &str = "pol_";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 is the first power of 62 above 2^256.
const BODY: usize = 43;
/// 62^6 is above 2^32.
const CHECK: usize = 6;
const KIND_MIN: usize = 2;
const KIND_MAX: usize = 8;
const MIN: usize = PREFIX.len() + KIND_MIN + 1 + BODY + CHECK;
const MAX: usize = PREFIX.len() + KIND_MAX + 1 + BODY + CHECK;

/// Why a text is no token. No message quotes the text, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Outside the possible lengths; nothing else was looked at.
    #[error("a token has {MIN} to {MAX} characters")]
    Length,
    /// It does not begin with `pol_`.
    #[error("a token begins with `pol_`")]
    Prefix,
    /// The kind is not two to eight lower-case ASCII letters.
    #[error("the kind of a token is {KIND_MIN} to {KIND_MAX} lower-case letters")]
    Kind,
    /// The part after the kind has the wrong length or other characters than letters and digits.
    #[error("the token is incomplete or has characters that no token has: copy it again")]
    Body,
    /// The checksum does not match: it was mistyped or cut.
    #[error("the token's checksum is wrong: copy it again")]
    Checksum,
}

/// What a token is for: two to eight lower-case ASCII letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenKind<'a>(&'a str);

impl TokenKind<'static> {
    /// A key that a user made for themselves.
    pub const USER: Self = Self("user");
    /// A service's credential.
    pub const SERVICE: Self = Self("service");
    /// A device's credential.
    pub const DEVICE: Self = Self("device");
    /// An integration token.
    pub const TOKEN: Self = Self("token");
}

impl<'a> TokenKind<'a> {
    /// The kind of that name.
    pub fn new(name: &'a str) -> Result<Self, TokenError> {
        let fits = (KIND_MIN..=KIND_MAX).contains(&name.len());
        if fits && name.bytes().all(|byte| byte.is_ascii_lowercase()) {
            Ok(Self(name))
        } else {
            Err(TokenError::Kind)
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

/// What a well-formed token says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// What it is for.
    pub kind: TokenKind<'a>,
}

/// Makes and reads the text of tokens.
#[derive(Debug, Clone, Copy)]
pub struct TokenText;

impl TokenText {
    /// No token is longer, in bytes.
    pub const LONGEST: usize = MAX;

    /// A new token of this kind.
    pub fn generate(kind: TokenKind<'_>) -> Secret {
        Self::from_bytes(kind, Zeroizing::new(random_bytes()))
    }

    /// The token of this kind that carries these bits.
    fn from_bytes(kind: TokenKind<'_>, mut bytes: Zeroizing<[u8; 32]>) -> Secret {
        let body = Zeroizing::new(base62::<BODY>(|| divide(&mut bytes)));
        let mut text = String::with_capacity(MAX);
        text.push_str(PREFIX);
        text.push_str(kind.as_str());
        text.push('_');
        text.extend(body.iter().copied().map(char::from));
        let check = checksum(&text);
        text.extend(check.map(char::from));
        text.into()
    }

    /// Whether a text means to be a token: it begins like one.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The tokens in a text, such as what a scanner for secrets found, wherever they stand. What only looks like one is left
    /// out: the checksum tells.
    pub fn find(text: &str) -> impl Iterator<Item = &str> {
        text.match_indices(PREFIX).filter_map(|(at, _)| {
            let rest = text.get(at + PREFIX.len()..)?;
            let kind = rest.find('_').filter(|length| *length <= KIND_MAX)?;
            let end = at + PREFIX.len() + kind + 1 + BODY + CHECK;
            text.get(at..end).filter(|found| Self::parse(found).is_ok())
        })
    }

    /// Reads a presented token: its length, prefix, kind, characters and checksum, in this order and without any I/O.
    pub fn parse(text: &str) -> Result<Parsed<'_>, TokenError> {
        if !(MIN..=MAX).contains(&text.len()) {
            return Err(TokenError::Length);
        }
        let (kind, rest) = text
            .strip_prefix(PREFIX)
            .ok_or(TokenError::Prefix)?
            .split_once('_')
            .ok_or(TokenError::Kind)?;
        let kind = TokenKind::new(kind)?;
        if rest.len() != BODY + CHECK || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(TokenError::Body);
        }
        // All ASCII by now, so that the split falls between characters.
        let (signed, check) = text.split_at(text.len() - CHECK);
        if check.as_bytes() == checksum(signed) {
            Ok(Parsed { kind })
        } else {
            Err(TokenError::Checksum)
        }
    }
}

/// The CRC-32 of the text in base62.
fn checksum(text: &str) -> [u8; CHECK] {
    let mut rest = crc32fast::hash(text.as_bytes());
    base62(|| {
        let digit = rest % 62;
        rest /= 62;
        digit
    })
}

/// `N` base62 characters from digits that come lowest first, and zeros when the number is used up.
fn base62<const N: usize>(mut next: impl FnMut() -> u32) -> [u8; N] {
    let mut text = [0; N];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[next() as usize % ALPHABET.len()];
    }
    text
}

/// Divides the big-endian number by 62 in place and returns the remainder.
fn divide(number: &mut [u8; 32]) -> u32 {
    let mut rest = 0;
    for byte in number {
        let part = rest << 8 | u32::from(*byte);
        *byte = u8::try_from(part / 62).unwrap_or(u8::MAX);
        rest = part % 62;
    }
    rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(bytes: [u8; 32]) -> Secret {
        TokenText::from_bytes(TokenKind::USER, Zeroizing::new(bytes))
    }

    /// Computed with Python's integers and `zlib.crc32`.
    #[test]
    fn the_text_is_a_promise() {
        let mut one = [0; 32];
        one[31] = 1;
        assert_eq!(
            token(one).expose(),
            "pol_user_00000000000000000000000000000000000000000013kUbOG"
        );
        assert_eq!(
            token([255; 32]).expose(),
            "pol_user_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp10IVGGQ"
        );
    }

    #[test]
    fn generated_tokens_differ_and_read_back() {
        let (a, b) = (
            TokenText::generate(TokenKind::DEVICE),
            TokenText::generate(TokenKind::DEVICE),
        );
        assert_ne!(a, b);
        assert_eq!(
            TokenText::parse(a.expose()),
            Ok(Parsed {
                kind: TokenKind::DEVICE
            })
        );
    }

    #[test]
    fn the_constants_are_kinds() {
        for kind in [TokenKind::USER, TokenKind::SERVICE, TokenKind::DEVICE, TokenKind::TOKEN] {
            assert_eq!(TokenKind::new(kind.as_str()), Ok(kind));
        }
        for wrong in ["", "a", "abcdefghi", "Ab", "a1", "a_b", "ключ"] {
            assert_eq!(TokenKind::new(wrong), Err(TokenError::Kind), "{wrong}");
        }
    }

    #[test]
    fn lookalikes_are_refused() {
        let good = token([42; 32]);
        let good = good.expose();
        let changed = |from: &str, to: &str| TokenText::parse(&good.replacen(from, to, 1)).unwrap_err();
        assert_eq!(changed("pol_", "POL_"), TokenError::Prefix);
        assert_eq!(changed("pol_", "pol-"), TokenError::Prefix);
        assert_eq!(changed("pol_", "рol_"), TokenError::Prefix);
        assert_eq!(changed("pol_", " pol_"), TokenError::Prefix);
        assert_eq!(changed("_user_", "_User_"), TokenError::Kind);
        assert_eq!(changed("_user_", "_user"), TokenError::Kind);
        assert_eq!(changed("_user_", "__user_"), TokenError::Kind);
        assert_eq!(changed("_user_", "_use_"), TokenError::Checksum);
        assert_eq!(TokenText::parse(&format!("{good} ")), Err(TokenError::Body));
        assert_eq!(
            TokenText::parse(&good.replacen("_user_", "_us_er", 1)),
            Err(TokenError::Body)
        );
        assert_eq!(TokenText::parse(&format!("{good}aaaaa")), Err(TokenError::Length));
        assert_eq!(TokenText::parse(""), Err(TokenError::Length));
    }

    #[test]
    fn tokens_are_found_wherever_they_stand() {
        let (one, two) = (token([1; 32]), token([2; 32]));
        let text = format!(
            "key=\"{}\",pol_pol_{}pol_user_x {}",
            one.expose(),
            two.expose(),
            &one.expose()[1..]
        );
        assert_eq!(TokenText::find(&text).collect::<Vec<_>>(), [one.expose(), two.expose()]);
    }

    proptest! {
        #[test]
        fn what_surrounds_a_token_does_not_hide_it(bytes: [u8; 32], before in "\\PC{0,30}", after in "\\PC{0,30}") {
            let good = token(bytes);
            let text = format!("{before}{}{after}", good.expose());
            prop_assert!(TokenText::find(&text).any(|found| found == good.expose()));
        }

        #[test]
        fn every_value_reads_back(bytes: [u8; 32], kind in "[a-z]{2,8}") {
            let kind = TokenKind::new(&kind).unwrap();
            let text = TokenText::from_bytes(kind, Zeroizing::new(bytes));
            prop_assert_eq!(TokenText::parse(text.expose()), Ok(Parsed { kind }));
        }

        #[test]
        fn different_bits_give_different_texts(a: [u8; 32], b: [u8; 32]) {
            prop_assert_eq!(a == b, token(a) == token(b));
        }

        /// CRC-32 finds every change within 32 bits, so that one wrong character never passes.
        #[test]
        fn one_wrong_character_is_refused(bytes: [u8; 32], place in 0..58_usize, with in "[ -~]") {
            let good = token(bytes);
            let mut text = good.expose().to_owned();
            text.replace_range(place..=place, &with);
            prop_assume!(text != good.expose());
            prop_assert!(TokenText::parse(&text).is_err());
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,70}", tail in "\\PC{40,58}", near in "pol_[a-z]{1,9}_[0-9A-Za-zé]{47,50}") {
            prop_assert!(TokenText::parse(&text).is_err());
            let near_tail = format!("pol_user_{tail}");
            prop_assert!(TokenText::parse(&near_tail).is_err());
            prop_assert!(TokenText::parse(&near).is_err());
        }
    }
}
