//! The data folder: one process at a time, and the keyring in it.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

use polity_kernel::{clock::Clock, config::Environment};
use polity_seal::Keyring;

use crate::BootError;

/// The lock on the data folder, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Makes the folder if it is missing, and sees to it that it can be written.
pub(crate) fn create(folder: &Path) -> Result<(), BootError> {
    let fail = |error: std::io::Error| {
        BootError::new(
            format!("the data folder {} cannot be used: {error}", folder.display()),
            "make it writable for this user, or choose another with POLITY_DATA_DIR".to_owned(),
        )
    };
    if !folder.exists() {
        std::fs::create_dir_all(folder).map_err(fail)?;
        restrict(folder).map_err(fail)?;
    }
    tempfile::Builder::new()
        .prefix(".write-check")
        .tempfile_in(folder)
        .map(drop)
        .map_err(fail)
}

#[cfg(unix)]
fn restrict(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn restrict(_: &Path) -> std::io::Result<()> {
    Ok(())
}

impl Lock {
    /// Takes the lock; `None` if another process has it.
    pub(crate) fn try_take(folder: &Path) -> Result<Option<Self>, BootError> {
        let path = folder.join("polity.lock");
        let fail = |error: std::io::Error| {
            BootError::new(
                format!("{} cannot be locked: {error}", path.display()),
                "check the data folder".to_owned(),
            )
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(fail(error)),
        }
    }

    /// Takes the lock.
    pub(crate) fn take(folder: &Path) -> Result<Self, BootError> {
        Self::try_take(folder)?.ok_or_else(|| {
            BootError::new(
                format!("another polity is running on the data folder {}", folder.display()),
                "stop it, or choose another folder with POLITY_DATA_DIR; several processes need PostgreSQL".to_owned(),
            )
        })
    }
}

/// Where the keyring is.
pub(crate) fn keyring_path(setting: Option<&PathBuf>, folder: &Path) -> PathBuf {
    setting.cloned().unwrap_or_else(|| folder.join("keyring"))
}

/// Loads the keyring. Outside production, a missing one is made, readable by its owner alone.
pub(crate) fn keyring(path: &Path, environment: Environment, clock: &Clock) -> Result<Keyring, BootError> {
    let fail = |error: polity_seal::KeyringError| {
        BootError::new(format!("the keyring {}: {error}", path.display()), String::new())
    };
    if path.exists() {
        return Keyring::load(path).map_err(fail);
    }
    if environment == Environment::Production {
        return Err(BootError::new(
            format!("there is no keyring at {}", path.display()),
            "make one with `polity keys create`, keep a copy in a safe place, and give every replica the same file"
                .to_owned(),
        ));
    }
    Keyring::create(path, clock.now().timestamp()).map_err(fail)
}
