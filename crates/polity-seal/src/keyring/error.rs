//! What can be wrong with a keyring. Every text says where and what to do; none shows a key.

use std::{io, path::PathBuf};

use crate::KeyId;

/// Why a keyring could not be read, written or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file's content is damaged.
    #[error("the keyring {path} cannot be used: {cause}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        cause: ParseError,
    },
    /// Others than the owner have access to the file.
    #[error(
        "the keyring {path} has mode {mode:03o}, so that others than its owner can use it: run `chmod 600` on it, and \
         rotate the keys if others may have read them"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is a file already, and its keys are not thrown away.
    #[error("the keyring {path} exists already: load it, or move it away if nothing was ever sealed with it")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The path is a folder, a device, or far larger than a keyring.
    #[error("{path} is no keyring: name a regular file of at most {limit} bytes")]
    NotAKeyring {
        /// The path.
        path: PathBuf,
        /// The largest file that is read, in bytes.
        limit: u64,
    },
    /// The system refused.
    #[error("cannot {action} the keyring {path}: {cause}")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The current key cannot be retired.
    #[error("the key {id} is the current one: rotate first, and retire it when nothing is sealed with it any more")]
    Current {
        /// The key.
        id: KeyId,
    },
    /// The ring has no such key.
    #[error("the keyring has no key {id}: list the keys to see which it has")]
    Unknown {
        /// The key.
        id: KeyId,
    },
}

/// Why a text is no keyring. Lines count from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The bytes are not UTF-8.
    #[error("it is not text; restore it from its backup")]
    NotText,
    /// The first line is not a keyring's.
    #[error("line 1 is not `polity-keyring v1`; check the path, or restore the file from its backup")]
    Header,
    /// The file was written by a later version.
    #[error("line 1 names another version than v1; use the version of Polity that wrote the file, or a later one")]
    Version,
    /// A line that is no key, comment or end.
    #[error("line {line} is not `id created key checksum`; restore the file from its backup")]
    Malformed {
        /// Where.
        line: usize,
    },
    /// A line that was changed.
    #[error("line {line} is damaged, its checksum does not match; restore the line from a backup")]
    Checksum {
        /// Where.
        line: usize,
    },
    /// A key that an earlier line has, by its id or by its bytes.
    #[error("line {line} repeats a key of an earlier line; remove the copy, and correct the count in the last line")]
    Duplicate {
        /// Where.
        line: usize,
    },
    /// A key that is older than the one before it.
    #[error("line {line} is older than the key before it; put the lines in the order of their times, newest last")]
    Order {
        /// Where.
        line: usize,
    },
    /// The last line counts other keys than there are.
    #[error("line {line} announces {announced} keys, but there are {found}; restore the file from its backup")]
    Count {
        /// Where.
        line: usize,
        /// What the line says.
        announced: usize,
        /// What was found.
        found: usize,
    },
    /// Something follows the end.
    #[error("line {line} follows the end of the keyring; remove it, or restore the file from its backup")]
    AfterEnd {
        /// Where.
        line: usize,
    },
    /// The end is missing.
    #[error("it breaks off after line {line}, without its `end` line; restore it from its backup")]
    Truncated {
        /// The last line.
        line: usize,
    },
    /// There is no key in it.
    #[error("it holds no key; restore it from its backup")]
    Empty,
}
