//! What commands may ask of a running server, over a socket in the data folder that only its owner can open; and the same
//! without a server, when the command holds the folder itself.

mod socket;

use std::path::{Path, PathBuf};

use polity_identity::{auth, credential};
use polity_kernel::{Secret, db::Dialect};
use polity_seal::{KeyId, KeyInfo};
use serde::{Deserialize, Serialize};

use crate::{BootError, Program};

pub(crate) use socket::{ask, listen};

/// What may be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub enum Request {
    /// The keys of the keyring.
    KeysList,
    /// A new current key; everything is sealed again with it.
    KeysRotate,
    /// Removes a key that seals nothing any more.
    KeysRetire {
        /// Which.
        key: String,
    },
    /// The first administrator, or another.
    AdminCreate {
        /// Their address.
        email: String,
        /// Their name.
        name: String,
        /// Their password.
        #[serde(with = "plain")]
        password: Secret,
    },
    /// Events after a position.
    Events {
        /// The position.
        after: i64,
        /// Only these types; empty for all.
        types: Vec<String>,
        /// How many at most.
        limit: u32,
    },
    /// Starts a consumer over from a position.
    EventsReplay {
        /// The name of the consumer.
        consumer: String,
        /// The position after which it starts.
        after: i64,
    },
    /// Revokes the credentials with these texts, which leaked.
    RevokeLeaked {
        /// The texts.
        texts: Vec<String>,
    },
    /// Writes a consistent copy of the database into a folder.
    Backup {
        /// The folder; it must not exist.
        folder: PathBuf,
        /// Whether the keyring goes with it.
        with_keys: bool,
    },
}

/// A secret on its way through the socket, which nobody but the owner can read.
mod plain {
    use polity_kernel::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret::from)
    }
}

/// The answer: lines for a person, and the same for a program.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Reply {
    /// What to print.
    pub lines: Vec<String>,
    /// What a program reads.
    pub data: serde_json::Value,
}

impl Reply {
    fn line(text: impl Into<String>) -> Self {
        Self {
            lines: vec![text.into()],
            data: serde_json::Value::Null,
        }
    }
}

/// Does what is asked.
///
/// # Errors
/// Why it could not be done.
pub async fn execute(program: &Program, request: Request) -> Result<Reply, BootError> {
    match request {
        Request::KeysList => keys_list(program).await,
        Request::KeysRotate => keys_rotate(program).await,
        Request::KeysRetire { key } => keys_retire(program, &key).await,
        Request::AdminCreate { email, name, password } => {
            let user_id = auth::create_admin(&program.ctx, &email, password, &name)
                .await
                .map_err(|error| error.to_string())?;
            Ok(Reply {
                lines: vec![format!("{email} is an administrator now ({user_id})")],
                data: user_id.into(),
            })
        }
        Request::Events { after, types, limit } => events(program, after, &types, limit).await,
        Request::EventsReplay { consumer, after } => {
            program.ctx.events.replay(&program.ctx.db, &consumer, after).await?;
            Ok(Reply::line(format!(
                "{consumer} hears everything after position {after} again"
            )))
        }
        Request::RevokeLeaked { texts } => revoke_leaked(program, &texts).await,
        Request::Backup { folder, with_keys } => backup(program, &folder, with_keys).await,
    }
}

async fn revoke_leaked(program: &Program, texts: &[String]) -> Result<Reply, BootError> {
    let leaked = credential::revoke_leaked(&program.credentials, texts).await?;
    let line = |id: &String| format!("{id} is revoked");
    Ok(Reply {
        lines: leaked.revoked.iter().map(line).collect(),
        data: leaked.found.into(),
    })
}

fn describe(info: &KeyInfo, uses: u64) -> String {
    let state = if info.current {
        "current"
    } else if uses == 0 {
        "unused: may be retired"
    } else {
        "still in use"
    };
    format!("{}  {}  seals {uses} values  {state}", info.id, info.fingerprint)
}

