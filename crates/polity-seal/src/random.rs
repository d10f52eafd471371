//! Randomness from the system, for secrets. What tests must predict takes its bytes as an argument instead.

use aws_lc_rs::{error::Unspecified, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// `N` random bytes.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    sure(rand::fill(&mut bytes));
    bytes
}

/// A code of that many decimal digits, every code equally likely, leading zeros included.
pub fn random_code(digits: usize) -> String {
    code_from(digits, || {
        let [byte] = random_bytes();
        byte
    })
}

/// The base64url text, without padding, of `bytes` random bytes: about 4/3 as many characters.
pub fn random_url_safe(bytes: usize) -> String {
    let mut raw = Zeroizing::new(vec![0; bytes]);
    sure(rand::fill(&mut raw));
    URL_SAFE_NO_PAD.encode(&*raw)
}

fn code_from(digits: usize, mut next: impl FnMut() -> u8) -> String {
    // Bytes from 250 up are drawn again: 256 is no multiple of ten, and keeping them would favour the low digits.
    std::iter::repeat_with(&mut next)
        .filter(|byte| *byte < 250)
        .map(|byte| char::from(b'0' + byte % 10))
        .take(digits)
        .collect()
}

/// The result of an operation that fails only if the cryptographic library itself is broken.
#[expect(
    clippy::expect_used,
    reason = "depends on no input: going on without randomness or a cipher would be worse than stopping"
)]
pub(crate) fn sure<T>(result: Result<T, Unspecified>) -> T {
    result.expect("AWS-LC failed at an operation that cannot fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_reject_what_would_bias_them_and_keep_leading_zeros() {
        let mut bytes = [250, 0, 255, 10, 249, 7].into_iter();
        assert_eq!(code_from(4, || bytes.next().unwrap()), "0097");
    }

    #[test]
    fn codes_have_their_length_and_every_digit() {
        assert_eq!(random_code(0), "");
        let code = random_code(1000);
        assert_eq!(code.len(), 1000);
        assert!(('0'..='9').all(|digit| code.contains(digit)));
    }

    #[test]
    fn bytes_differ() {
        assert_ne!(random_bytes::<16>(), random_bytes::<16>());
        assert_ne!(random_url_safe(16), random_url_safe(16));
    }

    #[test]
    fn url_safe_text_holds_that_many_bytes() {
        for bytes in 0..40 {
            assert_eq!(URL_SAFE_NO_PAD.decode(random_url_safe(bytes)).unwrap().len(), bytes);
        }
    }
}
