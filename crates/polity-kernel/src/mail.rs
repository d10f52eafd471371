//! Outgoing mail: SMTP, or a folder that a developer can look into.
//!
//! Invariants: nothing a caller passes can add a header or a recipient; a send ends within [`SEND_TIMEOUT`]; an error
//! says whether the same mail may succeed later; mail text reaches no log.
//!
//! Deliberately absent: templates, retries and bounces. A mail that must arrive is sent by a job.

mod folder;
mod message;
mod smtp;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lettre::message::Mailbox;
use polity_seal::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    clock::{self, Clock, Timestamp},
    id::Ids,
};
use folder::Folder;
use smtp::Smtp;

/// Longest time one send may take.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Outgoing mail.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MailSettings {
    /// The sender, such as `Polity <no-reply@example.com>`.
    pub from: String,
    /// The mail server: `smtps://user:password@host` (TLS) or `smtp://user:password@host:587` (STARTTLS required, but
    /// not on this machine). `?tls=opportunistic` or `?tls=none` weakens that. Unset: mails are written to `folder`.
    #[schemars(with = "Option<String>", extend("x-secret" = true))]
    pub smtp_url: Option<Secret>,
    /// Where mails are written when there is no server. Unset: `mail` in the data folder.
    pub folder: Option<PathBuf>,
}

impl Default for MailSettings {
    fn default() -> Self {
        Self {
            from: "Polity <no-reply@localhost>".to_owned(),
            smtp_url: None,
            folder: None,
        }
    }
}

/// One mail to one recipient.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mail {
    /// The recipient: `ada@example.com` or `Ada <ada@example.com>`.
    pub to: String,
    /// The subject, at most 500 characters, none of them a control character.
    pub subject: String,
    /// The text for every reader.
    pub text: String,
    /// The same in HTML.
    #[serde(default)]
    pub html: Option<String>,
    /// What kind of mail it is, such as `invitation`: 1 to 64 of `A-Z a-z 0-9 _ . : -`.
    pub category: String,
    /// Labels for the provider's statistics, at most 16, each like `category`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How urgent it is shown.
    #[serde(default)]
    pub priority: Priority,
}

/// Without recipient and text, which are private or secret.
impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail")
            .field("category", &self.category)
            .field("tags", &self.tags)
            .finish_non_exhaustive()
    }
}

/// How urgent a mail is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Can wait.
    Low,
    /// Like any other.
    #[default]
    Normal,
    /// Should be seen at once.
    High,
}

/// A mail that was written to the folder or captured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredMail {
    /// `mail_` and 32 hex digits; sorts by time.
    pub id: String,
    /// When it was sent.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "Timestamp")]
    pub sent_at: Timestamp,
    /// The mail.
    pub mail: Mail,
}

/// Why a mail was not sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The mail or its recipient was refused; sending it again is useless.
    #[error("the mail was refused: {0}")]
    Permanent(String),
    /// The server or the folder did not take it now.
    #[error("the mail could not be sent now: {0}")]
    Temporary(String),
    /// The settings cannot be used.
    #[error("mail settings: {0}")]
    Settings(String),
}

/// Sends mail. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Mailer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    from: Mailbox,
    clock: Clock,
    ids: Ids,
    transport: Transport,
}

#[derive(Debug)]
enum Transport {
    Smtp(Smtp),
    Folder(Folder),
    Memory(Mutex<Vec<StoredMail>>),
}

impl Mailer {
    /// A mailer by the settings. With SMTP it must be called within a Tokio runtime, which keeps the connections.
    pub fn new(settings: &MailSettings, data_dir: &Path, clock: Clock, ids: Ids) -> Result<Self, MailError> {
        let transport = match (&settings.smtp_url, &settings.folder) {
            (Some(url), _) => Transport::Smtp(Smtp::new(url)?),
            (None, Some(folder)) => Transport::Folder(Folder::new(folder.clone())),
            (None, None) => Transport::Folder(Folder::new(data_dir.join("mail"))),
        };
        Self::with(&settings.from, transport, clock, ids)
    }

    /// A mailer that keeps every mail in memory, for tests.
    pub fn memory(clock: Clock, ids: Ids) -> Result<Self, MailError> {
        Self::with(
            &MailSettings::default().from,
            Transport::Memory(Mutex::default()),
            clock,
            ids,
        )
    }

    fn with(from: &str, transport: Transport, clock: Clock, ids: Ids) -> Result<Self, MailError> {
        let from = from
            .parse()
            .map_err(|_| MailError::Settings(format!("`from` is not an address: {from:?}")))?;
        Ok(Self(Arc::new(Inner {
            from,
            clock,
            ids,
            transport,
        })))
    }

    /// Sends a mail and answers with its id, which is also the local part of its `Message-ID`.
    pub async fn send(&self, mail: &Mail) -> Result<String, MailError> {
        let inner = &self.0;
        let stored = StoredMail {
            id: inner.ids.new_id("mail_"),
            sent_at: inner.clock.now(),
            mail: mail.clone(),
        };
        let id = stored.id.clone();
        let message = message::build(&inner.from, &stored)?;
        match &inner.transport {
            Transport::Smtp(smtp) => smtp.send(message).await?,
            Transport::Folder(folder) => folder.write(stored, message.formatted()).await?,
            Transport::Memory(mails) => mails.lock().unwrap_or_else(PoisonError::into_inner).push(stored),
        }
        Ok(id)
    }

    /// The newest mails in the folder or in memory, newest first. None with SMTP.
    pub async fn list(&self, limit: usize) -> Result<Vec<StoredMail>, MailError> {
        match &self.0.transport {
            Transport::Smtp(_) => Ok(Vec::new()),
            Transport::Folder(folder) => folder.list(limit).await,
            Transport::Memory(_) => Ok(self.captured().into_iter().rev().take(limit).collect()),
        }
    }

    /// One mail in the folder or in memory.
    pub async fn read(&self, id: &str) -> Result<Option<StoredMail>, MailError> {
        match &self.0.transport {
            Transport::Smtp(_) => Ok(None),
            Transport::Folder(folder) => folder.read(id).await,
            Transport::Memory(_) => Ok(self.captured().into_iter().find(|stored| stored.id == id)),
        }
    }

    /// What a mailer in memory was given, oldest first. Nothing from the others.
    pub fn captured(&self) -> Vec<StoredMail> {
        match &self.0.transport {
            Transport::Memory(mails) => mails.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Transport::Smtp(_) | Transport::Folder(_) => Vec::new(),
        }
    }
}
