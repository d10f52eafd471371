//! (stand-in, being replaced)
#![allow(missing_docs)]
pub struct Jobs; pub struct JobKind; pub struct Cron; pub const TABLES: &str = "select 1";
