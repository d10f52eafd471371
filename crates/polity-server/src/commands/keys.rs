//! `polity keys …`

use std::path::{Path, PathBuf};

use clap::Subcommand;
use polity_kernel::clock::Clock;
use polity_seal::{Keyring, KeyringError};

use crate::{BootError, Request};

/// `polity keys …`
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Makes a new keyring file.
    Create {
        /// Where; the file must not exist.
        file: PathBuf,
        /// Does nothing if there is one.
        #[arg(long)]
        if_missing: bool,
    },
    /// Shows the keys and how much each seals.
    List,
    /// Makes a new current key and seals everything again with it, while requests go on.
    Rotate,
    /// Removes a key that seals nothing any more.
    Retire {
        /// Which.
        key: String,
    },
}

impl Keys {
    pub(super) fn request(self) -> Request {
        match self {
            Self::Rotate => Request::KeysRotate,
            Self::Retire { key } => Request::KeysRetire { key },
            Self::List | Self::Create { .. } => Request::KeysList,
        }
    }
}

pub(super) fn create(file: &Path, if_missing: bool, clock: &Clock) -> Result<(), BootError> {
    let keyring = match Keyring::create(file, clock.now().timestamp()) {
        Err(KeyringError::Exists { .. }) if if_missing => {
            println!("{} is there already; it stays as it is", file.display());
            return Ok(());
        }
        made => made.map_err(|error| error.to_string())?,
    };
    println!(
        "{} holds the key {}; keep a copy in a safe place",
        file.display(),
        keyring.current_id()
    );
    Ok(())
}
