//! The lines that are no rows, and what a row stands in.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use polity_kernel::clock;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What the first line says it is.
pub(super) const FORMAT: &str = "polity.organization";
/// The version that is written, and the only one that is read.
pub(super) const VERSION: u64 = 1;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub format: String,
    pub version: u64,
    pub organization_id: String,
    #[serde(with = "clock::rfc3339")]
    pub exported_at: DateTime<Utc>,
    pub parts: Vec<String>,
    #[serde(default)]
    pub left_out: Vec<String>,
}

/// A line between the first and the last.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    pub part: Cow<'a, str>,
    #[serde(borrow)]
    pub data: &'a RawValue,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the format calls it so")]
pub(super) struct End {
    /// True.
    pub end: bool,
    /// How many lines stand before it.
    pub lines: u64,
    /// How many rows could not stand in the archive, since what they refer to came or went while it was made.
    #[serde(default)]
    pub left_out: u64,
    /// SHA-256 of every byte before this line, in hex.
    pub sha256: String,
}
