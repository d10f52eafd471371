//! Mail in a folder: per mail an `.eml` for mail programs and a `.json` for the development mailbox.
//!
//! The `.json` is renamed into place last, so that a mail which is listed is whole. Mails hold codes and links: only
//! the owner can read them.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use super::{MailError, StoredMail};

#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) async fn write(&self, stored: StoredMail, eml: Vec<u8>) -> Result<(), MailError> {
        let json = serde_json::to_vec_pretty(&stored).map_err(|error| MailError::Permanent(error.to_string()))?;
        self.blocking(move |folder| {
            create_private(folder)?;
            put(folder, &format!("{}.eml", stored.id), &eml)?;
            put(folder, &format!("{}.json", stored.id), &json)
        })
        .await
    }

    pub(super) async fn list(&self, limit: usize) -> Result<Vec<StoredMail>, MailError> {
        self.blocking(move |folder| {
            let mut ids = ids(folder)?;
            ids.sort_unstable_by(|a, b| b.cmp(a));
            let mails = ids.iter().take(limit).map(|id| get(folder, id));
            mails.filter_map(Result::transpose).collect()
        })
        .await
    }

    pub(super) async fn read(&self, id: &str) -> Result<Option<StoredMail>, MailError> {
        // Anything else could name a file elsewhere.
        let well_formed = id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !well_formed {
            return Ok(None);
        }
        let id = id.to_owned();
        self.blocking(move |folder| get(folder, &id)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, MailError> {
        let folder = self.0.clone();
        let done = tokio::task::spawn_blocking(move || work(&folder)).await;
        let failed = |error: &dyn std::fmt::Display| {
            MailError::Temporary(format!("the mail folder {} failed: {error}", self.0.display()))
        };
        done.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }
}

fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// Writes a file that is either whole or not there.
fn put(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!(".{name}.tmp"));
    let mut options = fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .write(true)
        .create_new(true)
        .open(&temporary)?
        .write_all(content)?;
    fs::rename(temporary, folder.join(name))
}

fn ids(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let id = name
            .to_str()
            .and_then(|name| name.strip_suffix(".json"))
            .filter(|id| id.starts_with("mail_"));
        ids.extend(id.map(str::to_owned));
    }
    Ok(ids)
}

/// A mail that was deleted meanwhile, or that somebody else's program damaged, is not there.
fn get(folder: &Path, id: &str) -> io::Result<Option<StoredMail>> {
    match fs::read(folder.join(format!("{id}.json"))) {
        Ok(json) => Ok(serde_json::from_slice(&json).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
