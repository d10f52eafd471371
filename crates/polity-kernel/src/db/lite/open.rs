//! Opening the file, and copying it while it is in use.

use std::{path::Path, sync::Arc};

use super::{
    connect::{Checkpoints, LiteSettings, connect, connect_read_only},
    reader::Readers,
    writer::Writer,
};
use crate::db::Result;

/// An open SQLite database.
pub(crate) struct Lite {
    pub(crate) writer: Arc<Writer>,
    pub(crate) readers: Readers,
}

impl Lite {
    /// Opens the file, creating it when missing. Needs a running runtime.
    pub(crate) fn open(settings: &LiteSettings) -> Result<Self> {
        let conn = connect(&settings.path)?;
        let checkpoints = Checkpoints::start(&settings.path)?;
        let writer = Writer::start(conn, checkpoints, settings);
        let readers = Readers::new(settings.path.clone(), settings.readers);
        Ok(Self { writer, readers })
    }
}

impl Lite {
    /// Writes a consistent copy to `to` while everything goes on; returns when it is on disk.
    pub(crate) fn backup(path: &Path, to: &Path) -> Result<()> {
        let conn = connect_read_only(path)?;
        conn.execute_batch("pragma query_only = off")?;
        let target = to
            .to_str()
            .ok_or_else(|| crate::db::Error::Unavailable("the path of a backup must be UTF-8".into()))?;
        conn.execute("vacuum into ?1", [target])?;
        std::fs::File::open(to)
            .and_then(|file| file.sync_all())
            .map_err(|error| crate::db::Error::Full(format!("{}: {error}", to.display())))
    }
}
