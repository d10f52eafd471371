//! Files of one kind: named by the hash of an id, in 256 folders that are locked by themselves.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};

use crate::store::StoreError;

/// A locked place. The lock ends with it.
pub(super) struct Held {
    /// What is there.
    pub(super) text: Option<Vec<u8>>,
    path: PathBuf,
    /// The folder, open: its lock lasts as long as this, and it is what is synced after a rename.
    folder: File,
}

fn failed(error: io::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

pub(super) fn make(folder: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed)
}

/// The folder and the file of an id: nothing of an id is used as a name.
fn place(root: &Path, id: &str) -> (PathBuf, PathBuf) {
    let name = hex::encode(digest(&SHA256, id.as_bytes()));
    let folder = root.join(name.get(..2).unwrap_or_default());
    let path = folder.join(format!("{name}.json"));
    (folder, path)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// What is there, without the lock: a rename shows the one or the other whole.
pub(super) fn get(root: &Path, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
    read(&place(root, id).1)
}

pub(super) fn hold(root: &Path, id: &str) -> Result<Held, StoreError> {
    let (folder, path) = place(root, id);
    if !folder.is_dir() {
        make(&folder)?;
        // A new folder has to be there after a crash, too.
        File::open(root).and_then(|root| root.sync_all()).map_err(failed)?;
    }
    let folder = File::open(&folder).map_err(failed)?;
    folder.lock().map_err(failed)?;
    Ok(Held {
        text: read(&path)?,
        path,
        folder,
    })
}

/// Replaces the file: all of it or nothing, and on disk when this returns.
pub(super) fn write(held: Held, text: &[u8]) -> Result<(), StoreError> {
    // One name per file and under the lock: what a crash leaves is overwritten by the next write.
    let beside = held.path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(&beside).and_then(|mut file| {
        file.write_all(text)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&beside, &held.path)).map_err(failed)?;
    held.folder.sync_all().map_err(failed)
}

/// `false` if there was nothing.
pub(super) fn remove(held: Held) -> Result<bool, StoreError> {
    if held.text.is_none() {
        return Ok(false);
    }
    fs::remove_file(&held.path).map_err(failed)?;
    held.folder.sync_all().map_err(failed)?;
    Ok(true)
}

/// Removes what is over in the folder that is held.
pub(super) fn sweep(held: &Held, is_over: impl Fn(&[u8]) -> bool) -> Result<(), StoreError> {
    let Some(folder) = held.path.parent() else {
        return Ok(());
    };
    for path in listed(folder)? {
        if read(&path)?.is_some_and(|text| is_over(&text)) {
            fs::remove_file(&path).map_err(failed)?;
        }
    }
    Ok(())
}

/// The texts of all files.
pub(super) fn all(root: &Path) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut texts = Vec::new();
    for folder in fs::read_dir(root).map_err(failed)? {
        for path in listed(&folder.map_err(failed)?.path())? {
            texts.extend(read(&path)?);
        }
    }
    Ok(texts)
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|kind| kind == "json") {
            paths.push(path);
        }
    }
    Ok(paths)
}
