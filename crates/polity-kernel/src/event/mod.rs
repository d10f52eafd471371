//! (stand-in, being replaced)
#![allow(missing_docs)]
pub struct Events; pub struct Consumer; pub const TABLES: &str = "select 1";
