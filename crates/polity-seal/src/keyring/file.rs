//! The keyring's file: read only if nobody else can, written whole or not at all.
//!
//! A write goes to a new file beside the target, to disk, and then in one step to its name. A crash leaves the old file
//! or the new one, and at worst a hidden `.tmp` file that only the owner can read.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::KeyringError;
use crate::random::random_bytes;

/// Some ten thousand keys.
const LIMIT: u64 = 1 << 20;

pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let failed = |cause| KeyringError::Io {
        action: "read",
        path: path.to_owned(),
        cause,
    };
    // What is checked is the open file, not whatever the path names a moment later.
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > LIMIT {
        return Err(KeyringError::NotAKeyring {
            path: path.to_owned(),
            limit: LIMIT,
        });
    }
    let mode = mode(&metadata);
    if mode & others(&metadata) != 0 {
        return Err(KeyringError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    // All the room at once: growing would leave copies of the keys behind.
    let room = usize::try_from(metadata.len()).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 1));
    file.take(LIMIT).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Writes a file that must not exist yet.
pub(super) fn create(path: &Path, text: &str) -> Result<(), KeyringError> {
    // A link to an existing name fails, where a rename would replace it.
    publish(path, text, |temporary| fs::hard_link(temporary, path)).map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => KeyringError::Exists { path: path.to_owned() },
        _ => write_error(path, cause),
    })
}

/// Writes a file in the place of the one that may be there.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), KeyringError> {
    // Through a symbolic link to the file itself: a rename over the link would leave the file as it was.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    publish(&target, text, |temporary| fs::rename(temporary, &target)).map_err(|cause| write_error(path, cause))
}

fn write_error(path: &Path, cause: io::Error) -> KeyringError {
    KeyringError::Io {
        action: "write",
        path: path.to_owned(),
        cause,
    }
}

/// Writes `text` beside `target`, lets `place` give it its name, and returns when all of it is on disk.
fn publish(target: &Path, text: &str, place: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let folder = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let temporary = temporary(folder);
    let placed = write_new(&temporary, text).and_then(|()| place(&temporary));
    // After a rename it is gone already; after a link or a failure it has to go, and if it cannot, it harms nobody.
    let _ = fs::remove_file(&temporary);
    placed?;
    sync_folder(folder)
}

fn temporary(folder: &Path) -> PathBuf {
    folder.join(format!(".keyring-{}.tmp", hex::encode(random_bytes::<8>())))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The permission bits that a keyring must not have. A file of root's may be readable by its group, as orchestrators mount
/// secrets: root reads it anyway, and who is in the group, root decides.
#[cfg(unix)]
fn others(metadata: &Metadata) -> u32 {
    let is_roots = std::os::unix::fs::MetadataExt::uid(metadata) == 0;
    if is_roots { 0o037 } else { 0o077 }
}

/// The permission bits that a keyring must not have.
#[cfg(not(unix))]
fn others(_: &Metadata) -> u32 {
    0
}

/// The permission bits.
#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777
}

/// Other systems have no such bits; their folders' access lists have to protect the file.
#[cfg(not(unix))]
fn mode(_: &Metadata) -> u32 {
    0
}

/// A new name is on disk only when its folder is.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Other systems cannot open a folder to flush it.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::TempDir;

    use crate::{Keyring, KeyringError, ParseError};

    use super::*;

    fn place() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyring");
        (folder, path)
    }

    fn mode_of(path: &Path) -> u32 {
        mode(&fs::metadata(path).unwrap())
    }

    fn names(folder: &TempDir) -> Vec<String> {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_created_file_is_private_loads_and_is_never_overwritten() {
        let (folder, path) = place();
        let ring = Keyring::create(&path, 1).unwrap();
        assert_eq!(mode_of(&path), 0o600);
        assert_eq!(Keyring::load(&path).unwrap().list(), ring.list());

        let error = Keyring::create(&path, 2).unwrap_err();
        assert!(matches!(error, KeyringError::Exists { .. }), "{error}");
        assert_eq!(Keyring::load(&path).unwrap().list(), ring.list());
        assert_eq!(names(&folder), ["keyring"]);
    }

    #[test]
    fn saving_replaces_and_stays_private() {
        let (folder, path) = place();
        let ring = Keyring::create(&path, 1).unwrap();
        ring.rotate(2);
        ring.save(&path).unwrap();
        assert_eq!(mode_of(&path), 0o600);
        assert_eq!(Keyring::load(&path).unwrap().list(), ring.list());
        assert_eq!(names(&folder), ["keyring"]);
    }

    #[test]
    fn a_saved_rotation_is_in_the_file_or_did_not_happen() {
        let (folder, path) = place();
        let ring = Keyring::create(&path, 1).unwrap();
        let second = ring.rotate_saved(&path, 2).unwrap();
        assert_eq!(Keyring::load(&path).unwrap().current_id(), second);

        let error = ring
            .rotate_saved(&folder.path().join("nowhere/keyring"), 3)
            .unwrap_err();
        assert!(matches!(error, KeyringError::Io { action: "write", .. }), "{error}");
        assert_eq!(ring.current_id(), second);
    }

    #[test]
    fn saving_goes_through_a_link() {
        let (folder, path) = place();
        let ring = Keyring::create(&path, 1).unwrap();
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        ring.rotate_saved(&link, 2).unwrap();
        assert_eq!(Keyring::load(&path).unwrap().list(), ring.list());
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_file_that_others_can_use_is_refused() {
        let (_folder, path) = place();
        Keyring::create(&path, 1).unwrap();
        let is_roots = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&path).unwrap()) == 0;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        assert_eq!(Keyring::load(&path).is_ok(), is_roots);
        for mode in [0o660, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = Keyring::load(&path).unwrap_err();
            assert!(
                matches!(error, KeyringError::Exposed { mode: seen, .. } if seen == mode),
                "{error}"
            );
            assert!(error.to_string().contains("chmod 600"));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(Keyring::load(&path).is_ok());
    }

    #[test]
    fn damage_is_named_with_its_file() {
        let (folder, path) = place();
        Keyring::create(&path, 1).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 4);
        fs::write(&path, &bytes).unwrap();
        let error = Keyring::load(&path).unwrap_err();
        assert!(matches!(error, KeyringError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");

        fs::write(&path, [0xff, 0xfe]).unwrap();
        let error = Keyring::load(&path).unwrap_err();
        assert!(
            matches!(
                error,
                KeyringError::Corrupt {
                    cause: ParseError::NotText,
                    ..
                }
            ),
            "{error}"
        );
        let error = Keyring::load(folder.path()).unwrap_err();
        assert!(matches!(error, KeyringError::NotAKeyring { .. }), "{error}");
        let error = Keyring::load(&folder.path().join("none")).unwrap_err();
        assert!(matches!(error, KeyringError::Io { action: "read", .. }), "{error}");
    }
}