async fn keys_list(program: &Program) -> Result<Reply, BootError> {
    let (ctx, columns) = (&program.ctx, Program::sealed_columns());
    let mut lines = Vec::new();
    for info in ctx.secrets.keyring().list() {
        let uses = ctx.secrets.uses(&ctx.db, &columns, &info.id).await?;
        lines.push(describe(&info, uses));
    }
    Ok(Reply {
        lines,
        data: serde_json::Value::Null,
    })
}

async fn keys_rotate(program: &Program) -> Result<Reply, BootError> {
    let ctx = &program.ctx;
    let now = ctx.clock.now().timestamp();
    // The file comes first: nothing is ever sealed with a key that could be lost.
    let key = ctx
        .secrets
        .keyring()
        .rotate_saved(program.keyring_path(), now)
        .map_err(|error| error.to_string())?;
    let resealed = ctx.secrets.reseal(&ctx.db, &Program::sealed_columns()).await?;
    Ok(Reply::line(format!(
        "{key} is the current key; {resealed} values were sealed again. Copy the keyring to its safe place, then retire \
         the old key with `polity keys retire`"
    )))
}

async fn keys_retire(program: &Program, key: &str) -> Result<Reply, BootError> {
    let ctx = &program.ctx;
    let id: KeyId = key
        .parse()
        .map_err(|_| BootError::new(format!("{key:?} is not a key id"), "`polity keys list` shows them"))?;
    let uses = ctx.secrets.uses(&ctx.db, &Program::sealed_columns(), &id).await?;
    if uses > 0 {
        return Err(BootError::new(
            format!("{key} still seals {uses} values"),
            "run `polity keys rotate` first",
        ));
    }
    let keyring = ctx.secrets.keyring();
    keyring.retire(&id).map_err(|error| error.to_string())?;
    keyring
        .save(program.keyring_path())
        .map_err(|error| error.to_string())?;
    Ok(Reply::line(format!(
        "{key} is retired; backups made before the rotation need your copy of it"
    )))
}

async fn events(program: &Program, after: i64, types: &[String], limit: u32) -> Result<Reply, BootError> {
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let found = program
        .ctx
        .events
        .read_after(&program.ctx.db, after, &types, limit.min(1000))
        .await?;
    let last = found.last().and_then(|event| event.position).unwrap_or(after);
    let lines = found.iter().map(|event| event.to_cloudevent().to_string()).collect();
    Ok(Reply {
        lines,
        data: last.into(),
    })
}

async fn backup(program: &Program, folder: &Path, with_keys: bool) -> Result<Reply, BootError> {
    if program.ctx.db.dialect() == Dialect::Pg {
        return Err(BootError::new(
            "the database is PostgreSQL",
            "use pg_dump, which makes consistent copies while it runs",
        ));
    }
    let parent = folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if folder.exists() {
        return Err(BootError::new(
            format!("{} exists", folder.display()),
            "name a folder that does not",
        ));
    }
    // Written beside its place and renamed, so that a backup that is there is complete.
    let work = tempfile::Builder::new().prefix(".polity-backup").tempdir_in(parent)?;
    program.ctx.db.backup(&work.path().join("polity.db")).await?;
    if with_keys {
        program
            .ctx
            .secrets
            .keyring()
            .save(&work.path().join("keyring"))
            .map_err(|error| error.to_string())?;
    }
    let made = polity_kernel::clock::rfc3339(program.ctx.clock.now());
    let manifest = serde_json::json!({ "polity": polity_kernel::VERSION, "made": made, "with_keys": with_keys });
    std::fs::write(work.path().join("manifest.json"), manifest.to_string())?;
    let work = work.keep();
    std::fs::rename(&work, folder)?;
    std::fs::File::open(parent)?.sync_all()?;
    let keys = if with_keys {
        "with the keyring: keep it as safe as the keys themselves"
    } else {
        "without the keyring"
    };
    Ok(Reply::line(format!("{} holds the database, {keys}", folder.display())))
}
